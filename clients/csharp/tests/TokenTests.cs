using System;
using System.Collections.Concurrent;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>Tokens: fetched once, kept as long as they serve, renewed when they are refused: B20, B21, B24, B25.</summary>
public sealed class TokenTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    // Proves B24.
    [Fact]
    public async Task A_token_is_fetched_when_first_needed_and_kept()
    {
        var fetches = 0;
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));
        using var client = new ScoringClient(server.Uri, new() { TokenProvider = _ => new(new AccessToken($"t{++fetches}")) });
        Assert.Equal(0, fetches);

        await client.ScoreAsync([[1]], Cancel);
        await client.ScoreAsync([[1]], Cancel);

        Assert.Equal(["Bearer t1", "Bearer t1"], Sent(server));
    }

    // Proves B24.
    [Fact]
    public async Task A_token_is_fetched_again_when_its_time_has_come()
    {
        var clock = new ManualTimeProvider();
        var fetches = 0;
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));
        using var client = new ScoringClient(
            server.Uri,
            new() { TimeProvider = clock, TokenProvider = _ => new(new AccessToken($"t{++fetches}", clock.GetUtcNow().AddSeconds(10))) });

        await client.ScoreAsync([[1]], Cancel);
        clock.Advance(TimeSpan.FromSeconds(9.999));
        await client.ScoreAsync([[1]], Cancel);
        clock.Advance(TimeSpan.FromSeconds(0.001));
        await client.ScoreAsync([[1]], Cancel);

        Assert.Equal(["Bearer t1", "Bearer t1", "Bearer t2"], Sent(server));
    }

    // Proves B24.
    [Fact]
    public async Task Sixty_four_callers_share_one_fetch_and_one_who_gives_up_does_not_end_it()
    {
        var fetches = 0;
        var asked = new TaskCompletionSource<CancellationToken>(TaskCreationOptions.RunContinuationsAsynchronously);
        var answer = new TaskCompletionSource<AccessToken>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));
        using var client = new ScoringClient(server.Uri, new()
        {
            TokenProvider = cancellationToken =>
            {
                Interlocked.Increment(ref fetches);
                asked.SetResult(cancellationToken);
                return new(answer.Task);
            },
        });
        using var source = new CancellationTokenSource();
        var first = client.ScoreAsync([[1]], source.Token);
        var others = Enumerable.Range(0, 63).Select(_ => client.ScoreAsync([[1]], Cancel)).ToArray();
        var token = await asked.Task.WaitAsync(Cancel);

        await source.CancelAsync();
        var error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        Assert.Equal(source.Token, error.CancellationToken);
        Assert.False(token.IsCancellationRequested);
        answer.SetResult(new AccessToken("t1"));
        await Task.WhenAll(others);

        Assert.Equal(1, fetches);
        Assert.Equal(63, Sent(server).Length);
    }

    // Proves B24, B60.
    [Fact]
    public async Task What_the_provider_throws_reaches_all_who_wait_unchanged_and_unrepeated()
    {
        var mine = new InvalidTimeZoneException("mine");
        var asked = new ConcurrentQueue<int>();
        var answer = new TaskCompletionSource<AccessToken>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var client = new ScoringClient(new Uri("https://host/score"), new()
        {
            TokenProvider = _ =>
            {
                asked.Enqueue(1);
                return new(answer.Task);
            },
        });
        var calls = Enumerable.Range(0, 2).Select(_ => client.ScoreAsync([[1]], Cancel)).ToArray();

        answer.SetException(mine);

        foreach (var call in calls)
        {
            Assert.Same(mine, await Assert.ThrowsAsync<InvalidTimeZoneException>(() => call));
        }

        Assert.Single(asked);
        await Assert.ThrowsAsync<InvalidTimeZoneException>(() => client.ScoreAsync([[1]], Cancel)); // the next call asks again
        Assert.Equal(2, asked.Count);
    }

    // Proves B24.
    [Fact]
    public async Task A_provider_that_cancels_itself_is_no_cancelled_caller()
    {
        var mine = new OperationCanceledException("mine");
        using var client = new ScoringClient(new Uri("https://host/score"), new() { TokenProvider = _ => throw mine });

        Assert.Same(mine, await Assert.ThrowsAsync<OperationCanceledException>(() => client.ScoreAsync([[1]], Cancel)));
    }

    // Proves B24.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task When_a_refresh_fails_the_old_token_serves_and_the_next_call_asks_again(bool isBadToken)
    {
        var clock = new ManualTimeProvider();
        var fetches = 0;
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));
        using var client = new ScoringClient(server.Uri, new()
        {
            TimeProvider = clock,
            TokenProvider = _ => ++fetches switch
            {
                1 => new(new AccessToken("t1", clock.GetUtcNow())),
                2 => isBadToken ? new(new AccessToken("t2\n")) : throw new InvalidTimeZoneException(),
                _ => new(new AccessToken("t3")),
            },
        });

        await client.ScoreAsync([[1]], Cancel);
        await client.ScoreAsync([[1]], Cancel);
        await client.ScoreAsync([[1]], Cancel);

        Assert.Equal(["Bearer t1", "Bearer t1", "Bearer t3"], Sent(server));
    }

    // Proves B25.
    [Theory]
    [InlineData("score")]
    [InlineData("swagger")]
    [InlineData("health")]
    public async Task A_refused_token_is_fetched_once_more_and_the_call_resent_at_once(string what)
    {
        var fetches = 0;
        await using var server = new RawServer(exchange => exchange.SendAsync(
            exchange.Request.Values("Authorization").Single() != "Bearer t2" ? RawServer.Reply(401, "")
            : RawServer.Reply(200, what == "health" ? "Healthy" : "[1]")));
        using var client = new ScoringClient(server.Uri, new()
        {
            MaxRetries = 0,
            OnRetry = _ => Assert.Fail("this is no retry"),
            TokenProvider = _ => new(new AccessToken($"t{++fetches}", DateTimeOffset.UnixEpoch)), // due at once
        });

        Assert.True(what switch
        {
            "score" => (await client.ScoreAsync([[1]], Cancel)).Length == 1,
            "swagger" => (await client.GetSwaggerAsync(Cancel)).GetArrayLength() == 1,
            _ => await client.IsHealthyAsync(Cancel),
        });

        Assert.Equal(["Bearer t1", "Bearer t2"], Sent(server));
    }

    // Proves B25, B21.
    [Fact]
    public async Task A_second_refusal_is_the_result_and_no_text_shows_either_token()
    {
        var fetches = 0;
        await using var server = new RawServer(RawServer.Reply(401, "neither tok1 nor tok2", "x-request-id: tok1tok2"));
        using var client = new ScoringClient(server.Uri, new() { TokenProvider = _ => new(new AccessToken($"tok{++fetches}")) });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal($"POST {server.Uri}: 401: neither *** nor *** (2 attempts, request id ******)", error.Message);
        Assert.Equal("neither *** nor ***", error.ServiceMessage);
        Assert.Equal(["Bearer tok1", "Bearer tok2"], Sent(server));
    }

    // Proves B21.
    [Fact]
    public async Task A_token_that_begins_as_another_one_is_hidden_whole()
    {
        var fetches = 0;
        await using var server = new RawServer(RawServer.Reply(401, "neither long-token nor long"));
        using var client = new ScoringClient(server.Uri, new() { TokenProvider = _ => new(new AccessToken(++fetches == 1 ? "long" : "long-token")) });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal("neither *** nor ***", error.ServiceMessage);
    }

    // Proves B25.
    [Fact]
    public async Task The_same_token_again_is_not_resent_and_not_kept()
    {
        var fetches = 0;
        await using var server = new RawServer(RawServer.Reply(401, ""));
        using var client = new ScoringClient(server.Uri, new()
        {
            TokenProvider = _ =>
            {
                fetches++;
                return new(new AccessToken("t1"));
            },
        });

        Assert.Equal(1, (await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel))).Attempts);
        Assert.Equal(2, fetches);
        await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));
        Assert.Equal(4, fetches); // nothing was kept
    }

    // Proves B25.
    [Fact]
    public async Task A_token_that_another_call_has_replaced_is_not_fetched_again()
    {
        var fetches = 0;
        var both = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var old = 0;
        await using var server = new RawServer(async exchange =>
        {
            if (exchange.Request.Values("Authorization").Single() == "Bearer t1")
            {
                if (Interlocked.Increment(ref old) == 2)
                {
                    both.SetResult();
                }

                await both.Task;
                await exchange.SendAsync(RawServer.Reply(401, ""));
                return;
            }

            await exchange.SendAsync(RawServer.Reply(200, "[1]"));
        });
        using var client = new ScoringClient(
            server.Uri, new() { TokenProvider = _ => new(new AccessToken($"t{Interlocked.Increment(ref fetches)}")) });

        await Task.WhenAll(client.ScoreAsync([[1]], Cancel), client.ScoreAsync([[1]], Cancel));

        Assert.Equal(2, fetches);
    }

    // Proves B25.
    [Fact]
    public async Task A_fetch_that_fails_after_a_refusal_is_the_result()
    {
        var fetches = 0;
        await using var server = new RawServer(RawServer.Reply(401, ""));
        using var client = new ScoringClient(
            server.Uri, new() { TokenProvider = _ => ++fetches == 1 ? new(new AccessToken("t1")) : throw new InvalidTimeZoneException() });

        await Assert.ThrowsAsync<InvalidTimeZoneException>(() => client.ScoreAsync([[1]], Cancel));
        Assert.Single(server.Requests);
    }

    // Proves B24, B32.
    [Fact]
    public async Task A_provider_without_an_answer_ends_the_call_in_time_and_a_later_call_asks_again()
    {
        var clock = new ManualTimeProvider();
        var fetches = 0;
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));
        using var client = new ScoringClient(server.Uri, new()
        {
            TimeProvider = clock,
            TokenProvider = _ =>
            {
                if (++fetches > 1)
                {
                    return new(new AccessToken("t2"));
                }

                asked.SetResult();
                return new(new TaskCompletionSource<AccessToken>().Task); // and it does not look at its token
            },
        });
        var call = client.ScoreAsync([[1]], Cancel);
        await asked.Task.WaitAsync(Cancel);
        await clock.TimerAsync(TimeSpan.FromSeconds(100), Cancel, count: 2); // of the fetch and of the one who waits

        clock.Advance(TimeSpan.FromSeconds(100));

        var error = await Assert.ThrowsAsync<ScoringTransportException>(() => call);
        Assert.Equal($"POST {server.Uri}: no token within 100 s (0 attempts)", error.Message);
        Assert.True(error.TimedOut);
        Assert.Equal(0, error.Attempts);
        while (Sent(server).Length == 0) // the end of the fetch is on its way
        {
            Cancel.ThrowIfCancellationRequested();
            try
            {
                await client.ScoreAsync([[1]], Cancel);
            }
            catch (ScoringTransportException)
            {
                // It joined the fetch that was about to end.
            }
        }

        Assert.Equal(["Bearer t2"], Sent(server));
    }

    // Proves B24, B32.
    [Fact]
    public async Task A_provider_that_fails_when_its_time_is_up_is_asked_again_by_a_later_call()
    {
        var fetches = 0;
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));
        using var client = new ScoringClient(server.Uri, new()
        {
            Timeout = TimeSpan.FromSeconds(0.3),
            TokenProvider = async cancellationToken =>
            {
                if (Interlocked.Increment(ref fetches) > 1)
                {
                    return new AccessToken("t2");
                }

                await Task.Delay(TimeSpan.FromSeconds(0.02), CancellationToken.None); // to be told before the client's own wait is
                var answer = new TaskCompletionSource<AccessToken>();
                using var registration = cancellationToken.Register(() => answer.SetException(new InvalidTimeZoneException()));
                return await answer.Task;
            },
        });
        var error = await Assert.ThrowsAsync<ScoringTransportException>(() => client.ScoreAsync([[1]], Cancel));
        Assert.Equal($"POST {server.Uri}: no token within 0.3 s (0 attempts)", error.Message);

        while (Sent(server).Length == 0)
        {
            Cancel.ThrowIfCancellationRequested();
            try
            {
                await client.ScoreAsync([[1]], Cancel);
            }
            catch (ScoringTransportException)
            {
                // It joined the fetch that was about to end.
            }
        }

        Assert.Equal(["Bearer t2"], Sent(server));
    }

    // Proves B24.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_failure_that_nobody_waits_for_does_not_reach_the_host(bool isLate)
    {
        var seen = new ConcurrentQueue<Exception>();
        void See(object? sender, UnobservedTaskExceptionEventArgs e) => seen.Enqueue(e.Exception);
        TaskScheduler.UnobservedTaskException += See;
        try
        {
            await GiveUpAsync(isLate);
            for (var count = 0; count < 3; count++)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }

            Assert.DoesNotContain(seen, error => error.ToString().Contains("nobody waits", StringComparison.Ordinal));
        }
        finally
        {
            TaskScheduler.UnobservedTaskException -= See;
        }
    }

    private static async Task GiveUpAsync(bool isLate)
    {
        var clock = new ManualTimeProvider();
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var answer = new TaskCompletionSource<AccessToken>();
        using var client = new ScoringClient(new Uri("https://host/score"), new()
        {
            TimeProvider = clock,
            TokenProvider = async _ =>
            {
                asked.SetResult();
                return await answer.Task;
            },
        });
        using var source = new CancellationTokenSource();
        var call = client.ScoreAsync([[1]], source.Token);
        await asked.Task.WaitAsync(Cancel);
        await clock.TimerAsync(TimeSpan.FromSeconds(100), Cancel, count: 2); // of the fetch and of the one who waits
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
        if (isLate)
        {
            clock.Advance(TimeSpan.FromSeconds(100));
        }

        answer.SetException(new InvalidTimeZoneException("nobody waits"));
    }

    // Proves B20.
    [Theory]
    [InlineData("", "the token is empty (Parameter 'token')")]
    [InlineData("secret\n", "the token has a character that cannot be sent in a header at position 6 (a trailing newline?) (Parameter 'token')")]
    [InlineData(null, "the token provider must return an AccessToken, not null (Parameter 'token')")]
    public async Task A_token_that_cannot_travel_is_refused_without_being_shown(string? token, string text)
    {
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));
        using var client = new ScoringClient(server.Uri, new() { TokenProvider = _ => new(token is null ? null! : new AccessToken(token)) });

        var error = await Assert.ThrowsAnyAsync<ArgumentException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(text, error.Message);
        Assert.Empty(server.Requests);
    }

    // Proves B21.
    [Fact]
    public void A_token_cannot_be_read_back()
    {
        var token = new AccessToken("secret", DateTimeOffset.UnixEpoch);

        Assert.Equal("AccessToken(***, 1970-01-01T00:00:00.0000000+00:00)", token.ToString());
        Assert.Equal("AccessToken(***, null)", new AccessToken("secret").ToString());
        Assert.Equal(["RefreshBy"], typeof(AccessToken).GetProperties().Select(property => property.Name));
        Assert.Equal(DateTimeOffset.UnixEpoch, token.RefreshBy);
    }

    private static string[] Sent(RawServer server) => [.. server.Requests.Select(request => request.Values("Authorization").Single())];
}
