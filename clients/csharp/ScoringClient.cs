// A client for a model that Azure Machine Learning serves as a web service. One file to copy; it needs .NET 10 and its base library.
//
//     using var client = new ScoringClient(new Uri("https://host/score"), new() { Key = key });
//     double[] predictions = await client.ScoreAsync([[0.02, 0.05, 0.10], [-0.01, -0.04, 0.06]]);
//
// What can be thrown:
//
//     ArgumentException                  the caller's mistake; nothing was sent
//     OperationCanceledException         the caller's token was cancelled
//     ObjectDisposedException            the client was disposed
//     ScoringException                   all else, with the number of attempts
//     ├── ScoringServiceException        the service answered with another status than 2xx
//     ├── ScoringTransportException      no answer, or not all of it: network, TLS, time
//     └── ScoringReplyException          a success status, but not the body that was asked for
//
// and, unchanged, whatever a token provider or a retry hook of yours throws.
//
// The network may be tried again, slowness and wrong answers may not. The credential goes into one header and nowhere else.
// A wrong answer is never a success.
// Ids such as B20 name a rule of the clients, W02 and C01 a fact about the service; the README beside the clients lists them.

#nullable enable

using System;
using System.Buffers;
using System.Collections.Generic;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using System.Text.Unicode;
using System.Threading;
using System.Threading.Tasks;
using static System.FormattableString;
using static System.Net.Http.HttpRequestError;

namespace AzureML.Scoring;

// --- Options ---

/// <summary>How a <see cref="ScoringClient"/> works. What makes no sense is refused when the client is made.</summary>
public sealed class ScoringClientOptions
{
    /// <summary>Key or token, sent as <c>Authorization: Bearer &lt;key&gt;</c> (W22). Default: none, and no such header.</summary>
    /// <remarks>It cannot be read back, so that no logger or serializer shows it.</remarks>
    public string? Key { internal get; init; }

    /// <summary>Called when a token is needed, never twice at the same time. In place of <see cref="Key"/>. Default: none.</summary>
    /// <remarks>
    /// All calls that need the token share one fetch; its cancellation token is not a caller's and ends after <see cref="Timeout"/>.
    /// What it throws reaches the callers that wait, unchanged, unless an older token still serves.
    /// </remarks>
    public Func<CancellationToken, ValueTask<AccessToken>>? TokenProvider { get; init; }

    /// <summary>The limit of a whole call: token, attempts, waits, bodies. Default: 100 s.</summary>
    /// <remarks>A cancellation token limits one call; it can only shorten.</remarks>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(100);

    /// <summary>The limit of one attempt, to the last byte of the reply. Default: 60 s.</summary>
    public TimeSpan AttemptTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>The limit of name look-up, TCP and TLS together. Default: 10 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Attempts after the first. Default: 3.</summary>
    public int MaxRetries { get; init; } = 3;

    /// <summary>The wait before the first retry, doubled for each later one, times a random 0.5 to 1.5. Default: 0.8 s.</summary>
    public TimeSpan BaseDelay { get; init; } = TimeSpan.FromSeconds(0.8);

    /// <summary>No wait is longer. A service that asks for more ends the call. Default: 60 s.</summary>
    public TimeSpan MaxDelay { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Statuses to repeat. Default: 429, 500, 502, 503.</summary>
    /// <remarks>
    /// A 500 or 502 of the scoring script itself is never repeated (W06), and a 424 is when the model is not ready or busy (W27).
    /// </remarks>
    public IReadOnlyCollection<int> RetryStatuses { get; init; } = [429, 500, 502, 503];

    /// <summary>A success with a larger body is a <see cref="ScoringReplyException"/>. Default: 64 MiB.</summary>
    public int MaxReplyBytes { get; init; } = 64 * 1024 * 1024;

    /// <summary>The deployment of a managed endpoint that must answer (W30). Default: the endpoint's choice.</summary>
    public string? Deployment { get; init; }

    /// <summary>The path of a PEM file of certificates to trust in place of the system's. Default: the system's.</summary>
    public string? CaFile { get; init; }

    /// <summary><c>http://host:port</c>. Default: the environment's. A loopback host is never proxied.</summary>
    public Uri? Proxy { get; init; }

    /// <summary>Whether a credential may travel over plain http to a host that is not loopback (C13). Default: false.</summary>
    public bool AllowInsecureHttp { get; init; }

    /// <summary>Called before a wait. What it throws ends the call and reaches the caller, unchanged. Default: none.</summary>
    public Action<ScoringRetry>? OnRetry { get; init; }

    /// <summary>What makes the requests in place of the client's own handler. The client does not dispose it. Default: none.</summary>
    /// <remarks>
    /// You now own redirects, proxies, TLS and the time to connect; <see cref="ConnectTimeout"/>, <see cref="CaFile"/> and
    /// <see cref="Proxy"/> must not be set.
    /// </remarks>
    public HttpMessageHandler? Handler { get; init; }

    /// <summary>The clock of all times but <see cref="ConnectTimeout"/>, for tests. Default: the system's.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
}

/// <summary>What a token provider returns. The token cannot be read back.</summary>
/// <param name="token">Sent as <c>Authorization: Bearer &lt;token&gt;</c> (W22).</param>
/// <param name="refreshBy">When to ask for the next one. Default: only after the service refused this one.</param>
public sealed class AccessToken(string token, DateTimeOffset? refreshBy = null)
{
    /// <summary>When to ask for the next one; null: only after the service refused this one.</summary>
    public DateTimeOffset? RefreshBy => refreshBy;

    internal string Token => token;

    /// <summary>Hides the token.</summary>
    public override string ToString() => Invariant($"AccessToken(***, {(refreshBy is null ? "null" : $"{refreshBy:O}")})");
}

/// <summary>What <see cref="ScoringClientOptions.OnRetry"/> is told before a wait. Free of secrets.</summary>
/// <param name="Attempt">Requests sent so far.</param>
/// <param name="Wait">The time until the next one.</param>
/// <param name="Reason">What the last attempt came to, for example <c>503: busy</c>.</param>
public sealed record ScoringRetry(int Attempt, TimeSpan Wait, string Reason);

// --- Client ---

/// <summary>Calls one scoring URI. Immutable, safe to share between threads; owns a pool of connections.</summary>
/// <remarks>
/// Make one and keep it.
/// TLS is 1.2 or later and always verified (W37). Redirects are not followed and no cookies are kept. The environment's proxy
/// variables are honoured, but never for a loopback host.
/// </remarks>
public sealed class ScoringClient : IDisposable
{
    private const int ErrorBodyBytes = 64 * 1024;
    private const double LongestHint = 999_999_999; // seconds

    private readonly Uri _uri;
    private readonly ScoringClientOptions _options;
    private readonly int[] _retryStatuses;
    private readonly TokenCache? _tokens;
    private readonly HttpMessageInvoker _http;
    private int _users = 1; // calls under way, and the owner
    private bool _isDisposed;

    /// <summary>Makes a client.</summary>
    /// <param name="scoringUri">Absolute http or https URI. Its path and query are sent exactly as given (W02).</param>
    /// <param name="options">Default: no credential, and the defaults of each option.</param>
    /// <exception cref="ArgumentException">An argument makes no sense.</exception>
    public ScoringClient(Uri scoringUri, ScoringClientOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(scoringUri);
        _options = options ?? new ScoringClientOptions();
        _uri = Connections.ExactUri(Arguments.CheckedUri(scoringUri, nameof(scoringUri)));
        Arguments.Check(_options, scoringUri);
        _retryStatuses = [.. _options.RetryStatuses];
        _tokens = _options.TokenProvider is null ? null : new TokenCache(_options.TokenProvider, _options.Timeout, _options.TimeProvider);
        var handler = _options.Handler ?? Connections.CreateHandler(_options, isLoopback: scoringUri.IsLoopback);
        _http = new HttpMessageInvoker(handler, disposeHandler: _options.Handler is null);
    }

    /// <summary>Returns one prediction for each row, in the same order.</summary>
    /// <remarks>Sends <c>{"data": rows}</c> (A27) by POST.</remarks>
    /// <param name="rows">
    /// Arrays or lists of finite numbers; each arrives as the double that it is, bit for bit. How many make a row is for the service to
    /// judge. All are read before this method returns.
    /// </param>
    /// <param name="cancellationToken">Ends the call at once, wherever it is.</param>
    /// <exception cref="ArgumentException">A cell is no finite number; the text says which.</exception>
    /// <exception cref="ScoringException">See the top of this file.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; the exception carries it.</exception>
    /// <exception cref="ObjectDisposedException">The client was disposed.</exception>
    public Task<double[]> ScoreAsync(IEnumerable<IEnumerable<double>> rows, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(rows);
        var body = Json.Encode(rows, nameof(rows), out var rowCount);
        return PostAsync(body, "application/json", reply => Json.ReadPredictions(reply, rowCount), cancellationToken);
    }

    /// <summary>Sends any JSON value, returns the reply's.</summary>
    /// <param name="json">JSON text, sent as it is.</param>
    /// <param name="cancellationToken">Ends the call at once, wherever it is.</param>
    /// <exception cref="ArgumentException">The text is not one JSON value.</exception>
    /// <exception cref="ScoringException">See the top of this file.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; the exception carries it.</exception>
    /// <exception cref="ObjectDisposedException">The client was disposed.</exception>
    public Task<JsonElement> ScoreJsonAsync(
        [StringSyntax(StringSyntaxAttribute.Json)] string json, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(json);
        return PostAsync(Json.Encode(json, nameof(json)), "application/json", reply => Json.Read(reply), cancellationToken);
    }

    /// <summary>Sends bytes as they are, returns the reply's.</summary>
    /// <param name="body">For example an image. Must not change until the call is over: an attempt may send it again.</param>
    /// <param name="contentType">Its media type (W39).</param>
    /// <param name="cancellationToken">Ends the call at once, wherever it is.</param>
    /// <exception cref="ArgumentException">The content type cannot be sent.</exception>
    /// <exception cref="ScoringException">See the top of this file.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; the exception carries it.</exception>
    /// <exception cref="ObjectDisposedException">The client was disposed.</exception>
    public Task<byte[]> ScoreBytesAsync(
        ReadOnlyMemory<byte> body, string contentType = "application/octet-stream", CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(contentType);
        Arguments.CheckHeader(contentType, "the content type", nameof(contentType), innerSpaces: true);
        return PostAsync(body, contentType, reply => reply, cancellationToken);
    }

    /// <summary>Returns the service's OpenAPI document, from <c>swagger.json</c> beside the scoring URI (C52).</summary>
    /// <param name="cancellationToken">Ends the call at once, wherever it is.</param>
    /// <exception cref="ScoringException">See the top of this file. A service without a document answers 404.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; the exception carries it.</exception>
    /// <exception cref="ObjectDisposedException">The client was disposed.</exception>
    public Task<JsonElement> GetSwaggerAsync(CancellationToken cancellationToken = default) =>
        GetAsync("swagger.json", _options.MaxRetries, reply => Json.Read(reply), cancellationToken);

    /// <summary>Returns whether the service's root says <c>Healthy</c> (C51). One attempt.</summary>
    /// <param name="cancellationToken">Ends the call at once, wherever it is.</param>
    /// <exception cref="ScoringTransportException">There was no answer.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; the exception carries it.</exception>
    /// <exception cref="ObjectDisposedException">The client was disposed.</exception>
    public async Task<bool> IsHealthyAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            var text = await GetAsync("", maxRetries: 0, reply => Json.Text(reply), cancellationToken).ConfigureAwait(false);
            return text.Trim(' ', '\t', '\r', '\n') is "Healthy" or "\"Healthy\"";
        }
        catch (ScoringException error) when (error is not ScoringTransportException)
        {
            return false;
        }
    }

    /// <summary>Closes the connections.</summary>
    /// <remarks>Calls under way go on to their end; later ones throw <see cref="ObjectDisposedException"/>.</remarks>
    public void Dispose()
    {
        if (!Interlocked.Exchange(ref _isDisposed, true))
        {
            Leave();
        }
    }

    /// <summary>Names the scoring URI, without its query.</summary>
    public override string ToString() => $"ScoringClient({_uri.OriginalString.Split('?')[0]})";

    // --- Sending ---

    private Task<T> PostAsync<T>(
        ReadOnlyMemory<byte> body, string contentType, Func<byte[], T> read, CancellationToken cancellationToken) =>
        CallAsync(new(_options, HttpMethod.Post, _uri, body, contentType, cancellationToken), _options.MaxRetries, read);

    private Task<T> GetAsync<T>(string beside, int maxRetries, Func<byte[], T> read, CancellationToken cancellationToken)
    {
        var path = _uri.OriginalString.Split('?')[0];
        var uri = Connections.ExactUri(path[..(path.LastIndexOf('/') + 1)] + beside);
        return CallAsync(new(_options, HttpMethod.Get, uri, Body: default, ContentType: null, cancellationToken), maxRetries, read);
    }

    /// <summary>Makes attempts until one is a success; throws what the last one came to.</summary>
    /// <remarks>A FormatException of <paramref name="read"/> says why the body of a success is none.</remarks>
    private async Task<T> CallAsync<T>(Call call, int maxRetries, Func<byte[], T> read)
    {
        Interlocked.Increment(ref _users);
        try
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            string? refused = null; // the token that the service answered with a 401
            var credential = await CredentialAsync(call, refused).ConfigureAwait(false);
            for (var retries = 0; ;)
            {
                ScoringException failed;
                try
                {
                    return await AttemptAsync(call, credential, read).ConfigureAwait(false);
                }
                catch (ScoringException error)
                {
                    failed = error;
                }

                if (failed is ScoringServiceException { Status: 401 } && _tokens is not null && refused is null)
                {
                    refused = credential;
                    credential = await CredentialAsync(call, refused).ConfigureAwait(false);
                    if (credential != refused)
                    {
                        continue; // at once, and not counted as a retry (B25)
                    }
                }

                if (retries == maxRetries || NextWait(call, retries, failed) is not TimeSpan wait)
                {
                    throw failed;
                }

                _options.OnRetry?.Invoke(new ScoringRetry(call.Attempts, wait, failed.Reason));
                wait = wait < call.Left ? wait : call.Left; // the hook takes time as well
                await Task.Delay(wait, _options.TimeProvider, call.CancellationToken).ConfigureAwait(false);
                retries++;
                credential = await CredentialAsync(call, refused).ConfigureAwait(false);
            }
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>The last one closes the connections.</summary>
    private void Leave()
    {
        if (Interlocked.Decrement(ref _users) == 0)
        {
            _http.Dispose();
        }
    }

    /// <summary>Makes one attempt, which ends with its time or the caller's token wherever it is.</summary>
    private async Task<T> AttemptAsync<T>(Call call, string? credential, Func<byte[], T> read)
    {
        call.CancellationToken.ThrowIfCancellationRequested();
        var (left, most) = (call.Left, _options.AttemptTimeout);
        if (left == TimeSpan.Zero)
        {
            throw call.TransportError(new TimeoutException(), _options.Timeout);
        }

        using var ended = new CancellationTokenSource(left < most ? left : most, _options.TimeProvider);
        using var cancelling = call.CancellationToken.UnsafeRegister(static ended => ((CancellationTokenSource)ended!).Cancel(), ended);
        using var request = MakeRequest(call, credential, ended.Token);
        call.Attempts++;
        try
        {
            using var response = await _http.SendAsync(request, ended.Token).ConfigureAwait(false);
            return await ReceiveAsync(call, response, read, ended.Token).ConfigureAwait(false);
        }
        catch (Exception error) when (IsNetworkFailure(error))
        {
            call.CancellationToken.ThrowIfCancellationRequested(); // as it comes the exception carries the attempt's token
            var isConnecting = _options.Handler is null && !request.IsConnected;
            TimeSpan? limit = ended.IsCancellationRequested ? (left < most ? _options.Timeout : most)
                : isConnecting && error is OperationCanceledException ? _options.ConnectTimeout
                : null;
            throw call.TransportError(error, limit, isConnecting ? "connection" : "complete reply");
        }
    }

    private Connections.Request MakeRequest(Call call, string? credential, CancellationToken ended)
    {
        var request = new Connections.Request(call.Method, call.Uri, ended) { Version = HttpVersion.Version11 }; // over https too
        Add(request.Headers, "x-ms-client-request-id", call.ClientRequestId);
        Add(request.Headers, "Authorization", credential is null ? null : $"Bearer {credential}");
        if (call.ContentType is not null)
        {
            Add(request.Headers, "azureml-model-deployment", _options.Deployment);
            request.Content = new ReadOnlyMemoryContent(call.Body);
            Add(request.Content.Headers, "Content-Type", call.ContentType);
        }

        return request;

        static void Add(HttpHeaders headers, string name, string? value) => _ = value is null || headers.TryAddWithoutValidation(name, value);
    }

    private async ValueTask<T> ReceiveAsync<T>(Call call, HttpResponseMessage response, Func<byte[], T> read, CancellationToken ended)
    {
        var isSuccess = response.IsSuccessStatusCode;
        if (isSuccess && FirstValue(response.Content.Headers, "Content-Encoding") is string encoding
            && !encoding.Equals("identity", StringComparison.OrdinalIgnoreCase))
        {
            throw call.ReplyError($"the reply has Content-Encoding: {encoding}, which was not asked for", []);
        }

        var limit = isSuccess ? _options.MaxReplyBytes : ErrorBodyBytes;
        var length = response.Content.Headers.ContentLength;
        var body = new byte[Math.Min(length ?? 4 * 1024, limit + 1)];
        var count = 0;
        try
        {
            var isHttp = response.StatusCode != HttpStatusCode.SwitchingProtocols;
            using var stream = isHttp ? await response.Content.ReadAsStreamAsync(ended).ConfigureAwait(false) : Stream.Null;
            for (var got = 1; got > 0 && count <= limit && count != length; count += got)
            {
                if (count == body.Length)
                {
                    Array.Resize(ref body, (int)Math.Min(2L * count, limit + 1));
                }

                got = await stream.ReadAsync(body.AsMemory(count), ended).ConfigureAwait(false);
            }
        }
        catch (Exception error) when (!isSuccess && IsNetworkFailure(error) && !call.CancellationToken.IsCancellationRequested)
        {
            // The status is the outcome, with what came of the body (B50).
        }

        Array.Resize(ref body, Math.Min(count, limit));
        if (!isSuccess)
        {
            throw call.ServiceError(response, body);
        }

        try
        {
            return count <= limit ? read(body) : throw new FormatException(Invariant($"the reply is larger than {limit} bytes"));
        }
        catch (FormatException fault)
        {
            throw call.ReplyError(fault.Message, body);
        }
    }

    private static bool IsNetworkFailure(Exception error) => error is HttpRequestException or IOException or OperationCanceledException;

    // --- What is repeated ---

    /// <summary>Returns whether another attempt may come to something else (B40-B47).</summary>
    internal static bool ShouldRepeat(ScoringException error, IReadOnlyCollection<int> retryStatuses) => error switch
    {
        ScoringTransportException transport => transport.IsNetwork,
        ScoringServiceException { Status: 500 or 502, RunFunctionFailed: true } => false,
        ScoringServiceException { Status: 424, ModelReason: "model_not_ready" or "too_few_model_instance" } => true,
        ScoringServiceException { Status: 424, ModelStatus: 429 } => true,
        ScoringServiceException service => retryStatuses.Contains(service.Status),
        _ => false, // a wrong reply would come again
    };

    /// <summary>Returns the wait before the next attempt, or null where there is to be none (B49).</summary>
    private TimeSpan? NextWait(Call call, int retries, ScoringException error)
    {
        var hint = (error as ScoringServiceException)?.RetryAfter ?? TimeSpan.Zero;
        var backOff = BackOff(retries, _options.BaseDelay, _options.MaxDelay, Random.Shared.NextDouble());
        var wait = hint > backOff ? hint : backOff;
        return ShouldRepeat(error, _retryStatuses) && hint <= _options.MaxDelay && wait < call.Left ? wait : null;
    }

    /// <summary>Returns the wait before a retry, the first being number 0, for a random number from 0 to 1 (B48).</summary>
    internal static TimeSpan BackOff(int retry, TimeSpan baseDelay, TimeSpan maxDelay, double random)
    {
        var most = maxDelay.TotalSeconds;
        var delay = Math.Min(most, baseDelay.TotalSeconds * Math.Pow(2, retry));
        return TimeSpan.FromSeconds(Math.Min(most, delay * (0.5 + random)));
    }

    /// <summary>Returns the wait that the service asks for, or null (B49, C41).</summary>
    internal static TimeSpan? RetryHint(HttpResponseHeaders headers, DateTimeOffset now)
    {
        var text = FirstValue(headers, "Retry-After");
        var seconds = Number(FirstValue(headers, "retry-after-ms")) / 1000
            ?? Number(FirstValue(headers, "x-ms-retry-after-ms")) / 1000
            ?? Number(text)
            ?? SecondsUntil(text, now);
        return seconds is double some ? TimeSpan.FromSeconds(Math.Clamp(some, 0, LongestHint)) : null;
    }

    private static double? Number(string? digits)
    {
        var isNumber = digits is not null && digits.All(char.IsAsciiDigit);
        var number = isNumber ? double.Parse(digits!, CultureInfo.InvariantCulture) : default(double?);
        return number > LongestHint ? double.PositiveInfinity : number;
    }

    /// <summary>Reads an IMF-fixdate, the one form of a date that is still sent.</summary>
    private static double? SecondsUntil(string? date, DateTimeOffset now)
    {
        const string format = ", dd MMM yyyy HH:mm:ss 'GMT'"; // the day of the week says nothing, right or wrong
        var isDay = date is { Length: 29 } && CultureInfo.InvariantCulture.DateTimeFormat.AbbreviatedDayNames.Contains(date[..3]);
        var rest = isDay ? date![3..].Replace(" 0000 ", " 0001 ", StringComparison.Ordinal) : ""; // as long past, but a year of .NET
        return DateTimeOffset.TryParseExact(rest, format, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var then)
            ? (then - now).TotalSeconds : null;
    }

    // --- The credential ---

    /// <summary>Returns what the next attempt sends. A token that the service refused is not used again.</summary>
    private async ValueTask<string?> CredentialAsync(Call call, string? refused)
    {
        var credential = _tokens is null ? _options.Key : await _tokens.GetAsync(call, refused).ConfigureAwait(false);
        call.Conceal(credential);
        return credential;
    }

    /// <summary>The token of a provider, fetched once for all who need it (C14).</summary>
    private sealed class TokenCache(
        Func<CancellationToken, ValueTask<AccessToken>> provider, TimeSpan timeout, TimeProvider timeProvider)
    {
        private readonly Lock _lock = new();
        private AccessToken? _token;
        private Task<AccessToken?>? _fetch; // the last one; it brings null when its time is up

        /// <summary>Returns a token that is fresh and was not refused; the refused one only where the provider gives it again.</summary>
        public async ValueTask<string> GetAsync(Call call, string? refused)
        {
            AccessToken? old;
            Task<AccessToken?> fetch;
            lock (_lock)
            {
                Drop(refused);
                old = _token;
                if (old is not null && !(timeProvider.GetUtcNow() >= old.RefreshBy))
                {
                    return old.Token;
                }

                fetch = _fetch = _fetch is { IsCompleted: false } ? _fetch : FetchAsync();
            }

            _ = fetch.ContinueWith(static task => task.Exception, TaskScheduler.Default); // counts as seen, also if nobody waits any more
            await ((Task)fetch).WaitAsync(call.Left, timeProvider, call.CancellationToken)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            call.CancellationToken.ThrowIfCancellationRequested();
            var isDecided = fetch.IsCompletedSuccessfully || (fetch.IsCompleted && old is null);
            var token = isDecided ? await fetch.ConfigureAwait(false) : null;
            lock (_lock)
            {
                Drop(refused); // it came again
            }

            return (token ?? old)?.Token ?? throw call.TransportError(new TimeoutException(), timeout, "token");
        }

        private void Drop(string? refused) => _token = _token?.Token == refused ? null : _token;

        private async Task<AccessToken?> FetchAsync()
        {
            using var timeLimit = new CancellationTokenSource(timeout, timeProvider); // no caller's: one who gives up ends only his wait
            var ended = timeLimit.Token;
            var answer = Task.Run(async () => Arguments.CheckedToken(await provider(ended).ConfigureAwait(false)), CancellationToken.None);
            _ = answer.ContinueWith(static task => task.Exception, TaskScheduler.Default); // counts as seen, however late it comes
            await ((Task)answer).WaitAsync(ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            var isLate = ended.IsCancellationRequested && !answer.IsCompletedSuccessfully;
            var token = isLate ? null : await answer.ConfigureAwait(false);
            lock (_lock)
            {
                _token = token ?? _token;
            }

            return token;
        }
    }

    // --- What one attempt came to ---

    /// <summary>What the attempts of a call have in common. It makes their errors.</summary>
    /// <remarks>Without a content type there is no body. The cancellation token is the caller's.</remarks>
    private sealed record Call(
        ScoringClientOptions Options,
        HttpMethod Method,
        Uri Uri,
        ReadOnlyMemory<byte> Body,
        string? ContentType,
        CancellationToken CancellationToken)
    {
        // What may begin a line, move a cursor or turn the direction of a text.
        private static readonly Regex Unprintable = new(
            @"[\p{Cc}\p{Zl}\p{Zp}\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]", RegexOptions.NonBacktracking);

        private readonly long _start = Options.TimeProvider.GetTimestamp();
        private readonly List<string> _credentials = [];
        private Regex? _concealed;

        public string ClientRequestId { get; } = Guid.NewGuid().ToString();

        /// <summary>Requests sent.</summary>
        public int Attempts { get; set; }

        /// <summary>What is left of the call's time.</summary>
        public TimeSpan Left => TimeSpan.FromTicks(Math.Max(0, (Options.Timeout - Options.TimeProvider.GetElapsedTime(_start)).Ticks));

        /// <summary>Takes a credential that is used and that no text may show.</summary>
        public void Conceal(string? credential)
        {
            if (credential is not null && !_credentials.Contains(credential, StringComparer.Ordinal))
            {
                _credentials.Add(credential);
                _concealed = null;
            }
        }

        public ScoringServiceException ServiceError(HttpResponseMessage response, byte[] body)
        {
            var headers = response.Headers;
            var status = (int)response.StatusCode;
            var message = Hide(Json.ReadServiceMessage(body));
            var reason = Joined(Invariant($"{status}"), Excerpt(message));
            var requestId = Hide(FirstValue(headers, "x-request-id") ?? FirstValue(headers, "x-ms-request-id"));
            return new(Text(reason, requestId))
            {
                Attempts = Attempts,
                Reason = reason,
                Status = status,
                ServiceMessage = message,
                Body = body,
                RequestId = requestId,
                ClientRequestId = ClientRequestId,
                RetryAfter = RetryHint(headers, Options.TimeProvider.GetUtcNow()),
                ModelStatus = FirstValue(headers, "ms-azureml-model-error-statuscode") is { Length: 3 } text
                    && int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null,
                ModelReason = Hide(FirstValue(headers, "ms-azureml-model-error-reason")),
                RunFunctionFailed = "true".Equals(FirstValue(headers, "x-ms-run-function-failed"), StringComparison.OrdinalIgnoreCase),
            };
        }

        /// <summary>Makes the error for a request without a complete reply.</summary>
        /// <param name="error">What the platform said.</param>
        /// <param name="limit">The limit of ours that passed.</param>
        /// <param name="missing">What there was not when it passed.</param>
        public ScoringTransportException TransportError(Exception error, TimeSpan? limit = null, string missing = "complete reply")
        {
            var (words, isNetwork, timedOut) = limit is not TimeSpan passed ? Explain(error)
                : (Invariant($"no {missing} within {passed.TotalSeconds} s"), missing == "connection", true); // a model may be at work (C40)
            var reason = Excerpt(words);
            return new(Text(reason), FitToPrint(error)) { Attempts = Attempts, Reason = reason, TimedOut = timedOut, IsNetwork = isNetwork };
        }

        public ScoringReplyException ReplyError(string fault, byte[] body)
        {
            var reason = Excerpt(fault);
            var excerpt = Excerpt(Encoding.UTF8.GetString(body, 0, Math.Min(body.Length, ErrorBodyBytes)));
            return new(Text(Joined(reason, excerpt))) { Attempts = Attempts, Reason = reason, Excerpt = excerpt };
        }

        private string Text(string reason, string? requestId = null)
        {
            var id = requestId is null ? "" : $", request id {Excerpt(requestId)}";
            return Invariant($"{Method} {Uri.OriginalString.Split('?')[0]}: {reason} ({Attempts} attempt{(Attempts == 1 ? "" : "s")}{id})");
        }

        private static string Joined(string what, string excerpt) => excerpt.Length > 0 ? $"{what}: {excerpt}" : what;

        /// <summary>Returns the beginning of a text from outside, fit for a log: one line, without a credential.</summary>
        private string Excerpt(string text)
        {
            const int most = 300;
            text = Hide(text);
            text = text.Length <= most ? text : $"{text[..(char.IsHighSurrogate(text[most - 2]) ? most - 2 : most - 1)]}…";
            return Unprintable.Replace(text, " ").Trim();
        }

        /// <summary>Replaces credentials by ***, also where JSON escapes part of one.</summary>
        /// <remarks>And the beginning of one at the end, where a text may have been cut.</remarks>
        [return: NotNullIfNotNull(nameof(text))]
        private string? Hide(string? text)
        {
            if (text is null || _credentials.Count == 0)
            {
                return text;
            }

            var longestFirst = _credentials.OrderByDescending(credential => credential.Length);
            _concealed ??= new(string.Join('|', longestFirst.Select(Spelled)), RegexOptions.None, Regex.InfiniteMatchTimeout);
            text = _concealed.Replace(text, "***");
            foreach (var credential in _credentials)
            {
                var lengths = Enumerable.Range(4, Math.Max(0, credential.Length - 4));
                var shown = lengths.LastOrDefault(length => text.AsSpan().EndsWith(credential.AsSpan(0, length)));
                text = shown > 0 ? $"{text[..^shown]}***" : text;
            }

            return text;

            static string Spelled(string credential) =>
                string.Concat(credential.Select(c => $@"(?:\\?{Regex.Escape(c.ToString())}|\\u00(?i:{(int)c:x2}))")); // as JSON may escape it
        }

        /// <summary>Returns an exception if it quotes no credential that the service sent back, and shows no password of a proxy.</summary>
        private Exception? FitToPrint(Exception error)
        {
            var text = error.ToString();
            var isFit = text == Hide(text) && error is not HttpRequestException { HttpRequestError: ProxyTunnelError };
            return isFit ? error : null;
        }
    }

    /// <summary>Says in words why there is no complete reply, and whether that was the network, which may be tried again (B40, B41).</summary>
    private static (string Words, bool IsNetwork, bool TimedOut) Explain(Exception error)
    {
        var socketError = (error.GetBaseException() as SocketException)?.SocketErrorCode;
        var (words, isNetwork) = error switch
        {
            OperationCanceledException => ("the handler gave up", false),
            HttpRequestException { HttpRequestError: NameResolutionError } => ("the host name cannot be resolved", true),
            HttpRequestException when socketError == SocketError.ConnectionRefused => ("connection refused", true),
            HttpRequestException { HttpRequestError: ConnectionError } => (error.Message, true),
            HttpRequestException { HttpRequestError: SecureConnectionError } when error.InnerException is IOException =>
                ("the connection was closed inside TLS", true),
            HttpRequestException { HttpRequestError: SecureConnectionError } => ($"TLS failed: {(error.InnerException ?? error).Message}", false),
            HttpRequestException { HttpRequestError: ProxyTunnelError, StatusCode: HttpStatusCode status } =>
                (Invariant($"the proxy refused the tunnel: {(int)status}"), false),
            HttpRequestException { HttpRequestError: ConfigurationLimitExceeded } => ("the headers of the reply are too large", false),
            HttpRequestException { HttpRequestError: ResponseEnded } => ("the connection was closed before the reply", true),
            HttpIOException { HttpRequestError: ResponseEnded } => ("the reply was cut off", true),
            HttpRequestException { HttpRequestError: InvalidResponse } or HttpIOException { HttpRequestError: InvalidResponse } =>
                ("the reply is not valid HTTP", true),
            HttpRequestException { InnerException: IOException } or IOException { InnerException: SocketException } =>
                ("the connection was reset", true),
            _ => (error.Message, error is IOException),
        };
        return (words, isNetwork, error is OperationCanceledException || socketError == SocketError.TimedOut);
    }

    private static string? FirstValue(HttpHeaders headers, string name)
    {
        var value = headers.NonValidated.TryGetValues(name, out var values) ? values.First().Trim(' ', '\t') : null;
        return string.IsNullOrEmpty(value) ? null : value;
    }
}

// --- Errors ---

/// <summary>A call that failed for another reason than the caller's arguments.</summary>
/// <param name="message">One line, without credential or query.</param>
/// <param name="innerException">The cause, if any.</param>
public abstract class ScoringException(string message, Exception? innerException = null) : Exception(message, innerException)
{
    /// <summary>Requests sent.</summary>
    public required int Attempts { get; init; }

    /// <summary>What happened, in words: the middle of the text.</summary>
    public required string Reason { get; init; }
}

/// <summary>The service answered with another status than 2xx (C30, C31).</summary>
/// <param name="message">One line, without credential or query.</param>
public sealed class ScoringServiceException(string message) : ScoringException(message)
{
    /// <summary>The HTTP status.</summary>
    public required int Status { get; init; }

    /// <summary>The service's own words from any shape of body (W45), or empty.</summary>
    public required string ServiceMessage { get; init; }

    /// <summary>The body as it came, at most 64 KiB: may hold what must not be printed.</summary>
    public required ReadOnlyMemory<byte> Body { get; init; }

    /// <summary>The service's id of the request, for its logs and for support; null when it sent none.</summary>
    public required string? RequestId { get; init; }

    /// <summary>Our id of the call, sent as x-ms-client-request-id (C39).</summary>
    public required string ClientRequestId { get; init; }

    /// <summary>The wait that the service asked for (C41); null when it asked for none.</summary>
    public required TimeSpan? RetryAfter { get; init; }

    /// <summary>The status of the model behind a 424 (W27); null when unknown.</summary>
    public required int? ModelStatus { get; init; }

    /// <summary>Why the service answered 424 or 429 (W27, W31); null when unknown.</summary>
    public required string? ModelReason { get; init; }

    /// <summary>Whether the scoring script itself failed (W06, C38).</summary>
    public required bool RunFunctionFailed { get; init; }
}

/// <summary>No answer came, or not all of it. The inner exception is what the platform said, unless it quotes a secret.</summary>
/// <param name="message">One line, without credential or query.</param>
/// <param name="innerException">The cause, if any.</param>
public sealed class ScoringTransportException(string message, Exception? innerException = null)
    : ScoringException(message, innerException)
{
    /// <summary>Whether a time limit passed: the model may still be at work (C40).</summary>
    public required bool TimedOut { get; init; }

    /// <summary>Whether the network failed, which may be tried again.</summary>
    internal bool IsNetwork { get; init; }
}

/// <summary>The service said success, but its body is not what was asked for (C31-C35).</summary>
/// <param name="message">One line, without credential or query.</param>
public sealed class ScoringReplyException(string message) : ScoringException(message)
{
    /// <summary>The beginning of the body, fit for a log, at most 300 characters.</summary>
    public required string Excerpt { get; init; }
}

// --- Arguments ---

file static class Arguments
{
    private const string NewlineHint = " (a trailing newline?)";
    private const RegexOptions AnyCase =
        RegexOptions.IgnoreCase | RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking;

    private static readonly Regex NoUriCharacter = new("""[^!-~]|["<>\\^`{|}]""", AnyCase);
    private static readonly Regex Exact = new(@"^https?://(?<authority>[^/?#%]+)(?<target>([/?#]([^%]|%[0-9a-f]{2})*)?)\z", AnyCase);

    // Of letters, digits and -._~
    private static readonly Regex NeedlessEscape = new("%(2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])", AnyCase);

    /// <summary>Returns the URI as it was given, or refuses what this or another platform would change on the way (C06).</summary>
    public static string CheckedUri(Uri uri, string parameter)
    {
        var text = uri.OriginalString; // the other properties of Uri show it after changes
        var strange = NoUriCharacter.Match(text);
        var place = Invariant($"at position {strange.Index}{NewlineHint}");
        Refuse(strange.Success, $"the scoring URI has a character that no URI can have {place}", parameter);
        var match = Exact.Match(text);
        var (authority, target) = (match.Groups["authority"].Value, match.Groups["target"].Value);
        Refuse(!match.Success || !uri.IsAbsoluteUri || uri.Port == 0, "the scoring URI must be an absolute http or https URI", parameter);
        Refuse(authority.Contains('@', StringComparison.Ordinal), "the scoring URI must not contain user info", parameter);
        Refuse(target.Contains('#', StringComparison.Ordinal), "the scoring URI must not contain a fragment", parameter);
        var segments = target.Split('?')[0].Split('/');
        Refuse(segments.Any(segment => segment is "." or ".."), "the scoring URI must not contain dot segments", parameter);
        var needless = NeedlessEscape.Match(target);
        Refuse(needless.Success, $"the scoring URI must not contain needless percent escapes ({needless.Value})", parameter);
        return $"{uri.Scheme}://{authority}{(target.StartsWith('/') ? "" : "/")}{target}";
    }

    public static void Check(ScoringClientOptions options, Uri scoringUri)
    {
        CheckHeader(options.Key, "the key", nameof(options), hint: NewlineHint);
        CheckHeader(options.Deployment, "the deployment", nameof(options));
        Refuse(options.Key is not null && options.TokenProvider is not null, "Key and TokenProvider exclude each other", nameof(options));
        var hasCredential = options.Key is not null || options.TokenProvider is not null;
        Refuse(
            hasCredential && scoringUri.Scheme == Uri.UriSchemeHttp && !scoringUri.IsLoopback && !options.AllowInsecureHttp,
            "a key over plain http to a host that is not loopback: use https, or AllowInsecureHttp if the network is trusted",
            nameof(options));
        var (least, most) = (TimeSpan.FromTicks(1), TimeSpan.FromMilliseconds(int.MaxValue)); // 24 days; timers refuse more
        CheckRange(options.Timeout, least, most);
        CheckRange(options.AttemptTimeout, least, most);
        CheckRange(options.ConnectTimeout, least, most);
        CheckRange(options.BaseDelay, least, most);
        CheckRange(options.MaxDelay, least, most);
        CheckRange(options.MaxRetries, 0, int.MaxValue);
        CheckRange(options.MaxReplyBytes, 1, Array.MaxLength - 1);
        ArgumentNullException.ThrowIfNull(options.TimeProvider, nameof(options));
        ArgumentNullException.ThrowIfNull(options.RetryStatuses, nameof(options));
        foreach (var status in options.RetryStatuses)
        {
            Refuse(status is < 400 or > 599, Invariant($"RetryStatuses: {status} is not between 400 and 599"), nameof(options));
        }

        Refuse(options.Proxy is not null && !IsProxy(options.Proxy), "the proxy must be http://host:port", nameof(options));
        var name = options.ConnectTimeout != new ScoringClientOptions().ConnectTimeout ? nameof(options.ConnectTimeout)
            : options.CaFile is not null ? nameof(options.CaFile)
            : options.Proxy is not null ? nameof(options.Proxy)
            : null;
        Refuse(options.Handler is not null && name is not null, $"{name} has no effect with Handler: set it there", nameof(options));
    }

    private static void Refuse([DoesNotReturnIf(true)] bool isWrong, string text, string parameter)
    {
        if (isWrong)
        {
            throw new ArgumentException(text, parameter); // it does not show the value
        }
    }

    private static bool IsProxy(Uri proxy) =>
        proxy is { IsAbsoluteUri: true, Scheme: "http", UserInfo: "", PathAndQuery: "/", Fragment: "" }
        && proxy.OriginalString.TrimEnd('/').EndsWith(Invariant($":{proxy.Port}"), StringComparison.Ordinal);

    /// <summary>Returns what a token provider returned, or refuses it.</summary>
    public static AccessToken CheckedToken(AccessToken? token)
    {
        Refuse(token is null, "the token provider must return an AccessToken, not null", nameof(token));
        CheckHeader(token.Token ?? "", "the token", nameof(token), hint: NewlineHint);
        return token;
    }

    /// <summary>Refuses what cannot travel in a header (C11); the platform would show it or send something else.</summary>
    public static void CheckHeader(string? text, string what, string parameter, bool innerSpaces = false, string hint = "")
    {
        if (text is null)
        {
            return;
        }

        Refuse(text.Length == 0, $"{what} is empty", parameter);
        var position = text.AsSpan().IndexOfAnyExceptInRange(innerSpaces ? ' ' : '!', '~');
        position = text[0] == ' ' ? 0 : position < 0 && text[^1] == ' ' ? text.Length - 1 : position;
        Refuse(position >= 0, Invariant($"{what} has a character that cannot be sent in a header at position {position}{hint}"), parameter);
    }

    private static void CheckRange<T>(T value, T least, T most, [CallerArgumentExpression(nameof(value))] string? parameter = null)
        where T : struct, IComparable<T>
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, least, parameter);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, most, parameter);
    }
}

// --- Bodies ---

file static class Json
{
    private static readonly Regex Page = new(
        @"^<(?:!doctype|html|head|body)\b(?:.*?<title[^>]*>(?<title>.*?)</title>)?",
        RegexOptions.IgnoreCase | RegexOptions.CultureInvariant | RegexOptions.Singleline | RegexOptions.NonBacktracking);

    /// <summary>Returns the body to send, and how many rows it has.</summary>
    public static ReadOnlyMemory<byte> Encode(IEnumerable<IEnumerable<double>> rows, string parameter, out int rowCount)
    {
        var body = new ArrayBufferWriter<byte>();
        body.Write("{\"data\":["u8);
        rowCount = 0;
        foreach (var row in rows)
        {
            _ = row ?? throw new ArgumentException(Invariant($"row {rowCount} is null"), parameter);
            body.Write(rowCount == 0 ? "["u8 : ",["u8);
            var column = 0;
            foreach (var cell in row)
            {
                if (!double.IsFinite(cell))
                {
                    var name = double.IsNaN(cell) ? "NaN" : "Infinity";
                    throw new ArgumentException(Invariant($"row {rowCount}, column {column} is {name}: JSON has no such number"), parameter);
                }

                body.Write(column++ == 0 ? ""u8 : ","u8);
                Write(body, cell);
            }

            body.Write("]"u8);
            rowCount++;
        }

        body.Write("]}"u8);
        return body.WrittenMemory;
    }

    /// <summary>Returns JSON text as the bytes to send.</summary>
    public static ReadOnlyMemory<byte> Encode(string json, string parameter)
    {
        var body = new byte[Encoding.UTF8.GetByteCount(json)];
        var isText = Utf8.FromUtf16(json, body, out _, out _, replaceInvalidSequences: false) == OperationStatus.Done;
        return isText && FindFault(body, maxDepth: int.MaxValue) < 0 ? body : throw new ArgumentException("the payload is not JSON", parameter);
    }

    /// <summary>Writes the shortest digits that give the same double back, with a point or an exponent.</summary>
    /// <remarks>The service's Python reads 1 as an integer, and -0 as one without a sign.</remarks>
    private static void Write(ArrayBufferWriter<byte> body, double number)
    {
        var text = body.GetSpan(32); // 24 for -1.7976931348623157E+308
        number.TryFormat(text, out var length, format: default, CultureInfo.InvariantCulture);
        if (!text[..length].ContainsAny((byte)'.', (byte)'E'))
        {
            ".0"u8.CopyTo(text[length..]);
            length += 2;
        }

        body.Advance(length);
    }

    /// <summary>Returns one finite number for each row (B51).</summary>
    /// <exception cref="FormatException">Says what came instead.</exception>
    public static double[] ReadPredictions(ReadOnlySpan<byte> body, int rowCount)
    {
        var text = CheckedText(body);
        var reader = new Utf8JsonReader(text); // a document takes many times the memory
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
        {
            throw new FormatException($"the reply is a JSON {Kind(reader)}, not an array" + reader.TokenType switch
            {
                JsonTokenType.StartObject when ErrorText(JsonElement.Parse(text)) is string error => $": {error}",
                JsonTokenType.String => "; the scoring script probably calls json.dumps itself",
                _ => "",
            });
        }

        var predictions = new List<double>(rowCount);
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            var isNumber = reader.TokenType == JsonTokenType.Number;
            var number = isNumber ? reader.GetDouble() : double.NaN;
            if (!double.IsFinite(number)) // 1e400
            {
                var what = isNumber ? "not a finite number" : $"a JSON {Kind(reader)}, not a number";
                throw new FormatException(Invariant($"element {predictions.Count} of the reply is {what}"));
            }

            predictions.Add(number);
        }

        return predictions.Count == rowCount ? [.. predictions]
            : throw new FormatException(Invariant($"the reply has {predictions.Count} predictions for {rowCount} rows"));

        static string Kind(Utf8JsonReader reader) => reader.TokenType switch
        {
            JsonTokenType.StartArray => "array",
            JsonTokenType.StartObject => "object",
            JsonTokenType.String => "string",
            JsonTokenType.Number => "number",
            JsonTokenType.Null => "null",
            _ => "boolean",
        };
    }

    /// <summary>Returns any JSON value (B52).</summary>
    /// <exception cref="FormatException">Says what came instead.</exception>
    public static JsonElement Read(ReadOnlySpan<byte> body) => JsonElement.Parse(CheckedText(body));

    /// <summary>Returns the text of a body that is one JSON value.</summary>
    private static ReadOnlySpan<byte> CheckedText(ReadOnlySpan<byte> body)
    {
        var text = WithoutMark(body);
        var position = FindFault(text);
        var rest = position < 0 ? default : text[position..];
        var fault = !Utf8.IsValid(text) ? "the reply is not valid UTF-8" // whatever a charset says (C32)
            : text.Trim(" \t\r\n"u8).IsEmpty ? "the reply is empty"
            : rest.StartsWith("NaN"u8) || rest.StartsWith("Infinity"u8) || rest.StartsWith("-Infinity"u8)
                ? "the reply contains NaN or Infinity, which is not JSON" // W09
            : position >= 0 ? "the reply is not JSON"
            : null;
        return fault is null ? text : throw new FormatException(fault);
    }

    /// <summary>Returns where a text stops being one JSON value, -1 where it never does.</summary>
    private static int FindFault(ReadOnlySpan<byte> text, int maxDepth = 64)
    {
        var reader = new Utf8JsonReader(text, new JsonReaderOptions { MaxDepth = maxDepth });
        try
        {
            while (reader.Read())
            {
            }

            return -1;
        }
        catch (JsonException)
        {
            return (int)reader.BytesConsumed;
        }
    }

    /// <summary>Finds the service's own words in any body of an error (W45).</summary>
    public static string ReadServiceMessage(ReadOnlySpan<byte> body)
    {
        var text = Text(body).Trim();
        try
        {
            var value = JsonElement.Parse(text);
            return Member(value, "message") ?? ErrorText(value) ?? Member(value, "detail") ?? Member(value) ?? "";
        }
        catch (JsonException)
        {
            var page = Page.Match(text);
            var title = WebUtility.HtmlDecode(page.Groups["title"].Value).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            return page.Success ? string.Join(' ', title) : text;
        }
    }

    private static string? ErrorText(JsonElement value) => Member(value, "error", "message") ?? Member(value, "error");

    /// <summary>Returns the text of a string that is not blank, found by the names of members, or null.</summary>
    private static string? Member(JsonElement value, params ReadOnlySpan<string> path)
    {
        try
        {
            foreach (var name in path)
            {
                value = value.ValueKind == JsonValueKind.Object && value.TryGetProperty(name, out var member) ? member : default;
            }

            var text = value.ValueKind == JsonValueKind.String ? value.GetString() : null;
            return string.IsNullOrWhiteSpace(text) ? null : text;
        }
        catch (InvalidOperationException) // a name or the text has half of a surrogate pair
        {
            return null;
        }
    }

    public static string Text(ReadOnlySpan<byte> body) => Encoding.UTF8.GetString(WithoutMark(body));

    private static ReadOnlySpan<byte> WithoutMark(ReadOnlySpan<byte> body) =>
        body.StartsWith("\uFEFF"u8) ? body["\uFEFF"u8.Length..] : body;
}

// --- Connections ---

internal static class Connections
{
    /// <summary>A request that knows whether it got a connection, TLS included.</summary>
    /// <param name="method">For example POST.</param>
    /// <param name="uri">Sent as it is written.</param>
    /// <param name="ended">Whether the attempt is over: then the connection that is made for it is not wanted any more.</param>
    internal sealed class Request(HttpMethod method, Uri uri, CancellationToken ended) : HttpRequestMessage(method, uri)
    {
        private CancellationTokenRegistration _closing;

        public bool IsConnected { get; set; }

        /// <summary>Closes a connection that is not ready when the attempt ends; the platform would keep it for seconds.</summary>
        public void CloseAtEnd(Socket socket) => _closing = ended.UnsafeRegister(static socket => ((Socket)socket!).Dispose(), socket);

        public void Keep() => _closing.Dispose();
    }

    /// <summary>Makes a URI that is sent as it is written; the path of an ordinary Uri has %A9 where %a9 was given.</summary>
    public static Uri ExactUri(string text) => new(text, new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true });

    /// <summary>Makes the client's own handler, with a pool of connections.</summary>
    public static SocketsHttpHandler CreateHandler(ScoringClientOptions options, bool isLoopback) => new()
    {
        AllowAutoRedirect = false, // the credential stays with its host
        UseCookies = false,
        UseProxy = !isLoopback,
        Proxy = options.Proxy is null ? null : new WebProxy(options.Proxy),
        ConnectTimeout = options.ConnectTimeout,
        PooledConnectionLifetime = TimeSpan.FromMinutes(2), // or the service's old address is used for ever
        SslOptions =
        {
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            CertificateChainPolicy = options.CaFile is null ? null : TrustOnly(options.CaFile),
        },
        ConnectCallback = ConnectAsync,
        PlaintextStreamFilter = (context, _) => // asked when TLS is ready
        {
            (context.InitialRequestMessage as Request)?.Keep(); // another request may get the connection
            return ValueTask.FromResult(context.PlaintextStream);
        },
        RequestHeaderEncodingSelector = (_, request) => // asked when the headers go out on a connection
        {
            (request as Request)?.IsConnected = true; // not the handler's own to a proxy
            return null;
        },
    };

    private static async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            (context.InitialRequestMessage as Request)?.CloseAtEnd(socket);
            await socket.ConnectAsync(context.DnsEndPoint, cancellationToken).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Makes a policy; host name, dates and purpose of a certificate are checked as always.</summary>
    private static X509ChainPolicy TrustOnly(string caFile)
    {
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        try
        {
            policy.CustomTrustStore.ImportFromPemFile(caFile);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or CryptographicException or ArgumentException)
        {
            throw new ArgumentException($"the CA file cannot be read: {error.Message}", nameof(caFile), error);
        }

        return policy.CustomTrustStore.Count > 0 ? policy : throw new ArgumentException("the CA file holds no certificate", nameof(caFile));
    }
}
