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

    [Theory]
    [InlineData("/score", NotAbsolute)]
    [InlineData("score", NotAbsolute)]
    [InlineData("localhost:5001/score", NotAbsolute)]
    [InlineData("file:///score", NotAbsolute)]
    [InlineData("ftp://host/score", NotAbsolute)]
    [InlineData("http:host/score", NotAbsolute)]
    [InlineData("http://host:0/score", NotAbsolute)]
    [InlineData("http://host/a b", NotAbsolute)]
    [InlineData("http://host/score\n", NotAbsolute)]
    [InlineData(" http://host/score", NotAbsolute)]
    [InlineData("http://host/é", NotAbsolute)]
    [InlineData("http://hést/score", NotAbsolute)]
    [InlineData("http://host/a|b", NotAbsolute)]
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
    public void A_key_may_go_to_https_and_to_loopback(string uri) => Make(uri, new() { Key = "secret" });

    public static IEnumerable<TheoryDataRow<TimeSpan>> BadTimes() =>
    [
        new(TimeSpan.Zero),
        new(TimeSpan.FromTicks(-1)),
        new(System.Threading.Timeout.InfiniteTimeSpan),
        new(TimeSpan.FromDays(25)),
        new(TimeSpan.MaxValue),
    ];

    [Theory]
    [MemberData(nameof(BadTimes))]
    public void A_time_that_makes_no_sense_is_refused(TimeSpan time)
    {
        Assert.Equal("options.Timeout", Assert.Throws<ArgumentOutOfRangeException>(() => Make(new() { Timeout = time })).ParamName);
        Assert.Equal(
            "options.ConnectTimeout",
            Assert.Throws<ArgumentOutOfRangeException>(() => Make(new() { ConnectTimeout = time })).ParamName);
    }

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

    [Fact]
    public void A_connect_timeout_beside_a_handler_is_refused()
    {
        using var handler = new StubHandler([]);

        var error = Refused(new() { Handler = handler, ConnectTimeout = TimeSpan.FromSeconds(5) });

        Assert.StartsWith("ConnectTimeout has no effect with Handler: set it there", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_clock_is_refused() =>
        Assert.Throws<ArgumentNullException>("options", () => Make(new() { TimeProvider = null! }));

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
