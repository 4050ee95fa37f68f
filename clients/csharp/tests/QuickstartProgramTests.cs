using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>Builds the quickstart once: two builds of one file at the same time are in each other's way.</summary>
public sealed class QuickstartBuild : IAsyncLifetime
{
    private static readonly string[] Unwanted =
    [
        "SCORING_URI", "SCORING_KEY", "SCORING_TIMEOUT", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy",
        "CORECLR_ENABLE_PROFILING", // coverage is of this process
    ];

    /// <summary>The path of what was built: starts faster than `dotnet run`.</summary>
    public string Program { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        // Without the compiler server and the waiting build node that `dotnet run` alone leaves behind.
        var (status, output, error) = await RunAsync(
            ["build", "quickstart.cs", "-p:UseSharedCompilation=false", "-p:TreatWarningsAsErrors=true"],
            new(StringComparer.Ordinal) { ["MSBUILDDISABLENODEREUSE"] = "1", ["DOTNET_TieredPGO"] = "0" }); // the latter pays only for what runs long
        Assert.True(status == 0, output + error);
        Program = output.Split(" -> ")[1].Split('\n')[0].Trim();
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    /// <summary>Runs dotnet in the quickstart's folder, with no other SCORING or proxy variable than these.</summary>
    internal static async Task<(int Status, string Output, string Error)> RunAsync(
        string[] arguments, Dictionary<string, string> environment)
    {
        var start = new ProcessStartInfo("dotnet", arguments)
        {
            WorkingDirectory = Folder(),
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var name in Unwanted)
        {
            start.Environment.Remove(name);
        }

        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync(CancellationToken.None);
        var error = process.StandardError.ReadToEndAsync(CancellationToken.None);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, await output, await error);
    }

    private static string Folder([CallerFilePath] string path = "") => Path.Combine(Path.GetDirectoryName(path)!, "..", "quickstart");
}

/// <summary>The quickstart, as a reader runs it.</summary>
public sealed class QuickstartProgramTests(QuickstartBuild build) : IClassFixture<QuickstartBuild>
{
    private const string Predictions = "[217.67978776218715, 224.78937091757172]";
    private readonly Dictionary<string, string> _environment = new(StringComparer.Ordinal);

    [Fact]
    public async Task It_sends_the_two_rows_and_prints_their_predictions()
    {
        await using var server = new RawServer(RawServer.Reply(200, Predictions.Replace(" ", "", StringComparison.Ordinal)));
        _environment["SCORING_URI"] = $"{server.Uri}?a=%2f";
        _environment["SCORING_KEY"] = "k1";
        _environment["LANG"] = "de_DE.UTF-8";

        var ran = await QuickstartBuild.RunAsync(["run", "--no-build", "quickstart.cs"], _environment);

        Assert.Equal((0, Predictions + Environment.NewLine, ""), ran);
        var request = Assert.Single(server.Requests);
        Assert.Equal("POST /score?a=%2f HTTP/1.1", request.Line);
        Assert.Equal("Bearer k1", Assert.Single(request.Values("Authorization")));
        Assert.Equal("application/json", Assert.Single(request.Values("Content-Type")));
        using var body = JsonDocument.Parse(request.Body);
        var rows = body.RootElement.GetProperty("data");
        Assert.Equal(2, rows.GetArrayLength());
        Assert.Equal(0.0199132141783263, rows[0][0].GetDouble());
        Assert.Equal(0.00720651632920303, rows[1][9].GetDouble());
    }

    [Fact]
    public async Task Without_a_key_it_sends_no_authorization()
    {
        await using var server = new RawServer(RawServer.Reply(200, Predictions));
        _environment["SCORING_URI"] = server.Uri.ToString();

        Assert.Equal((0, Predictions + Environment.NewLine, ""), await RunAsync());

        Assert.Empty(Assert.Single(server.Requests).Values("Authorization"));
    }

    [Theory]
    [InlineData(401, "{\"message\": \"no such key: k1k1\"}", "401: {\"message\": \"no such key: ***\"}")]
    [InlineData(307, "", "307:")]
    [InlineData(200, "{\"error\": \"no model\"}", "the reply is not an array: {\"error\": \"no model\"}")]
    [InlineData(200, "<html>\r\nSign in", "the reply is not JSON")]
    public async Task A_refusal_is_one_line_and_status_1(int status, string body, string line)
    {
        await using var server = new RawServer(RawServer.Reply(status, body, "Location: /elsewhere"));
        _environment["SCORING_URI"] = server.Uri.ToString();
        _environment["SCORING_KEY"] = "k1k1";

        Assert.Equal((1, "", line + Environment.NewLine), await RunAsync());

        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task Nobody_listening_is_one_line_and_status_1()
    {
        var server = new RawServer("");
        _environment["SCORING_URI"] = server.Uri.ToString();
        await server.DisposeAsync();

        var (status, output, error) = await RunAsync();

        Assert.Equal((1, ""), (status, output));
        Assert.StartsWith($"cannot reach {server.Authority}: ", error, StringComparison.Ordinal);
        Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public async Task Silence_is_one_line_and_status_1()
    {
        await using var server = new RawServer(exchange => exchange.WaitForCloseAsync());
        _environment["SCORING_URI"] = server.Uri.ToString();
        _environment["SCORING_TIMEOUT"] = "0.5";

        var expected = $"cannot reach {server.Authority}: no whole reply within 0.5 s{Environment.NewLine}";
        Assert.Equal((1, "", expected), await RunAsync());
    }

    [Theory]
    [InlineData("SCORING_URI", "", "SCORING_URI must be an absolute http or https URI, without user info")]
    [InlineData("SCORING_URI", "/score", "SCORING_URI must be an absolute http or https URI, without user info")]
    [InlineData("SCORING_URI", "https://me:pw@host/score", "SCORING_URI must be an absolute http or https URI, without user info")]
    [InlineData("SCORING_KEY", "k1\n", "SCORING_KEY has a character that cannot be sent in a header at position 2 (a trailing newline?)")]
    [InlineData("SCORING_TIMEOUT", "0", "SCORING_TIMEOUT must be a number of seconds from 0.001 to 86400")]
    [InlineData("SCORING_TIMEOUT", "1,5", "SCORING_TIMEOUT must be a number of seconds from 0.001 to 86400")]
    [InlineData("SCORING_TIMEOUT", "NaN", "SCORING_TIMEOUT must be a number of seconds from 0.001 to 86400")]
    public async Task A_wrong_variable_is_one_line_and_status_2(string name, string value, string line)
    {
        _environment["SCORING_URI"] = "http://127.0.0.1:9/score";
        _environment[name] = value;

        Assert.Equal((2, "", line + Environment.NewLine), await RunAsync());
    }

    private Task<(int Status, string Output, string Error)> RunAsync() => QuickstartBuild.RunAsync([build.Program], _environment);
}
