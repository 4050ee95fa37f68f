using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>What goes over the wire, byte by byte: B01, B03, B10, B12, B14-B17, B22.</summary>
public sealed class RequestTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    // Proves B10, B12, B14, B15, B16, B17.
    [Fact]
    public async Task A_call_is_one_post_with_these_lines_and_no_others()
    {
        await using var server = new RawServer(RawServer.Reply(200, "[3.5, 4.5]"));
        using var client = new ScoringClient(server.Uri, new() { Key = "k1" });

        var predictions = await client.ScoreAsync([[1.5, -2.25], [3]], Cancel);

        Assert.Equal([3.5, 4.5], predictions);
        var request = Assert.Single(server.Requests);
        Assert.Equal("POST /score HTTP/1.1", request.Line);
        Assert.Equal("""{"data":[[1.5,-2.25],[3.0]]}""", request.Text);
        var id = Assert.Single(request.Values("x-ms-client-request-id"));
        Assert.True(Guid.TryParseExact(id, "D", out _), id);
        Assert.Equal(
            [
                "Authorization: Bearer k1",
                "Content-Length: 28",
                "Content-Type: application/json",
                $"Host: {server.Authority}",
                $"x-ms-client-request-id: {id}",
            ],
            request.Headers.Order(StringComparer.Ordinal));
    }

    // Proves B14.
    [Fact]
    public async Task Without_a_key_there_is_no_authorization()
    {
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));
        using var client = new ScoringClient(server.Uri);

        await client.ScoreAsync([[1]], Cancel);

        Assert.Empty(Assert.Single(server.Requests).Values("Authorization"));
    }

    [Fact]
    public async Task A_key_of_any_printable_characters_arrives_as_it_is()
    {
        var key = string.Concat(Enumerable.Range(0x21, 0x5E).Select(code => (char)code));
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));
        using var client = new ScoringClient(server.Uri, new() { Key = key });

        await client.ScoreAsync([[1]], Cancel);

        Assert.Equal([$"Bearer {key}"], Assert.Single(server.Requests).Values("Authorization"));
    }

    [Theory]
    [InlineData("/score")]
    [InlineData("/")]
    [InlineData("/Score/")]
    [InlineData("//a//b")]
    [InlineData("/a/%2f%C3%a9/...;v=1/score?b=%20+x&a=/../?&c")]
    [InlineData("/score?")]
    [InlineData("/a.b/..c/.d?x=..")]
    [InlineData("/%F0%9f%98%80")]
    [InlineData("/%ff")]
    // Proves B01.
    public async Task Path_and_query_arrive_exactly_as_given(string target)
    {
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));
        using var client = new ScoringClient(new Uri($"http://{server.Authority}{target}"));

        await client.ScoreAsync([[1]], Cancel);

        Assert.Equal($"POST {target} HTTP/1.1", Assert.Single(server.Requests).Line);
    }

    [Theory]
    [InlineData("", "/")]
    [InlineData("?a=1", "/?a=1")]
    public async Task A_missing_path_is_the_root(string given, string target)
    {
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));
        using var client = new ScoringClient(new Uri($"HTTP://{server.Authority}{given}"));

        await client.ScoreAsync([[1]], Cancel);

        Assert.Equal($"POST {target} HTTP/1.1", Assert.Single(server.Requests).Line);
    }

    [Theory]
    [InlineData("de-DE")]
    [InlineData("tr-TR")]
    [InlineData("sv-SE")]
    [InlineData("ar-SA")]
    // Proves B10.
    public async Task Doubles_arrive_and_return_bit_for_bit_in_every_culture(string culture)
    {
        double[] cells =
        [
            0.1, 0.2, 0.1 + 0.2, 1, -1, 1e15, 1e16, 1e21, 1e22, -1.5e-7, 9007199254740993, 5e-324, -5e-324, 2.2250738585072011e-308,
            1.7976931348623157e308, -1.7976931348623157e308, 0.0, -0.0, 123456789.123456789,
        ];
        CultureInfo.CurrentCulture = CultureInfo.GetCultureInfo(culture);
        await using var server = new RawServer(SendFirstColumnAsync);
        using var client = new ScoringClient(server.Uri);

        var predictions = await client.ScoreAsync(cells.Select(cell => new[] { cell }), Cancel);

        Assert.Equal(cells.Select(BitConverter.DoubleToInt64Bits), predictions.Select(BitConverter.DoubleToInt64Bits));
        var texts = Assert.Single(server.Requests).Text["{\"data\":[[".Length..^"]]}".Length].Split("],[");
        Assert.Equal(cells, texts.Select(text => double.Parse(text, CultureInfo.InvariantCulture)));
        Assert.All(texts, text => Assert.Matches("[.E]", text)); // else the service reads an integer
    }

    // Proves B11.
    [Fact]
    public async Task Rows_of_any_shape_and_type_of_list_go_out_as_they_are()
    {
        await using var server = new RawServer(exchange => exchange.SendAsync(RawServer.Reply(200, "[]")));
        using var client = new ScoringClient(server.Uri);

        await client.ScoreAsync([], Cancel);
        await Assert.ThrowsAsync<ScoringReplyException>(() => client.ScoreAsync([[], [1], [2, 3]], Cancel));
        await Assert.ThrowsAsync<ScoringReplyException>(() => client.ScoreAsync(Enumerable.Repeat(new List<double> { 1 }, 2), Cancel));

        Assert.Equal(
            ["""{"data":[]}""", """{"data":[[],[1.0],[2.0,3.0]]}""", """{"data":[[1.0],[1.0]]}"""],
            server.Requests.Select(request => request.Text));
    }

    // Proves B03, B15, B16.
    [Fact]
    public async Task Calls_share_a_connection_and_have_ids_of_their_own()
    {
        await using var server = new RawServer(RawServer.Reply(200, "[1]", "Set-Cookie: a=b"));
        using var client = new ScoringClient(server.Uri);

        await client.ScoreAsync([[1]], Cancel);
        await client.ScoreAsync([[1]], Cancel);

        var requests = server.Requests;
        Assert.Equal([1, 1], requests.Select(request => request.Connection));
        Assert.NotEqual(requests[0].Values("x-ms-client-request-id"), requests[1].Values("x-ms-client-request-id"));
        Assert.Empty(requests[1].Values("Cookie"));
    }

    [Fact]
    public async Task Calls_at_the_same_time_get_their_own_predictions()
    {
        await using var server = new RawServer(SendFirstColumnAsync);
        using var client = new ScoringClient(server.Uri);
        var numbers = Enumerable.Range(0, 50).Select(number => number + 0.5).ToArray();

        var predictions = await Task.WhenAll(numbers.Select(number => client.ScoreAsync([[number]], Cancel)));

        Assert.Equal(numbers, predictions.Select(Assert.Single));
    }

    [Theory]
    [InlineData(301)]
    [InlineData(302)]
    [InlineData(303)]
    [InlineData(307)]
    [InlineData(308)]
    // Proves B22.
    public async Task A_redirect_is_not_followed(int status)
    {
        await using var elsewhere = new RawServer(RawServer.Reply(200, "[1]"));
        await using var server = new RawServer(RawServer.Reply(status, "", $"Location: {elsewhere.Uri}"));
        using var client = new ScoringClient(server.Uri, new() { Key = "secret" });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(status, error.Status);
        Assert.Single(server.Requests);
        Assert.Empty(elsewhere.Requests);
    }

    private static async Task SendFirstColumnAsync(Exchange exchange)
    {
        using var sent = JsonDocument.Parse(exchange.Request.Body);
        var cells = sent.RootElement.GetProperty("data").EnumerateArray().Select(row => row[0].GetRawText());
        await exchange.SendAsync(RawServer.Reply(200, $"[{string.Join(',', cells)}]"));
    }
}
