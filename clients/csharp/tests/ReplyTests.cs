using System;
using System.Globalization;
using System.Linq;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>What is a success and what is not: B47, B50-B54, B64.</summary>
public sealed class ReplyTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("[1.5, 2.5]")]
    [InlineData(" \r\n\t[1.5,2.5]\n ")]
    [InlineData("\uFEFF[1.5, 2.5]")]
    [InlineData("[15e-1, 2.50]")]
    public async Task An_array_with_a_number_for_each_row_is_the_result(string body)
    {
        var predictions = await ScoreAsync(Encoding.UTF8.GetBytes(body), rowCount: 2);

        Assert.Equal([1.5, 2.5], predictions);
    }

    [Fact]
    public async Task A_negative_zero_keeps_its_sign()
    {
        var predictions = await ScoreAsync("[-0, -0.0]"u8.ToArray(), rowCount: 2);

        Assert.All(predictions, prediction => Assert.True(double.IsNegative(prediction)));
    }

    [Theory]
    [InlineData("", "the reply is empty")]
    [InlineData(" \r\n\t", "the reply is empty")]
    [InlineData("\uFEFF", "the reply is empty")]
    [InlineData("<html>Sign in</html>", "the reply is not JSON")]
    [InlineData("[1.5, 2.5", "the reply is not JSON")]
    [InlineData("[1.5, 2.5,]", "the reply is not JSON")]
    [InlineData("[1.5, 2.5] ok", "the reply is not JSON")]
    [InlineData("[1.5, 2.5][1.5, 2.5]", "the reply is not JSON")]
    [InlineData("[1.5, 2.5]\0", "the reply is not JSON")]
    [InlineData("\uFEFF\uFEFF[1.5, 2.5]", "the reply is not JSON")]
    [InlineData("[1.5, 2.5] // two", "the reply is not JSON")]
    [InlineData("[01, 2.5]", "the reply is not JSON")]
    [InlineData("[1.5, nan]", "the reply is not JSON")]
    [InlineData("[\"NaN\", ]", "the reply is not JSON")]
    [InlineData("[1.5, NaN]", "the reply contains NaN or Infinity, which is not JSON")]
    [InlineData("[NaN]", "the reply contains NaN or Infinity, which is not JSON")]
    [InlineData("NaN", "the reply contains NaN or Infinity, which is not JSON")]
    [InlineData("[1.5,Infinity]", "the reply contains NaN or Infinity, which is not JSON")]
    [InlineData("[\n-Infinity, 1.5]", "the reply contains NaN or Infinity, which is not JSON")]
    [InlineData("[1.5 , -Infinity]", "the reply contains NaN or Infinity, which is not JSON")]
    [InlineData("[{\"a\":NaN}]", "the reply contains NaN or Infinity, which is not JSON")]
    [InlineData("[1.5,\r\n\tNaN]", "the reply contains NaN or Infinity, which is not JSON")]
    [InlineData("{\"a\": [\"x\", {\"b\" : -Infinity}]}", "the reply contains NaN or Infinity, which is not JSON")]
    [InlineData("{\"result\": [1.5, 2.5]}", "the reply is a JSON object, not an array")]
    [InlineData("{\"error\": 5}", "the reply is a JSON object, not an array")]
    [InlineData("{\"error\": \"no model\"}", "the reply is a JSON object, not an array: no model")]
    [InlineData("{\"error\": {\"message\": \"no model\"}}", "the reply is a JSON object, not an array: no model")]
    [InlineData("{\"\\ud800\": 1, \"error\": \"\\ud800\"}", "the reply is a JSON object, not an array")]
    [InlineData("\"[1.5, 2.5]\"", "the reply is a JSON string, not an array; the scoring script probably calls json.dumps itself")]
    [InlineData("1.5", "the reply is a JSON number, not an array")]
    [InlineData("true", "the reply is a JSON boolean, not an array")]
    [InlineData("null", "the reply is a JSON null, not an array")]
    [InlineData("[1.5, \"2.5\"]", "element 1 of the reply is a JSON string, not a number")]
    [InlineData("[false, 2.5]", "element 0 of the reply is a JSON boolean, not a number")]
    [InlineData("[1.5, null]", "element 1 of the reply is a JSON null, not a number")]
    [InlineData("[1.5, {\"a\": 1}]", "element 1 of the reply is a JSON object, not a number")]
    [InlineData("[[1.5], [2.5]]", "element 0 of the reply is a JSON array, not a number")]
    [InlineData("[1.5, 1e400]", "element 1 of the reply is not a finite number")]
    [InlineData("[-1e400, 1.5]", "element 0 of the reply is not a finite number")]
    [InlineData("[]", "the reply has 0 predictions for 2 rows")]
    [InlineData("[1.5]", "the reply has 1 predictions for 2 rows")]
    [InlineData("[1.5, 2.5, 3.5]", "the reply has 3 predictions for 2 rows")]
    // Proves B47, B51, B64.
    public async Task Anything_else_is_refused_in_words(string body, string reason)
    {
        var error = await RefusedAsync(Encoding.UTF8.GetBytes(body));

        Assert.Equal(reason, error.Reason);
        Assert.Equal(1, error.Attempts);
        var excerpt = error.Excerpt.Length > 0 ? $": {error.Excerpt}" : "";
        Assert.Equal($"POST http://host/score: {reason}{excerpt} (1 attempt)", error.Message);
    }

    [Theory]
    [InlineData(new byte[] { (byte)'[', 0xFF, (byte)']' })]
    [InlineData(new byte[] { (byte)'[', (byte)'"', 0xC3, (byte)'"', (byte)']' })]
    [InlineData(new byte[] { (byte)'[', (byte)'"', 0xED, 0xA0, 0x80, (byte)'"', (byte)']' })]
    [InlineData(new byte[] { 0xFF, 0xFE, (byte)'[', 0, (byte)']', 0 })]
    // Proves B51.
    public async Task A_body_that_is_not_utf_8_is_refused(byte[] body) =>
        Assert.Equal("the reply is not valid UTF-8", (await RefusedAsync(body)).Reason);

    // Proves B52.
    [Theory]
    [InlineData(65)]
    [InlineData(100_000)]
    public async Task A_deep_body_is_refused(int depth)
    {
        var body = string.Concat(Enumerable.Repeat("[", depth).Concat(Enumerable.Repeat("]", depth)));

        Assert.Equal("the reply is not JSON", (await RefusedAsync(Encoding.UTF8.GetBytes(body))).Reason);
    }

    // Proves B52.
    [Fact]
    public async Task Sixty_four_levels_are_read()
    {
        var body = string.Concat(Enumerable.Repeat("[", 64).Concat(Enumerable.Repeat("]", 64)));

        var error = await RefusedAsync(Encoding.UTF8.GetBytes(body));

        Assert.Equal("element 0 of the reply is a JSON array, not a number", error.Reason);
    }

    [Theory]
    [InlineData("\u001b[31mred\r\nline\u0085\u2028\u202e", "[31mred  line")]
    [InlineData("\n\n  words  \n", "words")]
    [InlineData("a\u061c\u200e\u200f\u202a\u2066\u2069b", "a      b")] // the direction of a text
    [InlineData("👩\u200d🔬 soft\u00adhyphen", "👩\u200d🔬 soft\u00adhyphen")]
    public async Task An_excerpt_is_one_line_without_control_characters(string body, string excerpt) =>
        Assert.Equal(excerpt, (await RefusedAsync(Encoding.UTF8.GetBytes(body))).Excerpt);

    // Proves B64.
    [Fact]
    public async Task An_excerpt_has_300_characters_at_most_and_no_half_of_a_pair()
    {
        Assert.Equal(new string('x', 300), (await RefusedAsync(Encoding.UTF8.GetBytes(new string('x', 300)))).Excerpt);
        Assert.Equal(new string('x', 299) + "…", (await RefusedAsync(Encoding.UTF8.GetBytes(new string('x', 301)))).Excerpt);
        Assert.Equal(new string('x', 298) + "…", (await RefusedAsync(Encoding.UTF8.GetBytes(new string('x', 298) + "😀😀"))).Excerpt);
    }

    [Theory]
    [InlineData("Content-Type: text/plain")]
    [InlineData("Content-Type: application/json; charset=utf-16")]
    [InlineData("Content-Type: application/json; charset=no-such")]
    [InlineData("Content-Type: ;;;")]
    [InlineData("Content-Encoding: identity")]
    [InlineData("Content-Encoding: IDENTITY")]
    [InlineData("Content-Encoding:")]
    // Proves B52.
    public async Task Labels_do_not_change_what_came(string header)
    {
        await using var server = new RawServer(RawServer.Reply(200, "[1.5]", header));
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        Assert.Equal(1.5, Assert.Single(await client.ScoreAsync([[1]], Cancel)));
    }

    // Proves B53.
    [Theory]
    [InlineData("gzip", "gzip")]
    [InlineData("br", "br")]
    [InlineData("identity, gzip", "identity, gzip")]
    public async Task An_encoding_that_was_not_asked_for_is_refused_by_name(string value, string shown)
    {
        await using var server = new RawServer(RawServer.Reply(200, "[1.5]", $"Content-Encoding: {value}"));
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        var error = await Assert.ThrowsAsync<ScoringReplyException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal($"the reply has Content-Encoding: {shown}, which was not asked for", error.Reason);
        Assert.Equal($"POST {server.Uri}: {error.Reason} (1 attempt)", error.Message);
    }

    // Proves B50.
    [Theory]
    [InlineData(200)]
    [InlineData(201)]
    [InlineData(299)]
    public async Task Every_2xx_is_a_success(int status)
    {
        await using var server = new RawServer(RawServer.Reply(status, "[1.5]"));
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        Assert.Equal(1.5, Assert.Single(await client.ScoreAsync([[1]], Cancel)));
    }

    // Proves B50.
    [Fact]
    public async Task Interim_replies_are_skipped()
    {
        const string interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        await using var server = new RawServer(interim + RawServer.Reply(200, "[1.5]"));
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        Assert.Equal(1.5, Assert.Single(await client.ScoreAsync([[1]], Cancel)));
    }

    [Fact]
    public async Task A_chunked_reply_is_read_whole()
    {
        const string chunks = "3\r\n[1.\r\n2\r\n5]\r\n0\r\nTrailer: a\r\n\r\n";
        await using var server = new RawServer($"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        Assert.Equal(1.5, Assert.Single(await client.ScoreAsync([[1]], Cancel)));
    }

    [Theory]
    [InlineData("Content-Length: 6\r\n\r\n[1.50]", true)]
    [InlineData("Content-Length: 7\r\n\r\n[1.500]", false)]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n6\r\n[1.50]\r\n0\r\n\r\n", true)]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n4\r\n[1.5\r\n3\r\n00]\r\n0\r\n\r\n", false)]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n7\r\n[1.500]\r\n", false)]
    // Proves B47, B54.
    public async Task A_reply_may_be_as_large_as_the_limit_and_not_larger(string reply, bool fits)
    {
        await using var server = new RawServer($"HTTP/1.1 200 OK\r\n{reply}");
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0, MaxReplyBytes = 6 });

        if (fits)
        {
            Assert.Equal(1.5, Assert.Single(await client.ScoreAsync([[1]], Cancel)));
            return;
        }

        var error = await Assert.ThrowsAsync<ScoringReplyException>(() => client.ScoreAsync([[1]], Cancel));
        Assert.Equal("the reply is larger than 6 bytes", error.Reason);
        Assert.Equal("[1.500", error.Excerpt);
    }

    [Fact]
    public async Task A_reply_larger_than_one_read_arrives_whole()
    {
        var expected = Enumerable.Range(0, 50_000).Select(number => number + 0.25).ToArray();
        var body = $"[{string.Join(", ", expected.Select(number => number.ToString(CultureInfo.InvariantCulture)))}]";

        Assert.Equal(expected, await ScoreAsync(Encoding.UTF8.GetBytes(body), expected.Length));
    }

    private static Task<ScoringReplyException> RefusedAsync(byte[] body) =>
        Assert.ThrowsAsync<ScoringReplyException>(() => ScoreAsync(body, rowCount: 2));

    private static async Task<double[]> ScoreAsync(byte[] body, int rowCount)
    {
        using var handler = new StubHandler(body);
        using var client = new ScoringClient(new Uri("http://host/score"), new() { MaxRetries = 0, Handler = handler });
        return await client.ScoreAsync(Enumerable.Range(0, rowCount).Select(row => new double[] { row }), Cancel);
    }
}
