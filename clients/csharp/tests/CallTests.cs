using System;
using System.Linq;
using System.Text;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>JSON, bytes, swagger and health: B12, B13, B14, B52, B70, B71.</summary>
public sealed class CallTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    // Proves B13.
    [Theory]
    [InlineData("""{"data": [9007199254740993, 1e400], "data": "\ud800 é"}""")]
    [InlineData(" \"text\"\n")]
    [InlineData("null")]
    public async Task Json_is_sent_as_it_is(string json)
    {
        await using var server = new RawServer(RawServer.Reply(200, "[]"));
        using var client = new ScoringClient(server.Uri);

        await client.ScoreJsonAsync(json, Cancel);

        var request = Assert.Single(server.Requests);
        Assert.Equal(json, request.Text);
        Assert.Equal(["application/json"], request.Values("Content-Type"));
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("{} {}")]
    [InlineData("{} x")]
    [InlineData("[1,]")]
    [InlineData("[NaN]")]
    [InlineData("\uFEFF[]")]
    [InlineData("'text'")]
    [InlineData("// text\n1")]
    // Proves B13.
    public async Task What_is_not_one_json_value_is_refused_before_anything_is_sent(string json)
    {
        await using var server = new RawServer(RawServer.Reply(200, "[]"));
        using var client = new ScoringClient(server.Uri);

        var error = await Assert.ThrowsAsync<ArgumentException>(() => client.ScoreJsonAsync(json, Cancel));

        Assert.Equal("the payload is not JSON (Parameter 'json')", error.Message);
        Assert.Empty(server.Requests);
    }

    // Proves B13.
    [Fact]
    public async Task Half_of_a_surrogate_pair_is_refused()
    {
        using var client = new ScoringClient(new Uri("http://host/score"));

        var error = await Assert.ThrowsAsync<ArgumentException>(() => client.ScoreJsonAsync("\"\ud800\"", Cancel));

        Assert.Equal("the payload is not JSON (Parameter 'json')", error.Message);
    }

    [Fact]
    public async Task A_deep_payload_is_the_services_business()
    {
        var json = string.Concat(Enumerable.Repeat("[", 5000).Concat(Enumerable.Repeat("]", 5000)));
        await using var server = new RawServer(RawServer.Reply(200, "1"));
        using var client = new ScoringClient(server.Uri);

        await client.ScoreJsonAsync(json, Cancel);

        Assert.Equal(json, Assert.Single(server.Requests).Text);
    }

    // Proves B52.
    [Theory]
    [InlineData("{\"a\": [1e400, 9007199254740993]}", "{\"a\": [1e400, 9007199254740993]}")]
    [InlineData("\uFEFF\"[1.5]\"", "\"[1.5]\"")]
    [InlineData(" null ", "null")]
    public async Task Any_json_value_is_returned(string body, string expected)
    {
        using var handler = new StubHandler(Encoding.UTF8.GetBytes(body));
        using var client = new ScoringClient(new Uri("http://host/score"), new() { Handler = handler });

        var value = await client.ScoreJsonAsync("1", Cancel);

        Assert.Equal(expected, value.GetRawText());
    }

    // Proves B52.
    [Theory]
    [InlineData("[NaN]", "the reply contains NaN or Infinity, which is not JSON")]
    [InlineData("1 2", "the reply is not JSON")]
    [InlineData("", "the reply is empty")]
    public async Task A_reply_that_is_not_json_is_refused(string body, string reason)
    {
        using var handler = new StubHandler(Encoding.UTF8.GetBytes(body));
        using var client = new ScoringClient(new Uri("http://host/score"), new() { Handler = handler });

        Assert.Equal(reason, (await Assert.ThrowsAsync<ScoringReplyException>(() => client.ScoreJsonAsync("1", Cancel))).Reason);
        Assert.Equal(reason, (await Assert.ThrowsAsync<ScoringReplyException>(() => client.GetSwaggerAsync(Cancel))).Reason);
    }

    // Proves B12.
    [Fact]
    public async Task Bytes_are_sent_and_returned_untouched()
    {
        byte[] image = [.. Enumerable.Range(0, 256).Select(value => (byte)value)];
        await using var server = new RawServer(async exchange =>
        {
            await exchange.SendAsync($"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\n{Encoding.Latin1.GetString(exchange.Request.Body)}\r\n0\r\n\r\n");
        });
        using var client = new ScoringClient(server.Uri, new() { Key = "k1" });

        Assert.Equal(image, await client.ScoreBytesAsync(image, "text/csv; header=present", Cancel));
        Assert.Equal(image, await client.ScoreBytesAsync(image, cancellationToken: Cancel));

        Assert.Equal(["text/csv; header=present", "application/octet-stream"], server.Requests.SelectMany(request => request.Values("Content-Type")));
        Assert.All(server.Requests, request => Assert.Equal(image, request.Body));
    }

    [Theory]
    [InlineData("", "the content type is empty")]
    [InlineData("a/b\r\nX: 1", "the content type has a character that cannot be sent in a header at position 3")]
    [InlineData(" a/b", "the content type has a character that cannot be sent in a header at position 0")]
    [InlineData("a/b ", "the content type has a character that cannot be sent in a header at position 3")]
    [InlineData("é/b", "the content type has a character that cannot be sent in a header at position 0")]
    // Proves B02, B12.
    public async Task A_content_type_that_cannot_travel_is_refused(string type, string text)
    {
        await using var server = new RawServer(RawServer.Reply(200, "[]"));
        using var client = new ScoringClient(server.Uri);

        var error = await Assert.ThrowsAsync<ArgumentException>(() => client.ScoreBytesAsync(new byte[1], type, Cancel));

        Assert.Equal($"{text} (Parameter 'contentType')", error.Message);
        Assert.Empty(server.Requests);
    }

    [Theory]
    [InlineData("/api/v1/service/s/score?a=1", "/api/v1/service/s/swagger.json")]
    [InlineData("/score", "/swagger.json")]
    [InlineData("/%c3%a9/score", "/%c3%a9/swagger.json")]
    [InlineData("", "/swagger.json")]
    // Proves B70.
    public async Task Swagger_is_read_beside_the_scoring_uri(string target, string expected)
    {
        var count = 0;
        await using var server = new RawServer(
            exchange => exchange.SendAsync(++count == 1 ? RawServer.Reply(503, "") : RawServer.Reply(200, """{"swagger": "2.0"}""")));
        using var client = new ScoringClient(
            new Uri($"http://{server.Authority}{target}"),
            new() { Key = "k1", Deployment = "blue", BaseDelay = TimeSpan.FromMilliseconds(1) });

        Assert.Equal("2.0", (await client.GetSwaggerAsync(Cancel)).GetProperty("swagger").GetString());

        Assert.Equal(2, server.Requests.Length); // repeated like a scoring call
        Assert.All(server.Requests, request =>
        {
            Assert.Equal($"GET {expected} HTTP/1.1", request.Line);
            Assert.Equal(["Bearer k1"], request.Values("Authorization"));
            Assert.Single(request.Values("x-ms-client-request-id"));
            Assert.Empty(request.Values("azureml-model-deployment"));
            Assert.Empty(request.Values("Content-Type"));
        });
    }

    // Proves B70.
    [Fact]
    public async Task A_service_without_a_document_is_a_service_error()
    {
        await using var server = new RawServer(RawServer.Reply(404, "none"));
        using var client = new ScoringClient(server.Uri);

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.GetSwaggerAsync(Cancel));

        Assert.Equal($"GET http://{server.Authority}/swagger.json: 404: none (1 attempt)", error.Message);
    }

    [Theory]
    [InlineData(200, "Healthy", true)]
    [InlineData(200, "\"Healthy\"\n", true)]
    [InlineData(200, " \t\r\nHealthy \t\r\n", true)]
    [InlineData(200, "\u00ef\u00bb\u00bfHealthy", true)] // a byte order mark, as the server spells it
    [InlineData(200, "\u00c2\u00a0Healthy", false)]
    [InlineData(200, "healthy", false)]
    [InlineData(200, "", false)]
    [InlineData(503, "Healthy", false)]
    [InlineData(302, "Healthy", false)]
    // Proves B71.
    public async Task Health_is_one_word_in_one_attempt(int status, string body, bool isHealthy)
    {
        await using var server = new RawServer(RawServer.Reply(status, body));
        using var client = new ScoringClient(new Uri($"http://{server.Authority}/a/score"), new() { Key = "k1" });

        Assert.Equal(isHealthy, await client.IsHealthyAsync(Cancel));

        var request = Assert.Single(server.Requests);
        Assert.Equal("GET /a/ HTTP/1.1", request.Line);
        Assert.Equal(["Bearer k1"], request.Values("Authorization"));
    }

    // Proves B71.
    [Fact]
    public async Task No_answer_to_the_question_of_health_is_a_transport_error()
    {
        var server = new RawServer("");
        await server.DisposeAsync();
        using var client = new ScoringClient(server.Uri);

        var error = await Assert.ThrowsAsync<ScoringTransportException>(() => client.IsHealthyAsync(Cancel));

        Assert.Equal($"GET http://{server.Authority}/: connection refused (1 attempt)", error.Message);
    }

    // Proves B02.
    [Fact]
    public async Task The_deployment_is_named_on_scoring_calls()
    {
        await using var server = new RawServer(RawServer.Reply(200, "[1]"));
        using var client = new ScoringClient(server.Uri, new() { Deployment = "blue" });

        await client.ScoreAsync([[1]], Cancel);
        await client.ScoreJsonAsync("1", Cancel);
        await client.ScoreBytesAsync(new byte[1], cancellationToken: Cancel);

        Assert.Equal(["blue", "blue", "blue"], server.Requests.SelectMany(request => request.Values("azureml-model-deployment")));
    }

    // Proves B54.
    [Fact]
    public async Task Twenty_megabytes_go_out_and_come_back()
    {
        var rows = Enumerable.Range(0, 1000).Select(row => Enumerable.Range(0, 1000).Select(column => row + (column / 1024.0)).ToArray()).ToArray();
        var big = new byte[20_000_000];
        Random.Shared.NextBytes(big);
        await using var server = new RawServer(async exchange =>
        {
            var isBytes = exchange.Request.Values("Content-Type").Single() != "application/json";
            await exchange.SendAsync(isBytes ? RawServer.Reply(200, Encoding.Latin1.GetString(exchange.Request.Body))
                : RawServer.Reply(200, $"[{string.Join(',', JsonDocument.Parse(exchange.Request.Body).RootElement.GetProperty("data").EnumerateArray().Select(row => row[999].GetRawText()))}]"));
        });
        using var client = new ScoringClient(server.Uri);

        Assert.Equal(rows.Select(row => row[^1]), await client.ScoreAsync(rows, Cancel));
        Assert.Equal(big, await client.ScoreBytesAsync(big, cancellationToken: Cancel));
    }
}
