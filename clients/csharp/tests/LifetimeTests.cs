using System;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>The end of a client, and who owns what: B03.</summary>
public sealed class LifetimeTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    // Proves B03.
    [Fact]
    public async Task A_disposed_client_says_so()
    {
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));
        var client = new ScoringClient(server.Uri);
        client.Dispose();
        client.Dispose();

        var error = await Assert.ThrowsAsync<ObjectDisposedException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(typeof(ScoringClient).FullName, error.ObjectName);
        Assert.Empty(server.Requests);
    }

    // Proves B03.
    [Fact]
    public async Task Disposing_closes_idle_connections()
    {
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = new RawServer(async exchange =>
        {
            await exchange.SendAsync(RawServer.Reply(200, "[1]"));
            await exchange.WaitForCloseAsync();
            closed.SetResult();
        });
        var client = new ScoringClient(server.Uri);
        await client.ScoreAsync([[1]], Cancel);

        client.Dispose();

        await closed.Task.WaitAsync(Cancel);
    }

    // Proves B03.
    [Fact]
    public async Task Disposing_lets_calls_go_on_to_their_end_and_the_last_one_closes_the_connections()
    {
        var reply = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var count = 0;
        await using var server = new RawServer(async exchange =>
        {
            await reply.Task;
            await exchange.SendAsync(++count == 1 ? RawServer.Reply(503, "") : RawServer.Reply(200, "[1.5]"));
            if (count == 2)
            {
                await exchange.WaitForCloseAsync();
                closed.SetResult();
            }
        });
        var client = new ScoringClient(server.Uri, new() { BaseDelay = TimeSpan.FromMilliseconds(1) });
        var call = client.ScoreAsync([[1]], Cancel);
        await server.NextAsync(Cancel);

        client.Dispose();
        reply.SetResult();

        Assert.Equal(1.5, Assert.Single(await call)); // the retry after the end of the client too
        await closed.Task.WaitAsync(Cancel);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => client.ScoreAsync([[1]], Cancel));
    }

    [Fact]
    public async Task A_handler_of_the_caller_stays_the_callers()
    {
        using var handler = new StubHandler("[1]"u8.ToArray());

        using (var client = new ScoringClient(new Uri("http://host/score"), new() { Handler = handler }))
        {
            await client.ScoreAsync([[1]], Cancel);
        }

        Assert.False(handler.IsDisposed);
        Assert.Equal(1, handler.RequestCount);
    }
}
