using System;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>The end of a client, and who owns what: B03.</summary>
public sealed class LifetimeTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

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

    [Fact]
    public async Task Disposing_ends_calls_that_wait_for_a_reply()
    {
        await using var server = new RawServer(exchange => exchange.WaitForCloseAsync());
        var client = new ScoringClient(server.Uri);
        var call = client.ScoreAsync([[1]], Cancel);
        await server.NextAsync(Cancel);

        client.Dispose();

        await Assert.ThrowsAsync<ObjectDisposedException>(() => call);
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
