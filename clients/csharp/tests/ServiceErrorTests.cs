using System;
using System.Globalization;
using System.Linq;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>What becomes of an answer that is no success: B46, B50, B54, B60-B63.</summary>
public sealed class ServiceErrorTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public static TheoryData<int> Statuses() => new(
        [300, 304, 399, 400, 401, 403, 404, 405, 408, 409, 413, 415, 418, 424, 429, 431, 499, 500, 501, 502, 503, 504, 599, 600, 999]);

    // Proves B46, B50.
    [Theory]
    [MemberData(nameof(Statuses))]
    public async Task Every_other_status_is_a_service_error_after_one_request(int status)
    {
        var reply = status == 304 ? "HTTP/1.1 304 Reason\r\n\r\n" : RawServer.Reply(status, """{"message": "no"}""");
        await using var server = new RawServer(reply);
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(status, error.Status);
        Assert.Equal(1, error.Attempts);
        Assert.Null(error.InnerException);
        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task A_switch_of_protocols_is_a_service_error_and_nothing_after_it_is_read()
    {
        await using var server = new RawServer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes");
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(101, error.Status);
        Assert.Equal(0, error.Body.Length);
    }

    [Theory]
    [InlineData("""{"message": "no"}""", "no")]
    [InlineData("""{"status_code": 400, "message": "no"}""", "no")]
    [InlineData("""{"error": {"code": "x", "message": "no"}}""", "no")]
    [InlineData("""{"error": "no"}""", "no")]
    [InlineData("""{"detail": "no"}""", "no")]
    [InlineData("""{"detail": "4", "error": "3", "message": "1"}""", "1")]
    [InlineData("""{"detail": "4", "error": {"message": "2"}}""", "2")]
    [InlineData("""{"detail": "4", "error": "3"}""", "3")]
    [InlineData("""{"message": "", "error": "3"}""", "3")]
    [InlineData("""{"message": {"a": [1]}, "detail": "4"}""", "4")]
    [InlineData("\"no\"", "no")]
    [InlineData("\uFEFF{\"message\": \"no\"}", "no")]
    [InlineData("no such service", "no such service")]
    [InlineData("  no\n", "no")]
    [InlineData("{\"message\": ", "{\"message\":")]
    [InlineData("<html><head><title>502 Bad Gateway</title></head></html>", "502 Bad Gateway")]
    [InlineData("<!DOCTYPE html>\n<HTML><TITLE lang=en>\n a &amp; b </TITLE>", "a & b")]
    [InlineData("<html><title>502 Bad\n\t Gateway</title>", "502 Bad Gateway")]
    [InlineData("<html><title>cut", "")]
    [InlineData("<header>no page</header>", "<header>no page</header>")]
    [InlineData("<html><title", "")]
    [InlineData("<html></html>", "")]
    [InlineData("<Error><Code>x</Code></Error>", "<Error><Code>x</Code></Error>")]
    [InlineData("", "")]
    [InlineData(" \r\n", "")]
    [InlineData("null", "")]
    [InlineData("42", "")]
    [InlineData("[\"no\"]", "")]
    [InlineData("{}", "")]
    [InlineData("{\"message\": null, \"error\": [], \"detail\": [{}]}", "")]
    [InlineData("{\"message\": \"\\ud800\", \"detail\": \"no\"}", "no")]
    [InlineData("{\"\\ud800\": 1, \"message\": \"no\"}", "no")]
    // Proves B62.
    public async Task The_services_own_words_are_found_in_any_body(string body, string message)
    {
        var error = await FailAsync(Encoding.UTF8.GetBytes(body));

        Assert.Equal(message, error.ServiceMessage);
        Assert.Equal(Encoding.UTF8.GetBytes(body), error.Body.ToArray());
        var shown = message.Length > 0 ? $": {message}" : "";
        Assert.Equal($"POST http://host/score: 503{shown} (1 attempt)", error.Message);
    }

    [Fact]
    public async Task A_body_that_is_not_utf_8_is_shown_as_far_as_it_can_be()
    {
        var error = await FailAsync([(byte)'n', 0xFF, (byte)'o']);

        Assert.Equal("n\uFFFDo", error.ServiceMessage);
    }

    // Proves B62.
    [Fact]
    public async Task A_deep_body_crashes_nothing()
    {
        var error = await FailAsync(Encoding.UTF8.GetBytes(new string('[', 60_000)));

        Assert.Equal(503, error.Status);
    }

    // Proves B63.
    [Fact]
    public async Task The_text_shows_300_characters_of_the_message_on_one_line()
    {
        var error = await FailAsync(Encoding.UTF8.GetBytes("a\r\nb\u001b" + new string('x', 400)));

        Assert.Equal(405, error.ServiceMessage.Length);
        Assert.Equal($"POST http://host/score: 503: a  b {new string('x', 294)}… (1 attempt)", error.Message);
    }

    // Proves B63.
    [Fact]
    public async Task The_text_shows_no_query()
    {
        using var handler = new StubHandler([], System.Net.HttpStatusCode.NotFound);
        using var client = new ScoringClient(new Uri("https://host:8443/a/score?sig=secret"), new() { MaxRetries = 0, Handler = handler });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal("POST https://host:8443/a/score: 404 (1 attempt)", error.Message);
    }

    // Proves B61.
    [Fact]
    public async Task Everything_that_the_headers_say_is_in_the_error()
    {
        await using var server = new RawServer(RawServer.Reply(
            424,
            """{"message": "no"}""",
            "X-Request-Id: rq-1",
            "x-ms-request-id: rq-2",
            "ms-azureml-model-error-statuscode: 429",
            "ms-azureml-model-error-reason: model_error",
            "X-Ms-Run-Function-Failed: TRUE"));
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal("rq-1", error.RequestId);
        Assert.Equal(429, error.ModelStatus);
        Assert.Equal("model_error", error.ModelReason);
        Assert.True(error.RunFunctionFailed);
        Assert.Equal(Assert.Single(Assert.Single(server.Requests).Values("x-ms-client-request-id")), error.ClientRequestId);
        Assert.Equal($"POST {server.Uri}: 424: no (1 attempt, request id rq-1)", error.Message);
        Assert.Equal("424: no", error.Reason);
    }

    [Fact]
    public async Task What_the_headers_do_not_say_is_null()
    {
        var error = await FailAsync([]);

        Assert.Null(error.RequestId);
        Assert.Null(error.ModelStatus);
        Assert.Null(error.ModelReason);
        Assert.False(error.RunFunctionFailed);
    }

    // Proves B61.
    [Theory]
    [InlineData("x-ms-request-id: rq-2", "rq-2")]
    [InlineData("x-request-id:\r\nx-ms-request-id: rq-2", "rq-2")]
    [InlineData("x-request-id: rq-1\r\nx-request-id: rq-3", "rq-1")]
    public async Task The_request_id_is_the_first_there_is(string headers, string expected)
    {
        await using var server = new RawServer(RawServer.Reply(400, "", headers));
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(expected, error.RequestId);
    }

    [Theory]
    [InlineData("+42")]
    [InlineData("4e2")]
    [InlineData("42")]
    [InlineData("9999999999999")]
    [InlineData("soon")]
    public async Task A_model_status_that_is_none_is_null(string value)
    {
        await using var server = new RawServer(RawServer.Reply(424, "", $"ms-azureml-model-error-statuscode: {value}"));
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Null(error.ModelStatus);
    }

    [Theory]
    [InlineData(65_535, 65_535)]
    [InlineData(65_536, 65_536)]
    [InlineData(65_537, 65_536)]
    [InlineData(5_000_000, 65_536)]
    // Proves B54.
    public async Task The_body_of_an_error_is_cut_and_never_refused(int length, int kept)
    {
        await using var server = new RawServer(RawServer.Reply(500, new string('x', length)));
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0, MaxReplyBytes = 5 });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(kept, error.Body.Length);
        Assert.Equal(kept, error.ServiceMessage.Length);
    }

    // Proves B50.
    [Theory]
    [InlineData("Content-Length: 100\r\n\r\npart of it")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\na\r\npart of it\r\n")]
    [InlineData("Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\npart of it")]
    public async Task A_body_that_breaks_off_does_not_hide_the_status(string reply)
    {
        await using var server = new RawServer(async exchange =>
        {
            await exchange.SendAsync($"HTTP/1.1 503 Reason\r\n{reply}");
            exchange.Close();
        });
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(503, error.Status);
        Assert.Equal("part of it", error.ServiceMessage);
    }

    [Fact]
    public async Task A_broken_chunk_does_not_hide_the_status()
    {
        await using var server = new RawServer("HTTP/1.1 503 Reason\r\nTransfer-Encoding: chunked\r\n\r\na\r\npart of it\r\nzz\r\n");
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal(503, error.Status); // the platform may keep back the chunk before the broken one
    }

    [Theory]
    [InlineData("de-DE")]
    [InlineData("ar-SA")]
    [InlineData("tr-TR")]
    public async Task The_culture_does_not_change_the_text(string culture)
    {
        CultureInfo.CurrentCulture = CultureInfo.GetCultureInfo(culture);

        Assert.Equal("POST http://host/score: 503: IİıiI (1 attempt)", (await FailAsync("IİıiI"u8.ToArray())).Message);
    }

    private static async Task<ScoringServiceException> FailAsync(byte[] body)
    {
        using var handler = new StubHandler(body, System.Net.HttpStatusCode.ServiceUnavailable);
        using var client = new ScoringClient(new Uri("http://host/score"), new() { MaxRetries = 0, Handler = handler });
        return await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));
    }
}
