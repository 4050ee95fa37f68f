#:property PublishAot=false
// Sends two rows to a scoring service and prints its predictions: dotnet run quickstart.cs (.NET 10).
//
// Environment: SCORING_URI; SCORING_KEY, if the service wants a key or a token; SCORING_TIMEOUT in seconds, 60 if unset.
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;

double[][] rows =
[
    [0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635, -0.0359677812752396,
     -0.0266789028311707, -0.0249926566315915, -0.00259226199818282, 0.00371173823343597, 0.0403433716478807],
    [-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822, 0.0479653430750293,
     0.0293746718291555, -0.0176293810234174, 0.0343088588777263, 0.0702112981933102, 0.00720651632920303],
];

var key = Environment.GetEnvironmentVariable("SCORING_KEY") ?? "";
if (!Uri.TryCreate(Environment.GetEnvironmentVariable("SCORING_URI"), UriKind.Absolute, out var uri)
    || uri.Scheme is not ("http" or "https") || uri.UserInfo != "")
    return Fail(2, "SCORING_URI must be an absolute http or https URI, without user info");
if (key.AsSpan().IndexOfAnyExceptInRange('!', '~') is >= 0 and var position)
    return Fail(2, $"SCORING_KEY has a character that cannot be sent in a header at position {position} (a trailing newline?)");
var timeout = Environment.GetEnvironmentVariable("SCORING_TIMEOUT") ?? "60";
if (!double.TryParse(timeout, NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds) || seconds is not (>= 0.001 and <= 86400))
    return Fail(2, "SCORING_TIMEOUT must be a number of seconds from 0.001 to 86400");

using var handler = new HttpClientHandler { AllowAutoRedirect = false }; // the key stays with its host
using var client = new HttpClient(handler) { Timeout = TimeSpan.FromSeconds(seconds) }; // of the whole call
if (key != "")
    client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
using var body = new StringContent(JsonSerializer.Serialize(new { data = rows }), new MediaTypeHeaderValue("application/json"));
try
{
    using var response = await client.PostAsync(uri, body);
    var reply = await response.Content.ReadAsByteArrayAsync();
    if (!response.IsSuccessStatusCode)
        return Fail(1, $"{(int)response.StatusCode}: {Encoding.UTF8.GetString(reply)}");
    var predictions = JsonElement.Parse(reply);
    if (predictions.ValueKind != JsonValueKind.Array)
        return Fail(1, $"the reply is not an array: {predictions.GetRawText()}");
    Console.WriteLine($"[{string.Join(", ", predictions.EnumerateArray().Select(prediction => prediction.GetRawText()))}]");
    return 0;
}
catch (TaskCanceledException)
{
    return Fail(1, $"cannot reach {uri.Authority}: no whole reply within {timeout} s");
}
catch (HttpRequestException error)
{
    return Fail(1, $"cannot reach {uri.Authority}: {error.GetBaseException().Message}");
}
catch (JsonException)
{
    return Fail(1, "the reply is not JSON");
}

// Writes one line, in which the key does not appear.
int Fail(int code, string text)
{
    text = string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
    text = key == "" ? text : text.Replace(key, "***");
    Console.Error.WriteLine(text.Length > 500 ? text[..500] : text);
    return code;
}
