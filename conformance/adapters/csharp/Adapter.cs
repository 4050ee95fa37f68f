// Lets the conformance suite use the C# client, as ../../PROTOCOL.md says: one JSON object a line, in and out.

using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using AzureML.Scoring;

var utf8 = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
using var requests = new StreamReader(Console.OpenStandardInput(), utf8);
using var replies = new StreamWriter(Console.OpenStandardOutput(), utf8) { AutoFlush = true, NewLine = "\n" };
using var writing = new SemaphoreSlim(1);
var calls = new List<Task>();

while (await requests.ReadLineAsync() is string line)
{
    var request = JsonNode.Parse(line)!.AsObject();
    calls.RemoveAll(call => call.IsCompletedSuccessfully);
    calls.Add(Task.Run(async () =>
    {
        var reply = await AnswerAsync(request);
        reply["id"] = (string)request["id"]!;
        await writing.WaitAsync();
        try
        {
            await replies.WriteLineAsync(reply.ToJsonString());
        }
        finally
        {
            writing.Release();
        }
    }));
}

await Task.WhenAll(calls);

static async Task<JsonObject> AnswerAsync(JsonObject request)
{
    switch ((string)request["op"]!)
    {
        case "hello":
            return new JsonObject
            {
                ["ok"] = new JsonObject
                {
                    ["protocol"] = 1,
                    ["level"] = 1,
                    ["client"] = new JsonObject
                    {
                        ["name"] = "csharp",
                        ["language"] = "C#",
                        ["language_version"] = Environment.Version.ToString(),
                        ["http_library"] = "System.Net.Http",
                    },
                    ["capabilities"] = new JsonArray(),
                    ["max_in_flight"] = 16,
                },
            };
        case "score":
            try
            {
                var predictions = await ScoreAsync(request);
                return new JsonObject { ["ok"] = new JsonObject { ["predictions"] = new JsonArray([.. predictions.Select(ToBits)]) } };
            }
            catch (Exception error)
            {
                return new JsonObject { ["error"] = Describe(error) };
            }
        case var op:
            return new JsonObject { ["unsupported"] = op };
    }
}

static async Task<double[]> ScoreAsync(JsonObject request)
{
    var rows = request["rows"]!.AsArray().Select(row => row!.AsArray().Select(FromBits).ToArray()).ToArray();
    using var client = new ScoringClient(new Uri((string)request["scoring_uri"]!), new() { Key = (string?)request["key"] });
    return await client.ScoreAsync(rows);
}

static JsonObject Describe(Exception error)
{
    var kind = error switch
    {
        ArgumentException or UriFormatException => "argument",
        OperationCanceledException => "cancelled",
        ScoringServiceException => "service",
        ScoringTransportException => "transport",
        ScoringReplyException => "reply",
        _ => "unexpected",
    };
    var described = new JsonObject { ["kind"] = kind, ["text"] = error.Message };
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
            break;
        case ScoringTransportException transport:
            described["timed_out"] = transport.TimedOut;
            break;
    }

    return described;
}

static double FromBits(JsonNode? cell) =>
    BitConverter.UInt64BitsToDouble(ulong.Parse((string)cell!, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture));

static JsonNode? ToBits(double number) => BitConverter.DoubleToUInt64Bits(number).ToString("x16", CultureInfo.InvariantCulture);
