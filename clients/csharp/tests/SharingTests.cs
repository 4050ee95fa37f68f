using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>Many callers on one client, and that nothing is left of them: B03, B33.</summary>
public sealed class SharingTests
{
    private const int Callers = 64;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    // Proves B03.
    [Fact]
    public async Task Sixty_four_callers_get_their_own_answers_over_connections_that_are_used_again_and_closed_at_the_end()
    {
        var open = 0;
        await using var server = new RawServer(async exchange =>
        {
            using var sent = JsonDocument.Parse(exchange.Request.Body);
            await exchange.SendAsync(RawServer.Reply(200, $"[{sent.RootElement.GetProperty("data")[0][0].GetRawText()}]"));
        });
        server.Opened = () => Interlocked.Increment(ref open);
        server.Closed = () => Interlocked.Decrement(ref open);
        using (var client = new ScoringClient(server.Uri))
        {
            for (var round = 0; round < 3; round++)
            {
                var numbers = Enumerable.Range(0, Callers).Select(caller => (1000.0 * round) + caller).ToArray();
                var predictions = await Task.WhenAll(numbers.Select(number => Task.Run(() => client.ScoreAsync([[number]], Cancel))));
                Assert.Equal(numbers, predictions.Select(Assert.Single));
            }

            Assert.InRange(server.ConnectionCount, 1, Callers);
            Assert.True(Volatile.Read(ref open) > 0);
        }

        await Wait.UntilAsync(() => Volatile.Read(ref open) == 0);
    }

    // Proves B33.
    [Fact]
    public async Task Nothing_is_left_of_sixty_four_calls_that_were_cancelled()
    {
        var open = 0;
        await using var server = new RawServer(exchange => exchange.WaitForCloseAsync());
        server.Opened = () => Interlocked.Increment(ref open);
        server.Closed = () => Interlocked.Decrement(ref open);
        using var client = new ScoringClient(server.Uri);
        using var source = new CancellationTokenSource();
        var calls = Enumerable.Range(0, Callers).Select(_ => client.ScoreAsync([[1]], source.Token)).ToArray();
        for (var call = 0; call < Callers; call++)
        {
            await server.NextAsync(Cancel);
        }

        await source.CancelAsync();

        foreach (var call in calls)
        {
            Assert.Equal(source.Token, (await Assert.ThrowsAsync<OperationCanceledException>(() => call)).CancellationToken);
        }

        await Wait.UntilAsync(() => Volatile.Read(ref open) == 0);
    }

    // Proves B03.
    [Fact]
    public async Task A_client_that_is_used_and_disposed_can_be_collected()
    {
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));

        var clients = new List<WeakReference>();
        for (var count = 0; count < 8; count++)
        {
            clients.Add(await UseAsync(server.Uri));
        }

        await Wait.UntilAsync(() =>
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return clients.TrueForAll(client => !client.IsAlive); // no timer, task or registration holds one
        });

        static async Task<WeakReference> UseAsync(Uri uri)
        {
            using var source = new CancellationTokenSource();
            using var client = new ScoringClient(uri, new() { TokenProvider = _ => new(new AccessToken("t1")) });
            await client.ScoreAsync([[1]], source.Token);
            return new WeakReference(client);
        }
    }
}
