using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>What happens when no answer comes, or not all of it: B30-B34, B40, B64.</summary>
public sealed class TransportTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    // Proves B40, B60, B64.
    [Fact]
    public async Task Nobody_listening()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var address = $"http://{listener.LocalEndpoint}/score";
        listener.Stop();
        using var client = new ScoringClient(new Uri($"{address}?sig=secret"), new() { MaxRetries = 0 });

        var error = await FailAsync(client);

        Assert.Equal($"POST {address}: connection refused (1 attempt)", error.Message);
        Assert.False(error.TimedOut);
        Assert.Equal(1, error.Attempts);
        Assert.IsType<HttpRequestException>(error.InnerException);
    }

    [Fact]
    public async Task An_unknown_host()
    {
        using var handler = new SocketsHttpHandler { UseProxy = false };
        using var client = new ScoringClient(new Uri("http://no-such-host.invalid/score"), new() { MaxRetries = 0, Handler = handler });

        AssertFailure(await FailAsync(client), "the host name cannot be resolved");
    }

    [Theory]
    [InlineData("", "the connection was closed before the reply")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Le", "the connection was closed before the reply")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[1", "the reply was cut off")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1.\r\n", "the reply was cut off")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[1]\r\n0\r\n\r\n", "the reply is not valid HTTP")]
    [InlineData("SSH-2.0-OpenSSH_9.2\r\n", "the reply is not valid HTTP")]
    [InlineData("HTTP/1.1 200 OK\r\nno colon\r\n\r\n[1]", "the reply is not valid HTTP")]
    // Proves B40.
    public async Task A_reply_that_ends_early_or_is_none(string reply, string text)
    {
        await using var server = new RawServer(async exchange =>
        {
            await exchange.SendAsync(reply);
            exchange.Close();
        });
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        AssertFailure(await FailAsync(client), text);
        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task Headers_without_an_end()
    {
        await using var server = new RawServer($"HTTP/1.1 200 OK\r\nX-Long: {new string('x', 100_000)}\r\nContent-Length: 3\r\n\r\n[1]");
        using var client = new ScoringClient(server.Uri);

        AssertFailure(await FailAsync(client), "the headers of the reply are too large"); // after one attempt: they would come again
        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task A_reset_before_the_reply()
    {
        await using var server = new RawServer(exchange =>
        {
            exchange.Reset();
            return Task.CompletedTask;
        });
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        AssertFailure(await FailAsync(client), "the connection was reset");
    }

    [Fact]
    public async Task A_reset_inside_the_reply()
    {
        using var client = Stub(new FailingStream(() => new IOException("text", new SocketException((int)SocketError.ConnectionReset))));

        AssertFailure(await FailAsync(client), "the connection was reset");
    }

    [Fact]
    public async Task A_limit_of_the_system()
    {
        var cause = new HttpRequestException(
            HttpRequestError.ConnectionError, "text", new SocketException((int)SocketError.TimedOut));
        using var handler = new StubHandler((_, _) => Task.FromException<HttpResponseMessage>(cause));
        using var client = new ScoringClient(new Uri("http://host/score"), new() { MaxRetries = 0, Handler = handler });

        var error = await FailAsync(client);

        Assert.True(error.TimedOut);
        Assert.Same(cause, error.InnerException);
    }

    // Proves B40.
    [Fact]
    public async Task A_kept_connection_that_dies_with_the_second_request_is_one_failed_attempt()
    {
        var count = 0;
        await using var server = new RawServer(async exchange =>
        {
            if (++count == 2)
            {
                exchange.Close();
                return;
            }

            await exchange.SendAsync(RawServer.Reply(200, "[1.5]"));
        });
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });
        await client.ScoreAsync([[1]], Cancel);

        AssertFailure(await FailAsync(client), "the connection was closed before the reply");
        Assert.Equal([1, 1], server.Requests.Select(request => request.Connection)); // the platform sent it once

        Assert.Equal(1.5, Assert.Single(await client.ScoreAsync([[1]], Cancel)));
    }

    [Fact]
    public async Task The_limit_of_an_attempt_passes_before_the_reply()
    {
        var clock = new ManualTimeProvider();
        await using var server = new RawServer(exchange => exchange.WaitForCloseAsync());
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0, TimeProvider = clock });
        var call = client.ScoreAsync([[1]], Cancel);
        await server.NextAsync(Cancel);

        clock.Advance(TimeSpan.FromSeconds(59.999));
        Assert.False(call.IsCompleted);
        clock.Advance(TimeSpan.FromSeconds(0.001));

        var error = await Assert.ThrowsAsync<ScoringTransportException>(() => call);
        Assert.Equal($"POST {server.Uri}: no complete reply within 60 s (1 attempt)", error.Message);
        Assert.True(error.TimedOut);
        Assert.Equal(1, error.Attempts);
    }

    // Proves B32.
    [Theory]
    [InlineData(HttpStatusCode.OK)]
    [InlineData(HttpStatusCode.ServiceUnavailable)]
    public async Task The_limit_of_a_call_passes_inside_the_reply(HttpStatusCode status)
    {
        CultureInfo.CurrentCulture = CultureInfo.GetCultureInfo("de-DE");
        var clock = new ManualTimeProvider();
        using var body = new StalledStream("[1"u8.ToArray());
        using var client = Stub(body, status, new() { MaxRetries = 0, TimeProvider = clock, Timeout = TimeSpan.FromSeconds(2.5) });
        var call = client.ScoreAsync([[1]], Cancel);
        await body.Stalled.WaitAsync(Cancel);

        clock.Advance(TimeSpan.FromSeconds(2.5));

        var error = await Assert.ThrowsAnyAsync<ScoringException>(() => call);
        if (status == HttpStatusCode.OK)
        {
            Assert.Equal("POST http://host/score: no complete reply within 2.5 s (1 attempt)", error.Message);
            Assert.True(Assert.IsType<ScoringTransportException>(error).TimedOut);
        }
        else
        {
            Assert.Equal("[1", Assert.IsType<ScoringServiceException>(error).ServiceMessage);
        }
    }

    // Proves B31.
    [Fact]
    public async Task A_dripping_reply_is_under_the_limit_too()
    {
        var clock = new ManualTimeProvider();
        await using var server = new RawServer(async exchange =>
        {
            await exchange.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n[");
            for (var count = 0; count < 1_000_000; count++)
            {
                await exchange.SendAsync(" ");
                clock.Advance(TimeSpan.FromSeconds(0.5));
            }
        });
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0, TimeProvider = clock });

        Assert.True((await FailAsync(client)).TimedOut);
    }

    // Proves B30.
    [Fact]
    public async Task The_limit_of_a_connection_passes_inside_tls()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start(); // takes the connection and says nothing
        var address = $"https://{listener.LocalEndpoint}/score";
        using var client = new ScoringClient(new Uri(address), new() { MaxRetries = 0, ConnectTimeout = TimeSpan.FromSeconds(0.05) });

        var error = await FailAsync(client);
        listener.Stop();

        Assert.Equal($"POST {address}: no connection within 0.05 s (1 attempt)", error.Message);
        Assert.True(error.TimedOut);
    }

    [Fact]
    public async Task A_reply_that_breaks_off_because_time_is_up()
    {
        var clock = new ManualTimeProvider();
        using var body = new FailingStream(() =>
        {
            clock.Advance(TimeSpan.FromSeconds(100));
            return new IOException("text");
        });
        using var client = Stub(body, options: new() { MaxRetries = 0, TimeProvider = clock });

        var error = await FailAsync(client);

        Assert.Equal("POST http://host/score: no complete reply within 60 s (1 attempt)", error.Message);
        Assert.True(error.TimedOut);
    }

    [Fact]
    public async Task A_handler_with_a_limit_of_its_own()
    {
        var cause = new TaskCanceledException("text", new TimeoutException());
        using var handler = new StubHandler((_, _) => Task.FromException<HttpResponseMessage>(cause));
        using var client = new ScoringClient(new Uri("http://host/score"), new() { MaxRetries = 0, Handler = handler });

        var error = await FailAsync(client);

        Assert.Equal("POST http://host/score: the handler gave up (1 attempt)", error.Message);
        Assert.True(error.TimedOut);
    }

    // Proves B33.
    [Fact]
    public async Task A_cancelled_token_sends_nothing()
    {
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });
        using var source = new CancellationTokenSource();
        await source.CancelAsync();

        var error = await Assert.ThrowsAsync<OperationCanceledException>(() => client.ScoreAsync([[1]], source.Token));

        Assert.Equal(source.Token, error.CancellationToken);
        Assert.Empty(server.Requests);
    }

    // Proves B33, B34.
    [Fact]
    public async Task Cancelling_ends_the_wait_for_a_reply_and_closes_the_connection()
    {
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = new RawServer(async exchange =>
        {
            await exchange.WaitForCloseAsync();
            closed.SetResult();
        });
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });
        using var source = new CancellationTokenSource();
        var call = client.ScoreAsync([[1]], source.Token);
        await server.NextAsync(Cancel);

        await source.CancelAsync();

        var error = await Assert.ThrowsAsync<OperationCanceledException>(() => call);
        Assert.Equal(source.Token, error.CancellationToken);
        await closed.Task.WaitAsync(Cancel);
    }

    // Proves B33.
    [Fact]
    public async Task Cancelling_ends_connecting_and_closes_the_socket()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "only there a connection waits for a place in a full queue");
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start(backlog: 0);
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        using var first = new TcpClient();
        await first.ConnectAsync(IPAddress.Loopback, port, Cancel); // the one place is taken
        using var client = new ScoringClient(new Uri($"http://{listener.LocalEndpoint}/score"), new() { ConnectTimeout = TimeSpan.FromMinutes(10) });
        using var source = new CancellationTokenSource();
        var call = client.ScoreAsync([[1]], source.Token);
        await Wait.UntilAsync(() => IsConnecting(port));

        await source.CancelAsync();

        Assert.Equal(source.Token, (await Assert.ThrowsAsync<OperationCanceledException>(() => call)).CancellationToken);
        await Wait.UntilAsync(() => !IsConnecting(port)).WaitAsync(TimeSpan.FromMinutes(1), Cancel);

        static bool IsConnecting(int port) => Array.Exists(
            IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpConnections(),
            connection => connection.RemoteEndPoint.Port == port && connection.State == TcpState.SynSent);
    }

    // Proves B32, B33.
    [Theory]
    [InlineData("cancelled")]
    [InlineData("timeout")]
    [InlineData("attempt timeout")]
    public async Task The_end_of_a_call_inside_tls_closes_the_connection(string end)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var moment = TimeSpan.FromSeconds(0.3);
        using var client = new ScoringClient(new Uri($"https://{listener.LocalEndpoint}/score"), new()
        {
            MaxRetries = 0,
            Timeout = end == "timeout" ? moment : TimeSpan.FromMinutes(10),
            AttemptTimeout = end == "attempt timeout" ? moment : TimeSpan.FromMinutes(10),
            ConnectTimeout = TimeSpan.FromMinutes(10),
        });
        using var source = new CancellationTokenSource();
        var call = client.ScoreAsync([[1]], source.Token);
        using var connection = await listener.AcceptSocketAsync(Cancel); // and nothing is said: the handshake waits

        if (end == "cancelled")
        {
            await source.CancelAsync();
            Assert.Equal(source.Token, (await Assert.ThrowsAsync<OperationCanceledException>(() => call)).CancellationToken);
        }
        else
        {
            var error = await Assert.ThrowsAsync<ScoringTransportException>(() => call);
            Assert.EndsWith(": no connection within 0.3 s (1 attempt)", error.Message, StringComparison.Ordinal);
        }

        await WaitForCloseAsync(connection).WaitAsync(TimeSpan.FromMinutes(1), Cancel);

        static async Task WaitForCloseAsync(Socket connection)
        {
            try
            {
                while (await connection.ReceiveAsync(new byte[1024], Cancel) > 0)
                {
                }
            }
            catch (SocketException)
            {
                // A reset is a way to close.
            }
        }
    }

    // Proves B33.
    [Theory]
    [InlineData(HttpStatusCode.OK)]
    [InlineData(HttpStatusCode.ServiceUnavailable)]
    public async Task Cancelling_ends_the_reading_of_a_reply(HttpStatusCode status)
    {
        using var body = new StalledStream("[1"u8.ToArray());
        using var client = Stub(body, status);
        using var source = new CancellationTokenSource();
        var call = client.ScoreAsync([[1]], source.Token);
        await body.Stalled.WaitAsync(Cancel);

        await source.CancelAsync();

        Assert.Equal(source.Token, (await Assert.ThrowsAsync<OperationCanceledException>(() => call)).CancellationToken);
    }

    [Fact]
    public async Task An_exception_that_a_handler_makes_up_is_not_hidden()
    {
        using var handler = new StubHandler((_, _) => Task.FromException<HttpResponseMessage>(new NotSupportedException("mine")));
        using var client = new ScoringClient(new Uri("http://host/score"), new() { MaxRetries = 0, Handler = handler });

        await Assert.ThrowsAsync<NotSupportedException>(() => client.ScoreAsync([[1]], Cancel));
    }

    private static void AssertFailure(ScoringTransportException error, string text)
    {
        Assert.EndsWith($"/score: {text} (1 attempt)", error.Message, StringComparison.Ordinal);
        Assert.Equal(text, error.Reason);
        Assert.False(error.TimedOut);
        Assert.NotNull(error.InnerException);
        Assert.Equal(1, error.Attempts);
    }

    private static Task<ScoringTransportException> FailAsync(ScoringClient client) =>
        Assert.ThrowsAsync<ScoringTransportException>(() => client.ScoreAsync([[1]], Cancel));

    private static ScoringClient Stub(Stream body, HttpStatusCode status = HttpStatusCode.OK, ScoringClientOptions? options = null)
    {
        var reply = new HttpResponseMessage(status) { Content = new StreamContent(body) };
        var handler = new StubHandler((_, _) => Task.FromResult(reply));
        return new ScoringClient(
            new Uri("http://host/score"),
            new()
            {
                Handler = handler,
                MaxRetries = 0,
                TimeProvider = options?.TimeProvider ?? TimeProvider.System,
                Timeout = options?.Timeout ?? TimeSpan.FromSeconds(100),
            });
    }
}
