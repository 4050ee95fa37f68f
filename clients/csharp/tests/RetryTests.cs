using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>What is repeated, when, and how often: B40-B49. The vectors are shared by the clients of all languages.</summary>
public sealed class RetryTests
{
    private static readonly JsonElement Vectors = JsonElement.Parse(File.ReadAllText(VectorFile()));
    private static readonly double[] Middles = [0.8, 1.6, 3.2]; // seconds
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(1);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public static IEnumerable<TheoryDataRow<string>> Hints() => Names("hints");

    public static IEnumerable<TheoryDataRow<string>> Decisions() => Names("should_repeat");

    public static IEnumerable<TheoryDataRow<string>> Messages() => Names("messages");

    // Proves B49.
    [Theory]
    [MemberData(nameof(Hints))]
    public void A_hint_is_read_as_in_the_shared_vectors(string name)
    {
        var vector = Vector("hints", name);
        var now = DateTimeOffset.FromUnixTimeSeconds(Vectors.GetProperty("now").GetInt64());

        using var reply = new HttpResponseMessage();
        AddHeaders(reply.Headers, vector);
        var hint = ScoringClient.RetryHint(reply.Headers, now);

        var seconds = vector.GetProperty("seconds");
        Assert.Equal(seconds.ValueKind == JsonValueKind.Null ? null : TimeSpan.FromSeconds(seconds.GetDouble()), hint);
    }

    // Proves B48.
    [Fact]
    public void The_back_off_is_as_in_the_shared_vectors()
    {
        Assert.All(Vectors.GetProperty("back_off").EnumerateArray(), vector =>
        {
            double Number(string name) => vector.GetProperty(name).GetDouble();
            var wait = ScoringClient.BackOff(
                (int)Number("retry"), TimeSpan.FromSeconds(Number("base_delay")), TimeSpan.FromSeconds(Number("max_delay")), Number("random"));
            Assert.Equal(Number("seconds"), wait.TotalSeconds, tolerance: 1e-6);
        });
    }

    // Proves B42, B43, B44, B45, B46, B47.
    [Theory]
    [MemberData(nameof(Decisions))]
    public async Task The_decision_is_as_in_the_shared_vectors(string name)
    {
        var vector = Vector("should_repeat", name);
        var statuses = vector.TryGetProperty("retry_statuses", out var own)
            ? [.. own.EnumerateArray().Select(status => status.GetInt32())] : new ScoringClientOptions().RetryStatuses;
        using var handler = new StubHandler([], (HttpStatusCode)vector.GetProperty("status").GetInt32(), headers => AddHeaders(headers, vector));
        using var client = new ScoringClient(new Uri("http://host/score"), new() { Handler = handler, MaxRetries = 0 });

        var error = await Assert.ThrowsAnyAsync<ScoringException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(vector.GetProperty("repeated").GetBoolean(), ScoringClient.ShouldRepeat(error, statuses));
    }

    // Proves B62.
    [Theory]
    [MemberData(nameof(Messages))]
    public async Task A_message_is_read_as_in_the_shared_vectors(string name)
    {
        var vector = Vector("messages", name);
        using var handler = new StubHandler(Encoding.UTF8.GetBytes(vector.GetProperty("body").GetString()!), HttpStatusCode.BadRequest);
        using var client = new ScoringClient(new Uri("http://host/score"), new() { Handler = handler });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(vector.GetProperty("message").GetString(), error.ServiceMessage);
    }

    // Proves B48.
    [Fact]
    public async Task The_default_waits_are_doubled_twice_and_then_the_call_ends()
    {
        var clock = new ManualTimeProvider();
        var told = System.Threading.Channels.Channel.CreateUnbounded<ScoringRetry>();
        using var handler = new StubHandler([], HttpStatusCode.ServiceUnavailable);
        using var client = new ScoringClient(
            new Uri("http://host/score"),
            new() { Handler = handler, TimeProvider = clock, OnRetry = retry => told.Writer.TryWrite(retry) });

        var call = client.ScoreAsync([[1]], Cancel);

        foreach (var (index, middle) in Middles.Index())
        {
            var retry = await told.Reader.ReadAsync(Cancel);
            Assert.Equal(index + 1, retry.Attempt);
            Assert.InRange(retry.Wait.TotalSeconds, middle * 0.5, middle * 1.5);
            await clock.TimerAsync(retry.Wait, Cancel);
            clock.Advance(retry.Wait - TimeSpan.FromTicks(TimeSpan.TicksPerMillisecond));
            Assert.Equal(index + 1, handler.RequestCount);
            clock.Advance(TimeSpan.FromMilliseconds(2));
        }

        Assert.Equal(4, (await Assert.ThrowsAsync<ScoringServiceException>(() => call)).Attempts);
        Assert.Equal(4, handler.RequestCount);
    }

    [Theory]
    [InlineData("", "the connection was closed before the reply")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Le", "the connection was closed before the reply")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[1", "the reply was cut off")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the reply is not valid HTTP")]
    [InlineData("SSH-2.0-OpenSSH_9.2\r\n", "the reply is not valid HTTP")]
    // Proves B40.
    public async Task What_the_network_lost_is_sent_again(string lost, string reason)
    {
        var told = new List<ScoringRetry>();
        await using var server = new RawServer(async exchange =>
        {
            if (told.Count == 0)
            {
                await exchange.SendAsync(lost);
                exchange.Close();
            }

            await exchange.SendAsync(RawServer.Reply(200, "[1.5]"));
        });
        using var client = new ScoringClient(server.Uri, new() { BaseDelay = Moment, OnRetry = told.Add });

        Assert.Equal(1.5, Assert.Single(await client.ScoreAsync([[1]], Cancel)));

        Assert.Equal((1, reason), (Assert.Single(told).Attempt, told[0].Reason));
    }

    [Theory]
    [InlineData(HttpRequestError.NameResolutionError, true, "the host name cannot be resolved")]
    [InlineData(HttpRequestError.ConnectionError, true, "text")]
    [InlineData(HttpRequestError.ResponseEnded, true, "the connection was closed before the reply")]
    [InlineData(HttpRequestError.InvalidResponse, true, "the reply is not valid HTTP")]
    [InlineData(HttpRequestError.SecureConnectionError, false, "TLS failed: text")]
    [InlineData(HttpRequestError.ConfigurationLimitExceeded, false, "the headers of the reply are too large")]
    [InlineData(HttpRequestError.ProxyTunnelError, false, "text")]
    [InlineData(HttpRequestError.Unknown, false, "text")]
    // Proves B40, B41.
    public async Task A_failure_without_a_reply_is_repeated_where_the_network_is_the_cause(HttpRequestError kind, bool repeated, string reason)
    {
        using var handler = new StubHandler((_, _) => Task.FromException<HttpResponseMessage>(new HttpRequestException(kind, "text")));
        using var client = new ScoringClient(new Uri("http://host/score"), new() { Handler = handler, MaxRetries = 1, BaseDelay = Moment });

        var error = await Assert.ThrowsAsync<ScoringTransportException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(reason, error.Reason);
        Assert.Equal(repeated ? 2 : 1, error.Attempts);
        Assert.Equal(error.Attempts, handler.RequestCount);
    }

    // Proves B15, B48.
    [Fact]
    public async Task Every_attempt_sends_the_same_bytes_and_id()
    {
        await using var server = new RawServer(RawServer.Reply(503, ""));
        using var client = new ScoringClient(server.Uri, new() { Key = "k1", Deployment = "blue", BaseDelay = Moment });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1.5]], Cancel));

        Assert.Equal(4, error.Attempts);
        Assert.Equal($"POST {server.Uri}: 503 (4 attempts)", error.Message);
        Assert.Equal(4, server.Requests.Length);
        Assert.Single(server.Requests.Select(request => $"{request.Line} {string.Join('|', request.Headers)} {request.Text}").Distinct());
    }

    // Proves B49.
    [Theory]
    [InlineData("Retry-After: 61", 61)]
    [InlineData("retry-after-ms: 60001", 60.001)]
    public async Task A_hint_above_the_longest_wait_ends_the_call(string header, double seconds)
    {
        await using var server = new RawServer(RawServer.Reply(503, "", header));
        using var client = new ScoringClient(server.Uri);

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(TimeSpan.FromSeconds(seconds), error.RetryAfter);
        Assert.Equal(1, error.Attempts);
    }

    // Proves B32, B49.
    [Fact]
    public async Task A_wait_that_would_reach_the_end_of_the_call_is_not_begun()
    {
        await using var server = new RawServer(RawServer.Reply(503, "busy", "Retry-After: 30"));
        using var client = new ScoringClient(server.Uri, new() { Timeout = TimeSpan.FromSeconds(30), TimeProvider = new ManualTimeProvider() });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal((TimeSpan.FromSeconds(30), 1), (error.RetryAfter!.Value, error.Attempts));
    }

    // Proves B32.
    [Fact]
    public async Task A_hook_that_outlasts_the_call_ends_it()
    {
        var clock = new ManualTimeProvider();
        using var handler = new StubHandler([], HttpStatusCode.ServiceUnavailable);
        using var client = new ScoringClient(
            new Uri("http://host/score"),
            new() { Handler = handler, TimeProvider = clock, OnRetry = _ => clock.Advance(TimeSpan.FromSeconds(100)) });

        var call = client.ScoreAsync([[1]], Cancel);

        var error = await Assert.ThrowsAsync<ScoringTransportException>(() => call.WaitAsync(TimeSpan.FromMinutes(1), Cancel));
        Assert.Equal("POST http://host/score: no complete reply within 100 s (1 attempt)", error.Message);
        Assert.True(error.TimedOut);
        Assert.Equal(1, handler.RequestCount);
    }

    // Proves B49.
    [Fact]
    public async Task A_hint_longer_than_the_back_off_is_waited_for()
    {
        var told = new List<ScoringRetry>();
        await using var server = new RawServer(
            exchange => exchange.SendAsync(told.Count == 0 ? RawServer.Reply(429, "", "retry-after-ms: 20") : RawServer.Reply(200, "[1.5]")));
        using var client = new ScoringClient(server.Uri, new() { BaseDelay = Moment, OnRetry = told.Add });

        await client.ScoreAsync([[1]], Cancel);

        Assert.Equal(TimeSpan.FromMilliseconds(20), Assert.Single(told).Wait);
    }

    // Proves B61.
    [Theory]
    [InlineData(400, "Retry-After: 7", 7.0)]
    [InlineData(400, "Retry-After: soon", null)]
    public async Task A_hint_is_told_with_any_status(int status, string header, double? seconds)
    {
        await using var server = new RawServer(RawServer.Reply(status, "", header));
        using var client = new ScoringClient(server.Uri);

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(seconds, error.RetryAfter?.TotalSeconds);
    }

    // Proves B21.
    [Fact]
    public async Task The_hook_is_told_the_reason_without_the_key()
    {
        var told = new List<ScoringRetry>();
        await using var server = new RawServer(RawServer.Reply(503, """{"message": "busy, k1k1\r\nsays"}"""));
        using var client = new ScoringClient(server.Uri, new() { Key = "k1k1", BaseDelay = Moment, MaxRetries = 1, OnRetry = told.Add });

        await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal("503: busy, ***  says", Assert.Single(told).Reason);
    }

    [Fact]
    public async Task What_the_hook_throws_reaches_the_caller_unchanged()
    {
        var mine = new InvalidOperationException("mine");
        await using var server = new RawServer(RawServer.Reply(503, ""));
        using var client = new ScoringClient(server.Uri, new() { OnRetry = _ => throw mine });

        Assert.Same(mine, await Assert.ThrowsAsync<InvalidOperationException>(() => client.ScoreAsync([[1]], Cancel)));
        Assert.Single(server.Requests);
    }

    // Proves B33.
    [Fact]
    public async Task Cancelling_ends_the_wait_between_attempts()
    {
        using var source = new CancellationTokenSource();
        using var handler = new StubHandler([], HttpStatusCode.ServiceUnavailable);
        using var client = new ScoringClient(
            new Uri("http://host/score"),
            new() { Handler = handler, TimeProvider = new ManualTimeProvider(), OnRetry = _ => source.CancelAfter(Moment) });

        var error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => client.ScoreAsync([[1]], source.Token));

        Assert.Equal(source.Token, error.CancellationToken);
        Assert.Equal(1, handler.RequestCount);
    }

    // Proves B31.
    [Fact]
    public async Task A_slow_attempt_is_not_sent_again()
    {
        var clock = new ManualTimeProvider();
        await using var server = new RawServer(exchange => exchange.WaitForCloseAsync());
        using var client = new ScoringClient(server.Uri, new() { TimeProvider = clock });
        var call = client.ScoreAsync([[1]], Cancel);
        await server.NextAsync(Cancel);

        clock.Advance(TimeSpan.FromSeconds(60));

        var error = await Assert.ThrowsAsync<ScoringTransportException>(() => call);
        Assert.Equal($"POST {server.Uri}: no complete reply within 60 s (1 attempt)", error.Message);
        Assert.True(error.TimedOut);
    }

    // Proves B30.
    [Theory]
    [InlineData(0.05, 10, "no connection within 0.05 s")]
    [InlineData(10, 0.05, "no connection within 0.05 s")]
    public async Task An_attempt_that_got_no_connection_is_made_again(double attempt, double connect, string reason)
    {
        var told = new List<ScoringRetry>();
        using var listener = new System.Net.Sockets.TcpListener(IPAddress.Loopback, 0);
        listener.Start(); // takes the connection and says nothing
        using var client = new ScoringClient(
            new Uri($"https://{listener.LocalEndpoint}/score"),
            new()
            {
                AttemptTimeout = TimeSpan.FromSeconds(attempt),
                ConnectTimeout = TimeSpan.FromSeconds(connect),
                BaseDelay = Moment,
                MaxRetries = 1,
                OnRetry = told.Add,
            });

        var error = await Assert.ThrowsAsync<ScoringTransportException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(reason, Assert.Single(told).Reason);
        Assert.True(error.TimedOut);
        Assert.Equal(2, error.Attempts);
    }

    // Proves B32.
    [Fact]
    public async Task The_time_of_a_call_is_shared_by_its_attempts()
    {
        var clock = new ManualTimeProvider();
        var count = 0;
        await using var server = new RawServer(async exchange =>
        {
            if (++count == 1)
            {
                clock.Advance(TimeSpan.FromSeconds(50));
                await exchange.SendAsync(RawServer.Reply(503, "", "retry-after-ms: 1"));
                return;
            }

            await exchange.WaitForCloseAsync();
        });
        var told = new TaskCompletionSource<TimeSpan>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var client = new ScoringClient(
            server.Uri,
            new() { TimeProvider = clock, Timeout = TimeSpan.FromSeconds(80), OnRetry = retry => told.SetResult(retry.Wait) });
        var call = client.ScoreAsync([[1]], Cancel);
        var wait = await told.Task.WaitAsync(Cancel);
        await clock.TimerAsync(wait, Cancel);
        clock.Advance(wait + TimeSpan.FromMilliseconds(1));
        await server.NextAsync(Cancel);
        await server.NextAsync(Cancel);

        clock.Advance(TimeSpan.FromSeconds(30));

        var error = await Assert.ThrowsAsync<ScoringTransportException>(() => call);
        Assert.Equal($"POST {server.Uri}: no complete reply within 80 s (2 attempts)", error.Message);
        Assert.True(error.TimedOut);
    }

    private static void AddHeaders(HttpResponseHeaders headers, JsonElement vector)
    {
        foreach (var header in vector.GetProperty("headers").EnumerateArray())
        {
            Assert.True(headers.TryAddWithoutValidation(header[0].GetString()!, header[1].GetString()));
        }
    }

    private static IEnumerable<TheoryDataRow<string>> Names(string list) =>
        Vectors.GetProperty(list).EnumerateArray().Select(vector => new TheoryDataRow<string>(vector.GetProperty("name").GetString()!));

    private static JsonElement Vector(string list, string name) =>
        Vectors.GetProperty(list).EnumerateArray().Single(vector => vector.GetProperty("name").GetString() == name);

    private static string VectorFile([CallerFilePath] string path = "") =>
        Path.Combine(Path.GetDirectoryName(path)!, "..", "..", "test-vectors", "retry.json");
}
