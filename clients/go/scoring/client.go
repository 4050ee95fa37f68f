// Package scoring calls a model that is deployed as a web service with Azure Machine Learning.
//
// The package is this one file: copy it into a module of your own. It needs Go 1.25 and the standard library.
//
//	client, err := scoring.NewClient(scoringURI, scoring.Options{Key: scoring.NewKey(key)})
//	...
//	predictions, err := client.Score(ctx, [][]float64{{1.5, 2.5}, {3.5, 4.5}})
//
// What can go wrong has a type each, found with [errors.As]:
//
//	ArgumentError      a bad URI, key, option or row; nothing was sent
//	*ServiceError      the service answered with a status other than 2xx
//	*TransportError    no complete answer came: refused, reset, TLS, a time limit
//	*ReplyError        the answer is 2xx and not one number for each row
//
// [Error] finds the last three. A caller who gives up gets ctx.Err(), unwrapped.
//
// Ids such as B20 name a rule of the clients, W02 and C01 a fact about the service; the README beside the clients lists them.
package scoring

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// What the zero values of [Options] mean.
const (
	DefaultTimeout        = 100 * time.Second
	DefaultConnectTimeout = 10 * time.Second
	DefaultMaxReplyBytes  = 64 << 20
)

const (
	maxErrorBody = 64 << 10 // bytes of an error's body that are kept (B54)
	maxText      = 300      // characters of a foreign text that an error's text shows (B63, B64)
	maxIdle      = 64       // idle connections kept; the standard library keeps 2 a host
)

// Options change how a [Client] works. The zero value of each field means its default.
type Options struct {
	// Key is sent as "Authorization: Bearer <key>" (W22). Default: no credential, and no such header.
	Key Key

	// Timeout limits a whole call, from the look-up of the host name to the last byte of the reply. Default: 100 s.
	// For one call, use a context with a deadline; it can only shorten.
	Timeout time.Duration

	// ConnectTimeout limits name look-up, TCP and TLS together. Default: 10 s.
	ConnectTimeout time.Duration

	// MaxReplyBytes is the size in bytes that a successful reply may have. Default: 64 MiB.
	MaxReplyBytes int64

	// AllowInsecureHTTP lets the key travel over plain http to a host that is not loopback (C13). Default: refused.
	AllowInsecureHTTP bool

	// HTTPClient makes the requests in place of the client's own, which follows no redirect, keeps no cookie, verifies
	// certificates with TLS 1.2 or later, speaks HTTP/1.1 and finds its proxy in the environment. With an HTTPClient you
	// own redirects, proxies, TLS and the time to connect, so ConnectTimeout must be zero.
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

// Client calls one scoring URI. It does not change, and goroutines may share it: make one and keep it, it reuses connections.
type Client struct {
	uri            *url.URL
	key            Key
	timeout        time.Duration
	connectTimeout time.Duration // zero when the HTTP client is the caller's
	maxReplyBytes  int64
	roundTrip      func(*http.Request) (*http.Response, error)
	closeIdle      func()
}

// NewClient makes a client for an absolute http or https URI, whose path and query are used exactly as given (W02, C06).
//
// Every error is an [ArgumentError]: a URI with user info, a fragment, dot segments or needless escapes, a key that cannot travel
// in a header, a key over plain http (see [Options].AllowInsecureHTTP), a negative time or size.
func NewClient(scoringURI string, options Options) (*Client, error) {
	uri, err := parseURI(scoringURI)
	if err != nil {
		return nil, err
	}
	if options.Key.reveal != nil {
		if err := checkKey(options.Key.reveal()); err != nil {
			return nil, err
		}
		if uri.Scheme == "http" && !isLoopback(uri.Hostname()) && !options.AllowInsecureHTTP {
			return nil, ArgumentError("a key over plain http to a host that is not loopback: use https, or AllowInsecureHTTP if the network is trusted")
		}
	}
	if options.Timeout < 0 || options.ConnectTimeout < 0 || options.MaxReplyBytes < 0 {
		return nil, ArgumentError("Timeout, ConnectTimeout and MaxReplyBytes must not be negative")
	}
	if options.HTTPClient != nil && options.ConnectTimeout != 0 {
		return nil, ArgumentError("ConnectTimeout has no effect with HTTPClient: set it there")
	}

	c := &Client{
		uri:           uri,
		key:           options.Key,
		timeout:       cmp.Or(options.Timeout, DefaultTimeout),
		maxReplyBytes: cmp.Or(options.MaxReplyBytes, DefaultMaxReplyBytes),
	}
	if options.HTTPClient != nil {
		c.roundTrip = options.HTTPClient.Do
		c.closeIdle = func() {} // the connections are not ours
		return c, nil
	}
	c.connectTimeout = cmp.Or(options.ConnectTimeout, DefaultConnectTimeout)
	transport := newTransport(c.connectTimeout, isLoopback(uri.Hostname()))
	// Without an http.Client there are no redirects and no cookies, and a 3xx with a broken Location keeps its status.
	c.roundTrip = transport.RoundTrip
	c.closeIdle = transport.CloseIdleConnections
	return c, nil
}

// Score sends rows as {"data": rows} in one POST and returns one prediction for each row, in order (C01, C04, C09).
//
// Rows may be ragged or empty: that is for the service to judge. A NaN or an infinity is an [ArgumentError], and nothing is sent.
// Other errors are [*ServiceError], [*TransportError] and [*ReplyError], and ctx.Err() when ctx ends the call.
func (c *Client) Score(ctx context.Context, rows [][]float64) ([]float64, error) {
	payload, err := encodeRows(rows)
	if err != nil {
		return nil, err
	}
	call := Call{Method: http.MethodPost, URL: withoutQuery(c.uri), ClientRequestID: newUUID()}
	reply, err := c.send(ctx, &call, payload)
	if err != nil {
		return nil, err
	}
	predictions, reason := parsePredictions(reply, len(rows))
	if reason != "" {
		return nil, c.replyError(call, reason, reply, false)
	}
	return predictions, nil
}

// Close closes the idle connections of the client's own pool. Calls under way go on, and later calls open new connections.
func (c *Client) Close() {
	c.closeIdle()
}

// String names the scoring URI, without its query.
func (c *Client) String() string {
	return "scoring.Client(" + withoutQuery(c.uri) + ")"
}

// send makes one call within the client's time limit and returns the body of a 2xx reply.
func (c *Client) send(ctx context.Context, call *Call, payload []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, &timeoutError{"no complete reply", c.timeout})
	defer cancel()
	call.Attempts++
	return c.attempt(ctx, *call, payload)
}

// attempt makes one request and returns the body of a 2xx reply. What an error means is known by its type.
func (c *Client) attempt(ctx context.Context, call Call, payload []byte) ([]byte, error) {
	ctx, cancel := limitConnect(ctx, c.connectTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, call.Method, c.uri.String(), bytes.NewReader(payload))
	if err != nil {
		return nil, c.noReply(ctx, call, err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept-Encoding", "identity") // or an HTTPClient of the caller's asks for gzip
	request.Header.Set("x-ms-client-request-id", call.ClientRequestID)
	if c.key.reveal != nil {
		request.Header.Set("Authorization", "Bearer "+c.key.reveal())
	}

	response, err := c.roundTrip(request)
	if err != nil {
		return nil, c.noReply(ctx, call, err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode < 100:
		return nil, c.noReply(ctx, call, fmt.Errorf("the reply has the status %03d, which is not HTTP", response.StatusCode))
	case response.StatusCode < 200:
		return nil, c.serviceError(call, response, nil, false) // 101: the stream that follows is no body
	case response.StatusCode > 299:
		// The status is the outcome, whatever becomes of the body (B50): unless the caller gives up meanwhile.
		body, err := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
		if err != nil && cancelled(ctx) {
			return nil, ctx.Err()
		}
		return nil, c.serviceError(call, response, body, err != nil || len(body) == maxErrorBody)
	}
	if encoding := strings.Join(response.Header.Values("Content-Encoding"), ", "); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, c.replyError(call, fmt.Sprintf("the reply has Content-Encoding: %s, which was not asked for", encoding), nil, false)
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, response.Body, c.maxReplyBytes))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, c.replyError(call, fmt.Sprintf("the reply is larger than %d bytes", c.maxReplyBytes), body, true)
	}
	if err != nil {
		return nil, c.noReply(ctx, call, fmt.Errorf("the reply was cut off: %w", err))
	}
	return body, nil
}

// limitConnect ends ctx when no connection is there after the limit, and closes a connection still being made when ctx ends.
// The transport alone does neither: its limits add up, and it detaches the dial from the request.
func limitConnect(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit == 0 {
		return context.WithCancel(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	abandoned, abandon := context.WithCancel(context.Background())
	keep := context.AfterFunc(ctx, abandon)
	timer := time.AfterFunc(limit, func() { cancel(&timeoutError{"no connection", limit}) })
	connected := func() { timer.Stop(); keep() }
	ctx = context.WithValue(ctx, abandonedKey{}, abandoned)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected() }})
	return ctx, func() { timer.Stop(); cancel(nil) }
}

type abandonedKey struct{}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// abandonable makes a dial end, and its connection close, when the call that limitConnect prepared is over before GotConn.
func abandonable(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		abandoned := ctx.Value(abandonedKey{}).(context.Context) // values survive the detaching
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(abandoned, cancel)()
		conn, err := dial(ctx, network, address)
		if err == nil {
			context.AfterFunc(abandoned, func() { conn.Close() })
		}
		return conn, err
	}
}

// newTransport makes a connection pool. It is no clone of http.DefaultTransport, because programs replace that by other types.
func newTransport(connectTimeout time.Duration, loopback bool) *http.Transport {
	backstop := max(connectTimeout, time.Minute) // for a connection that no request waits for any more
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         abandonable((&net.Dialer{Timeout: backstop}).DialContext),
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: backstop,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     90 * time.Second,
		Protocols:           new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(true) // over HTTP/2 the transport resends a POST by itself
	if loopback {
		transport.Proxy = nil
	}
	return transport
}

// Call says which call failed; the errors embed it.
type Call struct {
	Method          string
	URL             string // the scoring URI without its query
	ClientRequestID string // sent as x-ms-client-request-id; the service's log has it (C39)
	Attempts        int    // requests sent
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

// ArgumentError is a bad argument to [NewClient] or [Client.Score]; nothing was sent.
type ArgumentError string

func (e ArgumentError) Error() string {
	return string(e)
}

// ServiceError is an answer with a status other than 2xx. Redirects are among them: they are not followed.
type ServiceError struct {
	Call
	StatusCode        int
	Message           string // the service's own words; empty when there are none (C31)
	Body              []byte // as it came, 64 KiB at most; it may echo the key, do not log it
	RequestID         string // the reply's x-request-id, else its x-ms-request-id; empty when there is none (C38)
	ModelStatus       int    // ms-azureml-model-error-statuscode: what the model's container answered; 0 when absent (C37)
	ModelReason       string // ms-azureml-model-error-reason; empty when absent (C37)
	RunFunctionFailed bool   // x-ms-run-function-failed: the scoring script itself failed (C38)
}

func (e *ServiceError) Error() string {
	return e.describe(e.RequestID, strconv.Itoa(e.StatusCode), e.Message)
}

// TransportError says that no complete answer came: the network, TLS or a time limit. The model may have run all the same.
type TransportError struct {
	Call
	Err error
}

func (e *TransportError) Error() string {
	return e.describe("", e.Err.Error())
}

// Unwrap returns the cause.
func (e *TransportError) Unwrap() error {
	return e.Err
}

// Timeout reports whether a time limit passed, the client's or the system's.
func (e *TransportError) Timeout() bool {
	var timeout interface{ Timeout() bool }
	return errors.As(e.Err, &timeout) && timeout.Timeout()
}

// ReplyError is a 2xx answer that is not one finite number for each row.
type ReplyError struct {
	Call
	Reason  string // what is wrong, in words
	Excerpt string // the beginning of the answer, 300 characters at most; empty when there is none
}

func (e *ReplyError) Error() string {
	return e.describe("", e.Reason, e.Excerpt)
}

// describe makes the text of an error, on one line, from texts that may be foreign and empty.
func (c Call) describe(requestID string, parts ...string) string {
	text := c.Method + " " + c.URL
	for _, part := range parts {
		if part != "" {
			text += ": " + printable(part)
		}
	}
	text += fmt.Sprintf(" (%d attempt", c.Attempts)
	if c.Attempts != 1 {
		text += "s"
	}
	if requestID != "" {
		text += ", request id " + printable(requestID)
	}
	return text + ")"
}

// timeoutError is the cause of a context that one of our own time limits ended.
type timeoutError struct {
	what  string
	limit time.Duration
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("%s within %v s", e.what, e.limit.Seconds())
}
func (e *timeoutError) Timeout() bool { return true }

// cancelled reports whether the caller, and not a time limit of ours, ended ctx.
func cancelled(ctx context.Context) bool {
	_, ours := context.Cause(ctx).(*timeoutError)
	return ctx.Err() != nil && !ours
}

// noReply makes the error for a request that got no complete reply.
func (c *Client) noReply(ctx context.Context, call Call, err error) error {
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
	if text := err.Error(); c.mask(text, false) != text {
		err = errors.New(c.mask(text, false)) // it quotes what the server sent, and the server echoes the key
	}
	return &TransportError{Call: call, Err: err}
}

func (c *Client) serviceError(call Call, response *http.Response, body []byte, cut bool) error {
	header := response.Header
	requestID := header.Get("x-request-id")
	if requestID == "" {
		requestID = header.Get("x-ms-request-id")
	}
	modelStatus, err := strconv.ParseUint(header.Get("ms-azureml-model-error-statuscode"), 10, 16)
	if err != nil {
		modelStatus = 0
	}
	return &ServiceError{
		Call:              call,
		StatusCode:        response.StatusCode,
		Message:           c.mask(serviceMessage(body), cut),
		Body:              body,
		RequestID:         c.mask(requestID, false),
		ModelStatus:       int(modelStatus),
		ModelReason:       c.mask(header.Get("ms-azureml-model-error-reason"), false),
		RunFunctionFailed: strings.EqualFold(header.Get("x-ms-run-function-failed"), "true"),
	}
}

func (c *Client) replyError(call Call, reason string, body []byte, cut bool) error {
	const enough = maxText * utf8.UTFMax
	if len(body) > enough {
		body, cut = body[:enough], true
	}
	return &ReplyError{Call: call, Reason: printable(c.mask(reason, false)), Excerpt: printable(c.mask(string(body), cut))}
}

// mask hides the key in a text that came from outside, also where JSON escapes some of its characters; in a text that was cut,
// also the beginning of a key at its end.
func (c *Client) mask(text string, cut bool) string {
	if c.key.reveal == nil {
		return text
	}
	const hidden = "***"
	key := c.key.reveal()
	text = strings.ReplaceAll(text, key, hidden)
	if strings.Contains(text, `\`) {
		var escaped strings.Builder
		for _, c := range key {
			fmt.Fprintf(&escaped, `(?:\\?%s|\\u00(?i:%02x))`, regexp.QuoteMeta(string(c)), c)
		}
		text = regexp.MustCompile(escaped.String()).ReplaceAllLiteralString(text, hidden)
	}
	for n := len(key) - 1; cut && n > 0; n-- {
		if rest, found := strings.CutSuffix(text, key[:n]); found {
			return rest + hidden
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
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\uFEFF")))
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

// parsePredictions reads a JSON array with one finite number for each row, or says why the body is none (B51).
func parsePredictions(body []byte, rows int) (predictions []float64, reason string) {
	if !utf8.Valid(body) {
		return nil, "the reply is not valid UTF-8"
	}
	body = bytes.Trim(bytes.TrimPrefix(body, []byte("\uFEFF")), " \t\r\n")
	if len(body) == 0 {
		return nil, "the reply is empty"
	}
	if !json.Valid(body) {
		return nil, whyNotJSON(body)
	}
	switch kind := jsonKind(body); kind {
	case "array":
	case "object":
		reason = "the reply is a JSON object, not an array"
		failure := members(body)["error"]
		if text := firstString(members(failure)["message"], failure); text != "" {
			reason += ": " + text
		}
		return nil, reason
	case "string":
		return nil, "the reply is a JSON string, not an array; the scoring script probably calls json.dumps itself"
	default:
		return nil, fmt.Sprintf("the reply is a JSON %s, not an array", kind)
	}

	// One element after the other: decoding to []float64 makes 0 of null, and to anything richer costs many times the reply.
	predictions = make([]float64, 0, min(rows, len(body)/2))
	elements := json.NewDecoder(bytes.NewReader(body))
	_, _ = elements.Token() // the bracket; nothing can fail here, the text is valid
	for i := 0; elements.More(); i++ {
		var element json.RawMessage
		_ = elements.Decode(&element)
		if kind := jsonKind(element); kind != "number" {
			return nil, fmt.Sprintf("element %d of the reply is a JSON %s, not a number", i, kind)
		}
		prediction, err := strconv.ParseFloat(string(element), 64)
		if err != nil {
			return nil, fmt.Sprintf("element %d of the reply is not a finite number", i)
		}
		predictions = append(predictions, prediction)
	}
	if len(predictions) != rows {
		return nil, fmt.Sprintf("the reply has %d predictions for %d rows", len(predictions), rows)
	}
	return predictions, ""
}

// jsonKind names the kind of a JSON value by its first character.
func jsonKind(value []byte) string {
	kinds := map[byte]string{'[': "array", '{': "object", '"': "string", 't': "boolean", 'f': "boolean", 'n': "null"}
	return cmp.Or(kinds[value[0]], "number")
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

// checkKey refuses what cannot travel in a header (C11). The key is not in the error.
func checkKey(key string) error {
	if key == "" {
		return ArgumentError("the key is empty")
	}
	if at := strings.IndexFunc(key, func(r rune) bool { return r < 0x21 || r > 0x7E }); at >= 0 {
		return ArgumentError(fmt.Sprintf("the key has a character that cannot be sent in a header at position %d (a trailing newline?)", at))
	}
	return nil
}

// newUUID makes a random UUID (version 4).
func newUUID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails since Go 1.24
	id[6] = id[6]&0x0F | 0x40
	id[8] = id[8]&0x3F | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
