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
//     └── ScoringReplyException          a success status, but no predictions
//
// The credential goes into one header and nowhere else. A wrong answer is never a success.
// Ids such as B20 name a rule of the clients, W02 and C01 a fact about the service; the README beside the clients lists them.

#nullable enable

using System;
using System.Buffers;
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
using System.Security.Authentication;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using System.Threading;
using System.Threading.Tasks;
using static System.FormattableString;

namespace AzureML.Scoring;

/// <summary>How a <see cref="ScoringClient"/> works. What makes no sense is refused when the client is made.</summary>
public sealed class ScoringClientOptions
{
    internal static readonly TimeSpan DefaultConnectTimeout = TimeSpan.FromSeconds(10);

    /// <summary>Key or token, sent as <c>Authorization: Bearer &lt;key&gt;</c> (W22). Default: none, and no such header.</summary>
    /// <remarks>It cannot be read back, so that no logger or serializer shows it.</remarks>
    public string? Key { internal get; init; }

    /// <summary>The limit of a whole call, from the name look-up to the last byte of the reply. Default: 100 s.</summary>
    /// <remarks>A cancellation token limits one call; it can only shorten.</remarks>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(100);

    /// <summary>The limit of name look-up, TCP and TLS together. Default: 10 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = DefaultConnectTimeout;

    /// <summary>A success with a larger body is a <see cref="ScoringReplyException"/>. Default: 64 MiB.</summary>
    public int MaxReplyBytes { get; init; } = 64 * 1024 * 1024;

    /// <summary>Whether a key may travel over plain http to a host that is not loopback (C13). Default: false.</summary>
    public bool AllowInsecureHttp { get; init; }

    /// <summary>What makes the requests in place of the client's own handler. The client does not dispose it. Default: none.</summary>
    /// <remarks>You now own redirects, proxies, TLS and the time to connect; <see cref="ConnectTimeout"/> must not be set.</remarks>
    public HttpMessageHandler? Handler { get; init; }

    /// <summary>The clock of <see cref="Timeout"/>, for tests. Default: the system's.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
}

/// <summary>Sends rows to one scoring URI. Immutable, safe to share between threads; owns a pool of connections.</summary>
/// <remarks>
/// Make one and keep it.
/// TLS is 1.2 or later and always verified (W37). Redirects are not followed and no cookies are kept. The environment's proxy
/// variables are honoured, but never for a loopback host.
/// </remarks>
public sealed class ScoringClient : IDisposable
{
    private const int ErrorBodyBytes = 64 * 1024;
    private const int ExcerptCharacters = 300;

    private readonly Uri _uri;
    private readonly string _shownUri;
    private readonly string? _key;
    private readonly TimeSpan _timeout;
    private readonly TimeSpan? _connectTimeout; // null where the handler is the caller's
    private readonly int _maxReplyBytes;
    private readonly TimeProvider _timeProvider;
    private readonly HttpClient _http;
    private volatile bool _disposed;

    /// <summary>Makes a client.</summary>
    /// <param name="scoringUri">Absolute http or https URI. Its path and query are sent exactly as given (W02).</param>
    /// <param name="options">Default: no key, and the defaults of each option.</param>
    /// <exception cref="ArgumentException">An argument makes no sense.</exception>
    public ScoringClient(Uri scoringUri, ScoringClientOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(scoringUri);
        options ??= new ScoringClientOptions();
        _uri = Arguments.ExactUri(scoringUri, nameof(scoringUri));
        if (options.Key is not null)
        {
            Arguments.CheckKey(options.Key, nameof(options));
            if (scoringUri.Scheme == Uri.UriSchemeHttp && !scoringUri.IsLoopback && !options.AllowInsecureHttp)
            {
                throw new ArgumentException(
                    "a key over plain http to a host that is not loopback: use https, or AllowInsecureHttp if the network is trusted",
                    nameof(options));
            }
        }

        Arguments.CheckTime(options.Timeout);
        Arguments.CheckTime(options.ConnectTimeout);
        Arguments.CheckSize(options.MaxReplyBytes);
        ArgumentNullException.ThrowIfNull(options.TimeProvider, nameof(options));
        if (options.Handler is not null && options.ConnectTimeout != ScoringClientOptions.DefaultConnectTimeout)
        {
            throw new ArgumentException("ConnectTimeout has no effect with Handler: set it there", nameof(options));
        }

        _shownUri = scoringUri.OriginalString.Split('?')[0];
        _key = options.Key;
        _timeout = options.Timeout;
        _connectTimeout = options.Handler is null ? options.ConnectTimeout : null;
        _maxReplyBytes = options.MaxReplyBytes;
        _timeProvider = options.TimeProvider;
        var handler = options.Handler ?? CreateHandler(options.ConnectTimeout, useProxy: !scoringUri.IsLoopback);
        _http = new HttpClient(handler, disposeHandler: options.Handler is null)
        {
            Timeout = System.Threading.Timeout.InfiniteTimeSpan, // one mechanism decides, and it covers the body as well
        };
    }

    /// <summary>Returns one prediction for each row, in the same order.</summary>
    /// <remarks>Sends <c>{"data": rows}</c> (A27) in one POST.</remarks>
    /// <param name="rows">
    /// Arrays or lists of finite numbers; each arrives as the double that it is, bit for bit. How many make a row is for the service to
    /// judge. All are read before this method returns.
    /// </param>
    /// <param name="cancellationToken">Ends the call at once, wherever it is.</param>
    /// <exception cref="ArgumentException">A cell is no finite number; the text says which.</exception>
    /// <exception cref="ScoringServiceException">The service answered with another status than 2xx.</exception>
    /// <exception cref="ScoringTransportException">No answer came, or not all of it.</exception>
    /// <exception cref="ScoringReplyException">The service said success, but not with one finite number for each row.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; the exception carries it.</exception>
    /// <exception cref="ObjectDisposedException">The client was disposed.</exception>
    public Task<double[]> ScoreAsync(IEnumerable<IEnumerable<double>> rows, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(rows);
        ObjectDisposedException.ThrowIf(_disposed, this);
        var payload = Payload.Encode(rows, nameof(rows), out var rowCount);
        return PredictAsync(payload, rowCount, cancellationToken);
    }

    /// <summary>Closes the connections.</summary>
    /// <remarks>Later calls throw <see cref="ObjectDisposedException"/>, as do those that wait for a reply.</remarks>
    public void Dispose()
    {
        _disposed = true;
        _http.Dispose();
    }

    /// <summary>Names the scoring URI, without its query.</summary>
    public override string ToString() => $"ScoringClient({_shownUri})";

    // --- Sending ---

    private async Task<double[]> PredictAsync(ReadOnlyMemory<byte> payload, int rowCount, CancellationToken cancellationToken)
    {
        var (reply, attempts) = await CallAsync(payload, cancellationToken).ConfigureAwait(false);
        var wrong = Json.ReadPredictions(reply.Body, rowCount, out var predictions);
        return wrong is null ? predictions : throw ReplyError(wrong, reply, attempts);
    }

    /// <summary>Returns a 2xx and the number of attempts, or throws what the outcome means.</summary>
    private async Task<(Reply Reply, int Attempts)> CallAsync(ReadOnlyMemory<byte> payload, CancellationToken cancellationToken)
    {
        using var timeLimit = new CancellationTokenSource(_timeout, _timeProvider);
        var clientRequestId = Guid.NewGuid().ToString();
        var outcome = await SendAsync(payload, clientRequestId, timeLimit.Token, cancellationToken).ConfigureAwait(false);
        const int attempts = 1;
        return outcome switch
        {
            Reply { IsSuccess: false } reply => throw ServiceError(reply, clientRequestId, attempts),
            Reply { Fault: string fault } reply => throw ReplyError(fault, reply, attempts),
            Reply reply => (reply, attempts),
            Failure failure => throw TransportError(failure, attempts),
            _ => throw new UnreachableException(),
        };
    }

    /// <summary>Makes one attempt, which ends with either token wherever it is.</summary>
    private async Task<Outcome> SendAsync(
        ReadOnlyMemory<byte> payload, string clientRequestId, CancellationToken timeLimit, CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeLimit, cancellationToken);
        using var request = new HttpRequestMessage(HttpMethod.Post, _uri)
        {
            Version = HttpVersion.Version11, // over https too
            Content = new ReadOnlyMemoryContent(payload),
        };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        request.Headers.Add("x-ms-client-request-id", clientRequestId);
        if (_key is not null)
        {
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", _key);
        }

        try
        {
            using var response = await _http
                .SendAsync(request, HttpCompletionOption.ResponseHeadersRead, either.Token).ConfigureAwait(false);
            var reply = await ReceiveAsync(response, either.Token).ConfigureAwait(false);
            if (!reply.IsSuccess) // its body may have been given up
            {
                cancellationToken.ThrowIfCancellationRequested();
            }

            return reply;
        }
        catch (Exception error) when (IsNetworkFailure(error))
        {
            if (cancellationToken.IsCancellationRequested) // as it comes the exception carries the linked token
            {
                throw new OperationCanceledException("the call was cancelled", error, cancellationToken);
            }

            ObjectDisposedException.ThrowIf(_disposed && !timeLimit.IsCancellationRequested, this);
            return new Failure(error, timeLimit.IsCancellationRequested);
        }
    }

    private async Task<Reply> ReceiveAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        var reply = new Reply((int)response.StatusCode, response.Headers);
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
        using var body = new MemoryStream();
        try
        {
            await ReadAsync(response.Content, body, limit + 1, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (!reply.IsSuccess && IsNetworkFailure(error)) // the status is the outcome (B50)
        {
            reply.IsCut = true;
        }

        reply.IsCut |= body.Length > limit;
        reply.Body = body.GetBuffer().AsMemory(0, (int)Math.Min(body.Length, limit));
        if (reply.IsSuccess && reply.IsCut)
        {
            reply.Fault = Invariant($"the reply is larger than {limit} bytes");
        }

        return reply;
    }

    /// <summary>Reads to the end, or as many bytes as asked for. A length in the headers is not trusted.</summary>
    private static async Task ReadAsync(HttpContent content, MemoryStream body, int most, CancellationToken cancellationToken)
    {
        using var stream = await content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
        var buffer = ArrayPool<byte>.Shared.Rent(64 * 1024);
        try
        {
            int count;
            do
            {
                var wanted = Math.Min(buffer.Length, most - (int)body.Length);
                count = await stream.ReadAsync(buffer.AsMemory(0, wanted), cancellationToken).ConfigureAwait(false);
                body.Write(buffer, 0, count);
            }
            while (count > 0 && body.Length < most);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Makes the client's own handler, with a pool of connections.</summary>
    internal static SocketsHttpHandler CreateHandler(TimeSpan connectTimeout, bool useProxy) => new()
    {
        AllowAutoRedirect = false, // the credential stays with its host
        UseCookies = false,
        UseProxy = useProxy,
        ConnectTimeout = connectTimeout,
        PooledConnectionLifetime = TimeSpan.FromMinutes(2), // or the service's old address is used for ever
        SslOptions = new SslClientAuthenticationOptions { EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13 },
    };

    private static string? FirstValue(HttpHeaders headers, string name)
    {
        var value = headers.NonValidated.TryGetValues(name, out var values) ? values.First().Trim() : null;
        return string.IsNullOrEmpty(value) ? null : value;
    }

    // --- What one attempt came to ---

    private abstract class Outcome;

    /// <summary>An answer of the service; <see cref="Fault"/> says why a success is none.</summary>
    private sealed class Reply(int status, HttpResponseHeaders headers) : Outcome
    {
        public int Status => status;

        public bool IsSuccess => status is >= 200 and <= 299;

        public ReadOnlyMemory<byte> Body { get; set; }

        public bool IsCut { get; set; }

        public string? Fault { get; set; }

        public string? Header(string name) => FirstValue(headers, name);
    }

    /// <summary>No answer, or not all of a success.</summary>
    private sealed class Failure(Exception error, bool isTimeUp) : Outcome
    {
        public Exception Error => error;

        /// <summary>Whether the limit of the call passed, and not that of the connection.</summary>
        public bool IsTimeUp => isTimeUp;

        public bool TimedOut => isTimeUp || error is OperationCanceledException
            || error.GetBaseException() is SocketException { SocketErrorCode: SocketError.TimedOut };
    }

    private static bool IsNetworkFailure(Exception error) => error is HttpRequestException or IOException or OperationCanceledException;

    private string WhatHappened(Failure failure) => failure.Error switch
    {
        _ when failure.IsTimeUp => Invariant($"no complete reply within {_timeout.TotalSeconds} s"),
        OperationCanceledException when _connectTimeout is TimeSpan limit => Invariant($"no connection within {limit.TotalSeconds} s"),
        OperationCanceledException => "the handler gave up",
        HttpRequestException { HttpRequestError: HttpRequestError.NameResolutionError } => "the host name cannot be resolved",
        HttpRequestException { InnerException: SocketException { SocketErrorCode: SocketError.ConnectionRefused } } => "connection refused",
        HttpRequestException { HttpRequestError: HttpRequestError.ResponseEnded } => "the connection was closed before the reply",
        HttpRequestException { HttpRequestError: HttpRequestError.InvalidResponse } => "the reply is not valid HTTP",
        HttpRequestException { HttpRequestError: HttpRequestError.ConfigurationLimitExceeded } => "the headers of the reply are too large",
        HttpRequestException { HttpRequestError: HttpRequestError.ProxyTunnelError } error =>
            Invariant($"the proxy refused the tunnel: {(int?)error.StatusCode}"),
        HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError, InnerException: IOException } =>
            "the connection was closed inside TLS",
        HttpRequestException { InnerException: AuthenticationException error } => $"TLS failed: {error.Message}",
        HttpRequestException { InnerException: IOException } => "the connection was reset",
        HttpIOException { HttpRequestError: HttpRequestError.ResponseEnded } => "the reply was cut off",
        HttpIOException { HttpRequestError: HttpRequestError.InvalidResponse } => "the reply is not valid HTTP",
        IOException { InnerException: SocketException } => "the connection was reset",
        var error => error.Message,
    };

    // --- From outcomes to errors ---

    private ScoringTransportException TransportError(Failure failure, int attempts) =>
        new(Text(Excerpt(WhatHappened(failure)), attempts), IsFitToPrint(failure.Error) ? failure.Error : null)
        {
            Attempts = attempts,
            TimedOut = failure.TimedOut,
        };

    private ScoringServiceException ServiceError(Reply reply, string clientRequestId, int attempts)
    {
        var message = HideKey(Json.ReadServiceMessage(reply.Body), reply.IsCut);
        var requestId = HideKey(reply.Header("x-request-id") ?? reply.Header("x-ms-request-id"));
        var excerpt = Excerpt(message);
        var text = excerpt.Length > 0 ? Invariant($"{reply.Status}: {excerpt}") : Invariant($"{reply.Status}");
        return new ScoringServiceException(Text(text, attempts, requestId))
        {
            Attempts = attempts,
            Status = reply.Status,
            ServiceMessage = message,
            Body = reply.Body,
            RequestId = requestId,
            ClientRequestId = clientRequestId,
            ModelStatus = ThreeDigits(reply.Header("ms-azureml-model-error-statuscode")),
            ModelReason = HideKey(reply.Header("ms-azureml-model-error-reason")),
            RunFunctionFailed = "true".Equals(reply.Header("x-ms-run-function-failed"), StringComparison.OrdinalIgnoreCase),
        };
    }

    private ScoringReplyException ReplyError(string reason, Reply reply, int attempts)
    {
        reason = Excerpt(reason);
        var start = reply.Body[..Math.Min(reply.Body.Length, ErrorBodyBytes)];
        var excerpt = Excerpt(HideKey(Encoding.UTF8.GetString(start.Span), reply.IsCut || start.Length < reply.Body.Length));
        return new ScoringReplyException(Text(excerpt.Length > 0 ? $"{reason}: {excerpt}" : reason, attempts))
        {
            Attempts = attempts,
            Reason = reason,
            Excerpt = excerpt,
        };
    }

    private string Text(string what, int attempts, string? requestId = null)
    {
        var details = Invariant($"{attempts} attempt{(attempts == 1 ? "" : "s")}");
        if (requestId is not null)
        {
            details += $", request id {Excerpt(requestId)}";
        }

        return $"POST {_shownUri}: {what} ({details})";
    }

    private static int? ThreeDigits(string? text) =>
        text?.Length == 3 && int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

    /// <summary>Returns the beginning of a text from outside, fit for a log: one line, without the key.</summary>
    private string Excerpt(string text)
    {
        text = HideKey(text).Trim();
        if (text.Length > ExcerptCharacters)
        {
            var end = ExcerptCharacters - 1;
            text = string.Concat(text.AsSpan(0, char.IsHighSurrogate(text[end - 1]) ? end - 1 : end), "…");
        }

        return string.Concat(text.Select(character => IsPrintable(character) ? character : ' '));
    }

    private static bool IsPrintable(char character) => char.GetUnicodeCategory(character)
        is not (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator);

    /// <summary>Replaces the key by ***, also where JSON escapes some of its characters.</summary>
    /// <param name="text">A text from outside.</param>
    /// <param name="isCut">Whether the text may end inside the key: then the beginning of a key at its end is replaced as well.</param>
    [return: NotNullIfNotNull(nameof(text))]
    private string? HideKey(string? text, bool isCut = false)
    {
        if (_key is null || text is null)
        {
            return text;
        }

        var hidden = new StringBuilder(text.Length);
        for (var at = 0; at < text.Length;)
        {
            var length = KeyLength(text.AsSpan(at), _key, isCut);
            _ = length > 0 ? hidden.Append("***") : hidden.Append(text[at]);
            at += Math.Max(length, 1);
        }

        return hidden.ToString();
    }

    /// <summary>Returns how many characters the key takes at the beginning of the text; 0 where it is not there.</summary>
    private static int KeyLength(ReadOnlySpan<char> text, string key, bool isCut)
    {
        if (text.StartsWith(key, StringComparison.Ordinal))
        {
            return key.Length;
        }

        var length = 0;
        foreach (var character in key)
        {
            var rest = text[length..];
            if (rest.IsEmpty)
            {
                return isCut ? length : 0;
            }

            var step = rest[0] == '\\' ? EscapeLength(rest, character) : 1;
            if (step == 1 && rest[0] != character)
            {
                var isCutEscape = isCut && rest[0] == '\\' && rest.Length < @"\u0000".Length;
                return isCutEscape ? text.Length : 0;
            }

            length += step;
        }

        return length;
    }

    /// <summary>Returns the length of the character's JSON escape at the beginning of the text; 1 where there is none.</summary>
    private static int EscapeLength(ReadOnlySpan<char> text, char character)
    {
        if (text.StartsWith(Invariant(@$"\u{(int)character:x4}"), StringComparison.OrdinalIgnoreCase))
        {
            return @"\u0000".Length;
        }

        return text.Length > 1 && text[1] == character ? 2 : 1;
    }

    /// <summary>Returns whether an exception quotes no key that the service sent back, and shows no password of a proxy.</summary>
    private bool IsFitToPrint(Exception error)
    {
        var text = error.ToString();
        return text == HideKey(text) && error is not HttpRequestException { HttpRequestError: HttpRequestError.ProxyTunnelError };
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

/// <summary>The service said success, but its body is not one finite number for each row (C31-C35).</summary>
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
    public static Uri ExactUri(Uri uri, string parameter)
    {
        var text = uri.OriginalString; // the other properties of Uri show it after changes
        if (!IsAbsolute(uri, text, out var authority, out var target))
        {
            throw new ArgumentException("the scoring URI must be an absolute http or https URI", parameter);
        }

        if (authority.Contains('@'))
        {
            throw new ArgumentException("the scoring URI must not contain user info", parameter);
        }

        if (target.Contains('#'))
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

        var path = target.StartsWith('/') ? target : $"/{target}";
        // The path of an ordinary Uri has %A9 where %a9 was given.
        return new Uri($"{uri.Scheme}://{authority}{path}", new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true });
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
        return authority.Length > 0 && uri.Port != 0 && !authority.Contains('%')
            && target.Split('%').Skip(1).All(part => part.Length >= 2 && part[..2].All(char.IsAsciiHexDigit));
    }

    private static bool IsNeedless(string escape)
    {
        var character = (char)Convert.FromHexString(escape)[0];
        return char.IsAsciiLetterOrDigit(character) || character is '-' or '.' or '_' or '~';
    }

    /// <summary>Refuses what cannot travel in a header (C11); the platform would show the key or send something else.</summary>
    public static void CheckKey(string key, string parameter)
    {
        if (key.Length == 0)
        {
            throw new ArgumentException("the key is empty", parameter);
        }

        var position = key.AsSpan().IndexOfAnyExceptInRange('!', '~');
        if (position >= 0)
        {
            var text = $"the key has a character that cannot be sent in a header at position {position} (a trailing newline?)";
            throw new ArgumentException(text, parameter);
        }
    }

    public static void CheckTime(TimeSpan time, [CallerArgumentExpression(nameof(time))] string? parameter = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(time, TimeSpan.Zero, parameter);
        var longest = TimeSpan.FromMilliseconds(int.MaxValue); // 24 days; handlers refuse more
        ArgumentOutOfRangeException.ThrowIfGreaterThan(time, longest, parameter);
    }

    public static void CheckSize(int bytes, [CallerArgumentExpression(nameof(bytes))] string? parameter = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes, 1, parameter);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, Array.MaxLength - 1, parameter);
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
        predictions = [];
        if (!Utf8.IsValid(body.Span)) // whatever a charset says (C32)
        {
            return "the reply is not valid UTF-8";
        }

        var text = WithoutByteOrderMark(body);
        if (text.Span.Trim(" \t\r\n"u8).IsEmpty)
        {
            return "the reply is empty";
        }

        try
        {
            using var document = JsonDocument.Parse(text);
            return ReadPredictions(document.RootElement, rowCount, out predictions);
        }
        catch (JsonException)
        {
            return HasNotFinite(text.Span) ? "the reply contains NaN or Infinity, which is not JSON" : "the reply is not JSON";
        }
    }

    private static string? ReadPredictions(JsonElement reply, int rowCount, out double[] predictions)
    {
        predictions = [];
        if (reply.ValueKind == JsonValueKind.Object)
        {
            var error = Member(reply, "error");
            var detail = String(Member(error, "message")) ?? String(error);
            return "the reply is a JSON object, not an array" + (detail is null ? "" : $": {detail}");
        }

        if (reply.ValueKind == JsonValueKind.String)
        {
            return "the reply is a JSON string, not an array; the scoring script probably calls json.dumps itself";
        }

        if (reply.ValueKind != JsonValueKind.Array)
        {
            return $"the reply is a JSON {Name(reply.ValueKind)}, not an array";
        }

        var numbers = new double[reply.GetArrayLength()];
        foreach (var (index, element) in reply.EnumerateArray().Index())
        {
            if (element.ValueKind != JsonValueKind.Number)
            {
                return Invariant($"element {index} of the reply is a JSON {Name(element.ValueKind)}, not a number");
            }

            numbers[index] = element.GetDouble();
            if (!double.IsFinite(numbers[index])) // 1e400
            {
                return Invariant($"element {index} of the reply is not a finite number");
            }
        }

        if (numbers.Length != rowCount)
        {
            return Invariant($"the reply has {numbers.Length} predictions for {rowCount} rows");
        }

        predictions = numbers;
        return null;
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
            var error = Member(value, "error");
            return String(Member(value, "message")) ?? String(Member(error, "message")) ?? String(error)
                ?? String(Member(value, "detail")) ?? String(value) ?? "";
        }
        catch (JsonException)
        {
            return IsPage(text) ? PageTitle(text) : text;
        }
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
