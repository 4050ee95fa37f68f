using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Threading;
using System.Threading.Channels;
using System.Threading.Tasks;

namespace AzureML.Scoring.Tests;

/// <summary>A request as it came over the wire.</summary>
/// <param name="Line">The request line.</param>
/// <param name="Headers">The header lines, in order.</param>
/// <param name="Body">The bytes of the body.</param>
/// <param name="Connection">Which connection of the server it came over, from 1.</param>
internal sealed record RawRequest(string Line, IReadOnlyList<string> Headers, byte[] Body, int Connection)
{
    public string Text => Encoding.UTF8.GetString(Body);

    /// <summary>The values of a header, in order; the name in any case.</summary>
    public string[] Values(string name) =>
    [
        .. Headers.Where(line => line.StartsWith($"{name}:", StringComparison.OrdinalIgnoreCase))
            .Select(line => line[(name.Length + 1)..].Trim()),
    ];
}

/// <summary>One request and the way to answer it, byte by byte.</summary>
internal sealed class Exchange(RawRequest request, Stream stream, Socket socket)
{
    public RawRequest Request => request;

    public async Task SendAsync(string text) => await stream.WriteAsync(Encoding.Latin1.GetBytes(text), CancellationToken.None);

    /// <summary>Ends the connection with RST.</summary>
    public void Reset()
    {
        socket.LingerState = new LingerOption(enable: true, 0);
        socket.Close();
    }

    /// <summary>Ends the connection with FIN.</summary>
    public void Close() => socket.Close();

    /// <summary>Returns when the client has closed the connection.</summary>
    public async Task WaitForCloseAsync()
    {
        var buffer = new byte[1024];
        try
        {
            while (await stream.ReadAsync(buffer, CancellationToken.None) > 0)
            {
            }
        }
        catch (IOException)
        {
            // A reset is a way to close.
        }
    }
}

/// <summary>A server on a loopback port that records requests as bytes and answers as it is told.</summary>
internal sealed class RawServer : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly Func<Exchange, Task> _answer;
    private readonly X509Certificate2? _certificate;
    private readonly SslProtocols _protocols;
    private readonly Task _accepting;
    private readonly ConcurrentBag<Socket> _sockets = [];
    private readonly ConcurrentBag<Task> _connections = [];
    private readonly ConcurrentQueue<RawRequest> _requests = [];
    private readonly Channel<RawRequest> _arrivals = Channel.CreateUnbounded<RawRequest>();
    private int _connectionCount;

    public RawServer(Func<Exchange, Task> answer, X509Certificate2? certificate = null, SslProtocols protocols = SslProtocols.None)
    {
        _answer = answer;
        _certificate = certificate;
        _protocols = protocols;
        _listener.Start();
        Authority = _listener.LocalEndpoint.ToString()!;
        _accepting = AcceptAsync();
    }

    /// <summary>Makes a server that gives the same answer to every request.</summary>
    public RawServer(string reply)
        : this(exchange => exchange.SendAsync(reply))
    {
    }

    public string Authority { get; }

    public Uri Uri => new($"{(_certificate is null ? "http" : "https")}://{Authority}/score");

    /// <summary>All requests so far.</summary>
    public RawRequest[] Requests => [.. _requests];

    public int ConnectionCount => _connectionCount;

    /// <summary>Called when a connection was taken.</summary>
    public Action Opened { get; set; } = () => { };

    /// <summary>Called when a connection is over, whoever ended it.</summary>
    public Action Closed { get; set; } = () => { };

    /// <summary>Returns the text of a reply with the length of its body.</summary>
    public static string Reply(int status, string body, params string[] headers)
    {
        var lines = headers.Prepend(string.Create(CultureInfo.InvariantCulture, $"Content-Length: {body.Length}"));
        return string.Create(CultureInfo.InvariantCulture, $"HTTP/1.1 {status} Reason\r\n{string.Join("\r\n", lines)}\r\n\r\n{body}");
    }

    /// <summary>Waits for the next request.</summary>
    public ValueTask<RawRequest> NextAsync(CancellationToken cancellationToken) => _arrivals.Reader.ReadAsync(cancellationToken);

    public async ValueTask DisposeAsync()
    {
        _listener.Stop();
        await _accepting;
        foreach (var socket in _sockets)
        {
            socket.Dispose();
        }

        await Task.WhenAll(_connections);
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            Socket socket;
            try
            {
                socket = await _listener.AcceptSocketAsync(CancellationToken.None);
            }
            catch (Exception error) when (error is SocketException or ObjectDisposedException or InvalidOperationException)
            {
                return; // stopped
            }

            _sockets.Add(socket);
            _connections.Add(ServeAsync(socket, Interlocked.Increment(ref _connectionCount)));
        }
    }

    private async Task ServeAsync(Socket socket, int connection)
    {
        Opened();
        try
        {
            await using var raw = new NetworkStream(socket, ownsSocket: true);
            await using var stream = _certificate is null ? raw : await SecureAsync(raw);
            while (await ReadAsync(stream, connection) is RawRequest request)
            {
                _requests.Enqueue(request);
                await _arrivals.Writer.WriteAsync(request);
                await _answer(new Exchange(request, stream, socket));
            }
        }
        catch (Exception error) when (error is IOException or SocketException or ObjectDisposedException or AuthenticationException)
        {
            // The client went away, or the script closed the connection.
        }
        finally
        {
            Closed();
        }
    }

    private async Task<Stream> SecureAsync(Stream raw)
    {
        var secured = new SslStream(raw);
        await secured.AuthenticateAsServerAsync(new SslServerAuthenticationOptions
        {
            ServerCertificate = _certificate,
            EnabledSslProtocols = _protocols,
            ApplicationProtocols = [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11], // for a client that offers HTTP/2
        });
        return secured;
    }

    private static async Task<RawRequest?> ReadAsync(Stream stream, int connection)
    {
        var head = new List<byte>();
        var one = new byte[1];
        while (!head.TakeLast(4).SequenceEqual("\r\n\r\n"u8.ToArray()))
        {
            if (await stream.ReadAsync(one) == 0)
            {
                return null;
            }

            head.Add(one[0]);
        }

        var lines = Encoding.Latin1.GetString([.. head]).Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
        var request = new RawRequest(lines[0], lines[1..], [], connection);
        var body = new byte[int.Parse(request.Values("Content-Length").SingleOrDefault("0"), CultureInfo.InvariantCulture)];
        await stream.ReadExactlyAsync(body);
        return request with { Body = body };
    }
}
