// Measures calls of the client, or of the bare HTTP stack as the quickstart uses it. Prints one JSON line.
//
//     dotnet Bench.dll --mode bare|client --uri URI --calls N --warmup W --concurrency K --rows R
//
// The key comes from SCORING_KEY. Not part of what is copied.
using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json;
using AzureML.Scoring;

try
{
    var options = args.Chunk(2).ToDictionary(pair => pair[0], pair => pair[1], StringComparer.Ordinal);
    int Number(string name) => int.Parse(options[name], CultureInfo.InvariantCulture);
    var uri = new Uri(options["--uri"]);
    var key = Environment.GetEnvironmentVariable("SCORING_KEY") is { Length: > 0 } value ? value : null;
    var random = new Random(1);
    double[][] rows = [.. Enumerable.Range(0, Number("--rows")).Select(_ => Enumerable.Range(0, 10).Select(_ => random.NextDouble()).ToArray())];
    using var stack = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false }) { Timeout = TimeSpan.FromSeconds(100) };
    using var client = new ScoringClient(uri, new() { Key = key });
    Func<Task<double[]>> call = options["--mode"] switch
    {
        "bare" => () => BareAsync(stack, uri, key, rows),
        "client" => () => client.ScoreAsync(rows),
        _ => throw new ArgumentException("--mode must be bare or client"),
    };

    await RunAsync(call, rows.Length, new long[Number("--warmup")], Number("--concurrency"));
    var times = new long[Number("--calls")];
    using var process = Process.GetCurrentProcess();
    var cpu = process.TotalProcessorTime;
    var start = Stopwatch.GetTimestamp();
    await RunAsync(call, rows.Length, times, Number("--concurrency"));
    var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
    process.Refresh();
    cpu = process.TotalProcessorTime - cpu;
    Array.Sort(times);
    double Microseconds(double share) => times[(int)((times.Length - 1) * share)] * 1e6 / Stopwatch.Frequency;
    Console.WriteLine(FormattableString.Invariant(
        $$"""{"calls":{{times.Length}},"seconds":{{seconds}},"cpu_seconds":{{cpu.TotalSeconds}},"p50_us":{{Microseconds(0.5)}},"p99_us":{{Microseconds(0.99)}},"peak_rss_bytes":{{PeakBytes()}}}"""));
    return 0;
}
catch (Exception error)
{
    Console.Error.WriteLine(error.Message.ReplaceLineEndings(" "));
    return 1;
}

// The quickstart's call: one shared pool of connections, one time limit, the same JSON.
static async Task<double[]> BareAsync(HttpClient stack, Uri uri, string? key, double[][] rows)
{
    using var body = new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(new { data = rows }));
    body.Headers.ContentType = new MediaTypeHeaderValue("application/json");
    using var request = new HttpRequestMessage(HttpMethod.Post, uri) { Content = body };
    if (key is not null)
    {
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", key);
    }

    using var response = await stack.SendAsync(request);
    response.EnsureSuccessStatusCode();
    return JsonSerializer.Deserialize<double[]>(await response.Content.ReadAsByteArrayAsync())!;
}

// Shares the calls among so many tasks; each writes the time of its calls.
static Task RunAsync(Func<Task<double[]>> call, int rowCount, long[] times, int concurrency)
{
    var next = -1;
    return Task.WhenAll(Enumerable.Range(0, concurrency).Select(_ => Task.Run(async () =>
    {
        for (int index; (index = Interlocked.Increment(ref next)) < times.Length;)
        {
            var start = Stopwatch.GetTimestamp();
            var predictions = await call();
            times[index] = Stopwatch.GetTimestamp() - start;
            if (predictions.Length != rowCount)
            {
                throw new InvalidDataException($"{predictions.Length} predictions for {rowCount} rows");
            }
        }
    })));
}

static long PeakBytes()
{
    var line = File.ReadLines("/proc/self/status").Single(line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
    return long.Parse(line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024;
}
