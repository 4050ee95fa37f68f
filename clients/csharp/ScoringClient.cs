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
using System.Collections.Frozen;
using System.Collections.Generic;
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
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

namespace AzureML.Scoring;

// --- Options ---

/// <summary>How a <see cref="ScoringClient"/> works. What makes no sense is refused when the client is made.</summary>
public sealed class ScoringClientOptions
{
    internal static readonly TimeSpan DefaultConnectTimeout = TimeSpan.FromSeconds(10);

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
    public TimeSpan ConnectTimeout { get; init; } = DefaultConnectTimeout;

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

    private readonly Uri _uri;
    private readonly string? _key;
    private readonly TokenCache? _tokens;
    private readonly TimeSpan _timeout;
    private readonly TimeSpan _attemptTimeout;
    private readonly TimeSpan? _connectTimeout; // null where the handler is the caller's
    private readonly int _maxRetries;
    private readonly TimeSpan _baseDelay;
    private readonly TimeSpan _maxDelay;
    private readonly FrozenSet<int> _retryStatuses;
    private readonly int _maxReplyBytes;
    private readonly string? _deployment;
    private readonly Action<ScoringRetry>? _onRetry;
    private readonly TimeProvider _timeProvider;
    private readonly HttpMessageInvoker _http;
    private readonly Lock _lock = new();
    private int _callsUnderWay;
    private bool _disposed;

    /// <summary>Makes a client.</summary>
    /// <param name="scoringUri">Absolute http or https URI. Its path and query are sent exactly as given (W02).</param>
    /// <param name="options">Default: no credential, and the defaults of each option.</param>
    /// <exception cref="ArgumentException">An argument makes no sense.</exception>
    public ScoringClient(Uri scoringUri, ScoringClientOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(scoringUri);
        options ??= new ScoringClientOptions();
        _uri = Connections.ExactUri(Arguments.CheckedUri(scoringUri, nameof(scoringUri)));
        Arguments.Check(options, scoringUri);
        _key = options.Key;
        _timeProvider = options.TimeProvider;
        _timeout = options.Timeout;
        _tokens = options.TokenProvider is null ? null : new TokenCache(options.TokenProvider, _timeout, _timeProvider);
        _attemptTimeout = options.AttemptTimeout;
        _connectTimeout = options.Handler is null ? options.ConnectTimeout : null;
        _maxRetries = options.MaxRetries;
        _baseDelay = options.BaseDelay;
        _maxDelay = options.MaxDelay;
        _retryStatuses = options.RetryStatuses.ToFrozenSet();
        _maxReplyBytes = options.MaxReplyBytes;
        _deployment = options.Deployment;
        _onRetry = options.OnRetry;
        var handler = options.Handler ?? Connections.CreateHandler(options, isLoopback: scoringUri.IsLoopback);
        _http = new HttpMessageInvoker(handler, disposeHandler: options.Handler is null);
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
        var body = Payload.Encode(rows, nameof(rows), out var rowCount);
        return CallAsync(
            Post(body, "application/json", cancellationToken),
            _maxRetries,
            (ArraySegment<byte> reply, out double[] predictions) => Json.ReadPredictions(reply, rowCount, out predictions));
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
        var body = Payload.Encode(json, nameof(json));
        return CallAsync<JsonElement>(Post(body, "application/json", cancellationToken), _maxRetries, Json.Read);
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
        return CallAsync<byte[]>(Post(body, contentType, cancellationToken), _maxRetries, ReadBytes);

        static string? ReadBytes(ArraySegment<byte> reply, out byte[] bytes)
        {
            bytes = reply.Count == reply.Array!.Length ? reply.Array : [.. reply];
            return null;
        }
    }

    /// <summary>Returns the service's OpenAPI document, from <c>swagger.json</c> beside the scoring URI (C52).</summary>
    /// <param name="cancellationToken">Ends the call at once, wherever it is.</param>
    /// <exception cref="ScoringException">See the top of this file. A service without a document answers 404.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; the exception carries it.</exception>
    /// <exception cref="ObjectDisposedException">The client was disposed.</exception>
    public Task<JsonElement> GetSwaggerAsync(CancellationToken cancellationToken = default) =>
        CallAsync<JsonElement>(Get("swagger.json", cancellationToken), _maxRetries, Json.Read);

    /// <summary>Returns whether the service's root says <c>Healthy</c> (C51). One attempt.</summary>
    /// <param name="cancellationToken">Ends the call at once, wherever it is.</param>
    /// <exception cref="ScoringTransportException">There was no answer.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; the exception carries it.</exception>
    /// <exception cref="ObjectDisposedException">The client was disposed.</exception>
    public async Task<bool> IsHealthyAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            return await CallAsync<bool>(Get("", cancellationToken), maxRetries: 0, ReadHealth).ConfigureAwait(false);
        }
        catch (ScoringException error) when (error is not ScoringTransportException)
        {
            return false;
        }

        static string? ReadHealth(ArraySegment<byte> reply, out bool isHealthy)
        {
            var text = reply.AsSpan().Trim(" \t\r\n"u8);
            isHealthy = text.SequenceEqual("Healthy"u8) || text.SequenceEqual("\"Healthy\""u8);
            return null;
        }
    }

    /// <summary>Closes the connections.</summary>
    /// <remarks>Calls under way go on to their end; later ones throw <see cref="ObjectDisposedException"/>.</remarks>
    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            if (_callsUnderWay > 0)
            {
                return; // the last one closes the connections
            }
        }

        _http.Dispose();
    }

    /// <summary>Names the scoring URI, without its query.</summary>
    public override string ToString() => $"ScoringClient({_uri.OriginalString.Split('?')[0]})";

    // --- Sending ---

    /// <summary>Returns null and what the body of a success means, or what is wrong with it.</summary>
    private delegate string? Reader<T>(ArraySegment<byte> body, out T result);

    private Call Post(ReadOnlyMemory<byte> body, string contentType, CancellationToken cancellationToken) =>
        new(HttpMethod.Post, _uri, _timeout, _timeProvider, cancellationToken)
        {
            Body = body,
            ContentType = contentType,
            Deployment = _deployment,
        };

    private Call Get(string beside, CancellationToken cancellationToken)
    {
        var path = _uri.OriginalString.Split('?')[0];
        var uri = Connections.ExactUri(path[..(path.LastIndexOf('/') + 1)] + beside);
        return new(HttpMethod.Get, uri, _timeout, _timeProvider, cancellationToken);
    }

    private async Task<T> CallAsync<T>(Call call, int maxRetries, Reader<T> read)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            _callsUnderWay++;
        }

        try
        {
            var reply = await CompleteAsync(call, maxRetries).ConfigureAwait(false);
            var fault = read(reply.Body, out var result);
            return fault is null ? result : throw call.ReplyError(fault, reply);
        }
        finally
        {
            bool isLast;
            lock (_lock)
            {
                isLast = --_callsUnderWay == 0 && _disposed;
            }

            if (isLast)
            {
                _http.Dispose();
            }
        }
    }

    /// <summary>Makes attempts until one is a success, and returns its reply; throws what the last one came to.</summary>
    private async Task<Reply> CompleteAsync(Call call, int maxRetries)
    {
        var retries = 0;
        var isRenewed = false;
        var credential = await CredentialAsync(call, refused: null).ConfigureAwait(false);
        while (true)
        {
            var outcome = await AttemptAsync(call, credential).ConfigureAwait(false);
            if (outcome is Reply { IsSuccess: true, Fault: null } success)
            {
                return success;
            }

            if (outcome is Reply { Status: 401 } && _tokens is not null && !isRenewed) // B25
            {
                isRenewed = true;
                if (await CredentialAsync(call, refused: credential).ConfigureAwait(false) is string other)
                {
                    credential = other;
                    continue;
                }
            }

            var hint = (outcome as Reply)?.RetryAfter ?? TimeSpan.Zero;
#pragma warning disable CA5394 // no secret comes of this number
            var backOff = BackOff(retries, _baseDelay, _maxDelay, Random.Shared.NextDouble());
#pragma warning restore CA5394
            var wait = hint > backOff ? hint : backOff;
            if (retries == maxRetries || !ShouldRepeat(outcome, _retryStatuses) || hint > _maxDelay || wait >= call.Left)
            {
                throw call.Error(outcome);
            }

            _onRetry?.Invoke(new ScoringRetry(call.Attempts, wait, call.Reason(outcome)));
            await Task.Delay(wait, _timeProvider, call.CancellationToken).ConfigureAwait(false);
            retries++;
            credential = await CredentialAsync(call, refused: null).ConfigureAwait(false);
        }
    }

    /// <summary>Returns the credential to send; with a refused one, another than that or null.</summary>
    private async ValueTask<string?> CredentialAsync(Call call, string? refused)
    {
        var credential = _tokens is null ? _key : await _tokens.GetAsync(call, refused).ConfigureAwait(false);
        if (credential is not null && !call.Secrets.Contains(credential))
        {
            call.Secrets.Add(credential);
        }

        return credential;
    }

    /// <summary>Makes one attempt, which ends with its time or the caller's token wherever it is.</summary>
    private async Task<Outcome> AttemptAsync(Call call, string? credential)
    {
        call.CancellationToken.ThrowIfCancellationRequested();
        var left = call.Left;
        using var timeLimit = new CancellationTokenSource(left < _attemptTimeout ? left : _attemptTimeout, _timeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeLimit.Token, call.CancellationToken);
        using var request = MakeRequest(call, credential);
        call.Attempts++;
        try
        {
            using var response = await _http.SendAsync(request, either.Token).ConfigureAwait(false);
            var reply = await ReceiveAsync(response, either.Token).ConfigureAwait(false);
            if (!reply.IsSuccess) // its body may have been given up
            {
                call.CancellationToken.ThrowIfCancellationRequested();
            }

            return reply;
        }
        catch (Exception error) when (IsNetworkFailure(error))
        {
            if (call.CancellationToken.IsCancellationRequested) // as it comes the exception carries the linked token
            {
                throw new OperationCanceledException("the call was cancelled", call.FitToPrint(error), call.CancellationToken);
            }

            if (timeLimit.IsCancellationRequested)
            {
                var limit = left < _attemptTimeout ? _timeout : _attemptTimeout;
                return new Failure(error, limit, isConnecting: _connectTimeout is not null && !request.IsConnected);
            }

            var isConnecting = _connectTimeout is not null && error is OperationCanceledException;
            return new Failure(error, isConnecting ? _connectTimeout : null, isConnecting);
        }
    }

    private static Connections.Request MakeRequest(Call call, string? credential)
    {
        var request = new Connections.Request { Method = call.Method, RequestUri = call.Uri, Version = HttpVersion.Version11 }; // over https too
        request.Headers.TryAddWithoutValidation("x-ms-client-request-id", call.ClientRequestId);
        if (credential is not null)
        {
            request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {credential}");
        }

        if (call.Deployment is not null)
        {
            request.Headers.TryAddWithoutValidation("azureml-model-deployment", call.Deployment);
        }

        if (call.ContentType is not null)
        {
            request.Content = new ReadOnlyMemoryContent(call.Body);
            request.Content.Headers.TryAddWithoutValidation("Content-Type", call.ContentType);
        }

        return request;
    }

    private async Task<Reply> ReceiveAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        var reply = new Reply((int)response.StatusCode, response.Headers);
        reply.RetryAfter = reply.IsSuccess ? null : RetryHint(response.Headers, _timeProvider.GetUtcNow());
        if (reply.Status == 101) // what follows is not HTTP
        {
            return reply;
        }

        if (reply.IsSuccess && FirstValue(response.Content.Headers, "Content-Encoding") is string encoding
            && !encoding.Equals("identity", StringComparison.OrdinalIgnoreCase))
        {
            reply.Fault = $"the reply has Content-Encoding: {encoding}, which was not asked for";
            return reply;
        }

        var limit = reply.IsSuccess ? _maxReplyBytes : ErrorBodyBytes;
        var length = response.Content.Headers.ContentLength ?? 0; // a guess: it may be anything
        using var body = new MemoryStream((int)Math.Min(length, limit));
        try
        {
            await ReadAsync(response.Content, body, limit + 1, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (!reply.IsSuccess && IsNetworkFailure(error)) // the status is the outcome (B50)
        {
            reply.IsCut = true;
        }

        reply.IsCut |= body.Length > limit;
        reply.Body = new ArraySegment<byte>(body.GetBuffer(), 0, (int)Math.Min(body.Length, limit));
        if (reply.IsSuccess && reply.IsCut)
        {
            reply.Fault = Invariant($"the reply is larger than {limit} bytes");
        }

        return reply;
    }

    /// <summary>Reads to the end, or as many bytes as asked for.</summary>
    private static async Task ReadAsync(HttpContent content, MemoryStream body, int most, CancellationToken cancellationToken)
    {
        using var stream = await content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
        var buffer = ArrayPool<byte>.Shared.Rent(Math.Clamp(body.Capacity, 4 * 1024, 64 * 1024));
        try
        {
            int count;
            do
            {
                var wanted = Math.Min(buffer.Length, most - (int)body.Length);
                count = await stream.ReadAsync(buffer.AsMemory(0, wanted), cancellationToken).ConfigureAwait(false);
                body.Write(buffer.AsSpan(0, count));
            }
            while (count > 0 && body.Length < most);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static bool IsNetworkFailure(Exception error) => error is HttpRequestException or IOException or OperationCanceledException;

    // --- What is repeated ---

    /// <summary>Returns whether another attempt may come to something else (B40-B47).</summary>
    internal static bool ShouldRepeat(Outcome outcome, IReadOnlySet<int> retryStatuses) => outcome switch
    {
        Reply { IsSuccess: true } => false, // with a fault: it would come again
        Reply { Status: 500 or 502, RunFunctionFailed: true } => false,
        Reply { Status: 424, ModelReason: "model_not_ready" or "too_few_model_instance" } or Reply { Status: 424, ModelStatus: 429 } => true,
        Reply reply => retryStatuses.Contains(reply.Status),
        Failure { IsConnecting: true } => true, // nothing was sent
        Failure { Limit: not null } => false, // the model may still be at work (C40)
        Failure { Error: HttpRequestException error } => error.HttpRequestError switch
        {
            HttpRequestError.NameResolutionError or HttpRequestError.ConnectionError => true,
            HttpRequestError.ResponseEnded or HttpRequestError.InvalidResponse => true,
            HttpRequestError.SecureConnectionError or HttpRequestError.Unknown => error.InnerException is IOException, // else TLS refused
            _ => false,
        },
        Failure failure => failure.Error is IOException, // inside the body
        _ => throw new UnreachableException(),
    };

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
        return Wait(FirstValue(headers, "retry-after-ms"), TimeSpan.FromMilliseconds(1))
            ?? Wait(FirstValue(headers, "x-ms-retry-after-ms"), TimeSpan.FromMilliseconds(1))
            ?? Wait(text, TimeSpan.FromSeconds(1))
            ?? WaitUntil(text, now);
    }

    private static TimeSpan? Wait(string? digits, TimeSpan unit)
    {
        if (digits is null || digits.AsSpan().ContainsAnyExceptInRange('0', '9'))
        {
            return null;
        }

        digits = digits.TrimStart('0');
        return digits.Length > 9 ? TimeSpan.FromSeconds(999_999_999) : int.Parse($"0{digits}", CultureInfo.InvariantCulture) * unit;
    }

    /// <summary>Reads an IMF-fixdate, the one form of a date that is still sent.</summary>
    private static TimeSpan? WaitUntil(string? date, DateTimeOffset now)
    {
        const string format = "dd MMM yyyy HH:mm:ss 'GMT'"; // the day of the week says nothing, right or wrong
        if (date is not { Length: 29 } || date[3..5] != ", " || !DateTimeOffset.TryParseExact(
            date.AsSpan(5), format, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var then))
        {
            return null;
        }

        return then > now ? then - now : TimeSpan.Zero;
    }

    // --- The credential ---

    /// <summary>The token of a provider, fetched once for all who need it (C14).</summary>
    private sealed class TokenCache(
        Func<CancellationToken, ValueTask<AccessToken>> provider, TimeSpan timeout, TimeProvider timeProvider)
    {
        private readonly Lock _lock = new();
        private AccessToken? _token;
        private string? _refused; // not kept when the fetch under way brings it again
        private Task<AccessToken?>? _fetch; // under way; comes to null when its time is up

        /// <summary>Returns a token; after one was refused, another than that or null.</summary>
        public async ValueTask<string?> GetAsync(Call call, string? refused)
        {
            Task<AccessToken?> fetch;
            lock (_lock)
            {
                if (_token is not null && _token.Token == refused)
                {
                    _token = null;
                }

                if (_token is not null && (refused is not null || !(timeProvider.GetUtcNow() >= _token.RefreshBy)))
                {
                    return _token.Token;
                }

                _refused = refused ?? _refused;
                fetch = _fetch ??= Task.Run(FetchAsync);
            }

            await ((Task)fetch).WaitAsync(call.Left, timeProvider, call.CancellationToken)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // what it throws may be the provider's or the wait's
            call.CancellationToken.ThrowIfCancellationRequested();
            var token = fetch.IsCompleted ? await fetch.ConfigureAwait(false) : null;
            return token is null ? throw call.NoToken() : token.Token == refused ? null : token.Token;
        }

        private async Task<AccessToken?> FetchAsync()
        {
            AccessToken? token = null;
            ExceptionDispatchInfo? failure = null;
            using var timeLimit = new CancellationTokenSource(timeout, timeProvider); // no caller's: one who gives up ends only his wait
            try
            {
                token = Arguments.CheckedToken(
                    await Task.Run(() => provider(timeLimit.Token).AsTask()).WaitAsync(timeLimit.Token).ConfigureAwait(false));
            }
            catch (Exception error) when (!timeLimit.IsCancellationRequested)
            {
                failure = ExceptionDispatchInfo.Capture(error);
            }
            catch (OperationCanceledException)
            {
                // Its time is up.
            }

            lock (_lock)
            {
                if (token is not null && token.Token != _refused)
                {
                    _token = token;
                }

                token ??= _token; // a failed refresh: the old one serves, unless it was refused
                (_fetch, _refused) = (null, null);
            }

            if (token is null)
            {
                failure?.Throw();
            }

            return token;
        }
    }

    // --- What one attempt came to ---

    internal abstract class Outcome;

    /// <summary>An answer of the service; <see cref="Fault"/> says why a success is none.</summary>
    internal sealed class Reply(int status, HttpResponseHeaders headers) : Outcome
    {
        public int Status => status;

        public bool IsSuccess => status is >= 200 and <= 299;

        public TimeSpan? RetryAfter { get; set; }

        public ArraySegment<byte> Body { get; set; } = ArraySegment<byte>.Empty;

        public bool IsCut { get; set; }

        public string? Fault { get; set; }

        public string? RequestId => FirstValue(headers, "x-request-id") ?? FirstValue(headers, "x-ms-request-id");

        public int? ModelStatus => FirstValue(headers, "ms-azureml-model-error-statuscode") is { Length: 3 } text
            && int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

        public string? ModelReason => FirstValue(headers, "ms-azureml-model-error-reason");

        public bool RunFunctionFailed =>
            "true".Equals(FirstValue(headers, "x-ms-run-function-failed"), StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>No answer, or not all of a success.</summary>
    internal sealed class Failure(Exception error, TimeSpan? limit = null, bool isConnecting = false) : Outcome
    {
        public Exception Error => error;

        /// <summary>The limit of ours that passed.</summary>
        public TimeSpan? Limit => limit;

        /// <summary>Whether it passed before there was a connection.</summary>
        public bool IsConnecting => isConnecting;

        public bool TimedOut => limit is not null || error is OperationCanceledException
            || error.GetBaseException() is SocketException { SocketErrorCode: SocketError.TimedOut };

        public string Text => error switch
        {
            _ when limit is TimeSpan passed => Invariant($"no {(isConnecting ? "connection" : "complete reply")} within {passed.TotalSeconds} s"),
            OperationCanceledException => "the handler gave up",
            HttpRequestException { HttpRequestError: HttpRequestError.NameResolutionError } => "the host name cannot be resolved",
            HttpRequestException { InnerException: SocketException { SocketErrorCode: SocketError.ConnectionRefused } } => "connection refused",
            HttpRequestException { HttpRequestError: HttpRequestError.ResponseEnded } => "the connection was closed before the reply",
            HttpRequestException { HttpRequestError: HttpRequestError.InvalidResponse } => "the reply is not valid HTTP",
            HttpRequestException { HttpRequestError: HttpRequestError.ConfigurationLimitExceeded } => "the headers of the reply are too large",
            HttpRequestException { HttpRequestError: HttpRequestError.ProxyTunnelError, StatusCode: var status } =>
                Invariant($"the proxy refused the tunnel: {(int?)status}"),
            HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError, InnerException: IOException } =>
                "the connection was closed inside TLS",
            HttpRequestException { InnerException: AuthenticationException tls } => $"TLS failed: {tls.Message}",
            HttpRequestException { InnerException: IOException } => "the connection was reset",
            HttpIOException { HttpRequestError: HttpRequestError.ResponseEnded } => "the reply was cut off",
            HttpIOException { HttpRequestError: HttpRequestError.InvalidResponse } => "the reply is not valid HTTP",
            IOException { InnerException: SocketException } => "the connection was reset",
            _ => error.Message,
        };
    }

    private static string? FirstValue(HttpHeaders headers, string name)
    {
        var value = headers.NonValidated.TryGetValues(name, out var values) ? values.First().Trim(' ', '\t') : null;
        return string.IsNullOrEmpty(value) ? null : value;
    }

    // --- Errors ---

    /// <summary>One call of a user, over all its attempts; makes its errors.</summary>
    private sealed class Call(HttpMethod method, Uri uri, TimeSpan timeout, TimeProvider timeProvider, CancellationToken cancellationToken)
    {
        private const int ExcerptCharacters = 300;

        private readonly long _start = timeProvider.GetTimestamp();

        public HttpMethod Method => method;

        public Uri Uri => uri;

        public CancellationToken CancellationToken => cancellationToken;

        public ReadOnlyMemory<byte> Body { get; init; }

        public string? ContentType { get; init; }

        public string? Deployment { get; init; }

        public string ClientRequestId { get; } = Guid.NewGuid().ToString();

        /// <summary>Requests sent.</summary>
        public int Attempts { get; set; }

        /// <summary>Every credential that was used.</summary>
        public List<string> Secrets { get; } = [];

        /// <summary>What is left of the call's time.</summary>
        public TimeSpan Left
        {
            get
            {
                var left = timeout - timeProvider.GetElapsedTime(_start);
                return left > TimeSpan.Zero ? left : TimeSpan.Zero;
            }
        }

        public ScoringException Error(Outcome outcome) => outcome switch
        {
            Reply { Fault: string fault } reply => ReplyError(fault, reply),
            Reply reply => ServiceError(reply),
            Failure failure => TransportError(Reason(failure), failure.TimedOut, failure.Error),
            _ => throw new UnreachableException(),
        };

        public ScoringTransportException NoToken() => TransportError(Invariant($"no token within {timeout.TotalSeconds} s"), timedOut: true);

        public ScoringReplyException ReplyError(string fault, Reply reply)
        {
            var reason = Excerpt(fault);
            var start = reply.Body[..Math.Min(reply.Body.Count, ErrorBodyBytes)];
            var excerpt = Excerpt(Hide(Encoding.UTF8.GetString(start), reply.IsCut || start.Count < reply.Body.Count));
            return new ScoringReplyException(Text(excerpt.Length > 0 ? $"{reason}: {excerpt}" : reason))
            {
                Attempts = Attempts,
                Reason = reason,
                Excerpt = excerpt,
            };
        }

        /// <summary>Returns what an attempt came to, in words fit for a log.</summary>
        public string Reason(Outcome outcome)
        {
            if (outcome is not Reply reply)
            {
                return Excerpt(((Failure)outcome).Text);
            }

            var excerpt = Excerpt(Message(reply));
            return excerpt.Length > 0 ? Invariant($"{reply.Status}: {excerpt}") : Invariant($"{reply.Status}");
        }

        private ScoringServiceException ServiceError(Reply reply)
        {
            var requestId = Hide(reply.RequestId);
            return new ScoringServiceException(Text(Reason(reply), requestId))
            {
                Attempts = Attempts,
                Status = reply.Status,
                ServiceMessage = Message(reply),
                Body = reply.Body,
                RequestId = requestId,
                ClientRequestId = ClientRequestId,
                RetryAfter = reply.RetryAfter,
                ModelStatus = reply.ModelStatus,
                ModelReason = Hide(reply.ModelReason),
                RunFunctionFailed = reply.RunFunctionFailed,
            };
        }

        private ScoringTransportException TransportError(string reason, bool timedOut, Exception? cause = null) =>
            new(Text(reason), FitToPrint(cause))
            {
                Attempts = Attempts,
                TimedOut = timedOut,
            };

        private string Text(string what, string? requestId = null)
        {
            var details = Invariant($"{Attempts} attempt{(Attempts == 1 ? "" : "s")}");
            if (requestId is not null)
            {
                details += $", request id {Excerpt(requestId)}";
            }

            return $"{method} {uri.OriginalString.Split('?')[0]}: {what} ({details})";
        }

        private string Message(Reply reply) => Hide(Json.ReadServiceMessage(reply.Body), reply.IsCut);

        /// <summary>Returns the beginning of a text from outside, fit for a log: one line, without a credential.</summary>
        private string Excerpt(string text)
        {
            text = Hide(text).Trim();
            if (text.Length > ExcerptCharacters)
            {
                var end = ExcerptCharacters - 1;
                text = string.Concat(text.AsSpan(0, char.IsHighSurrogate(text[end - 1]) ? end - 1 : end), "…");
            }

            return string.Concat(text.Select(character => IsPrintable(character) ? character : ' '));
        }

        private static bool IsPrintable(char character) => char.GetUnicodeCategory(character)
            is not (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator);

        /// <summary>Replaces every credential by ***, also where JSON escapes some of its characters.</summary>
        /// <param name="text">A text from outside.</param>
        /// <param name="isCut">Whether the text may end inside one: then the beginning of one at its end is replaced as well.</param>
        [return: NotNullIfNotNull(nameof(text))]
        private string? Hide(string? text, bool isCut = false)
        {
            foreach (var secret in text is null ? [] : Secrets)
            {
                text = text!.Replace(secret, "***", StringComparison.Ordinal);
                if (text.Contains('\\', StringComparison.Ordinal))
                {
                    var escaped = secret.Select(one => Invariant(@$"(?:\\?{Regex.Escape($"{one}")}|\\u00(?i:{(int)one:x2}))"));
                    text = Regex.Replace(text, string.Concat(escaped), "***", RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
                }

                for (var length = secret.Length - 1; isCut && length > 0; length--)
                {
                    if (text.EndsWith(secret[..length], StringComparison.Ordinal))
                    {
                        text = $"{text[..^length]}***";
                        break;
                    }
                }
            }

            return text;
        }

        /// <summary>Returns an exception if it quotes no credential that the service sent back, and shows no password of a proxy.</summary>
        public Exception? FitToPrint(Exception? error)
        {
            var text = error?.ToString();
            var isFit = text == Hide(text) && error is not HttpRequestException { HttpRequestError: HttpRequestError.ProxyTunnelError };
            return isFit ? error : null;
        }
    }
}

/// <summary>A call that failed for another reason than the caller's arguments.</summary>
/// <param name="message">One line, without credential or query.</param>
/// <param name="innerException">The cause, if any.</param>
public abstract class ScoringException(string message, Exception? innerException = null) : Exception(message, innerException)
{
    /// <summary>Requests sent.</summary>
    public required int Attempts { get; init; }
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
}

/// <summary>The service said success, but its body is not what was asked for (C31-C35).</summary>
/// <param name="message">One line, without credential or query.</param>
public sealed class ScoringReplyException(string message) : ScoringException(message)
{
    /// <summary>What is wrong, in words.</summary>
    public required string Reason { get; init; }

    /// <summary>The beginning of the body, fit for a log, at most 300 characters.</summary>
    public required string Excerpt { get; init; }
}

// --- Arguments ---

file static class Arguments
{
    private static readonly SearchValues<char> NotInUri = SearchValues.Create("\"<>\\^`{|}");

    /// <summary>Returns the URI as it was given, or refuses what this or another platform would change on the way (C06).</summary>
    public static string CheckedUri(Uri uri, string parameter)
    {
        var text = uri.OriginalString; // the other properties of Uri show it after changes
        if (!IsAbsolute(uri, text, out var authority, out var target))
        {
            throw new ArgumentException("the scoring URI must be an absolute http or https URI", parameter);
        }

        if (authority.Contains('@', StringComparison.Ordinal))
        {
            throw new ArgumentException("the scoring URI must not contain user info", parameter);
        }

        if (target.Contains('#', StringComparison.Ordinal))
        {
            throw new ArgumentException("the scoring URI must not contain a fragment", parameter);
        }

        if (target.Split('?')[0].Split('/').Any(segment => segment is "." or ".."))
        {
            throw new ArgumentException("the scoring URI must not contain dot segments", parameter);
        }

        var escapes = target.Split('%').Skip(1).Select(part => part[..2]);
        if (escapes.FirstOrDefault(IsNeedless) is string escape)
        {
            throw new ArgumentException($"the scoring URI must not contain needless percent escapes (%{escape})", parameter);
        }

        return target.StartsWith('/') ? $"{uri.Scheme}://{authority}{target}" : $"{uri.Scheme}://{authority}/{target}";
    }

    private static bool IsAbsolute(Uri uri, string text, out string authority, out string target)
    {
        (authority, target) = ("", "");
        if (!uri.IsAbsoluteUri || (uri.Scheme != Uri.UriSchemeHttp && uri.Scheme != Uri.UriSchemeHttps)
            || !text.StartsWith($"{uri.Scheme}://", StringComparison.OrdinalIgnoreCase)
            || text.AsSpan().ContainsAnyExceptInRange('!', '~') || text.AsSpan().ContainsAny(NotInUri))
        {
            return false;
        }

        var rest = text[$"{uri.Scheme}://".Length..];
        var end = rest.AsSpan().IndexOfAny('/', '?', '#');
        (authority, target) = end < 0 ? (rest, "") : (rest[..end], rest[end..]);
        return authority.Length > 0 && uri.Port != 0 && !authority.Contains('%', StringComparison.Ordinal)
            && target.Split('%').Skip(1).All(part => part.Length >= 2 && part[..2].All(char.IsAsciiHexDigit));
    }

    private static bool IsNeedless(string escape)
    {
        var character = (char)Convert.FromHexString(escape)[0];
        return char.IsAsciiLetterOrDigit(character) || character is '-' or '.' or '_' or '~';
    }

    public static void Check(ScoringClientOptions options, Uri scoringUri)
    {
        if (options.Key is not null)
        {
            CheckCredential(options.Key, "the key", nameof(options));
            Refuse(options.TokenProvider is not null, "Key and TokenProvider exclude each other", nameof(options));
        }

        var hasCredential = options.Key is not null || options.TokenProvider is not null;
        Refuse(
            hasCredential && scoringUri.Scheme == Uri.UriSchemeHttp && !scoringUri.IsLoopback && !options.AllowInsecureHttp,
            "a key over plain http to a host that is not loopback: use https, or AllowInsecureHttp if the network is trusted",
            nameof(options));
        CheckTime(options.Timeout);
        CheckTime(options.AttemptTimeout);
        CheckTime(options.ConnectTimeout);
        CheckTime(options.BaseDelay);
        CheckTime(options.MaxDelay);
        CheckCount(options.MaxRetries, 0, int.MaxValue);
        CheckCount(options.MaxReplyBytes, 1, Array.MaxLength - 1);
        ArgumentNullException.ThrowIfNull(options.TimeProvider, nameof(options));
        ArgumentNullException.ThrowIfNull(options.RetryStatuses, nameof(options));
        foreach (var status in options.RetryStatuses)
        {
            Refuse(status is < 400 or > 599, Invariant($"RetryStatuses: {status} is not between 400 and 599"), nameof(options));
        }

        if (options.Deployment is not null)
        {
            CheckHeader(options.Deployment, "the deployment", nameof(options));
        }

        Refuse(options.Proxy is not null && !IsProxy(options.Proxy), "the proxy must be http://host:port", nameof(options));
        var name = options.ConnectTimeout != ScoringClientOptions.DefaultConnectTimeout ? nameof(options.ConnectTimeout)
            : options.CaFile is not null ? nameof(options.CaFile)
            : options.Proxy is not null ? nameof(options.Proxy)
            : null;
        Refuse(options.Handler is not null && name is not null, $"{name} has no effect with Handler: set it there", nameof(options));
    }

    private static void Refuse(bool isWrong, string text, string parameter)
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
        if (token is null)
        {
            throw new ArgumentException("the token provider must return an AccessToken, not null", nameof(token));
        }

        CheckCredential(token.Token ?? "", "the token", nameof(token));
        return token;
    }

    /// <summary>Refuses what cannot travel in a header (C11); the platform would show it or send something else.</summary>
    public static void CheckHeader(string text, string what, string parameter, bool innerSpaces = false, string hint = "")
    {
        if (text.Length == 0)
        {
            throw new ArgumentException($"{what} is empty", parameter);
        }

        var position = text.AsSpan().IndexOfAnyExceptInRange(innerSpaces ? ' ' : '!', '~');
        position = text[0] == ' ' ? 0 : position < 0 && text[^1] == ' ' ? text.Length - 1 : position;
        if (position >= 0)
        {
            throw new ArgumentException(
                Invariant($"{what} has a character that cannot be sent in a header at position {position}{hint}"), parameter);
        }
    }

    private static void CheckCredential(string credential, string what, string parameter) =>
        CheckHeader(credential, what, parameter, hint: " (a trailing newline?)");

    private static void CheckCount(
        int count, int least, int most, [CallerArgumentExpression(nameof(count))] string? parameter = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, least, parameter);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, most, parameter);
    }

    private static void CheckTime(TimeSpan time, [CallerArgumentExpression(nameof(time))] string? parameter = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(time, TimeSpan.Zero, parameter);
        var longest = TimeSpan.FromMilliseconds(int.MaxValue); // 24 days; timers refuse more
        ArgumentOutOfRangeException.ThrowIfGreaterThan(time, longest, parameter);
    }
}

// --- Bodies ---

file static class Payload
{
    /// <summary>Returns the body to send, and how many rows it has.</summary>
    public static ReadOnlyMemory<byte> Encode(IEnumerable<IEnumerable<double>> rows, string parameter, out int rowCount)
    {
        var body = new ArrayBufferWriter<byte>();
        body.Write("{\"data\":["u8);
        rowCount = 0;
        foreach (var row in rows)
        {
            if (row is null)
            {
                throw new ArgumentException(Invariant($"row {rowCount} is null"), parameter);
            }

            body.Write(rowCount == 0 ? "["u8 : ",["u8);
            var column = 0;
            foreach (var cell in row)
            {
                if (!double.IsFinite(cell))
                {
                    var text = Invariant($"row {rowCount}, column {column} is {(double.IsNaN(cell) ? "NaN" : "Infinity")}: JSON has no such number");
                    throw new ArgumentException(text, parameter);
                }

                body.Write(column == 0 ? ""u8 : ","u8);
                Write(body, cell);
                column++;
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
        return isText && Json.IsValid(body) ? body : throw new ArgumentException("the payload is not JSON", parameter);
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
}

file static class Json
{
    private static readonly string[] PageStarts = ["<!doctype", "<html", "<head", "<body"];

    /// <summary>Returns null and one finite number for each row, or what is wrong with the body (B51).</summary>
    public static string? ReadPredictions(ReadOnlyMemory<byte> body, int rowCount, out double[] predictions)
    {
        predictions = new double[rowCount];
        if (TryReadNumbers(WithoutByteOrderMark(body).Span, predictions))
        {
            return null;
        }

        return Read(body, out var reply) ?? reply.ValueKind switch
        {
            JsonValueKind.Array => WrongElement(reply) ?? Invariant($"the reply has {reply.GetArrayLength()} predictions for {rowCount} rows"),
            JsonValueKind.Object when ErrorText(reply) is string text => $"the reply is a JSON object, not an array: {text}",
            JsonValueKind.String => "the reply is a JSON string, not an array; the scoring script probably calls json.dumps itself",
            var kind => $"the reply is a JSON {Name(kind)}, not an array",
        };
    }

    /// <summary>Reads an array of exactly so many finite numbers. Documents take many times the memory and twice the time.</summary>
    private static bool TryReadNumbers(ReadOnlySpan<byte> text, double[] numbers)
    {
        var reader = new Utf8JsonReader(text);
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartArray)
            {
                return false;
            }

            for (var index = 0; index < numbers.Length; index++)
            {
                if (!reader.Read() || reader.TokenType != JsonTokenType.Number || !double.IsFinite(numbers[index] = reader.GetDouble()))
                {
                    return false;
                }
            }

            return reader.Read() && reader.TokenType == JsonTokenType.EndArray && !reader.Read();
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static string? WrongElement(JsonElement array)
    {
        foreach (var (index, element) in array.EnumerateArray().Index())
        {
            if (element.ValueKind != JsonValueKind.Number)
            {
                return Invariant($"element {index} of the reply is a JSON {Name(element.ValueKind)}, not a number");
            }

            if (!double.IsFinite(element.GetDouble())) // 1e400
            {
                return Invariant($"element {index} of the reply is not a finite number");
            }
        }

        return null;
    }

    /// <summary>Returns null and any JSON value, or what is wrong with the body (B52).</summary>
    public static string? Read(ArraySegment<byte> body, out JsonElement value) => Read((ReadOnlyMemory<byte>)body, out value);

    private static string? Read(ReadOnlyMemory<byte> body, out JsonElement value)
    {
        value = default;
        if (!Utf8.IsValid(body.Span)) // whatever a charset says (C32)
        {
            return "the reply is not valid UTF-8";
        }

        var text = WithoutByteOrderMark(body).Span;
        if (text.Trim(" \t\r\n"u8).IsEmpty)
        {
            return "the reply is empty";
        }

        try
        {
            value = JsonElement.Parse(text);
            return null;
        }
        catch (JsonException)
        {
            return HasNotFinite(text) ? "the reply contains NaN or Infinity, which is not JSON" : "the reply is not JSON";
        }
    }

    /// <summary>Returns whether a text is one JSON value; how deep is for the service to judge.</summary>
    public static bool IsValid(ReadOnlySpan<byte> text)
    {
        var reader = new Utf8JsonReader(text, new JsonReaderOptions { MaxDepth = int.MaxValue });
        try
        {
            while (reader.Read())
            {
            }

            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    /// <summary>Returns whether what is no JSON begins with one of the words that Python writes (W09).</summary>
    private static bool HasNotFinite(ReadOnlySpan<byte> text)
    {
        var reader = new Utf8JsonReader(text);
        try
        {
            while (reader.Read())
            {
            }

            return false;
        }
        catch (JsonException)
        {
            var rest = text[(int)reader.BytesConsumed..];
            return rest.StartsWith("NaN"u8) || rest.StartsWith("Infinity"u8) || rest.StartsWith("-Infinity"u8);
        }
    }

    /// <summary>Finds the service's own words in any body of an error (W45).</summary>
    public static string ReadServiceMessage(ReadOnlyMemory<byte> body)
    {
        var text = Encoding.UTF8.GetString(WithoutByteOrderMark(body).Span).Trim();
        try
        {
            using var document = JsonDocument.Parse(text);
            var value = document.RootElement;
            return String(Member(value, "message")) ?? ErrorText(value) ?? String(Member(value, "detail")) ?? String(value) ?? "";
        }
        catch (JsonException)
        {
            return IsPage(text) ? PageTitle(text) : text;
        }
    }

    /// <summary>Returns the text of an object's "error", or null.</summary>
    private static string? ErrorText(JsonElement value)
    {
        var error = Member(value, "error");
        return String(Member(error, "message")) ?? String(error);
    }

    private static bool IsPage(string text) => PageStarts.Any(start => text.StartsWith(start, StringComparison.OrdinalIgnoreCase));

    private static string PageTitle(string page)
    {
        var start = page.IndexOf("<title", StringComparison.OrdinalIgnoreCase);
        start = start < 0 ? -1 : page.IndexOf('>', start);
        var end = start < 0 ? -1 : page.IndexOf("</title", start, StringComparison.OrdinalIgnoreCase);
        return end < 0 ? "" : WebUtility.HtmlDecode(page[(start + 1)..end]).Trim();
    }

    private static ReadOnlyMemory<byte> WithoutByteOrderMark(ReadOnlyMemory<byte> body) =>
        body.Span.StartsWith("\uFEFF"u8) ? body["\uFEFF"u8.Length..] : body;

    /// <summary>Returns a member of an object, or an undefined value.</summary>
    private static JsonElement Member(JsonElement value, string name)
    {
        try
        {
            return value.ValueKind == JsonValueKind.Object && value.TryGetProperty(name, out var member) ? member : default;
        }
        catch (InvalidOperationException) // the name of another member has half of a surrogate pair
        {
            return default;
        }
    }

    /// <summary>Returns the text of a string that is not blank, or null.</summary>
    private static string? String(JsonElement value)
    {
        try
        {
            var text = value.ValueKind == JsonValueKind.String ? value.GetString() : null;
            return string.IsNullOrWhiteSpace(text) ? null : text;
        }
        catch (InvalidOperationException) // the text has half of a surrogate pair
        {
            return null;
        }
    }

    private static string Name(JsonValueKind kind) => kind switch
    {
        JsonValueKind.True or JsonValueKind.False => "boolean",
        JsonValueKind.Number => "number",
        JsonValueKind.String => "string",
        JsonValueKind.Array => "array",
        JsonValueKind.Object => "object",
        _ => "null",
    };
}

// --- Connections ---

internal static class Connections
{
    /// <summary>A request that knows whether it got a connection, TLS included.</summary>
    internal sealed class Request : HttpRequestMessage
    {
        public bool IsConnected { get; set; }
    }

    /// <summary>Makes a URI that is sent as it is written; the path of an ordinary Uri has %A9 where %a9 was given.</summary>
    public static Uri ExactUri(string text) => new(text, new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true });

    /// <summary>Makes the client's own handler, with a pool of connections.</summary>
    public static SocketsHttpHandler CreateHandler(ScoringClientOptions options, bool isLoopback)
    {
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false, // the credential stays with its host
            UseCookies = false,
            UseProxy = !isLoopback,
            Proxy = options.Proxy is null ? null : new WebProxy(options.Proxy),
            ConnectTimeout = options.ConnectTimeout,
            PooledConnectionLifetime = TimeSpan.FromMinutes(2), // or the service's old address is used for ever
            RequestHeaderEncodingSelector = (_, request) => // asked when the headers go out on a connection
            {
                if (request is Request ours) // and not the handler's own to a proxy
                {
                    ours.IsConnected = true;
                }

                return null;
            },
        };
        handler.SslOptions.EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13;
        handler.SslOptions.CertificateChainPolicy = options.CaFile is null ? null : TrustOnly(options.CaFile);
        return handler;
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
