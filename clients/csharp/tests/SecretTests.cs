using System;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>The key goes into one header and nowhere else: B21.</summary>
public sealed class SecretTests
{
    private const string Key = "Qm/9+x\"\\k<Zz=";

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    // Proves B21.
    [Fact]
    public async Task A_reply_that_echoes_the_key_is_shown_without_it()
    {
        var error = await FailAsync<ScoringReplyException>(HttpStatusCode.OK, $"<{Key}> and [{Key}]");

        Assert.Equal("<***> and [***]", error.Excerpt);
        Assert.Equal("POST http://127.0.0.1/score: the reply is not JSON: <***> and [***] (1 attempt)", error.Message);
    }

    // Proves B21.
    [Fact]
    public async Task A_reply_that_spells_the_key_with_json_escapes_is_shown_without_it()
    {
        var error = await FailAsync<ScoringReplyException>(HttpStatusCode.OK, "{\"got\": \"" + Escaped() + "\"}");

        Assert.Equal("{\"got\": \"***\"}", error.Excerpt);
    }

    // Proves B21.
    [Fact]
    public async Task A_message_that_echoes_the_key_is_shown_without_it()
    {
        var error = await FailAsync<ScoringServiceException>(HttpStatusCode.Forbidden, $"no such key: {Key}");

        Assert.Equal("no such key: ***", error.ServiceMessage);
        Assert.Equal("POST http://127.0.0.1/score: 403: no such key: *** (1 attempt)", error.Message);
    }

    [Fact]
    public async Task A_json_message_that_echoes_the_key_is_shown_without_it()
    {
        var error = await FailAsync<ScoringServiceException>(HttpStatusCode.Forbidden, "{\"message\": \"no " + Escaped() + "\"}");

        Assert.Equal("no ***", error.ServiceMessage);
    }

    [Fact]
    public async Task The_error_of_an_object_that_echoes_the_key_is_shown_without_it()
    {
        var error = await FailAsync<ScoringReplyException>(HttpStatusCode.OK, "{\"error\": \"no " + Escaped() + "\"}");

        Assert.Equal("the reply is a JSON object, not an array: no ***", error.Reason);
    }

    // Proves B21.
    [Theory]
    [InlineData(65_536 - 5)]
    [InlineData(65_536 - 4)]
    [InlineData(65_536 - 12)]
    public async Task The_beginning_of_a_key_at_a_cut_is_not_shown(int before)
    {
        var error = await FailAsync<ScoringServiceException>(HttpStatusCode.Forbidden, new string('x', before) + Key);

        Assert.Equal(new string('x', before) + "***", error.ServiceMessage);
    }

    [Fact]
    public async Task A_text_that_ends_as_the_key_begins_by_chance_keeps_its_end()
    {
        var error = await FailAsync<ScoringServiceException>(HttpStatusCode.Forbidden, "from A to Qm/");

        Assert.Equal("from A to Qm/", error.ServiceMessage);
    }

    // Proves B21.
    [Fact]
    public async Task Headers_that_echo_the_key_are_shown_without_it()
    {
        string[] headers =
            [$"x-request-id: a{Key}", $"ms-azureml-model-error-reason: b{Key}", $"ms-azureml-model-error-statuscode: {Key}"];
        await using var server = new RawServer(RawServer.Reply(424, "", headers));
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0, Key = Key });

        var error = await Assert.ThrowsAsync<ScoringServiceException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal("a***", error.RequestId);
        Assert.Equal("b***", error.ModelReason);
        AssertHidden(error);
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Encoding: {0}\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{0}\r\n")]
    [InlineData("HTTP/1.1 {0}\r\n\r\n")]
    [InlineData("{0} 200 OK\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\n{0}\r\n\r\n")]
    public async Task No_broken_reply_brings_the_key_into_an_exception(string format)
    {
        await using var server = new RawServer(async exchange =>
        {
            await exchange.SendAsync(format.Replace("{0}", Key, StringComparison.Ordinal));
            exchange.Close();
        });
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0, Key = Key });

        AssertHidden(await Assert.ThrowsAnyAsync<ScoringException>(() => client.ScoreAsync([[1]], Cancel)));
    }

    [Fact]
    public async Task The_password_of_a_proxy_is_not_shown()
    {
        const string text = "proxy http://me:password@proxy/ said 407"; // like the platform's own
        var cause = new HttpRequestException(
            HttpRequestError.ProxyTunnelError, text, inner: null, HttpStatusCode.ProxyAuthenticationRequired);
        using var handler = new StubHandler((_, _) => Task.FromException<HttpResponseMessage>(cause));
        using var client = new ScoringClient(new Uri("https://host/score"), new() { MaxRetries = 0, Handler = handler });

        var error = await Assert.ThrowsAsync<ScoringTransportException>(() => client.ScoreAsync([[1]], Cancel));

        Assert.Equal("POST https://host/score: the proxy refused the tunnel: 407 (1 attempt)", error.Message);
        Assert.DoesNotContain("password", error.ToString(), StringComparison.Ordinal);
    }

    // Proves B21.
    [Fact]
    public void No_text_and_no_public_property_shows_the_key()
    {
        var options = new ScoringClientOptions { Key = Key };
        using var client = new ScoringClient(new Uri("https://host/score?sig=secret"), options);

        Assert.Equal("ScoringClient(https://host/score)", client.ToString());
        Assert.DoesNotContain(Key, ((object)options).ToString(), StringComparison.Ordinal);
        Assert.False(typeof(ScoringClientOptions).GetProperty(nameof(ScoringClientOptions.Key))!.GetMethod!.IsPublic);
        Assert.Empty(typeof(ScoringClient).GetProperties());
    }

    private static string Escaped() => Key.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal);

    private static void AssertHidden(Exception error) => Assert.DoesNotContain(Key, error.ToString(), StringComparison.Ordinal);

    private static async Task<TException> FailAsync<TException>(HttpStatusCode status, string body)
        where TException : ScoringException
    {
        using var handler = new StubHandler(Encoding.UTF8.GetBytes(body), status);
        using var client = new ScoringClient(new Uri("http://127.0.0.1/score"), new() { MaxRetries = 0, Key = Key, Handler = handler });
        var error = await Assert.ThrowsAsync<TException>(() => client.ScoreAsync([[1], [2]], Cancel));
        AssertHidden(error);
        return error;
    }
}
