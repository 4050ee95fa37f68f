// Package scoring calls a model that is deployed as a web service with Azure Machine Learning.
//
// The package is this one file: copy it into a module of your own. It needs Go 1.25 and the standard library.
//
//	client, err := scoring.NewClient(scoringURI, scoring.Options{Key: scoring.NewKey(key)})
//	...
//	predictions, err := client.Score(ctx, [][]float64{{1.5, 2.5}, {3.5, 4.5}})
//
// The network may be tried again, slowness and wrong answers may not. The credential goes into one header and nowhere else. A wrong
// answer is never a success. What can go wrong has a type each, found with [errors.As]:
//
//	ArgumentError      a bad URI, credential, option, row or payload; nothing was sent
//	*ServiceError      the service answered with a status other than 2xx
//	*TransportError    no complete answer came: refused, reset, TLS, a time limit
//	*ReplyError        the answer is 2xx and wrong
//
// [Error] finds the last three. A caller who gives up gets ctx.Err(), and the errors of a token provider and of OnRetry arrive as they
// are, all of them unwrapped.
//
// Ids such as B20 name a rule of the clients, W02 and C01 a fact about the service; the README beside the clients lists them.
package scoring

import (
	"bytes"
	"cmp"
	"context"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

// --- Options ---

// What the zero values of [Options] mean.
const (
	DefaultTimeout        = 100 * time.Second
	DefaultAttemptTimeout = 60 * time.Second
	DefaultConnectTimeout = 10 * time.Second
	DefaultMaxRetries     = 3
	DefaultBaseDelay      = 800 * time.Millisecond
	DefaultMaxDelay       = 60 * time.Second
	DefaultMaxReplyBytes  = 64 << 20
)

// DefaultContentType is the media type of bytes of which nothing more is known; see [Client.ScoreBytes].
const DefaultContentType = "application/octet-stream"

var defaultRetryStatuses = []int{429, 500, 502, 503}

const (
	maxErrorBody = 64 << 10 // bytes of an error's body that are kept (B54)
	maxText      = 300      // characters of a foreign text that an error's text shows (B63, B64)
	maxIdle      = 64       // idle connections kept; the standard library keeps 2 a host
)

// Options change how a [Client] works. The zero value of each field means its default.
type Options struct {
	// Key is sent as "Authorization: Bearer <key>" (W22). Default: no credential, and no such header.
	Key Key

	// TokenProvider gives the credential in place of Key: it is called when a token is first needed, when the last one is due to be
	// refreshed, and when the service refused it with a 401 (C14). Default: none.
	TokenProvider TokenProvider

	// Timeout limits a whole call: the token, attempts, waits, bodies. Default: 100 s.
	// For one call, use a context with a deadline; it can only shorten.
	Timeout time.Duration

	// AttemptTimeout limits one attempt, to the last byte of the reply. An attempt that it ends is not repeated, because the model
	// may still be running (C40), unless there was no connection yet. Default: 60 s.
	AttemptTimeout time.Duration

	// ConnectTimeout limits name look-up, TCP and TLS together. Default: 10 s.
	ConnectTimeout time.Duration

	// MaxRetries is how many more attempts a call may make after the first. Default: 3. Negative: none.
	MaxRetries int

	// BaseDelay is the wait before the first retry; every further one is twice as long, up to MaxDelay, each times a random factor
	// from 0.5 to 1.5 (C41). When the service hints at a longer wait, that is kept; a hint above MaxDelay ends the call.
	// Defaults: 0.8 s and 60 s.
	BaseDelay, MaxDelay time.Duration

	// RetryStatuses are the statuses that are repeated, from 400 to 599. Default: 429, 500, 502 and 503. An empty list that is not
	// nil: none. Whatever the list, a 500 or 502 of the scoring script itself is not repeated, and a 424 of a model that is
	// not ready or too busy is.
	RetryStatuses []int

	// MaxReplyBytes is the size in bytes that a successful reply may have. Default: 64 MiB.
	MaxReplyBytes int64

	// Deployment names the deployment of a managed endpoint that must answer, in the header azureml-model-deployment of scoring
	// calls. Default: the endpoint's own choice.
	Deployment string

	// CAFile is a PEM file with the certificates to trust in place of the system's roots. Default: the system's.
	CAFile string

	// Proxy is the proxy to use, as http://host:port, but never for loopback. Default: the one in the environment.
	Proxy string

	// AllowInsecureHTTP lets the credential travel over plain http to a host that is not loopback (C13). Default: refused.
	AllowInsecureHTTP bool

	// OnRetry is called before the wait for a retry, for a log line or a counter. An error ends the call, which returns that error
	// as it is. Default: none.
	OnRetry func(Retry) error

	// HTTPClient makes the requests in place of the client's own, which follows no redirect, keeps no cookie, verifies
	// certificates with TLS 1.2 or later, speaks HTTP/1.1 and finds its proxy in the environment. With an HTTPClient you
	// own redirects, proxies, TLS and the time to connect, so ConnectTimeout, CAFile and Proxy must be zero.
	HTTPClient *http.Client
}

// Key is a key, or a token that does not change. The zero value is no key. It prints as an address, whatever the verb, so that a
// logged [Options] or [Client] does not show it.
type Key struct {
	reveal func() string
}

// NewKey makes a [Key]. [NewClient] checks it: a key that is empty (an unset variable?) is an error and not the absence of a key.
func NewKey(key string) Key {
	return Key{reveal: func() string { return key }}
}

// TokenProvider fetches a token. All calls that need one share one fetch, so ctx is not that of a caller: it ends after
// [Options].Timeout, and the fetch must end with it. An error reaches every waiting caller as it is, and is not repeated; but when
// the token before is merely due to be refreshed, that one serves.
type TokenProvider func(ctx context.Context) (AccessToken, error)

// AccessToken is what a [TokenProvider] returns. It prints without the token.
type AccessToken struct {
	token     Key
	refreshBy time.Time
}

// NewAccessToken makes an [AccessToken] that is to be replaced from refreshBy on; the zero time: only after the service refused it.
func NewAccessToken(token string, refreshBy time.Time) AccessToken {
	return AccessToken{NewKey(token), refreshBy}
}

// Retry is what [Options].OnRetry is told.
type Retry struct {
	Attempt int           // requests sent so far
	Wait    time.Duration // before the next one
	Reason  string        // what the last one came to, as an error would say it; free of credentials
}

// --- The client ---

// Client calls one scoring URI. It does not change, and goroutines may share it: make one and keep it, it reuses connections.
type Client struct {
	uri            *url.URL
	key            Key
	tokens         *tokenCache // nil without a provider
	timeout        time.Duration
	attemptTimeout time.Duration
	connectTimeout time.Duration // zero when the HTTP client is the caller's
	maxRetries     int
	baseDelay      time.Duration
	maxDelay       time.Duration
	retryStatuses  []int
	maxReplyBytes  int64
	deployment     string
	onRetry        func(Retry) error
	random         func() float64
	roundTrip      func(*http.Request) (*http.Response, error)
	closeIdle      func()
}

// NewClient makes a client for an absolute http or https URI, whose path and query are used exactly as given (W02, C06).
//
// Every error is an [ArgumentError]: a URI with user info, a fragment, dot segments or needless escapes, a key that cannot travel
// in a header, a credential over plain http (see [Options].AllowInsecureHTTP), a CA file without certificates, a negative time or
// size, options that exclude each other.
func NewClient(scoringURI string, options Options) (*Client, error) {
	uri, err := parseURI(scoringURI)
	if err != nil {
		return nil, err
	}
	if err := checkOptions(options, uri); err != nil {
		return nil, err
	}
	c := &Client{
		uri:            uri,
		key:            options.Key,
		timeout:        cmp.Or(options.Timeout, DefaultTimeout),
		attemptTimeout: cmp.Or(options.AttemptTimeout, DefaultAttemptTimeout),
		maxRetries:     max(0, cmp.Or(options.MaxRetries, DefaultMaxRetries)),
		baseDelay:      cmp.Or(options.BaseDelay, DefaultBaseDelay),
		maxDelay:       cmp.Or(options.MaxDelay, DefaultMaxDelay),
		retryStatuses:  defaultRetryStatuses,
		maxReplyBytes:  cmp.Or(options.MaxReplyBytes, DefaultMaxReplyBytes),
		deployment:     options.Deployment,
		onRetry:        options.OnRetry,
		random:         rand.Float64,
	}
	if options.RetryStatuses != nil {
		c.retryStatuses = slices.Clone(options.RetryStatuses)
	}
	if options.TokenProvider != nil {
		c.tokens = &tokenCache{provider: options.TokenProvider, timeout: c.timeout}
	}
	if options.HTTPClient != nil {
		c.roundTrip = options.HTTPClient.Do
		c.closeIdle = func() {} // the connections are not ours
		return c, nil
	}
	c.connectTimeout = min(cmp.Or(options.ConnectTimeout, DefaultConnectTimeout), c.attemptTimeout)
	transport, err := newTransport(options, c.connectTimeout, isLoopback(uri.Hostname()))
	if err != nil {
		return nil, err
	}
	// Without an http.Client there are no redirects and no cookies, and a 3xx with a broken Location keeps its status.
	c.roundTrip = transport.RoundTrip
	c.closeIdle = transport.CloseIdleConnections
	return c, nil
}

// Score sends rows as {"data": rows} in one POST and returns one prediction for each row, in order (C01, C04, C09).
//
// Rows may be ragged or empty: that is for the service to judge. A NaN or an infinity is an [ArgumentError], and nothing is sent.
// Other errors are [*ServiceError], [*TransportError] and [*ReplyError], ctx.Err() when ctx ends the call, and those of the token
// provider and of OnRetry.
func (c *Client) Score(ctx context.Context, rows [][]float64) ([]float64, error) {
	payload, err := encodeRows(rows)
	if err != nil {
		return nil, err
	}
	call := c.newCall(http.MethodPost, c.uri, jsonType, payload)
	reply, err := c.send(ctx, call, c.maxRetries)
	if err != nil {
		return nil, err
	}
	predictions, reason := parsePredictions(reply, len(rows))
	if reason != "" {
		return nil, call.replyError(reason, reply, false)
	}
	return predictions, nil
}

// ScoreJSON sends a JSON value of any shape as it is and returns the service's, which may be of any shape, too: a string that holds
// JSON stays a string (C04, C09).
//
// A payload that is not one JSON value in UTF-8 is an [ArgumentError], and nothing is sent. Other errors are those of [Client.Score].
func (c *Client) ScoreJSON(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
	if !utf8.Valid(payload) || !json.Valid(payload) {
		return nil, ArgumentError("the payload is not JSON")
	}
	return c.sendForJSON(ctx, c.newCall(http.MethodPost, c.uri, jsonType, payload))
}

// ScoreBytes sends bytes of a media type, such as those of an image, and returns the reply's as they are (C05). The caller must not
// change body before the call is over.
//
// A content type that cannot travel in a header is an [ArgumentError], and nothing is sent. Other errors are those of [Client.Score];
// of [*ReplyError] only those about size and encoding.
func (c *Client) ScoreBytes(ctx context.Context, body []byte, contentType string) ([]byte, error) {
	if err := checkHeader("content type", contentType, ' '); err != nil {
		return nil, err
	}
	return c.send(ctx, c.newCall(http.MethodPost, c.uri, contentType, body), c.maxRetries)
}

// Swagger returns the service's OpenAPI document, from swagger.json beside the scoring URI (C52). A service that has none answers
// 404, which is a [*ServiceError]; other errors are those of [Client.ScoreJSON].
func (c *Client) Swagger(ctx context.Context) (json.RawMessage, error) {
	return c.sendForJSON(ctx, c.newCall(http.MethodGet, c.uri.ResolveReference(&url.URL{Path: "swagger.json"}), "", nil))
}

// Healthy reports whether the service's front page says Healthy (C51), after one attempt. Any other reply is false without an error;
// an error means that there was no reply: [*TransportError], ctx.Err() or the token provider's.
func (c *Client) Healthy(ctx context.Context) (bool, error) {
	body, err := c.send(ctx, c.newCall(http.MethodGet, c.uri.ResolveReference(&url.URL{Path: "./"}), "", nil), 0)
	var service *ServiceError
	var reply *ReplyError
	if errors.As(err, &service) || errors.As(err, &reply) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	text := bytes.TrimSpace(withoutBOM(body))
	return string(text) == "Healthy" || string(text) == `"Healthy"`, nil
}

// Close closes the idle connections of the client's own pool. Calls under way go on, and later calls open new connections.
func (c *Client) Close() {
	c.closeIdle()
}

// String names the scoring URI, without its query.
func (c *Client) String() string {
	return "scoring.Client(" + withoutQuery(c.uri) + ")"
}

// --- Sending ---

const jsonType = "application/json"

// exchange is a call under way.
type exchange struct {
	Call
	uri         *url.URL
	contentType string // empty: a request without a body
	payload     []byte
	credentials []string // used so far; no text shows them
}

func (c *Client) newCall(method string, uri *url.URL, contentType string, payload []byte) *exchange {
	call := Call{Method: method, URL: withoutQuery(uri), ClientRequestID: newUUID()}
	return &exchange{Call: call, uri: uri, contentType: contentType, payload: payload}
}

// sendForJSON makes a call whose reply is any JSON value.
func (c *Client) sendForJSON(ctx context.Context, call *exchange) (json.RawMessage, error) {
	reply, err := c.send(ctx, call, c.maxRetries)
	if err != nil {
		return nil, err
	}
	if _, reason := parseJSON(reply); reason != "" {
		return nil, call.replyError(reason, reply, false)
	}
	return withoutBOM(reply), nil
}

// send makes attempts within the client's time limit, and returns the body of a 2xx reply or what the last attempt came to.
func (c *Client) send(ctx context.Context, call *exchange, maxRetries int) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, &timeoutError{noReply, c.timeout})
	defer cancel()
	refused := "" // the token that the service answered with a 401
	credential, err := c.credential(ctx, call, refused)
	for retries := 0; err == nil; {
		body, outcome := c.attempt(ctx, call, credential)
		if outcome == nil {
			return body, nil
		}
		if c.tokens != nil && refused == "" && isUnauthorized(outcome) {
			refused = credential
			if credential, err = c.credential(ctx, call, refused); err != nil || credential != refused {
				continue // at once, and not counted as a retry (B25)
			}
		}
		wait, again := c.nextWait(ctx, retries, outcome)
		if retries == maxRetries || !again {
			return nil, outcome
		}
		if c.onRetry != nil {
			if err := c.onRetry(Retry{call.Attempts, wait, outcome.(failure).reason()}); err != nil {
				return nil, err
			}
		}
		if !sleep(ctx, wait) {
			return nil, call.noReply(ctx, ctx.Err())
		}
		retries++
		credential, err = c.credential(ctx, call, refused)
	}
	return nil, err
}

// nextWait returns the wait before the next attempt, if there may be one: not when the service wants a longer wait than MaxDelay, nor
// when the wait would reach the deadline, the caller's included (B49).
func (c *Client) nextWait(ctx context.Context, retries int, outcome error) (wait time.Duration, again bool) {
	hint := time.Duration(0)
	if service, ok := outcome.(*ServiceError); ok && service.RetryAfter != nil {
		hint = *service.RetryAfter
	}
	wait = max(hint, backOff(retries, c.baseDelay, c.maxDelay, c.random()))
	deadline, _ := ctx.Deadline()
	again = shouldRepeat(outcome, c.retryStatuses) && hint <= c.maxDelay && time.Now().Add(wait).Before(deadline)
	return wait, again
}

// sleep waits, and reports whether ctx lasted as long.
func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// attempt makes one request and returns the body of a 2xx reply. What an error means is known by its type.
func (c *Client) attempt(ctx context.Context, call *exchange, credential string) ([]byte, error) {
	call.Attempts++
	ctx, cancel := limitAttempt(ctx, c.connectTimeout, c.attemptTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, call.Method, call.uri.String(), bytes.NewReader(call.payload))
	if err != nil {
		return nil, call.noReply(ctx, err)
	}
	if call.Method == http.MethodPost {
		request.Header.Set("Content-Type", call.contentType)
		if c.deployment != "" {
			request.Header.Set("azureml-model-deployment", c.deployment)
		}
	}
	request.Header.Set("Accept-Encoding", "identity") // or an HTTPClient of the caller's asks for gzip
	request.Header.Set("x-ms-client-request-id", call.ClientRequestID)
	if credential != "" {
		request.Header.Set("Authorization", "Bearer "+credential)
	}

	response, err := c.roundTrip(request)
	if err != nil {
		return nil, call.noReply(ctx, err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode < 100:
		return nil, call.noReply(ctx, fmt.Errorf("the reply has the status %03d, which is not HTTP", response.StatusCode))
	case response.StatusCode < 200:
		return nil, call.serviceError(response, nil, false) // 101: the stream that follows is no body
	case response.StatusCode > 299:
		// The status is the outcome, whatever becomes of the body (B50): unless the caller gives up meanwhile.
		body, err := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
		if err != nil && cancelled(ctx) {
			return nil, ctx.Err()
		}
		return nil, call.serviceError(response, body, err != nil || len(body) == maxErrorBody)
	}
	if encoding := strings.Join(response.Header.Values("Content-Encoding"), ", "); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, call.replyError(fmt.Sprintf("the reply has Content-Encoding: %s, which was not asked for", encoding), nil, false)
	}
	var body bytes.Buffer
	if length := min(response.ContentLength, c.maxReplyBytes, DefaultMaxReplyBytes); length > 0 {
		body.Grow(int(length) + bytes.MinRead) // or a large reply is copied as it grows; what a header says is not trusted beyond that
	}
	_, err = body.ReadFrom(http.MaxBytesReader(nil, response.Body, c.maxReplyBytes))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, call.replyError(fmt.Sprintf("the reply is larger than %d bytes", c.maxReplyBytes), body.Bytes(), true)
	}
	if err != nil {
		return nil, call.noReply(ctx, &cutError{err})
	}
	return body.Bytes(), nil
}

// --- What is repeated ---

// shouldRepeat is the whole decision: the network may be tried again, slowness and wrong answers may not (B30, B31, B40-B47).
func shouldRepeat(outcome error, retryStatuses []int) bool {
	switch failed := outcome.(type) {
	case *ServiceError:
		switch {
		case failed.StatusCode == http.StatusFailedDependency && (failed.ModelReason == "model_not_ready" ||
			failed.ModelReason == "too_few_model_instance" || failed.ModelStatus == http.StatusTooManyRequests):
			return true
		case failed.RunFunctionFailed && (failed.StatusCode == http.StatusInternalServerError || failed.StatusCode == http.StatusBadGateway):
			return false // the same input fails again (W06)
		default:
			return slices.Contains(retryStatuses, failed.StatusCode)
		}
	case *TransportError:
		return isNetwork(failed.Err)
	default: // a success, a wrong reply, a caller who gave up
		return false
	}
}

// isNetwork tells failures of the network from a refusal of TLS, which lasts, and from slowness. Broken framing has no type of its
// own, so what is not known is the network.
func isNetwork(err error) bool {
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		switch cause := cause.(type) {
		case *cutError:
			return !isTimeout(err)
		case *timeoutError:
			return cause.what == noConnection
		case *tls.CertificateVerificationError, tls.RecordHeaderError, *tunnelError:
			return false
		case *net.OpError:
			if cause.Op == "dial" {
				return true // its timeout, too: nothing was sent
			}
			if cause.Op == "remote error" || cause.Op == "local error" {
				return false // a TLS alert, received or sent
			}
		}
		if cause == http.ErrSchemeMismatch || strings.HasPrefix(cause.Error(), "tls: ") {
			return false
		}
	}
	return !isTimeout(err)
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// backOff is the wait before retry n, of which 0 is the first, for a random number from 0 to 1 (B48).
func backOff(n int, baseDelay, maxDelay time.Duration, random float64) time.Duration {
	delay := min(float64(maxDelay), math.Ldexp(float64(baseDelay), n))
	return time.Duration(min(float64(maxDelay), delay*(0.5+random)))
}

// retryHint is the wait that the headers of a reply ask for (C41): the first valid one of three.
func retryHint(header http.Header, now time.Time) (hint time.Duration, ok bool) {
	for _, source := range []struct {
		name string
		unit time.Duration
	}{{"retry-after-ms", time.Millisecond}, {"x-ms-retry-after-ms", time.Millisecond}, {"Retry-After", time.Second}} {
		text := strings.Trim(header.Get(source.name), " \t")
		switch digits := strings.TrimLeft(text, "0"); {
		case text == "" || strings.Trim(text, "0123456789") != "":
		case len(digits) > 9:
			return longestHint, true
		default:
			count, _ := strconv.ParseInt("0"+digits, 10, 64)
			return time.Duration(count) * source.unit, true
		}
	}
	text := strings.Trim(header.Get("Retry-After"), " \t")
	date, err := time.Parse(http.TimeFormat, text)
	if err != nil || !imfFixdate.MatchString(text) { // Parse alone takes names in any case
		return 0, false
	}
	return min(max(date.Sub(now), 0), longestHint), true
}

const longestHint = 999_999_999 * time.Second

var imfFixdate = regexp.MustCompile(`^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT$`)

// --- The credential ---

// credential returns what the next attempt sends, "" without one. A token that the service refused is not used again.
func (c *Client) credential(ctx context.Context, call *exchange, refused string) (credential string, err error) {
	switch {
	case c.tokens != nil:
		credential, err = c.tokens.get(ctx, refused)
	case c.key.reveal != nil:
		credential = c.key.reveal()
	default:
		return "", nil
	}
	if timeout, ok := err.(*timeoutError); ok {
		return "", &TransportError{call.Call, timeout}
	}
	if err != nil {
		return "", err
	}
	if !slices.Contains(call.credentials, credential) {
		call.credentials = append(call.credentials, credential)
	}
	return credential, nil
}

func isUnauthorized(outcome error) bool {
	service, ok := outcome.(*ServiceError)
	return ok && service.StatusCode == http.StatusUnauthorized
}

// tokenCache holds the last token, and the fetch of the next one that all callers share.
type tokenCache struct {
	provider TokenProvider
	timeout  time.Duration

	mu      sync.Mutex
	token   string // empty: none
	until   time.Time
	current *tokenFetch // nil: none is under way
}

// tokenFetch is one call of the provider. The result is there when done is closed.
type tokenFetch struct {
	done  chan struct{}
	token string
	err   error
}

// get returns a token that is fresh and was not refused, and waits for it as long as ctx lasts.
func (t *tokenCache) get(ctx context.Context, refused string) (string, error) {
	t.mu.Lock()
	if t.token == refused {
		t.token = ""
	}
	if t.token != "" && (t.until.IsZero() || time.Now().Before(t.until)) {
		defer t.mu.Unlock()
		return t.token, nil
	}
	if t.current == nil && ctx.Err() == nil {
		t.current = &tokenFetch{done: make(chan struct{}), err: errors.New("the token provider did not return")}
		go t.fetch(t.current)
	}
	fetch := t.current
	t.mu.Unlock()

	if fetch != nil {
		select {
		case <-fetch.done:
			return t.settle(fetch, refused)
		case <-ctx.Done():
		}
	}
	if cancelled(ctx) {
		return "", ctx.Err()
	}
	return "", &timeoutError{noToken, t.timeout}
}

// fetch calls the provider. It belongs to no caller: one who gives up does not end it.
func (t *tokenCache) fetch(fetch *tokenFetch) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), t.timeout, &timeoutError{noToken, t.timeout})
	defer cancel()
	var until time.Time
	defer func() { // also when the provider ends its goroutine
		t.mu.Lock()
		defer t.mu.Unlock()
		t.current = nil
		if fetch.err == nil {
			t.token, t.until = fetch.token, until
		}
		close(fetch.done)
	}()
	fetched, err := t.provider(ctx)
	if err == nil && fetched.token.reveal != nil {
		fetch.token, until = fetched.token.reveal(), fetched.refreshBy
	}
	if err == nil {
		err = checkHeader("token", fetch.token)
	} else if ctx.Err() != nil {
		err = context.Cause(ctx) // the provider's error says no more than that time ran out
	}
	fetch.err = err
}

// settle says what a fetch came to for a caller: when it failed, a token that is merely due serves once more; when it gave the
// refused token again, that is not kept.
func (t *tokenCache) settle(fetch *tokenFetch, refused string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case fetch.err != nil && t.token != "" && t.token != refused:
		return t.token, nil
	case fetch.err != nil:
		return "", fetch.err
	case t.token == refused:
		t.token = ""
	}
	return fetch.token, nil
}

// --- What one attempt came to ---

// What there was not within a time limit.
const (
	noConnection = "no connection"
	noReply      = "no complete reply"
	noToken      = "no token"
)

// timeoutError is the cause of a context that one of our own time limits ended.
type timeoutError struct {
	what  string
	limit time.Duration
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("%s within %v s", e.what, e.limit.Seconds())
}
func (e *timeoutError) Timeout() bool { return true }

// cutError says that the network failed inside the body of a 2xx reply.
type cutError struct{ err error }

func (e *cutError) Error() string { return "the reply was cut off: " + e.err.Error() }
func (e *cutError) Unwrap() error { return e.err }

// tunnelError says that a proxy answered, and refused.
type tunnelError struct{ status string }

func (e *tunnelError) Error() string { return "the proxy refused the tunnel: " + e.status }

// cancelled reports whether the caller, and not a time limit of ours, ended ctx.
func cancelled(ctx context.Context) bool {
	_, ours := context.Cause(ctx).(*timeoutError)
	return ctx.Err() != nil && !ours
}

// noReply makes the error for a request that got no complete reply.
func (x *exchange) noReply(ctx context.Context, err error) error {
	if cancelled(ctx) {
		return ctx.Err()
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if inner := (*url.Error)(nil); errors.As(err, &inner) {
		err = inner.Err // the outer text holds the query
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("the connection was closed before the reply: %w", err)
	}
	if text := err.Error(); x.mask(text, false) != text {
		err = errors.New(x.mask(text, false)) // it quotes what the server sent, and the server echoes the key
	}
	return &TransportError{Call: x.Call, Err: err}
}

func (x *exchange) serviceError(response *http.Response, body []byte, cut bool) error {
	header := response.Header
	requestID := header.Get("x-request-id")
	if requestID == "" {
		requestID = header.Get("x-ms-request-id")
	}
	modelStatus, err := strconv.ParseUint(header.Get("ms-azureml-model-error-statuscode"), 10, 16)
	if err != nil {
		modelStatus = 0
	}
	var retryAfter *time.Duration
	if hint, ok := retryHint(header, time.Now()); ok {
		retryAfter = &hint
	}
	return &ServiceError{
		Call:              x.Call,
		StatusCode:        response.StatusCode,
		Message:           x.mask(serviceMessage(body), cut),
		Body:              body,
		RequestID:         x.mask(requestID, false),
		RetryAfter:        retryAfter,
		ModelStatus:       int(modelStatus),
		ModelReason:       x.mask(header.Get("ms-azureml-model-error-reason"), false),
		RunFunctionFailed: strings.EqualFold(header.Get("x-ms-run-function-failed"), "true"),
	}
}

func (x *exchange) replyError(reason string, body []byte, cut bool) error {
	const enough = maxText * utf8.UTFMax
	if len(body) > enough {
		body, cut = body[:enough], true
	}
	return &ReplyError{Call: x.Call, Reason: printable(x.mask(reason, false)), Excerpt: printable(x.mask(string(body), cut))}
}

// mask hides the credentials in a text that came from outside, also where JSON escapes some of their characters; in a text that was
// cut, also the beginning of a credential at its end.
func (x *exchange) mask(text string, cut bool) string {
	const hidden = "***"
	for _, secret := range x.credentials {
		text = strings.ReplaceAll(text, secret, hidden)
		if strings.Contains(text, `\`) {
			var escaped strings.Builder
			for _, c := range secret {
				fmt.Fprintf(&escaped, `(?:\\?%s|\\u00(?i:%02x))`, regexp.QuoteMeta(string(c)), c)
			}
			text = regexp.MustCompile(escaped.String()).ReplaceAllLiteralString(text, hidden)
		}
		for n := len(secret) - 1; cut && n > 0; n-- {
			if rest, found := strings.CutSuffix(text, secret[:n]); found {
				text = rest + hidden
				break
			}
		}
	}
	return text
}

// printable makes one line of at most maxText characters from a text that came from outside.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return ' '
		}
		return r
	}, text) // which replaces invalid UTF-8 too
	if runes := []rune(text); len(runes) > maxText {
		text = string(runes[:maxText-1]) + "…"
	}
	return strings.TrimSpace(text)
}

// serviceMessage finds the service's own words in the body of an error (W03, W45). No body makes it fail.
func serviceMessage(body []byte) string {
	body = bytes.TrimSpace(withoutBOM(body))
	if json.Valid(body) {
		object := members(body)
		return firstString(object["message"], members(object["error"])["message"], object["error"], object["detail"], body)
	}
	text := strings.ToValidUTF8(string(body), "\uFFFD")
	if !htmlPage.MatchString(text) {
		return text
	}
	if title := htmlTitle.FindStringSubmatch(text); title != nil {
		return strings.Join(strings.Fields(html.UnescapeString(title[1])), " ")
	}
	return ""
}

var (
	htmlPage  = regexp.MustCompile(`(?i)^<(!doctype|html|head|body)\b`)
	htmlTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)
)

// members returns the members of a JSON object, none when it is something else. The fields of a struct would match in any case.
func members(object []byte) (values map[string]json.RawMessage) {
	_ = json.Unmarshal(object, &values)
	return values
}

// firstString returns the first of some JSON values that is a string with something in it.
func firstString(values ...json.RawMessage) string {
	for _, value := range values {
		var text string
		if json.Unmarshal(value, &text) == nil && strings.TrimSpace(text) != "" {
			return text
		}
	}
	return ""
}

// --- Errors ---

// Call says which call failed; the errors embed it.
type Call struct {
	Method          string
	URL             string // what was asked for, without the query
	ClientRequestID string // sent as x-ms-client-request-id; the service's log has it (C39)
	Attempts        int    // requests sent so far
}

// FailedCall returns the call.
func (c Call) FailedCall() Call {
	return c
}

// Error is what [*ServiceError], [*TransportError] and [*ReplyError] have in common: errors.As finds any of them with it.
type Error interface {
	error
	FailedCall() Call
}

// ArgumentError is a bad argument to [NewClient] or a call, or a bad token; nothing was sent.
type ArgumentError string

func (e ArgumentError) Error() string {
	return string(e)
}

// ServiceError is an answer with a status other than 2xx. Redirects are among them: they are not followed.
type ServiceError struct {
	Call
	StatusCode        int
	Message           string         // the service's own words; empty when there are none (C31)
	Body              []byte         // as it came, 64 KiB at most; it may echo the credential, do not log it
	RequestID         string         // the reply's x-request-id, else its x-ms-request-id; empty when there is none (C38)
	RetryAfter        *time.Duration // the wait that the reply asks for (C41); nil when it does not
	ModelStatus       int            // ms-azureml-model-error-statuscode: what the model's container answered; 0 when absent (C37)
	ModelReason       string         // ms-azureml-model-error-reason; empty when absent (C37)
	RunFunctionFailed bool           // x-ms-run-function-failed: the scoring script itself failed (C38)
}

func (e *ServiceError) Error() string {
	return e.describe(e.reason(), e.RequestID)
}

func (e *ServiceError) reason() string { return joined(strconv.Itoa(e.StatusCode), e.Message) }

// TransportError says that no complete answer came: the network, TLS or a time limit. The model may have run all the same.
type TransportError struct {
	Call
	Err error
}

func (e *TransportError) Error() string {
	return e.describe(e.reason(), "")
}

func (e *TransportError) reason() string { return joined(e.Err.Error()) }

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error {
	return e.Err
}

// Timeout reports whether a time limit passed, the client's or the system's.
func (e *TransportError) Timeout() bool {
	return isTimeout(e.Err)
}

// ReplyError is a 2xx answer that is wrong: for [Client.Score] not one finite number for each row.
type ReplyError struct {
	Call
	Reason  string // what is wrong, in words
	Excerpt string // the beginning of the answer, 300 characters at most; empty when there is none
}

func (e *ReplyError) Error() string {
	return e.describe(e.reason(), "")
}

func (e *ReplyError) reason() string { return joined(e.Reason, e.Excerpt) }

// failure is an Error that says what an attempt came to.
type failure interface {
	Error
	reason() string
}

// joined makes one line from texts that may be foreign and empty.
func joined(parts ...string) string {
	var lines []string
	for _, part := range parts {
		if part != "" {
			lines = append(lines, printable(part))
		}
	}
	return strings.Join(lines, ": ")
}

// describe makes the text of an error.
func (c Call) describe(reason, requestID string) string {
	text := fmt.Sprintf("%s %s: %s (%d attempt", c.Method, c.URL, reason, c.Attempts)
	if c.Attempts != 1 {
		text += "s"
	}
	if requestID != "" {
		text += ", request id " + printable(requestID)
	}
	return text + ")"
}

// --- Arguments ---

// checkOptions refuses options that make no sense (B02).
func checkOptions(options Options, uri *url.URL) error {
	if options.Key.reveal != nil {
		if err := checkHeader("key", options.Key.reveal()); err != nil {
			return err
		}
		if options.TokenProvider != nil {
			return ArgumentError("Key and TokenProvider exclude each other")
		}
	}
	credential := options.Key.reveal != nil || options.TokenProvider != nil
	if credential && uri.Scheme == "http" && !isLoopback(uri.Hostname()) && !options.AllowInsecureHTTP {
		return ArgumentError("a key over plain http to a host that is not loopback: use https, or AllowInsecureHTTP if the network is trusted")
	}
	for _, number := range []struct {
		name  string
		value int64
	}{
		{"Timeout", int64(options.Timeout)}, {"AttemptTimeout", int64(options.AttemptTimeout)}, {"ConnectTimeout", int64(options.ConnectTimeout)},
		{"BaseDelay", int64(options.BaseDelay)}, {"MaxDelay", int64(options.MaxDelay)}, {"MaxReplyBytes", options.MaxReplyBytes},
	} {
		if number.value < 0 {
			return ArgumentError(number.name + " must not be negative")
		}
	}
	for _, status := range options.RetryStatuses {
		if status < 400 || status > 599 {
			return ArgumentError(fmt.Sprintf("RetryStatuses: %d is not between 400 and 599", status))
		}
	}
	if options.Deployment != "" {
		if err := checkHeader("deployment", options.Deployment); err != nil {
			return err
		}
	}
	if options.HTTPClient == nil {
		return nil
	}
	for _, ours := range []struct {
		name  string
		given bool
	}{{"ConnectTimeout", options.ConnectTimeout != 0}, {"CAFile", options.CAFile != ""}, {"Proxy", options.Proxy != ""}} {
		if ours.given {
			return ArgumentError(ours.name + " has no effect with HTTPClient: set it there")
		}
	}
	return nil
}

// parseURI accepts the URIs that every client sends exactly as they are given (B01).
func parseURI(text string) (*url.URL, error) {
	const notAbsolute = ArgumentError("the scoring URI must be an absolute http or https URI")
	if at := strings.IndexFunc(text, notInURI); at >= 0 {
		return nil, ArgumentError(fmt.Sprintf("the scoring URI has a character that no URI can have at position %d (a trailing newline?)", at))
	}
	uri, err := url.Parse(text)
	if err != nil || uri.Scheme != "http" && uri.Scheme != "https" || uri.Hostname() == "" {
		return nil, notAbsolute // the error of url.Parse shows the URI with its secrets
	}
	if port, err := strconv.ParseUint(uri.Port(), 10, 16); uri.Port() != "" && (err != nil || port == 0) {
		return nil, notAbsolute
	}
	if uri.User != nil {
		return nil, ArgumentError("the scoring URI must not contain user info")
	}
	if strings.Contains(text, "#") {
		return nil, ArgumentError("the scoring URI must not contain a fragment")
	}
	for segment := range strings.SplitSeq(uri.EscapedPath(), "/") {
		if segment == "." || segment == ".." {
			return nil, ArgumentError("the scoring URI must not contain dot segments")
		}
	}
	for _, escape := range percentEscape.FindAllString(text, -1) {
		character, err := url.QueryUnescape(escape)
		if err != nil {
			return nil, notAbsolute
		}
		if needless.MatchString(character) {
			return nil, ArgumentError(fmt.Sprintf("the scoring URI must not contain needless percent escapes (%s)", escape))
		}
	}
	return uri, nil
}

var (
	percentEscape = regexp.MustCompile(`%.{0,2}`)
	needless      = regexp.MustCompile(`[A-Za-z0-9._~-]`)
)

func notInURI(r rune) bool {
	return r <= ' ' || r >= 0x7F || strings.ContainsRune("\"<>\\^`{|}", r)
}

// withoutQuery is what errors show of a URI.
func withoutQuery(uri *url.URL) string {
	return uri.Scheme + "://" + uri.Host + uri.EscapedPath()
}

// isLoopback reports whether a host is this machine: localhost, 127/8 or ::1.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && address.IsLoopback()
}

// checkHeader refuses what cannot travel in a header as it is (C11): all but 0x21 to 0x7E, and some characters where they are not
// at an end. The value is not in the error.
func checkHeader(name, value string, inside ...rune) error {
	if value == "" {
		return ArgumentError("the " + name + " is empty")
	}
	for at, r := range value {
		if (r < 0x21 || r > 0x7E) && (at == 0 || at == len(value)-1 || !slices.Contains(inside, r)) {
			text := fmt.Sprintf("the %s has a character that cannot be sent in a header at position %d", name, at)
			if name == "key" || name == "token" {
				text += " (a trailing newline?)"
			}
			return ArgumentError(text)
		}
	}
	return nil
}

// newUUID makes a random UUID (version 4).
func newUUID() string {
	var id [16]byte
	_, _ = crand.Read(id[:]) // never fails since Go 1.24
	id[6] = id[6]&0x0F | 0x40
	id[8] = id[8]&0x3F | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// --- Bodies ---

// encodeRows makes the body {"data": rows}, in which every double keeps its bits. Each has a point or an exponent, because the
// service's Python reads 1 as an integer, and -0 as one without a sign.
func encodeRows(rows [][]float64) ([]byte, error) {
	body := []byte(`{"data": [`)
	for i, row := range rows {
		if i > 0 {
			body = append(body, ", "...)
		}
		body = append(body, '[')
		for j, cell := range row {
			if j > 0 {
				body = append(body, ", "...)
			}
			switch start := len(body); {
			case math.IsNaN(cell):
				return nil, ArgumentError(fmt.Sprintf("row %d, column %d is NaN: JSON has no such number", i, j))
			case math.IsInf(cell, 0):
				return nil, ArgumentError(fmt.Sprintf("row %d, column %d is Infinity: JSON has no such number", i, j))
			default:
				body = strconv.AppendFloat(body, cell, 'g', -1, 64)
				if !bytes.ContainsAny(body[start:], ".e") {
					body = append(body, ".0"...)
				}
			}
		}
		body = append(body, ']')
	}
	return append(body, "]}"...), nil
}

// parseJSON returns the JSON value of a reply, or says why there is none (B52).
func parseJSON(body []byte) (value []byte, reason string) {
	if !utf8.Valid(body) {
		return nil, "the reply is not valid UTF-8"
	}
	value = bytes.Trim(withoutBOM(body), " \t\r\n")
	if len(value) == 0 {
		return nil, "the reply is empty"
	}
	if !json.Valid(value) {
		return nil, whyNotJSON(value)
	}
	return value, ""
}

func withoutBOM(body []byte) []byte {
	return bytes.TrimPrefix(body, []byte("\uFEFF"))
}

// parsePredictions reads a JSON array with one finite number for each row, or says why the body is none (B51).
func parsePredictions(body []byte, rows int) (predictions []float64, reason string) {
	value, reason := parseJSON(body)
	if reason != "" {
		return nil, reason
	}
	switch kind := jsonKind(value); kind {
	case "array":
	case "object":
		reason = "the reply is a JSON object, not an array"
		failure := members(value)["error"]
		if text := firstString(members(failure)["message"], failure); text != "" {
			reason += ": " + text
		}
		return nil, reason
	case "string":
		return nil, "the reply is a JSON string, not an array; the scoring script probably calls json.dumps itself"
	default:
		return nil, fmt.Sprintf("the reply is a JSON %s, not an array", kind)
	}

	// The text is valid, so that numbers need no more than finding. To decode to []float64 would make 0 of null.
	predictions = make([]float64, 0, min(rows, len(value)/2))
	rest := bytes.TrimLeft(value[1:], " \t\r\n")
	for i := 0; rest[0] != ']'; i++ {
		if kind := jsonKind(rest); kind != "number" {
			return nil, fmt.Sprintf("element %d of the reply is a JSON %s, not a number", i, kind)
		}
		end := bytes.IndexAny(rest, ",] \t\r\n")
		prediction, err := strconv.ParseFloat(string(rest[:end]), 64)
		if err != nil {
			return nil, fmt.Sprintf("element %d of the reply is not a finite number", i)
		}
		predictions = append(predictions, prediction)
		rest = bytes.TrimLeft(rest[end:], ", \t\r\n")
	}
	if len(predictions) != rows {
		return nil, fmt.Sprintf("the reply has %d predictions for %d rows", len(predictions), rows)
	}
	return predictions, ""
}

// jsonKind names the kind of a JSON value by its first character.
func jsonKind(value []byte) string {
	switch value[0] {
	case '[':
		return "array"
	case '{':
		return "object"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	default:
		return "number"
	}
}

// whyNotJSON tells the text that Python's json.dumps makes of a NaN (W09) from other text that is not JSON.
func whyNotJSON(body []byte) string {
	repaired := stringOrNotFinite.ReplaceAllFunc(body, func(token []byte) []byte {
		if token[0] == '"' {
			return token
		}
		return []byte("0")
	})
	if json.Valid(repaired) {
		return "the reply contains NaN or Infinity, which is not JSON"
	}
	return "the reply is not JSON"
}

var stringOrNotFinite = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?(?:NaN|Infinity)`)

// --- Connections ---

// attemptKey finds the [connecting] of a request's context.
type attemptKey struct{}

// connecting is an attempt that may not have its connection yet.
type connecting struct {
	ctx       context.Context
	connected atomic.Bool
}

// limitAttempt ends ctx when no connection is there after one limit, or no complete reply after the other. The transport alone
// cannot: its limits add up, and it detaches the dial from the request. A limit of zero to connect leaves that to an HTTPClient.
func limitAttempt(ctx context.Context, connect, whole time.Duration) (context.Context, context.CancelFunc) {
	if connect == 0 {
		return context.WithTimeoutCause(ctx, whole, &timeoutError{noReply, whole})
	}
	ctx, cancel := context.WithCancelCause(ctx)
	attempt := &connecting{ctx: ctx}
	deadline := time.Now().Add(whole)
	timer := time.AfterFunc(connect, func() {
		if attempt.connected.Load() {
			cancel(&timeoutError{noReply, whole})
		} else {
			cancel(&timeoutError{noConnection, connect})
		}
	})
	gotConn := func(httptrace.GotConnInfo) {
		if timer.Stop() {
			attempt.connected.Store(true)
			timer.Reset(time.Until(deadline))
		}
	}
	ctx = context.WithValue(ctx, attemptKey{}, attempt)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: gotConn}), func() { timer.Stop(); cancel(nil) }
}

// whenAbandoned calls f once the attempt has ended without a connection.
func (a *connecting) whenAbandoned(f func()) (stop func() bool) {
	return context.AfterFunc(a.ctx, func() {
		if !a.connected.Load() {
			f()
		}
	})
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// abandonable makes a dial end, and its connection close, with the attempt that wanted it. When that got another connection meanwhile,
// this one goes to the pool.
func abandonable(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		attempt := ctx.Value(attemptKey{}).(*connecting) // values survive the detaching
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer attempt.whenAbandoned(cancel)()
		conn, err := dial(ctx, network, address)
		if err == nil {
			attempt.whenAbandoned(func() { conn.Close() })
		}
		return conn, err
	}
}

// newTransport makes a connection pool. It is no clone of http.DefaultTransport, because programs replace that by other types.
func newTransport(options Options, connectTimeout time.Duration, loopback bool) (*http.Transport, error) {
	backstop := max(connectTimeout, time.Minute) // for a connection that no request waits for any more
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         abandonable((&net.Dialer{Timeout: backstop}).DialContext),
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: backstop,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     90 * time.Second,
		Protocols:           new(http.Protocols),
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
			if response.StatusCode != http.StatusOK {
				return &tunnelError{response.Status}
			}
			return nil
		},
	}
	transport.Protocols.SetHTTP1(true) // over HTTP/2 the transport resends a POST by itself
	if options.CAFile != "" {
		roots, err := readRoots(options.CAFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	if options.Proxy != "" {
		proxy, err := parseProxy(options.Proxy)
		if err != nil {
			return nil, err
		}
		transport.Proxy = http.ProxyURL(proxy)
	}
	if loopback {
		transport.Proxy = nil
	}
	return transport, nil
}

// readRoots reads the certificates of a PEM file. Each must be one: the standard library would pass over a broken one.
func readRoots(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		if inner := (*fs.PathError)(nil); errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, ArgumentError(fmt.Sprintf("the CA file cannot be read: %v", err))
	}
	roots, found := x509.NewCertPool(), false
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, ArgumentError(fmt.Sprintf("the CA file cannot be read: %v", err))
		}
		roots.AddCert(certificate)
		found = true
	}
	if !found {
		return nil, ArgumentError("the CA file holds no certificate")
	}
	if bytes.Contains(text, []byte("-----BEGIN CERTIFICATE")) {
		return nil, ArgumentError("the CA file cannot be read: its last certificate is broken")
	}
	return roots, nil
}

// parseProxy accepts http://host:port and nothing more, such as a password that an error might show.
func parseProxy(text string) (*url.URL, error) {
	proxy, err := url.Parse(text)
	if err == nil {
		port, notNumber := strconv.ParseUint(proxy.Port(), 10, 16)
		if notNumber == nil && port > 0 && proxy.Hostname() != "" && text == "http://"+proxy.Host {
			return proxy, nil
		}
	}
	return nil, ArgumentError("the proxy must be http://host:port")
}
