using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Threading;
using System.Threading.Tasks;
using Xunit;

namespace AzureML.Scoring.Tests;

/// <summary>The examples of README.md, run, and compared with what it shows.</summary>
public sealed class ExampleTests : IDisposable
{
    private readonly TextWriter _before = Console.Out;
    private readonly StringWriter _printed = new(CultureInfo.InvariantCulture) { NewLine = "\n" };

    public ExampleTests() => Console.SetOut(_printed);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        Console.SetOut(_before);
        _printed.Dispose();
    }

    [Fact]
    public async Task Scoring()
    {
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        await using var server = new RawServer(RawServer.Reply(200, "[217.5, 224.75]"));

        await ScoreAsync(server.Uri, "k1", Cancel);

        Assert.Equal("217.5\n224.75\n", _printed.ToString());
        Assert.Equal("Bearer k1", Assert.Single(Assert.Single(server.Requests).Values("Authorization")));
    }

    [Theory]
    [InlineData(200, "[1.5]", 1.0, "")]
    [InlineData(200, "[1.5]", double.NaN, "fix the rows: row 0, column 0 is NaN: JSON has no such number (Parameter 'rows')\n")]
    [InlineData(503, "busy", 1.0, "the service answered 503 busy\n")]
    [InlineData(200, "[]", 1.0, "no predictions: the reply has 0 predictions for 1 rows\n")]
    [InlineData(0, "", 1.0, "no answer, time limit passed: False\n")]
    public async Task Catching(int status, string body, double cell, string printed)
    {
        await using var server = new RawServer(async exchange =>
        {
            await exchange.SendAsync(status == 0 ? "" : RawServer.Reply(status, body));
            exchange.Close();
        });
        using var client = new ScoringClient(server.Uri, new() { MaxRetries = 0 });

        await CatchAsync(client, [[cell]], Cancel);

        Assert.Equal(printed, _printed.ToString());
    }

    [Theory]
    [InlineData("score")]
    [InlineData("errors")]
    public void The_readme_shows_what_was_tested(string name)
    {
        var readme = Between(File.ReadAllText(Path.Combine(Folder(), "..", "README.md")), $"<!-- begin: {name} -->\n", $"<!-- end: {name} -->");
        var tested = Between(File.ReadAllText(Path.Combine(Folder(), "ExampleTests.cs")), $"// [START {name}]\n", $"// [END {name}]");

        var lines = tested.TrimEnd().Split('\n').Select(line => line.Length > 8 ? line[8..] : "");
        Assert.Equal($"```csharp\n{string.Join('\n', lines)}\n```\n", readme);
    }

    private static async Task ScoreAsync(Uri scoringUri, string key, CancellationToken cancellationToken)
    {
        // [START score]
        using var client = new ScoringClient(scoringUri, new() { Key = key });
        double[][] rows =
        [
            [0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635],
            [-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822],
        ];
        foreach (var prediction in await client.ScoreAsync(rows, cancellationToken))
        {
            Console.WriteLine(prediction);
        }
        // [END score]
    }

    private static async Task CatchAsync(ScoringClient client, double[][] rows, CancellationToken cancellationToken)
    {
        // [START errors]
        try
        {
            await client.ScoreAsync(rows, cancellationToken);
        }
        catch (ArgumentException e)
        {
            Console.WriteLine($"fix the rows: {e.Message}");
        }
        catch (ScoringServiceException e)
        {
            Console.WriteLine($"the service answered {e.Status} {e.ServiceMessage}");
        }
        catch (ScoringTransportException e)
        {
            Console.WriteLine($"no answer, time limit passed: {e.TimedOut}");
        }
        catch (ScoringReplyException e)
        {
            Console.WriteLine($"no predictions: {e.Reason}");
        }
        // [END errors]
    }

    private static string Between(string text, string start, string end)
    {
        text = text.ReplaceLineEndings("\n");
        var from = text.IndexOf(start, StringComparison.Ordinal) + start.Length;
        return text[from..text.IndexOf(end, from, StringComparison.Ordinal)];
    }

    private static string Folder([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
