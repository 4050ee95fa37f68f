using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>Builds the example once, beside what a reader may have built.</summary>
public sealed class ExampleBuild : IAsyncLifetime
{
    private readonly string _output = Directory.CreateTempSubdirectory("example-").FullName;

    internal string Program => Path.Combine(_output, "bin", "Example.dll");

    internal static string Image => Path.Combine(Folder(), "..", "..", "test-vectors", "digit.pgm");

    public async ValueTask InitializeAsync()
    {
        using var build = Start(
            ["build", Path.Combine(Folder(), "..", "example"), "--nologo", "-nodeReuse:false", "-property:UseSharedCompilation=false",
                "--output", Path.Combine(_output, "bin"), $"-property:BaseIntermediateOutputPath={_output}/obj/"],
            new(StringComparer.Ordinal) { ["DOTNET_TieredPGO"] = "0" }); // a compiler that runs once does not pay for it
        var output = await build.StandardOutput.ReadToEndAsync(CancellationToken.None);
        await build.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(build.ExitCode == 0, output);
    }

    public ValueTask DisposeAsync()
    {
        Directory.Delete(_output, recursive: true);
        return ValueTask.CompletedTask;
    }

    internal static Process Start(string[] arguments, Dictionary<string, string> environment)
    {
        // A shell that runs us in the background has SIGINT ignored, and every child inherits that.
        string[] command = OperatingSystem.IsLinux() ? ["env", "--default-signal=INT", "dotnet"] : ["dotnet"];
        var start = new ProcessStartInfo(command[0], [.. command[1..], .. arguments]) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in environment.Append(new("CORECLR_ENABLE_PROFILING", "0"))) // coverage is of this process
        {
            start.Environment[name] = value;
        }

        return Process.Start(start)!;
    }

    private static string Folder([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}

/// <summary>The example, as a reader runs it.</summary>
public sealed class ExampleProgramTests(ExampleBuild build) : IClassFixture<ExampleBuild>, IDisposable
{
    private readonly string _tokenFile = Path.GetTempFileName();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => File.Delete(_tokenFile);

    [Fact]
    public async Task It_sends_the_picture_with_the_token_of_the_file_and_tells_of_a_retry()
    {
        await File.WriteAllTextAsync(_tokenFile, "t1\n", Cancel);
        var count = 0;
        await using var server = new RawServer(exchange => exchange.SendAsync(
            ++count == 1 ? RawServer.Reply(503, "busy") : RawServer.Reply(200, "{\"digit\":\n7}")));

        var (status, output, error) = await EndAsync(Start(server.Uri));

        Assert.Equal((0, "{\"digit\": 7}" + Environment.NewLine), (status, output));
        Assert.Matches(@"\Awarning: attempt 1: 503: busy; the next one in [01]\.\d s\s+\z", error);
        Assert.All(server.Requests, request =>
        {
            Assert.Equal(File.ReadAllBytes(ExampleBuild.Image), request.Body);
            Assert.Equal(["image/x-portable-graymap"], request.Values("Content-Type"));
            Assert.Equal(["Bearer t1"], request.Values("Authorization"));
        });
    }

    [Fact]
    public async Task An_interrupt_cancels_the_call()
    {
        await File.WriteAllTextAsync(_tokenFile, "t1\n", Cancel);
        await using var server = new RawServer(exchange => exchange.WaitForCloseAsync());
        using var process = Start(server.Uri);
        await server.NextAsync(Cancel);

        using var kill = Process.Start("kill", ["-INT", process.Id.ToString(CultureInfo.InvariantCulture)]);

        Assert.Equal((130, "", "cancelled" + Environment.NewLine), await EndAsync(process));
    }

    [Theory]
    [InlineData("SCORING_URI", "", 2, "SCORING_URI is not set")]
    [InlineData("SCORING_URI", "/score", 2, "the scoring URI must be an absolute http or https URI (Parameter 'scoringUri')")]
    [InlineData("SCORING_CA_FILE", "/no/such/file", 2, "the CA file cannot be read: ")]
    [InlineData("SCORING_TOKEN_FILE", "/no/such/file", 1, "no token: Could not find ")]
    [InlineData("SCORING_TIMEOUT", "soon", 2, "SCORING_TIMEOUT must be a number of seconds from 0.001 to 86400")]
    public async Task What_is_wrong_is_one_line(string name, string value, int expected, string line)
    {
        var (status, output, error) = await EndAsync(Start(new Uri("http://127.0.0.1:9/score"), (name, value)));

        Assert.Equal((expected, ""), (status, output));
        Assert.StartsWith(line, error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd().Split('\n'));
    }

    private Process Start(Uri uri, params (string Name, string Value)[] others)
    {
        var environment = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["SCORING_URI"] = uri.ToString(),
            ["SCORING_TOKEN_FILE"] = _tokenFile,
            ["SCORING_CA_FILE"] = "",
            ["SCORING_TIMEOUT"] = "",
        };
        foreach (var (name, value) in others)
        {
            environment[name] = value;
        }

        return ExampleBuild.Start([build.Program, ExampleBuild.Image], environment);
    }

    private static async Task<(int Status, string Output, string Error)> EndAsync(Process process)
    {
        using (process)
        {
            var output = process.StandardOutput.ReadToEndAsync(Cancel);
            var error = process.StandardError.ReadToEndAsync(Cancel);
            await process.WaitForExitAsync(Cancel);
            return (process.ExitCode, await output, await error);
        }
    }
}
