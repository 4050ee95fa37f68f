using System;
using System.Net;
using System.Net.Http;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>The platform's proxy. It is one for the whole process; the other tests use loopback, which no proxy sees.</summary>
public sealed class ProxyTests : IDisposable
{
    private readonly IWebProxy _before = HttpClient.DefaultProxy;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => HttpClient.DefaultProxy = _before;

    [Fact]
    public async Task Loopback_is_never_proxied()
    {
        await using var proxy = new RawServer(RawServer.Reply(200, "[2.5]"));
        await using var server = new RawServer(RawServer.Reply(200, "[1.5]"));
        HttpClient.DefaultProxy = new WebProxy(proxy.Authority);
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0, Key = "secret" });

        Assert.Equal(1.5, Assert.Single(await client.ScoreAsync([[1]], Cancel)));
        Assert.Empty(proxy.Requests);
    }

    [Fact]
    public async Task Another_host_is_reached_through_the_platforms_proxy()
    {
        await using var proxy = new RawServer(RawServer.Reply(200, "[2.5]"));
        HttpClient.DefaultProxy = new WebProxy(proxy.Authority);
        using var client = new ScoringClient(new Uri("http://host.invalid/score"), new() { MaxRetries = 0 });

        Assert.Equal(2.5, Assert.Single(await client.ScoreAsync([[1]], Cancel)));
        Assert.Equal("POST http://host.invalid/score HTTP/1.1", Assert.Single(proxy.Requests).Line);
    }

    // Proves B02.
    [Fact]
    public async Task A_proxy_of_the_clients_own_wins_over_the_platforms_and_spares_loopback()
    {
        await using var platforms = new RawServer(RawServer.Reply(200, "[2.5]"));
        await using var proxy = new RawServer(RawServer.Reply(200, "[3.5]"));
        await using var server = new RawServer(RawServer.Reply(200, "[1.5]"));
        HttpClient.DefaultProxy = new WebProxy(platforms.Authority);
        var options = new ScoringClientOptions { Proxy = new Uri($"http://{proxy.Authority}") };
        using var far = new ScoringClient(new Uri("http://host.invalid/score"), options);
        using var near = new ScoringClient(server.Uri, options);

        Assert.Equal(3.5, Assert.Single(await far.ScoreAsync([[1]], Cancel)));
        Assert.Equal(1.5, Assert.Single(await near.ScoreAsync([[1]], Cancel)));

        Assert.Equal("POST http://host.invalid/score HTTP/1.1", Assert.Single(proxy.Requests).Line);
        Assert.Empty(platforms.Requests);
    }

    [Fact]
    public async Task A_refused_tunnel_shows_no_password()
    {
        await using var proxy = new RawServer(RawServer.Reply(407, "no"));
        HttpClient.DefaultProxy = new WebProxy(proxy.Authority) { Credentials = new NetworkCredential("me", "password") };
        using var client = new ScoringClient(new Uri("https://host.invalid/score"), new() { MaxRetries = 0, Key = "secret" });

        var error = await Assert.ThrowsAsync<ScoringTransportException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal("POST https://host.invalid/score: the proxy refused the tunnel: 407 (1 attempt)", error.Message);
        Assert.Null(error.InnerException);
        Assert.All(proxy.Requests, request => Assert.Empty(request.Values("Authorization")));
    }
}
