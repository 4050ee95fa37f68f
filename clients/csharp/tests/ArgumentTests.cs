using System;
using System.Collections.Generic;
using System.Net.Http;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>What is refused before anything is sent: B01, B02, B11, B20, B23.</summary>
public sealed class ArgumentTests
{
    private const string NotAbsolute = "the scoring URI must be an absolute http or https URI";
    private const string NoCharacter = "the scoring URI has a character that no URI can have at position";

    [Theory]
    [InlineData("/score", NotAbsolute)]
    [InlineData("score", NotAbsolute)]
    [InlineData("localhost:5001/score", NotAbsolute)]
    [InlineData("file:///score", NotAbsolute)]
    [InlineData("ftp://host/score", NotAbsolute)]
    [InlineData("http:host/score", NotAbsolute)]
    [InlineData("http://host:0/score", NotAbsolute)]
    [InlineData("http://host/a b", NoCharacter + " 13 (a trailing newline?)")]
    [InlineData("http://host/score\n", NoCharacter + " 17 (a trailing newline?)")]
    [InlineData(" http://host/score", NoCharacter + " 0 (a trailing newline?)")]
    [InlineData("http://host/é", NoCharacter + " 12 (a trailing newline?)")]
    [InlineData("http://hést/score", NoCharacter + " 8 (a trailing newline?)")]
    [InlineData("http://host/a|b", NoCharacter + " 13 (a trailing newline?)")]
    [InlineData("http://[fe80::1%25eth0]/score", NotAbsolute)]
    [InlineData("http://host/%", NotAbsolute)]
    [InlineData("http://host/%4", NotAbsolute)]
    [InlineData("http://host/%zz", NotAbsolute)]
    [InlineData("http://user@host/score", "the scoring URI must not contain user info")]
    [InlineData("https://user:pw@host/score", "the scoring URI must not contain user info")]
    [InlineData("http://@host/score", "the scoring URI must not contain user info")]
    [InlineData("http://host/score#part", "the scoring URI must not contain a fragment")]
    [InlineData("http://host/score#", "the scoring URI must not contain a fragment")]
    [InlineData("http://host/a/../score", "the scoring URI must not contain dot segments")]
    [InlineData("http://host/./score", "the scoring URI must not contain dot segments")]
    [InlineData("http://host/score/..", "the scoring URI must not contain dot segments")]
    [InlineData("http://host/%41", "the scoring URI must not contain needless percent escapes (%41)")]
    [InlineData("http://host/%7Euser", "the scoring URI must not contain needless percent escapes (%7E)")]
    [InlineData("http://host/%2e%2e/score", "the scoring URI must not contain needless percent escapes (%2e)")]
    [InlineData("http://host/score?a=%20%5F", "the scoring URI must not contain needless percent escapes (%5F)")]
    // Proves B01.
    public void A_uri_that_cannot_be_sent_as_it_is_given_is_refused(string uri, string text)
    {
        var error = Assert.Throws<ArgumentException>(() => new ScoringClient(new Uri(uri, UriKind.RelativeOrAbsolute)));

        Assert.Equal($"{text} (Parameter 'scoringUri')", error.Message);
    }

    [Fact]
    public void A_missing_uri_is_refused() => Assert.Throws<ArgumentNullException>("scoringUri", () => new ScoringClient(null!));

    [Theory]
    [InlineData("", "the key is empty")]
    [InlineData("secret\n", "the key has a character that cannot be sent in a header at position 6 (a trailing newline?)")]
    [InlineData("sec ret", "the key has a character that cannot be sent in a header at position 3 (a trailing newline?)")]
    [InlineData("\tsecret", "the key has a character that cannot be sent in a header at position 0 (a trailing newline?)")]
    [InlineData("secret\0", "the key has a character that cannot be sent in a header at position 6 (a trailing newline?)")]
    [InlineData("secret\u007f", "the key has a character that cannot be sent in a header at position 6 (a trailing newline?)")]
    [InlineData("secrét", "the key has a character that cannot be sent in a header at position 4 (a trailing newline?)")]
    [InlineData("secret\r\nX-Injected: 1", "the key has a character that cannot be sent in a header at position 6 (a trailing newline?)")]
    // Proves B02, B20.
    public void A_key_that_cannot_travel_is_refused_without_being_shown(string key, string text)
    {
        var error = Refused(new() { Key = key });

        Assert.Equal($"{text} (Parameter 'options')", error.Message);
        Assert.DoesNotContain("secret", error.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("http://host/score")]
    [InlineData("http://localhost.example/score")]
    [InlineData("http://127.0.0.1.example/score")]
    [InlineData("http://128.0.0.1/score")]
    [InlineData("http://0.0.0.0/score")]
    [InlineData("http://[::2]/score")]
    // Proves B23.
    public void A_key_over_plain_http_needs_permission(string uri)
    {
        var error = Assert.Throws<ArgumentException>(() => new ScoringClient(new Uri(uri), new() { Key = "secret" }));

        Assert.Equal(
            "a key over plain http to a host that is not loopback: use https, or AllowInsecureHttp if the network is trusted"
            + " (Parameter 'options')",
            error.Message);
        Make(uri, new() { Key = "secret", AllowInsecureHttp = true });
        Make(uri, new());
    }

    [Theory]
    [InlineData("https://host/score")]
    [InlineData("http://localhost/score")]
    [InlineData("http://LOCALHOST:80/score")]
    [InlineData("http://127.0.0.1:5001/score")]
    [InlineData("http://127.1.2.3/score")]
    [InlineData("http://[::1]:5001/score")]
    // Proves B23.
    public void A_key_may_go_to_https_and_to_loopback(string uri) => Make(uri, new() { Key = "secret" });

    public static IEnumerable<TheoryDataRow<TimeSpan>> BadTimes() =>
    [
        new(TimeSpan.Zero),
        new(TimeSpan.FromTicks(-1)),
        new(System.Threading.Timeout.InfiniteTimeSpan),
        new(TimeSpan.FromDays(25)),
        new(TimeSpan.MaxValue),
    ];

    // Proves B02.
    [Theory]
    [MemberData(nameof(BadTimes))]
    public void A_time_that_makes_no_sense_is_refused(TimeSpan time)
    {
        AssertName(nameof(ScoringClientOptions.Timeout), new() { Timeout = time });
        AssertName(nameof(ScoringClientOptions.AttemptTimeout), new() { AttemptTimeout = time });
        AssertName(nameof(ScoringClientOptions.ConnectTimeout), new() { ConnectTimeout = time });
        AssertName(nameof(ScoringClientOptions.BaseDelay), new() { BaseDelay = time });
        AssertName(nameof(ScoringClientOptions.MaxDelay), new() { MaxDelay = time });

        static void AssertName(string name, ScoringClientOptions options) =>
            Assert.Equal($"options.{name}", Assert.Throws<ArgumentOutOfRangeException>(() => Make(options)).ParamName);
    }

    // Proves B02.
    [Fact]
    public void A_negative_number_of_retries_is_refused() =>
        Assert.Equal("options.MaxRetries", Assert.Throws<ArgumentOutOfRangeException>(() => Make(new() { MaxRetries = -1 })).ParamName);

    // Proves B02.
    [Theory]
    [InlineData(399)]
    [InlineData(600)]
    [InlineData(200)]
    public void A_status_that_is_no_error_is_not_to_be_repeated(int status) =>
        Assert.Equal(
            $"RetryStatuses: {status} is not between 400 and 599 (Parameter 'options')",
            Refused(new() { RetryStatuses = [503, status] }).Message);

    // Proves B02.
    [Fact]
    public void Statuses_may_be_none_and_any_error_but_not_null()
    {
        Make(new() { RetryStatuses = [] });
        Make(new() { RetryStatuses = [400, 599] });
        Assert.Throws<ArgumentNullException>("options", () => Make(new() { RetryStatuses = null! }));
    }

    // Proves B02.
    [Theory]
    [InlineData("", "the deployment is empty")]
    [InlineData("blu\r\nX: 1", "the deployment has a character that cannot be sent in a header at position 3")]
    [InlineData("a b", "the deployment has a character that cannot be sent in a header at position 1")]
    public void A_deployment_that_cannot_travel_is_refused(string deployment, string text) =>
        Assert.Equal($"{text} (Parameter 'options')", Refused(new() { Deployment = deployment }).Message);

    // Proves B02.
    [Fact]
    public void A_key_and_a_token_provider_exclude_each_other() =>
        Assert.Equal(
            "Key and TokenProvider exclude each other (Parameter 'options')",
            Refused(new() { Key = "k1", TokenProvider = _ => new(new AccessToken("t1")) }).Message);

    // Proves B23.
    [Fact]
    public void A_token_provider_over_plain_http_needs_permission()
    {
        var provider = new Func<System.Threading.CancellationToken, ValueTask<AccessToken>>(_ => new(new AccessToken("t1")));

        Assert.Throws<ArgumentException>(() => Make("http://host/score", new() { TokenProvider = provider }));
        Make("http://host/score", new() { TokenProvider = provider, AllowInsecureHttp = true });
    }

    [Theory]
    [InlineData("https://proxy:8080")]
    [InlineData("http://proxy")]
    [InlineData("http://me:secret@proxy:8080")]
    [InlineData("http://proxy:8080/path")]
    [InlineData("http://proxy:8080?query")]
    [InlineData("http://proxy:8080#part")]
    [InlineData("socks5://proxy:1080")]
    [InlineData("/proxy")]
    // Proves B02.
    public void A_proxy_is_a_host_and_a_port(string proxy)
    {
        var error = Refused(new() { Proxy = new Uri(proxy, UriKind.RelativeOrAbsolute) });

        Assert.Equal("the proxy must be http://host:port (Parameter 'options')", error.Message);
    }

    // Proves B02.
    [Theory]
    [InlineData("http://proxy:8080")]
    [InlineData("http://proxy:80/")]
    [InlineData("http://[::1]:3128")]
    public void A_proxy_may_be_given(string proxy) => Make(new() { Proxy = new Uri(proxy) });

    [Theory]
    [InlineData("")]
    [InlineData("no certificate\n")]
    [InlineData("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
    [InlineData("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n")]
    // Proves B02.
    public void A_ca_file_without_a_certificate_is_refused(string text)
    {
        var file = System.IO.Path.GetTempFileName();
        try
        {
            System.IO.File.WriteAllText(file, text);
            Assert.StartsWith("the CA file ", Refused(new() { CaFile = file }).Message, StringComparison.Ordinal);
        }
        finally
        {
            System.IO.File.Delete(file);
        }
    }

    // Proves B02.
    [Theory]
    [InlineData("")]
    [InlineData("/no/such/file.pem")]
    [InlineData("/")]
    public void A_ca_file_that_cannot_be_read_is_refused(string file) =>
        Assert.StartsWith("the CA file cannot be read: ", Refused(new() { CaFile = file }).Message, StringComparison.Ordinal);

    // Proves B02.
    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(int.MaxValue)]
    public void A_size_that_makes_no_sense_is_refused(int size)
    {
        var error = Assert.Throws<ArgumentOutOfRangeException>(() => Make(new() { MaxReplyBytes = size }));

        Assert.Equal("options.MaxReplyBytes", error.ParamName);
    }

    [Fact]
    public void The_largest_values_are_accepted() => Make(new()
    {
        Timeout = TimeSpan.FromMilliseconds(int.MaxValue),
        ConnectTimeout = TimeSpan.FromMilliseconds(int.MaxValue),
        MaxReplyBytes = Array.MaxLength - 1,
    });

    // Proves B02.
    [Fact]
    public void Settings_of_the_network_beside_a_handler_are_refused()
    {
        using var handler = new StubHandler([]);

        AssertName("ConnectTimeout", new() { Handler = handler, ConnectTimeout = TimeSpan.FromSeconds(5) });
        AssertName("CaFile", new() { Handler = handler, CaFile = "ca.pem" });
        AssertName("Proxy", new() { Handler = handler, Proxy = new Uri("http://proxy:8080") });

        static void AssertName(string name, ScoringClientOptions options) => Assert.Equal(
            $"{name} has no effect with Handler: set it there (Parameter 'options')", Refused(options).Message);
    }

    [Fact]
    public void A_missing_clock_is_refused() =>
        Assert.Throws<ArgumentNullException>("options", () => Make(new() { TimeProvider = null! }));

    // Proves B11.
    [Theory]
    [InlineData(double.NaN, "NaN")]
    [InlineData(double.PositiveInfinity, "Infinity")]
    [InlineData(double.NegativeInfinity, "Infinity")]
    public async Task A_cell_that_json_cannot_say_is_refused_with_its_place(double cell, string name)
    {
        using var handler = new StubHandler([]);
        using var client = new ScoringClient(new Uri("http://host/score"), new() { Handler = handler });
        double[][] rows = [[1, 2], [], [1, 2, 3, cell]];

        var error = await Assert.ThrowsAsync<ArgumentException>(() => client.ScoreAsync(rows, TestContext.Current.CancellationToken));

        Assert.Equal($"row 2, column 3 is {name}: JSON has no such number (Parameter 'rows')", error.Message);
        Assert.Equal(0, handler.RequestCount);
    }

    [Fact]
    public async Task Missing_rows_are_refused_by_the_call_itself()
    {
        using var client = new ScoringClient(new Uri("http://host/score"));

        Assert.Throws<ArgumentNullException>("rows", () => { _ = client.ScoreAsync(null!, TestContext.Current.CancellationToken); });
        var error = await Assert.ThrowsAsync<ArgumentException>(
            () => client.ScoreAsync([[1.5], null!], TestContext.Current.CancellationToken));
        Assert.Equal("row 1 is null (Parameter 'rows')", error.Message);
    }

    private static ArgumentException Refused(ScoringClientOptions options) => Assert.Throws<ArgumentException>(() => Make(options));

    private static void Make(ScoringClientOptions options) => Make("https://host/score", options);

    private static void Make(string uri, ScoringClientOptions options)
    {
        using var client = new ScoringClient(new Uri(uri), options);
        Assert.Contains(uri, client.ToString(), StringComparison.Ordinal);
    }
}
