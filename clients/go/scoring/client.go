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
	"errors"
	"fmt"
	"html"
	"io"
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
	"syscall"
	"time"
	"unicode/utf8"
)

// --- Options ---

// DefaultContentType is the media type of bytes of which nothing more is known; see [Client.ScoreBytes].
const DefaultContentType = "application/octet-stream"

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

func (k Key) text() string {
	if k.reveal == nil {
		return ""
	}
	return k.reveal()
}

// TokenProvider fetches a token. All calls that need one share one fetch, so ctx is not that of a caller: it ends after
// [Options].Timeout, and the fetch must end with it. An error reaches every waiting caller as it is, and is not repeated; but when
// the token before is merely due to be refreshed, that one serves.
type TokenProvider func(ctx context.Context) (AccessToken, error)

// AccessToken is what a [TokenProvider] returns. It prints without the token.
type AccessToken struct {
	Token     Key
	RefreshBy time.Time // from then on it is to be replaced; the zero time: only after the service refused it
}

// Retry is what [Options].OnRetry is told.
type Retry struct {
	Attempt int           // requests sent so far
	Wait    time.Duration // before the next one
	Reason  string        // what the last one came to, as an error would say it; free of credentials
}

// --- Client ---

// Client calls one scoring URI. It does not change, and goroutines may share it: make one and keep it, it reuses connections.
type Client struct {
	uri       *url.URL
	options   Options     // the defaults are filled in
	tokens    *tokenCache // of the provider, if there is one
	random    func() float64
	roundTrip func(*http.Request) (*http.Response, error)
	closeIdle func()
}

// NewClient makes a client for an absolute http or https URI, whose path and query are used exactly as given (W02, C06).
//
// Every error is an [ArgumentError]: a URI with user info, a fragment, dot segments or needless escapes, a key that cannot travel
// in a header, a credential over plain http (see [Options].AllowInsecureHTTP), a CA file without certificates, a negative time or
// size, options that exclude each other.
func NewClient(scoringURI string, options Options) (*Client, error) {
	uri, err := parseURI(scoringURI)
	if err == nil {
		err = checkOptions(options, uri)
	}
	if err != nil {
		return nil, err
	}
	options.Timeout = cmp.Or(options.Timeout, 100*time.Second)
	options.AttemptTimeout = cmp.Or(options.AttemptTimeout, time.Minute)
	options.MaxRetries = cmp.Or(options.MaxRetries, 3)
	options.BaseDelay = cmp.Or(options.BaseDelay, 800*time.Millisecond)
	options.MaxDelay = cmp.Or(options.MaxDelay, time.Minute)
	options.MaxReplyBytes = cmp.Or(options.MaxReplyBytes, 64<<20)
	options.RetryStatuses = slices.Clone(options.RetryStatuses)
	if options.RetryStatuses == nil {
		options.RetryStatuses = []int{429, 500, 502, 503}
	}
	c := &Client{uri: uri, options: options, random: rand.Float64, tokens: &tokenCache{provider: options.TokenProvider, timeout: options.Timeout}}
	if options.HTTPClient != nil {
		c.roundTrip, c.closeIdle = options.HTTPClient.Do, func() {} // the connections are not ours
		return c, nil
	}
	c.options.ConnectTimeout = cmp.Or(options.ConnectTimeout, 10*time.Second)
	transport, err := newTransport(c.options, uri)
	if err != nil {
		return nil, err
	}
	// Without an http.Client there are no redirects and no cookies, and a 3xx with a broken Location keeps its status.
	c.roundTrip, c.closeIdle = transport.RoundTrip, transport.CloseIdleConnections
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
	return send(ctx, c, c.post("application/json", payload), func(reply []byte) ([]float64, error) { return readPredictions(reply, len(rows)) })
}

// ScoreJSON sends a JSON value of any shape as it is and returns the service's, which may be of any shape, too: a string that holds
// JSON stays a string (C04, C09).
//
// A payload that is not one JSON value in UTF-8 is an [ArgumentError], and nothing is sent. Other errors are those of [Client.Score].
func (c *Client) ScoreJSON(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
	if !utf8.Valid(payload) || !json.Valid(payload) {
		return nil, ArgumentError("the payload is not JSON")
	}
	return send(ctx, c, c.post("application/json", payload), readJSON)
}

// ScoreBytes sends bytes of a media type, such as those of an image, and returns the reply's as they are (C05). The caller must not
// change body before the call is over.
//
// A content type that cannot travel in a header is an [ArgumentError], and nothing is sent. Other errors are those of [Client.Score];
// of [*ReplyError] only those about size and encoding.
func (c *Client) ScoreBytes(ctx context.Context, body []byte, contentType string) ([]byte, error) {
	if err := refuse(unsendable("content type", contentType, ' ')); err != nil {
		return nil, err
	}
	return send(ctx, c, c.post(contentType, body), func(reply []byte) ([]byte, error) { return reply, nil })
}

// Swagger returns the service's OpenAPI document, from swagger.json beside the scoring URI (C52). A service that has none answers
// 404, which is a [*ServiceError]; other errors are those of [Client.ScoreJSON].
func (c *Client) Swagger(ctx context.Context) (json.RawMessage, error) {
	return send(ctx, c, c.get("swagger.json"), readJSON)
}

// Healthy reports whether the service's front page says Healthy (C51), after one attempt. Any other reply is false without an error;
// an error means that there was no reply: [*TransportError], ctx.Err() or the token provider's.
func (c *Client) Healthy(ctx context.Context) (bool, error) {
	call := c.get("./")
	call.maxRetries = 0
	healthy, err := send(ctx, c, call, func(reply []byte) (bool, error) {
		text := string(bytes.Trim(withoutBOM(reply), jsonSpace))
		return text == "Healthy" || text == `"Healthy"`, nil
	})
	switch err.(type) {
	case *ServiceError, *ReplyError:
		err = nil
	}
	return healthy, err
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

// exchange is a call under way.
type exchange struct {
	Call
	request     *http.Request // of every attempt, but for the credential
	maxRetries  int
	credentials []string // used so far, the longest first; no text shows them
}

func (c *Client) newExchange(method string, uri *url.URL, payload []byte) *exchange {
	request, _ := http.NewRequest(method, uri.String(), bytes.NewReader(payload)) // no error: it was a URI before
	call := &exchange{Call: Call{method, withoutQuery(uri), newUUID(), 0}, request: request, maxRetries: c.options.MaxRetries}
	request.Header.Set("Accept-Encoding", "identity") // or an HTTPClient of the caller's asks for gzip
	request.Header.Set("x-ms-client-request-id", call.ClientRequestID)
	return call
}

func (c *Client) post(contentType string, payload []byte) *exchange {
	call := c.newExchange(http.MethodPost, c.uri, payload)
	call.request.Header.Set("Content-Type", contentType)
	if c.options.Deployment != "" {
		call.request.Header.Set("azureml-model-deployment", c.options.Deployment)
	}
	return call
}

func (c *Client) get(path string) *exchange {
	return c.newExchange(http.MethodGet, c.uri.ResolveReference(&url.URL{Path: path}), nil)
}

// send makes attempts within the client's time limit, and returns what read makes of a 2xx reply, or what the last attempt came to.
func send[T any](ctx context.Context, c *Client, call *exchange, read func(reply []byte) (T, error)) (none T, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.options.Timeout, timeLimit(c.options.Timeout))
	defer cancel()
	refused := "" // the token that the service answered with a 401
	credential, err := c.credential(ctx, call, refused)
	for retries := 0; err == nil; {
		value, outcome := attempt(ctx, c, call, credential, read)
		if outcome == nil {
			return value, nil
		}
		service, _ := outcome.(*ServiceError)
		if c.options.TokenProvider != nil && refused == "" && service != nil && service.StatusCode == http.StatusUnauthorized {
			refused = credential
			if credential, err = c.credential(ctx, call, refused); err != nil || credential != refused {
				continue // at once, and not counted as a retry (B25)
			}
		}
		wait, again := c.nextWait(ctx, retries, outcome)
		if retries >= call.maxRetries || !again {
			return none, outcome
		}
		if c.options.OnRetry != nil {
			if err := c.options.OnRetry(Retry{call.Attempts, wait, outcome.(Error).reason()}); err != nil {
				return none, err
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done(): // as credential finds
		}
		retries++
		credential, err = c.credential(ctx, call, refused)
	}
	return none, err
}

// nextWait returns the wait before the next attempt, if there may be one: not when the service wants a longer wait than MaxDelay, nor
// when the wait would reach the deadline, the caller's included (B49).
func (c *Client) nextWait(ctx context.Context, retries int, outcome error) (wait time.Duration, again bool) {
	hint := time.Duration(0)
	if service, ok := outcome.(*ServiceError); ok && service.RetryAfter != nil {
		hint = *service.RetryAfter
	}
	wait = max(hint, backOff(retries, c.options.BaseDelay, c.options.MaxDelay, c.random()))
	deadline, _ := ctx.Deadline()
	again = shouldRepeat(outcome, c.options.RetryStatuses) && hint <= c.options.MaxDelay && time.Now().Add(wait).Before(deadline)
	return wait, again
}

// attempt makes one request and returns what read makes of a 2xx reply. What an error means is known by its type.
func attempt[T any](ctx context.Context, c *Client, call *exchange, credential string, read func(reply []byte) (T, error)) (value T, err error) {
	ctx, connection, cancel := limitAttempt(ctx, c.options.ConnectTimeout, c.options.AttemptTimeout)
	defer cancel()
	request := call.request.WithContext(ctx)
	request.Header = request.Header.Clone() // net/http may still read those of the attempt before
	request.Body, _ = request.GetBody()
	if credential != "" {
		request.Header.Set("Authorization", "Bearer "+credential)
	}
	call.Attempts++
	response, err := c.roundTrip(request)
	if err != nil && context.Cause(connection) != errConnected {
		return value, call.noReply(connection, err, connecting)
	}
	if err != nil {
		return value, call.noReply(ctx, err, waiting)
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return value, call.serviceError(ctx, response)
	}
	if encoding := strings.Join(response.Header.Values("Content-Encoding"), ", "); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return value, call.replyError(fmt.Sprintf("the reply has Content-Encoding: %s, which was not asked for", encoding), nil)
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, response.Body, c.options.MaxReplyBytes))
	if errors.As(err, new(*http.MaxBytesError)) {
		return value, call.replyError(fmt.Sprintf("the reply is larger than %d bytes", c.options.MaxReplyBytes), body)
	}
	if err != nil {
		return value, call.noReply(ctx, err, receiving)
	}
	if value, err = read(body); err != nil {
		err = call.replyError(err.Error(), body)
	}
	return value, err
}

// --- What is repeated ---

// shouldRepeat is the whole decision: the network may be tried again, slowness and wrong answers may not (B30, B31, B40-B47).
func shouldRepeat(outcome error, retryStatuses []int) bool {
	transport, _ := outcome.(*TransportError)
	service, _ := outcome.(*ServiceError)
	switch {
	case transport != nil:
		return transport.network
	case service == nil: // a success, a wrong reply, a caller who gave up
		return false
	case service.StatusCode == 424 && (service.ModelReason == "model_not_ready" || service.ModelReason == "too_few_model_instance" || service.ModelStatus == 429):
		return true
	case service.RunFunctionFailed && (service.StatusCode == 500 || service.StatusCode == 502):
		return false // the same input fails again (W06)
	default:
		return slices.Contains(retryStatuses, service.StatusCode)
	}
}

// backOff is the wait before retry n, of which 0 is the first, for a random number from 0 to 1 (B48).
func backOff(n int, baseDelay, maxDelay time.Duration, random float64) time.Duration {
	delay := min(float64(maxDelay), math.Ldexp(float64(baseDelay), n))
	return time.Duration(min(float64(maxDelay), delay*(0.5+random)))
}

// retryHint is the wait that the headers of a reply ask for (C41), the first valid one of three; nil: none.
func retryHint(header http.Header, now time.Time) *time.Duration {
	const most = 999_999_999
	hint := most * time.Second
	for _, source := range []struct {
		name string
		unit time.Duration
	}{{"retry-after-ms", time.Millisecond}, {"x-ms-retry-after-ms", time.Millisecond}, {"Retry-After", time.Second}} {
		count, err := strconv.ParseUint(strings.Trim(header.Get(source.name), " \t"), 10, 64)
		if err == nil && count <= most {
			hint = time.Duration(count) * source.unit
		}
		if err == nil || errors.Is(err, strconv.ErrRange) {
			return &hint
		}
	}
	text := strings.Trim(header.Get("Retry-After"), " \t")
	date, err := time.Parse(http.TimeFormat, text)
	if err != nil || date.Format(http.TimeFormat)[len("Mon"):] != text[len("Mon"):] { // Parse alone takes other cases
		return nil
	}
	hint = min(max(date.Sub(now), 0), hint)
	return &hint
}

// --- The credential ---

// credential returns what the next attempt sends, "" without one. A token that the service refused is not used again.
func (c *Client) credential(ctx context.Context, call *exchange, refused string) (credential string, err error) {
	if ctx.Err() != nil {
		return "", call.noReply(ctx, ctx.Err(), waiting)
	}
	credential = c.options.Key.text()
	if c.options.TokenProvider != nil {
		credential, err = c.tokens.get(ctx, refused)
	}
	if _, timedOut := err.(timeLimit); timedOut {
		err = call.noReply(ctx, err, fetching)
	}
	if credential != "" {
		call.credentials = append(call.credentials, credential)
		slices.SortFunc(call.credentials, func(a, b string) int { return len(b) - len(a) })
	}
	return credential, err
}

// tokenCache holds the last token, and the fetch of the next one that all callers share.
type tokenCache struct {
	provider TokenProvider
	timeout  time.Duration

	mu      sync.Mutex
	token   string // empty: none
	until   time.Time
	refused string      // is not kept when the fetch under way brings it again
	current *tokenFetch // nil: none is under way
}

// tokenFetch is one call of the provider. The result is there when done is closed.
type tokenFetch struct {
	done  chan struct{}
	token string
	err   error
}

// get returns a token that is fresh and was not refused, and waits for it as long as ctx lasts. When the provider gives the refused
// one again, that is returned.
func (t *tokenCache) get(ctx context.Context, refused string) (string, error) {
	t.mu.Lock()
	if t.token == refused {
		t.token = ""
	}
	if t.token != "" && (t.until.IsZero() || time.Now().Before(t.until)) {
		defer t.mu.Unlock()
		return t.token, nil
	}
	t.refused = cmp.Or(refused, t.refused)
	if t.current == nil {
		t.current = &tokenFetch{done: make(chan struct{})}
		go t.fetch(t.current)
	}
	fetch := t.current
	t.mu.Unlock()

	select {
	case <-fetch.done:
		return fetch.token, fetch.err
	case <-ctx.Done():
		return "", timeLimit(t.timeout) // unless the caller ended ctx
	}
}

// fetch calls the provider. It belongs to no caller: one who gives up does not end it.
func (t *tokenCache) fetch(fetch *tokenFetch) {
	ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
	defer cancel()
	fetched, err := t.provider(ctx)
	switch {
	case err == nil:
		err = refuse(unsendable("token", fetched.Token.text()))
	case ctx.Err() != nil:
		err = timeLimit(t.timeout) // the provider's error says no more than that time ran out
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	fetch.token, fetch.err = fetched.Token.text(), err
	switch {
	case err != nil && t.token != "":
		fetch.token, fetch.err = t.token, nil // which is merely due
	case err == nil && fetch.token != t.refused:
		t.token, t.until = fetch.token, fetched.RefreshBy
	}
	t.refused, t.current = "", nil
	close(fetch.done)
}

// --- What one attempt came to ---

const maxErrorBody = 64 << 10 // bytes of an error's body that are kept (B54)

// stage is how far a call was when something ended it: in the words for a time limit, and for a connection that is closed.
type stage struct{ missing, closed string }

var (
	fetching   = stage{missing: "token"}
	connecting = stage{"connection", "the connection was closed inside TLS"}
	waiting    = stage{"complete reply", "the connection was closed before the reply"}
	receiving  = stage{"complete reply", "the reply was cut off"}
)

// timeLimit is the cause of a context that one of our own time limits ended.
type timeLimit time.Duration

func (l timeLimit) Error() string { return "no end within " + time.Duration(l).String() }
func (l timeLimit) Timeout() bool { return true }

// cancelled reports whether the caller, and not a time limit of ours, ended ctx.
func cancelled(ctx context.Context) bool {
	_, ours := context.Cause(ctx).(timeLimit)
	return ctx.Err() != nil && !ours
}

// noReply makes the error for a call that got no complete reply.
func (x *exchange) noReply(ctx context.Context, err error, at stage) error {
	if cancelled(ctx) {
		return ctx.Err()
	}
	if limit, ours := context.Cause(ctx).(timeLimit); ours {
		err = limit
	}
	if outer := (*url.Error)(nil); errors.As(err, &outer) {
		err = outer.Err // the outer text holds the query
	}
	reason, network := explain(err, at)
	if text := x.mask(err.Error()); text != err.Error() {
		err = errors.New(text) // it quotes what the server sent, and the server echoes the key
	}
	return &TransportError{x.Call, x.mask(reason), err, network}
}

// explain says in words why there is no reply, and whether that was the network, which may be tried again. Broken framing has no type
// of its own, so what is not known is the network.
func explain(err error, at stage) (reason string, network bool) {
	var limit timeLimit
	var operation *net.OpError
	text := err.Error()
	switch {
	case errors.As(err, &limit):
		return fmt.Sprintf("no %s within %v s", at.missing, time.Duration(limit).Seconds()), at == connecting
	case at != receiving && tlsRefusal.MatchString(text), errors.Is(err, http.ErrSchemeMismatch):
		return "TLS failed: " + text, false
	case strings.HasPrefix(text, tunnelRefused):
		return text, false
	case strings.Contains(text, "server response headers exceeded"):
		return "the headers of the reply are too large", false
	case errors.As(err, new(*net.DNSError)):
		return "the host name cannot be resolved", true
	case isTimeout(err):
		return text, errors.As(err, &operation) && operation.Op == "dial" // nothing was sent
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused", true
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was reset", true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), text == "http: server closed idle connection":
		return at.closed, true
	case at == receiving, strings.HasPrefix(text, "net/http: HTTP/1.x transport connection broken"):
		return "the reply is not valid HTTP", true
	default:
		return text, true
	}
}

// tlsRefusal finds what TLS says of certificates, versions and alerts, which last. The types of some are not exported.
var tlsRefusal = regexp.MustCompile(`^([a-z ]+: )?tls: `)

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// serviceError makes the error for a status other than 2xx. That is the outcome, whatever becomes of the body (B50), unless the caller
// gives up meanwhile.
func (x *exchange) serviceError(ctx context.Context, response *http.Response) error {
	var body []byte
	if response.StatusCode != http.StatusSwitchingProtocols { // what follows that is no body
		body, _ = io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
	}
	if cancelled(ctx) {
		return ctx.Err()
	}
	header := response.Header
	modelStatus := header.Get("ms-azureml-model-error-statuscode")
	status, _ := strconv.ParseUint(when(len(modelStatus) == 3, modelStatus), 10, 16)
	return &ServiceError{
		Call:              x.Call,
		StatusCode:        response.StatusCode,
		Message:           x.mask(serviceMessage(body)),
		Body:              body,
		RequestID:         x.mask(cmp.Or(header.Get("x-request-id"), header.Get("x-ms-request-id"))),
		RetryAfter:        retryHint(header, time.Now()),
		ModelStatus:       int(status),
		ModelReason:       x.mask(header.Get("ms-azureml-model-error-reason")),
		RunFunctionFailed: strings.EqualFold(header.Get("x-ms-run-function-failed"), "true"),
	}
}

func (x *exchange) replyError(reason string, body []byte) error {
	body = body[:min(len(body), maxErrorBody)] // more than an excerpt shows
	return &ReplyError{Call: x.Call, Reason: printable(x.mask(reason)), Excerpt: printable(x.mask(string(body)))}
}

// mask hides the credentials in a text that came from outside, also where JSON escapes them, and the beginning of one at its end,
// where it may have been cut.
func (x *exchange) mask(text string) string {
	for _, secret := range x.credentials {
		text = strings.ReplaceAll(text, secret, "***")
		if plain := jsonEscape.ReplaceAllStringFunc(text, unescape); strings.Contains(plain, secret) {
			text = strings.ReplaceAll(plain, secret, "***")
		}
		for n := len(secret) - 1; n > 3; n-- {
			if rest, cut := strings.CutSuffix(text, secret[:n]); cut {
				text = rest + "***"
			}
		}
	}
	return text
}

// jsonEscape finds what may stand for a character of a credential.
var jsonEscape = regexp.MustCompile(`\\(?:u00[2-7][0-9A-Fa-f]|["\\/])`)

func unescape(escape string) (character string) {
	_ = json.Unmarshal([]byte(`"`+escape+`"`), &character)
	return character
}

// printable makes one line of 300 characters at most from a text that came from outside (B63, B64).
func printable(text string) string {
	text = unprintable.ReplaceAllString(strings.ToValidUTF8(text, "\uFFFD"), " ")
	if utf8.RuneCountInString(text) > 300 {
		text = fmt.Sprintf("%.299s…", text)
	}
	return strings.TrimSpace(text)
}

// unprintable finds what may begin a line, move a cursor or turn the direction of a text.
var unprintable = regexp.MustCompile(`[\p{Cc}\p{Zl}\p{Zp}\x{061C}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2066}-\x{2069}]`)

// --- Errors ---

// Call says which call failed; the errors embed it.
type Call struct {
	Method          string
	URL             string // what was asked for, without the query
	ClientRequestID string // sent as x-ms-client-request-id; the service's log has it (C39)
	Attempts        int    // requests sent so far
}

// FailedCall returns the call.
func (c Call) FailedCall() Call { return c }

// Error is what [*ServiceError], [*TransportError] and [*ReplyError] have in common: errors.As finds any of them with it.
type Error interface {
	error
	FailedCall() Call
	reason() string // without the call
}

// ArgumentError is a bad argument to [NewClient] or a call, or a bad token; nothing was sent.
type ArgumentError string

func (e ArgumentError) Error() string { return string(e) }

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

func (e *ServiceError) Error() string  { return e.describe(e.reason(), e.RequestID) }
func (e *ServiceError) reason() string { return joined(strconv.Itoa(e.StatusCode), e.Message) }

// TransportError says that no complete answer came: the network, TLS or a time limit. The model may have run all the same.
type TransportError struct {
	Call
	Reason  string // what happened, in words
	Err     error  // the cause, in the words of the system
	network bool   // another attempt may find the network better
}

func (e *TransportError) Error() string  { return e.describe(e.reason(), "") }
func (e *TransportError) reason() string { return printable(e.Reason) }

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error { return e.Err }

// Timeout reports whether a time limit passed, the client's or the system's.
func (e *TransportError) Timeout() bool { return isTimeout(e.Err) }

// ReplyError is a 2xx answer that is wrong: for [Client.Score] not one finite number for each row.
type ReplyError struct {
	Call
	Reason  string // what is wrong, in words
	Excerpt string // the beginning of the answer, 300 characters at most; empty when there is none
}

func (e *ReplyError) Error() string  { return e.describe(e.reason(), "") }
func (e *ReplyError) reason() string { return joined(e.Reason, e.Excerpt) }

// joined makes one line from two texts, of which the second may be foreign or empty.
func joined(what, text string) string {
	text = printable(text)
	return what + when(text != "", ": "+text)
}

// describe makes the text of an error.
func (c Call) describe(reason, requestID string) string {
	plural := when(c.Attempts != 1, "s")
	id := when(requestID != "", ", request id "+printable(requestID))
	return fmt.Sprintf("%s %s: %s (%d attempt%s%s)", c.Method, c.URL, reason, c.Attempts, plural, id)
}

// --- Arguments ---

// refuse makes an error of the first reason there is.
func refuse(reasons ...string) error {
	if reason := cmp.Or(reasons...); reason != "" {
		return ArgumentError(reason)
	}
	return nil
}

// when is a text that is there on a condition.
func when(condition bool, text string) string {
	if condition {
		return text
	}
	return ""
}

// checkOptions refuses options that make no sense (B02).
func checkOptions(options Options, uri *url.URL) error {
	for _, status := range options.RetryStatuses {
		if status < 400 || status > 599 {
			return ArgumentError(fmt.Sprintf("RetryStatuses: %d is not between 400 and 599", status))
		}
	}
	hasKey, hasProvider, stack := options.Key.reveal != nil, options.TokenProvider != nil, options.HTTPClient != nil
	exposed := uri.Scheme == "http" && !isLoopback(uri.Hostname()) && !options.AllowInsecureHTTP
	return refuse(
		when(hasKey, unsendable("key", options.Key.text())),
		when(hasKey && hasProvider, "Key and TokenProvider exclude each other"),
		when((hasKey || hasProvider) && exposed,
			"a key over plain http to a host that is not loopback: use https, or AllowInsecureHTTP if the network is trusted"),
		when(options.Timeout < 0, "Timeout must not be negative"),
		when(options.AttemptTimeout < 0, "AttemptTimeout must not be negative"),
		when(options.ConnectTimeout < 0, "ConnectTimeout must not be negative"),
		when(options.BaseDelay < 0, "BaseDelay must not be negative"),
		when(options.MaxDelay < 0, "MaxDelay must not be negative"),
		when(options.MaxReplyBytes < 0, "MaxReplyBytes must not be negative"),
		when(options.Deployment != "", unsendable("deployment", options.Deployment)),
		when(stack && options.ConnectTimeout != 0, "ConnectTimeout has no effect with HTTPClient: set it there"),
		when(stack && options.CAFile != "", "CAFile has no effect with HTTPClient: set it there"),
		when(stack && options.Proxy != "", "Proxy has no effect with HTTPClient: set it there"),
	)
}

var (
	dotSegment     = regexp.MustCompile(`(?:^|/)\.\.?(?:/|$)`)
	needlessEscape = regexp.MustCompile(`(?i)%(?:2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])`) // of letters, digits and -._~
)

// parseURI accepts the URIs that every client sends exactly as they are given (B01).
func parseURI(text string) (*url.URL, error) {
	at := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7F || strings.ContainsRune("\"<>\\^`{|}", r) })
	if at >= 0 {
		return nil, ArgumentError(fmt.Sprintf("the scoring URI has a character that no URI can have at position %d (a trailing newline?)", at))
	}
	uri, err := url.Parse(text)
	_, brokenEscape := url.PathUnescape(text)
	if err != nil || brokenEscape != nil || uri.Scheme != "http" && uri.Scheme != "https" || uri.Hostname() == "" || uri.Port() != "" && !hasPort(uri) {
		return nil, ArgumentError("the scoring URI must be an absolute http or https URI") // what url.Parse says shows the secrets of a URI
	}
	escape := needlessEscape.FindString(text)
	return uri, refuse(
		when(uri.User != nil, "the scoring URI must not contain user info"),
		when(strings.Contains(text, "#"), "the scoring URI must not contain a fragment"),
		when(dotSegment.MatchString(uri.EscapedPath()), "the scoring URI must not contain dot segments"),
		when(escape != "", "the scoring URI must not contain needless percent escapes ("+escape+")"),
	)
}

func hasPort(uri *url.URL) bool {
	port, err := strconv.ParseUint(uri.Port(), 10, 16)
	return err == nil && port > 0
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

// unsendable says why a value cannot travel in a header as it is (C11), if so: it may have 0x21 to 0x7E, and some other characters
// where they are not at an end. The value is not in the text.
func unsendable(name, value string, inside ...rune) (reason string) {
	for at, r := range value {
		if (r < 0x21 || r > 0x7E) && (at == 0 || at == len(value)-1 || !slices.Contains(inside, r)) {
			text := fmt.Sprintf("the %s has a character that cannot be sent in a header at position %d", name, at)
			return text + when(name == "key" || name == "token", " (a trailing newline?)")
		}
	}
	return when(value == "", "the "+name+" is empty")
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
	body := append(make([]byte, 0, 1024), `{"data": [`...) // a few rows without growing
	for i, row := range rows {
		body = append(body, '[')
		for j, cell := range row {
			if math.IsNaN(cell) || math.IsInf(cell, 0) {
				name := cmp.Or(when(math.IsNaN(cell), "NaN"), "Infinity")
				return nil, ArgumentError(fmt.Sprintf("row %d, column %d is %s: JSON has no such number", i, j, name))
			}
			start := len(body)
			body = strconv.AppendFloat(body, cell, 'g', -1, 64)
			if !bytes.ContainsAny(body[start:], ".e") {
				body = append(body, ".0"...)
			}
			body = append(body, ", "...)
		}
		body = append(bytes.TrimSuffix(body, []byte(", ")), "], "...)
	}
	return append(bytes.TrimSuffix(body, []byte(", ")), "]}"...), nil
}

// jsonSpace is what may stand around a JSON value.
const jsonSpace = " \t\r\n"

// readJSON returns a reply that is one JSON value, without a byte order mark, or says why it is none (B52).
func readJSON(body []byte) (json.RawMessage, error) {
	value := withoutBOM(body)
	switch {
	case !utf8.Valid(value):
		return nil, errors.New("the reply is not valid UTF-8")
	case len(bytes.Trim(value, jsonSpace)) == 0:
		return nil, errors.New("the reply is empty")
	case json.Valid(value):
		return value, nil
	case notFinite.Match(value):
		return nil, errors.New("the reply contains NaN or Infinity, which is not JSON")
	default:
		return nil, errors.New("the reply is not JSON")
	}
}

// notFinite finds where a JSON value may be what Python's json.dumps makes of a NaN (W09).
var notFinite = regexp.MustCompile(`(?:^|[\[:,])\s*-?(?:NaN|Infinity)\s*(?:$|[\],}])`)

func withoutBOM(body []byte) []byte {
	return bytes.TrimPrefix(body, []byte("\uFEFF"))
}

// readPredictions reads a JSON array with one finite number for each row, or says why the body is none (B51).
func readPredictions(body []byte, rows int) ([]float64, error) {
	value, err := readJSON(body)
	if err != nil {
		return nil, err
	}
	value = bytes.Trim(value, jsonSpace)
	switch kind := cmp.Or(jsonKinds[value[0]], "number"); kind {
	case "array":
	case "string":
		return nil, errors.New("the reply is a JSON string, not an array; the scoring script probably calls json.dumps itself")
	default:
		failure := members(value)["error"]
		return nil, errors.New(joined("the reply is a JSON "+kind+", not an array", firstText(members(failure)["message"], failure)))
	}

	// The text is valid, so that numbers need no more than finding. To decode to []float64 would make 0 of null.
	predictions := make([]float64, 0, min(rows, len(value)/2))
	rest := bytes.TrimLeft(value[1:], jsonSpace)
	for i := 0; rest[0] != ']'; i++ {
		if kind, found := jsonKinds[rest[0]]; found {
			return nil, fmt.Errorf("element %d of the reply is a JSON %s, not a number", i, kind)
		}
		end := bytes.IndexAny(rest, ",]"+jsonSpace)
		prediction, err := strconv.ParseFloat(string(rest[:end]), 64)
		if err != nil {
			return nil, fmt.Errorf("element %d of the reply is not a finite number", i)
		}
		predictions = append(predictions, prediction)
		rest = bytes.TrimLeft(rest[end:], ","+jsonSpace)
	}
	if len(predictions) != rows {
		return nil, fmt.Errorf("the reply has %d predictions for %d rows", len(predictions), rows)
	}
	return predictions, nil
}

// jsonKinds names the kind of a JSON value by its first character; the others begin a number.
var jsonKinds = map[byte]string{'[': "array", '{': "object", '"': "string", 't': "boolean", 'f': "boolean", 'n': "null"}

// serviceMessage finds the service's own words in the body of an error (W03, W45). No body makes it fail.
func serviceMessage(body []byte) string {
	body = bytes.TrimSpace(withoutBOM(body))
	if json.Valid(body) {
		object := members(body)
		return firstText(object["message"], members(object["error"])["message"], object["error"], object["detail"], body)
	}
	text := strings.ToValidUTF8(string(body), "\uFFFD")
	if page := htmlPage.FindStringSubmatch(text); page != nil {
		return strings.Join(strings.Fields(html.UnescapeString(page[1])), " ")
	}
	return text
}

// htmlPage finds the beginning of a page, with its title if there is one.
var htmlPage = regexp.MustCompile(`(?is)^<(?:!doctype|html|head|body)\b(?:.*?<title[^>]*>(.*?)</title>)?`)

// members returns the members of a JSON object, none of something else. The fields of a struct would match in any case.
func members(value json.RawMessage) (object map[string]json.RawMessage) {
	_ = json.Unmarshal(value, &object)
	return object
}

// firstText returns the first of some JSON values that is a string with something in it.
func firstText(values ...json.RawMessage) (text string) {
	for _, value := range values {
		if json.Unmarshal(value, &text) == nil && strings.TrimSpace(text) != "" {
			return text
		}
	}
	return ""
}

// --- Connections ---

// errConnected is the cause of the end of a context that lasts until an attempt has its connection.
var errConnected = errors.New("connected")

type connectionKey struct{}

// limitAttempt ends an attempt when no connection is there after one limit, or no complete reply after the other. The transport alone
// cannot: its limits add up, and it detaches the dial from the request. A limit of zero to connect leaves that to an HTTPClient.
func limitAttempt(ctx context.Context, connect, whole time.Duration) (attempt, connection context.Context, cancel context.CancelFunc) {
	attempt, cancelAttempt := context.WithTimeoutCause(ctx, whole, timeLimit(whole))
	connection, end := context.WithCancelCause(attempt)
	if connect == 0 {
		end(errConnected)
	}
	timer := time.AfterFunc(connect, func() { end(timeLimit(connect)) })
	gotConn := func(httptrace.GotConnInfo) {
		if end(errConnected); context.Cause(connection) != errConnected {
			cancelAttempt() // too late
		}
	}
	attempt = httptrace.WithClientTrace(context.WithValue(attempt, connectionKey{}, connection), &httptrace.ClientTrace{GotConn: gotConn})
	return attempt, connection, func() { timer.Stop(); cancelAttempt() }
}

// dial makes a connection. It ends with the attempt that wanted it, and closes it when that ends before the connection can be used.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	connection := ctx.Value(connectionKey{}).(context.Context) // values survive the detaching
	conn, err := new(net.Dialer).DialContext(connection, network, address)
	if err == nil {
		context.AfterFunc(connection, func() {
			if context.Cause(connection) != errConnected {
				conn.Close()
			}
		})
	}
	return conn, err
}

const tunnelRefused = "the proxy refused the tunnel"

// newTransport makes a connection pool. It is no clone of http.DefaultTransport, because programs replace that by other types.
func newTransport(options Options, uri *url.URL) (*http.Transport, error) {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dial, // whose presence means HTTP/1.1: over HTTP/2 a POST is resent
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 2 * options.ConnectTimeout, // for a connection that no attempt waits for any more
		MaxIdleConnsPerHost: 64,                         // by default 2
		IdleConnTimeout:     90 * time.Second,
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: %d", tunnelRefused, response.StatusCode) // or the proxy's own words stand there
			}
			return nil
		},
	}
	if options.CAFile != "" {
		text, err := os.ReadFile(options.CAFile)
		if err != nil {
			return nil, ArgumentError("the CA file cannot be read: " + err.Error())
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return nil, ArgumentError("the CA file holds no certificate")
		}
	}
	if options.Proxy != "" {
		proxy, err := url.Parse(options.Proxy)
		if err != nil || !hasPort(proxy) || proxy.Hostname() == "" || options.Proxy != "http://"+proxy.Host { // no password, for one
			return nil, ArgumentError("the proxy must be http://host:port")
		}
		transport.Proxy = http.ProxyURL(proxy)
	}
	if isLoopback(uri.Hostname()) {
		transport.Proxy = nil
	}
	return transport, nil
}
