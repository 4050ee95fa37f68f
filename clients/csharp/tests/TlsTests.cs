using System;
using System.Net;
using System.Net.Http;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>Certificates, versions and broken handshakes: B17, B18, B40, B41.</summary>
public sealed class TlsTests : IDisposable
{
    private static readonly DateTimeOffset Now = DateTimeOffset.UtcNow;
    private readonly X509Certificate2 _authority = MakeAuthority();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => _authority.Dispose();

    // Proves B17, B18.
    [Theory]
    [InlineData(SslProtocols.Tls12)]
    [InlineData(SslProtocols.Tls13)]
    public async Task A_service_with_one_version_works_and_speaks_http_1_1(SslProtocols protocols)
    {
        using var certificate = MakeCertificate("127.0.0.1", Now.AddDays(1));
        await using var server = new RawServer(exchange => exchange.SendAsync(RawServer.Reply(200, "[1.5]")), certificate, protocols);
        using var handler = TrustingHandler();
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0, Key = "k1", Handler = handler });

        Assert.Equal(1.5, Assert.Single(await client.ScoreAsync([[1]], Cancel)));

        Assert.Equal("POST /score HTTP/1.1", Assert.Single(server.Requests).Line);
    }

    // Proves B18, B41.
    [Theory]
    [InlineData("other.example", 1, "RemoteCertificateNameMismatch")]
    [InlineData("127.0.0.1", -1, "NotTimeValid")]
    public async Task A_certificate_of_a_known_authority_for_another_host_or_time_is_refused(string name, int days, string text)
    {
        using var certificate = MakeCertificate(name, Now.AddDays(days));
        await using var server = new RawServer(exchange => exchange.SendAsync(RawServer.Reply(200, "[1.5]")), certificate);
        using var handler = TrustingHandler();
        using var client = new ScoringClient(server.Uri, new() { Handler = handler });

        Assert.Contains(text, (await RefusedAsync(client)).Message, StringComparison.Ordinal);
        Assert.Empty(server.Requests);
    }

    // Proves B02, B18.
    [Fact]
    public async Task The_certificates_of_a_ca_file_are_trusted_in_place_of_the_systems()
    {
        using var certificate = MakeCertificate("127.0.0.1", Now.AddDays(1));
        using var stranger = MakeCertificate("other.example", Now.AddDays(1));
        await using var server = new RawServer(exchange => exchange.SendAsync(RawServer.Reply(200, "[1.5]")), certificate);
        await using var wrong = new RawServer(exchange => exchange.SendAsync(RawServer.Reply(200, "[1.5]")), stranger);
        var file = System.IO.Path.GetTempFileName();
        try
        {
            await System.IO.File.WriteAllTextAsync(file, _authority.ExportCertificatePem(), Cancel);
            using var client = new ScoringClient(server.Uri, new() { CaFile = file });
            using var other = new ScoringClient(wrong.Uri, new() { CaFile = file });

            Assert.Equal(1.5, Assert.Single(await client.ScoreAsync([[1]], Cancel)));
            await RefusedAsync(other); // the host's name is checked as always
        }
        finally
        {
            System.IO.File.Delete(file);
        }
    }

    // Proves B18, B41.
    [Fact]
    public async Task A_certificate_of_an_unknown_authority_is_refused()
    {
        using var certificate = MakeCertificate("127.0.0.1", Now.AddDays(1));
        await using var server = new RawServer(exchange => exchange.SendAsync(RawServer.Reply(200, "[1.5]")), certificate);
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0, Key = "secret" });

        await RefusedAsync(client);

        Assert.Empty(server.Requests);
    }

    // Proves B18.
    [Fact]
    public void Only_tls_1_2_and_later_are_offered()
    {
        using var handler = Connections.CreateHandler(new(), isLoopback: true);

        Assert.Equal(SslProtocols.Tls12 | SslProtocols.Tls13, handler.SslOptions.EnabledSslProtocols);
        Assert.Null(handler.SslOptions.RemoteCertificateValidationCallback);
    }

    // Proves B41.
    [Fact]
    public async Task A_plain_answer_on_an_https_uri_is_refused()
    {
        await using var server = new Talker("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"u8.ToArray());
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        await RefusedAsync(client);
    }

    // Proves B40.
    [Fact]
    public async Task A_close_inside_the_handshake_is_the_network()
    {
        await using var server = new Talker([]);
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        var error = await Assert.ThrowsAsync<ScoringTransportException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal($"POST {server.Uri}: the connection was closed inside TLS (1 attempt)", error.Message);
    }

    private static async Task<ScoringTransportException> RefusedAsync(ScoringClient client)
    {
        var error = await Assert.ThrowsAsync<ScoringTransportException>(() => client.ScoreAsync([[1]], Cancel));
        Assert.Contains(": TLS failed: ", error.Message, StringComparison.Ordinal);
        Assert.False(error.TimedOut);
        Assert.Equal(1, error.Attempts);
        return error;
    }

    /// <summary>The client's own handler, with one more authority.</summary>
    private SocketsHttpHandler TrustingHandler()
    {
        var handler = Connections.CreateHandler(new(), isLoopback: true);
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        policy.CustomTrustStore.Add(_authority);
        handler.SslOptions.CertificateChainPolicy = policy;
        return handler;
    }

    private static X509Certificate2 MakeAuthority()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=Test Authority", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(X509BasicConstraintsExtension.CreateForCertificateAuthority());
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        return request.CreateSelfSigned(Now.AddDays(-10), Now.AddDays(10));
    }

    private X509Certificate2 MakeCertificate(string name, DateTimeOffset notAfter)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=Test Service", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        if (IPAddress.TryParse(name, out var address))
        {
            names.AddIpAddress(address);
        }
        else
        {
            names.AddDnsName(name);
        }

        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], critical: false));
        using var signed = request.Create(_authority, Now.AddDays(-5), notAfter, RandomNumberGenerator.GetBytes(8));
        using var withKey = signed.CopyWithPrivateKey(key);
        // Windows serves no certificate whose key was never stored.
        return X509CertificateLoader.LoadPkcs12(withKey.Export(X509ContentType.Pkcs12), password: null);
    }

    /// <summary>Waits for the first bytes of a connection, says something, and closes it.</summary>
    private sealed class Talker : IAsyncDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly Task _talking;

        public Talker(byte[] words)
        {
            _listener.Start();
            Uri = new Uri($"https://{_listener.LocalEndpoint}/score");
            _talking = TalkAsync(words);
        }

        public Uri Uri { get; }

        public async ValueTask DisposeAsync()
        {
            await _talking;
            _listener.Stop();
        }

        private async Task TalkAsync(byte[] words)
        {
            using var socket = await _listener.AcceptSocketAsync(CancellationToken.None);
            await socket.ReceiveAsync(new byte[64 * 1024], CancellationToken.None);
            await socket.SendAsync(words, CancellationToken.None);
            socket.Shutdown(SocketShutdown.Send);
        }
    }
}
