// Sends a picture to a scoring service, with a token that something else keeps fresh.
//
//     SCORING_URI=https://... SCORING_TOKEN_FILE=/run/secrets/token dotnet run --project example digit.pgm
//
// SCORING_CA_FILE names a file of certificates to trust, SCORING_TIMEOUT is in seconds; both may be unset. Waits between attempts
// are logged. Ctrl-C cancels the call.
using System.Globalization;
using System.Text;
using System.Text.Json;
using AzureML.Scoring;

using var interrupt = new CancellationTokenSource();
Console.CancelKeyPress += (_, key) =>
{
    key.Cancel = true; // end by ourselves
    interrupt.Cancel();
};

if (args is not [var imageFile])
    return Stop(2, "usage: dotnet run --project example IMAGE");
var uri = Variable("SCORING_URI");
var tokenFile = Variable("SCORING_TOKEN_FILE");
if (uri is null || tokenFile is null)
    return Stop(2, $"{(uri is null ? "SCORING_URI" : "SCORING_TOKEN_FILE")} is not set");
if (!double.TryParse(Variable("SCORING_TIMEOUT") ?? "100", NumberStyles.Float, CultureInfo.InvariantCulture, out var seconds)
    || seconds is not (>= 0.001 and <= 86400))
    return Stop(2, "SCORING_TIMEOUT must be a number of seconds from 0.001 to 86400");

byte[] image;
ScoringClient client;
try
{
    image = await File.ReadAllBytesAsync(imageFile);
    client = new ScoringClient(new Uri(uri, UriKind.RelativeOrAbsolute), new()
    {
        TokenProvider = ReadTokenAsync,
        Timeout = TimeSpan.FromSeconds(seconds),
        CaFile = Variable("SCORING_CA_FILE"),
        OnRetry = retry => Console.Error.WriteLine( // an ILogger, where there is one
            $"warning: attempt {retry.Attempt}: {retry.Reason}; the next one in {retry.Wait.TotalSeconds:F1} s"),
    });
}
catch (Exception error) when (error is IOException or UnauthorizedAccessException or UriFormatException or ArgumentException)
{
    return Stop(2, error.Message);
}

// [START call]
using (client)
{
    try
    {
        var reply = await client.ScoreBytesAsync(image, "image/x-portable-graymap", interrupt.Token);
        Console.WriteLine(OneLine(JsonElement.Parse(reply).GetRawText()));
        return 0;
    }
    catch (OperationCanceledException)
    {
        return Stop(130, "cancelled");
    }
    catch (ScoringException error) // what the service, the network or the reply came to
    {
        return Stop(1, error.Message);
    }
    catch (Exception error) when (error is IOException or UnauthorizedAccessException or ArgumentException) // of ReadTokenAsync
    {
        return Stop(1, $"no token: {error.Message}");
    }
    catch (JsonException)
    {
        return Stop(1, "the reply is not JSON");
    }
}
// [END call]

// Reads the file each time a token is needed, so that a new one is found within five minutes.
async ValueTask<AccessToken> ReadTokenAsync(CancellationToken cancellationToken)
{
    var text = await File.ReadAllTextAsync(tokenFile, Encoding.UTF8, cancellationToken);
    return new AccessToken(text.TrimEnd('\r', '\n'), DateTimeOffset.UtcNow.AddMinutes(5)); // editors end files so
}

static string? Variable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;

static string OneLine(string text) => string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));

static int Stop(int status, string text)
{
    Console.Error.WriteLine(OneLine(text));
    return status;
}
