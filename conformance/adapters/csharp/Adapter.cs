// Lets the conformance suite use the C# client, as ../../PROTOCOL.md says: one JSON object a line, in and out.

using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using AzureML.Scoring;

var utf8 = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
using var requests = new StreamReader(Console.OpenStandardInput(), utf8);
using var replies = new StreamWriter(Console.OpenStandardOutput(), utf8) { AutoFlush = true, NewLine = "\n" };
var suite = new Suite(replies);
var clients = new ConcurrentDictionary<string, ScoringClient>();
var calls = new ConcurrentDictionary<string, CancellationTokenSource>();
var underWay = new List<Task>();

while (await requests.ReadLineAsync() is string line)
{
    var request = JsonNode.Parse(line)!.AsObject();
    var id = (string)request["id"]!;
    if (request["answer"] is JsonObject answer)
    {
        suite.TakeAnswer(id, answer);
        continue;
    }

    var call = calls[id] = new CancellationTokenSource(); // here, so that the next line may cancel it
    underWay.RemoveAll(task => task.IsCompletedSuccessfully);
    underWay.Add(Task.Run(async () =>
    {
        var reply = await AnswerAsync(request, call);
        calls.TryRemove(id, out _);
        reply["id"] = id;
        suite.Write(reply);
    }));
}

await Task.WhenAll(underWay);

async Task<JsonObject> AnswerAsync(JsonObject request, CancellationTokenSource call)
{
    var op = (string)request["op"]!;
    try
    {
        return await ServeAsync(op, request, call) is JsonObject ok ? new() { ["ok"] = ok } : new() { ["unsupported"] = op };
    }
    catch (Exception error)
    {
        return new() { ["error"] = Describe(error) };
    }
}

async Task<JsonObject?> ServeAsync(string op, JsonObject request, CancellationTokenSource call)
{
    if (request["timeout"] is JsonNode limit)
    {
        call.CancelAfter(Seconds(limit)!.Value);
    }

    var client = request["client"] is JsonNode name && op != "open" ? clients[(string)name!] : null;
    switch (op)
    {
        case "hello":
            return Hello();
        case "score" when client is null:
            using (var once = new ScoringClient(new Uri((string)request["scoring_uri"]!), new() { Key = (string?)request["key"] }))
            {
                return new() { ["predictions"] = ToBits(await once.ScoreAsync(Rows(request))) };
            }

        case "open":
            clients[(string)request["client"]!] = Open(request, request["options"]?.AsObject() ?? []);
            return [];
        case "score":
            return new() { ["predictions"] = ToBits(await client!.ScoreAsync(Rows(request), call.Token)) };
        case "score_json":
            return new() { ["json"] = (await client!.ScoreJsonAsync((string)request["json"]!, call.Token)).GetRawText() };
        case "score_bytes":
            var body = Convert.FromBase64String((string)request["body"]!);
            var reply = request["content_type"] is JsonNode type
                ? await client!.ScoreBytesAsync(body, (string)type!, call.Token)
                : await client!.ScoreBytesAsync(body, cancellationToken: call.Token);
            return new() { ["body"] = Convert.ToBase64String(reply) };
        case "swagger":
            return new() { ["json"] = (await client!.GetSwaggerAsync(call.Token)).GetRawText() };
        case "health":
            return new() { ["healthy"] = await client!.IsHealthyAsync(call.Token) };
        case "cancel":
            if (calls.TryGetValue((string)request["call"]!, out var other))
            {
                await other.CancelAsync();
            }

            return [];
        case "close":
            client!.Dispose(); // and it stays known, for calls that come too late
            return [];
        default:
            return null;
    }
}

static JsonObject Hello() => new()
{
    ["protocol"] = 1,
    ["level"] = 2,
    ["client"] = new JsonObject
    {
        ["name"] = "csharp",
        ["language"] = "C#",
        ["language_version"] = Environment.Version.ToString(),
        ["http_library"] = "System.Net.Http",
    },
    ["capabilities"] = new JsonArray("token_provider", "on_retry", "ca_file", "proxy", "cancel", "close"),
    ["max_in_flight"] = 64,
};

ScoringClient Open(JsonObject request, JsonObject options)
{
    var client = (string)request["client"]!;
    var own = new ScoringClientOptions();
    return new ScoringClient(
        new Uri((string)request["scoring_uri"]!),
        new()
        {
            Key = (string?)options["key"],
            TokenProvider = options["token_provider"] is null ? null : cancellation => suite.AskTokenAsync(client, cancellation),
            Timeout = Seconds(options["timeout"]) ?? own.Timeout,
            AttemptTimeout = Seconds(options["attempt_timeout"]) ?? own.AttemptTimeout,
            ConnectTimeout = Seconds(options["connect_timeout"]) ?? own.ConnectTimeout,
            MaxRetries = (int?)options["max_retries"] ?? own.MaxRetries,
            BaseDelay = Seconds(options["base_delay"]) ?? own.BaseDelay,
            MaxDelay = Seconds(options["max_delay"]) ?? own.MaxDelay,
            RetryStatuses = options["retry_statuses"]?.AsArray().Select(status => (int)status!).ToArray() ?? own.RetryStatuses,
            MaxReplyBytes = (int?)options["max_reply_bytes"] ?? own.MaxReplyBytes,
            Deployment = (string?)options["deployment"],
            CaFile = (string?)options["ca_file"],
            Proxy = options["proxy"] is JsonNode proxy ? new Uri((string)proxy!) : null,
            AllowInsecureHttp = (bool?)options["allow_insecure_http"] ?? own.AllowInsecureHttp,
            OnRetry = (string?)options["on_retry"] is string what ? retry => suite.Tell(client, retry, thenThrow: what == "throw") : null,
        });
}

static JsonObject Describe(Exception error)
{
    var described = new JsonObject
    {
        ["kind"] = error switch
        {
            ProviderException => "provider",
            HookException => "hook",
            ObjectDisposedException => "closed",
            ArgumentException or UriFormatException => "argument",
            OperationCanceledException => "cancelled",
            ScoringServiceException => "service",
            ScoringTransportException => "transport",
            ScoringReplyException => "reply",
            _ => "unexpected",
        },
        ["text"] = error.Message,
    };
    if (error is ScoringException failed)
    {
        described["attempts"] = failed.Attempts;
    }

    switch (error)
    {
        case ScoringServiceException service:
            described["status"] = service.Status;
            described["message"] = service.ServiceMessage;
            described["body"] = Convert.ToBase64String(service.Body.Span);
            described["request_id"] = service.RequestId;
            described["client_request_id"] = service.ClientRequestId;
            described["retry_after"] = service.RetryAfter?.TotalSeconds;
            described["model_status"] = service.ModelStatus;
            described["model_reason"] = service.ModelReason;
            described["run_function_failed"] = service.RunFunctionFailed;
            break;
        case ScoringTransportException transport:
            described["timed_out"] = transport.TimedOut;
            break;
    }

    return described;
}

static TimeSpan? Seconds(JsonNode? seconds) => seconds is null ? null : TimeSpan.FromSeconds((double)seconds);

static double[][] Rows(JsonObject request) =>
    [.. request["rows"]!.AsArray().Select(row => row!.AsArray().Select(FromBits).ToArray())];

static double FromBits(JsonNode? cell) =>
    BitConverter.UInt64BitsToDouble(ulong.Parse((string)cell!, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture));

static JsonArray ToBits(double[] numbers) =>
    [.. numbers.Select(number => JsonValue.Create(BitConverter.DoubleToUInt64Bits(number).ToString("x16", CultureInfo.InvariantCulture)))];

/// <summary>The other end of the two streams.</summary>
internal sealed class Suite(StreamWriter replies)
{
    private readonly ConcurrentDictionary<string, TaskCompletionSource<JsonObject>> _questions = new();
    private readonly Lock _writing = new();

    public void Write(JsonObject message)
    {
        var line = message.ToJsonString();
        lock (_writing)
        {
            replies.WriteLine(line);
        }
    }

    public async ValueTask<AccessToken> AskTokenAsync(string client, CancellationToken cancellationToken)
    {
        var id = Guid.NewGuid().ToString();
        var question = _questions[id] = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Write(new() { ["id"] = id, ["ask"] = "token", ["client"] = client });
        var answer = await question.Task.WaitAsync(cancellationToken);
        if (answer["error"] is JsonNode text)
        {
            throw new ProviderException((string)text!);
        }

        var refreshBy = (double?)answer["refresh_by"];
        return new AccessToken((string)answer["token"]!, refreshBy is null ? null : DateTimeOffset.UnixEpoch.AddSeconds(refreshBy.Value));
    }

    public void TakeAnswer(string id, JsonObject answer)
    {
        if (_questions.TryRemove(id, out var question))
        {
            question.SetResult(answer);
        }
    }

    public void Tell(string client, ScoringRetry retry, bool thenThrow)
    {
        Write(new()
        {
            ["id"] = Guid.NewGuid().ToString(),
            ["tell"] = "retry",
            ["client"] = client,
            ["attempt"] = retry.Attempt,
            ["wait"] = retry.Wait.TotalSeconds,
            ["reason"] = retry.Reason,
        });
        if (thenThrow)
        {
            throw new HookException("the hook failed");
        }
    }
}

internal sealed class ProviderException(string text) : Exception(text);

internal sealed class HookException(string text) : Exception(text);
