package scoring

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// vectors are the ones that the clients of all languages are tested with.
type vectors struct {
	Now   int64
	Hints []struct {
		Name    string
		Headers [][2]string
		Seconds *float64
	}
	BackOff []struct {
		Retry     int
		BaseDelay float64 `json:"base_delay"`
		MaxDelay  float64 `json:"max_delay"`
		Random    float64
		Seconds   float64
	} `json:"back_off"`
	ShouldRepeat []struct {
		Name          string
		Status        int
		Headers       [][2]string
		Repeated      bool
		RetryStatuses []int `json:"retry_statuses"`
	} `json:"should_repeat"`
	Messages []struct{ Name, Body, Message string }
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	text, err := os.ReadFile("../../test-vectors/retry.json")
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil || len(v.Hints) == 0 || len(v.BackOff) == 0 || len(v.ShouldRepeat) == 0 || len(v.Messages) == 0 {
		t.Fatalf("the vectors cannot be read, or a list is empty: %v", err)
	}
	return v
}

func headerOf(lines [][2]string) http.Header {
	header := http.Header{}
	for _, line := range lines {
		header.Add(line[0], line[1])
	}
	return header
}

// Proves B49.
func TestRetryHint(t *testing.T) {
	t.Parallel()
	v := readVectors(t)
	for _, vector := range v.Hints {
		hint := retryHint(headerOf(vector.Headers), time.Unix(v.Now, 0))
		if (hint == nil) != (vector.Seconds == nil) || hint != nil && math.Abs(hint.Seconds()-*vector.Seconds) > 1e-6 {
			t.Errorf("%s: %v", vector.Name, hint)
		}
	}
	if hint := retryHint(http.Header{"Retry-After": {"sun, 06 nov 1994 08:49:37 GMT"}}, time.Unix(v.Now, 0)); hint != nil {
		t.Errorf("a date in lower case: %v", hint)
	}
}

// Proves B48.
func TestBackOff(t *testing.T) {
	t.Parallel()
	duration := func(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
	for _, vector := range readVectors(t).BackOff {
		got := backOff(vector.Retry, duration(vector.BaseDelay), duration(vector.MaxDelay), vector.Random)
		if math.Abs(got.Seconds()-vector.Seconds) > 1e-6 {
			t.Errorf("%+v: %v", vector, got)
		}
	}
	client, numbers := newClient(t, "https://example.com", Options{}), map[float64]bool{}
	for range 100 {
		number := client.random()
		numbers[number] = true
		if number < 0 || number >= 1 {
			t.Errorf("the random number %v", number)
		}
	}
	if len(numbers) < 2 {
		t.Error("the random number is always the same")
	}
}

// Proves B42, B43, B44, B45, B46, B47.
func TestShouldRepeat(t *testing.T) {
	t.Parallel()
	for _, vector := range readVectors(t).ShouldRepeat {
		var outcome error
		if vector.Status > 299 {
			outcome = new(exchange).serviceError(t.Context(), &http.Response{StatusCode: vector.Status, Header: headerOf(vector.Headers), Body: http.NoBody})
		}
		statuses := vector.RetryStatuses
		if statuses == nil {
			statuses = newClient(t, "https://example.com", Options{}).options.RetryStatuses
		}
		if got := shouldRepeat(outcome, statuses); got != vector.Repeated {
			t.Errorf("%s: %v", vector.Name, got)
		}
	}
	if shouldRepeat(&ReplyError{}, []int{0, 200}) || shouldRepeat(ArgumentError(""), []int{0, 200}) {
		t.Error("a wrong reply or a bad token is repeated")
	}
}

// Proves B62.
func TestMessages(t *testing.T) {
	t.Parallel()
	for _, vector := range readVectors(t).Messages {
		if got := serviceMessage([]byte(vector.Body)); got != vector.Message {
			t.Errorf("%s: %q, want %q", vector.Name, got, vector.Message)
		}
	}
}

// Proves B02, B48.
// The default waits, with a random number for each.
func TestDefaultDelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var at []time.Duration
		var told []Retry
		note := func(retry Retry) error {
			told = append(told, retry)
			return nil
		}
		client, _ := piped(t, Options{OnRetry: note}, func(conn net.Conn, request received) bool {
			at = append(at, time.Since(begin))
			return reply(503, `{"message": "busy"}`)(conn, request)
		})
		numbers := []float64{0, 0.5, 0.75, 0.5}
		client.random = func() float64 {
			defer func() { numbers = numbers[1:] }()
			return numbers[0]
		}
		err := scoreError[*ServiceError](t, client)
		const ms = time.Millisecond
		if want := []time.Duration{0, 400 * ms, 2000 * ms, 6000 * ms}; !slices.Equal(at, want) {
			t.Errorf("requests at %v, want %v", at, want)
		}
		if want := []Retry{{1, 400 * ms, "503: busy"}, {2, 1600 * ms, "503: busy"}, {3, 4000 * ms, "503: busy"}}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		if want := "POST http://example.com/score: 503: busy (4 attempts)"; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	})
}

// Proves B02, B32, B49.
// The wait is as long as the service hints at, unless it wants too much or time would run out.
func TestHintsAndStops(t *testing.T) {
	t.Parallel()
	busy := func(hint string) answer { return reply(503, "", "Retry-After: "+hint) }
	const stop = -1
	tests := map[string]struct {
		options Options
		first   answer
		wait    time.Duration // or stop
		hint    time.Duration // of the error; 0: none
	}{
		"hint longer than the back-off":   {Options{}, busy("7"), 7 * time.Second, 0},
		"hint shorter than the back-off":  {Options{BaseDelay: 9 * time.Second}, busy("7"), 9 * time.Second, 0},
		"hint of zero":                    {Options{}, busy("0"), 800 * time.Millisecond, 0},
		"hint as long as MaxDelay":        {Options{}, busy("60"), time.Minute, 0},
		"hint above MaxDelay":             {Options{}, busy("61"), stop, 61 * time.Second},
		"hint above a MaxDelay of ours":   {Options{MaxDelay: 2 * time.Second}, busy("3"), stop, 3 * time.Second},
		"wait that reaches the deadline":  {Options{Timeout: 5 * time.Second}, busy("5"), stop, 5 * time.Second},
		"wait just before the deadline":   {Options{Timeout: 5 * time.Second}, reply(503, "", "retry-after-ms: 4999"), 4999 * time.Millisecond, 0},
		"back-off over the deadline":      {Options{Timeout: 5 * time.Second, BaseDelay: 6 * time.Second}, bytesOf("", false), stop, 0},
		"no retries":                      {Options{MaxRetries: -1}, busy("1"), stop, time.Second},
		"a hint beside a status for good": {Options{}, reply(403, "", "Retry-After: 1"), stop, time.Second},
		"of the scoring script":           {Options{}, reply(500, "", "x-ms-run-function-failed: true"), stop, 0},
		"no statuses":                     {Options{RetryStatuses: []int{}}, reply(503, ""), stop, 0},
		"other statuses":                  {Options{RetryStatuses: []int{504}}, reply(504, ""), 800 * time.Millisecond, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, service := piped(t, test.options, test.first, twoPredictions)
				begin := time.Now()
				if test.wait != stop {
					scoreTwo(t, client)
					if took := time.Since(begin); took != test.wait || len(service.got()) != 2 {
						t.Errorf("waited %v, sent %d requests, want %v and 2", took, len(service.got()), test.wait)
					}
					return
				}
				failed := scoreError[Error](t, client)
				if took := time.Since(begin); took != 0 || failed.FailedCall().Attempts != 1 || len(service.got()) != 1 {
					t.Errorf("%v after %v, want one attempt and no wait", failed, took)
				}
				var transport *TransportError
				if errors.As(failed, &transport) && transport.Timeout() {
					t.Errorf("%v counts as a time-out", failed)
				}
				var refused *ServiceError
				if errors.As(failed, &refused) && (refused.RetryAfter == nil && test.hint != 0 || refused.RetryAfter != nil && *refused.RetryAfter != test.hint) {
					t.Errorf("RetryAfter is %v, want %v", refused.RetryAfter, test.hint)
				}
			})
		})
	}
}

// Proves B34, B49.
// A deadline of the caller's counts, too.
func TestNoWaitOverTheCallersDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, _ := piped(t, Options{}, reply(503, "", "Retry-After: 4"))
		ctx, cancel := contextWithTimeout(t, 3*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := client.Score(ctx, twoRows)
		var service *ServiceError
		if !errors.As(err, &service) || time.Since(begin) != 0 {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
	})
}

// Proves B42, B45.
// A call goes on until it succeeds; MaxRetries counts what comes after the first attempt.
func TestRetriesUntilSuccess(t *testing.T) {
	t.Parallel()
	notReady := reply(424, "", "ms-azureml-model-error-reason: model_not_ready")
	service := serve(t, reply(429, ""), notReady, reset(""), reply(502, ""), reply(500, ""), twoPredictions)
	scoreTwo(t, newClient(t, service.uri, Options{MaxRetries: 5}))
	if got := len(service.got()); got != 6 {
		t.Errorf("%d requests, want 6", got)
	}
	failing := serve(t, reply(503, ""))
	if err := scoreError[*ServiceError](t, newClient(t, failing.uri, Options{MaxRetries: 1})); err.Attempts != 2 || len(failing.got()) != 2 {
		t.Errorf("%d attempts and %d requests, want 2", err.Attempts, len(failing.got()))
	}
}

// Proves B21, B63.
// The hook hears no credential, and on one line; its error ends the call and arrives as it is.
func TestOnRetry(t *testing.T) {
	t.Parallel()
	service := serve(t, reply(503, `{"message": "busy,\n`+secret+`"}`))
	enough := errors.New("enough")
	var told []Retry
	client := newClient(t, service.uri, Options{Key: NewKey(secret), OnRetry: func(retry Retry) error {
		told = append(told, retry)
		if len(told) == 2 {
			return enough
		}
		return nil
	}})
	if _, err := client.Score(t.Context(), twoRows); err != enough {
		t.Errorf("got %v, want the hook's error itself", err)
	}
	if len(service.got()) != 2 || len(told) != 2 || told[0].Reason != "503: busy, ***" || told[1].Attempt != 2 {
		t.Errorf("%d requests, told %v", len(service.got()), told)
	}
	var refused Retry
	_, err := newClient(t, refusedURI(t), Options{OnRetry: func(retry Retry) error {
		refused = retry
		return enough
	}}).Score(t.Context(), twoRows)
	if err != enough || refused.Attempt != 1 || refused.Reason != "connection refused" {
		t.Errorf("got %v, told %v", err, refused)
	}
}

// Proves B30, B31, B40, B41.
// Refusals of TLS have a type or a text; broken framing has neither, and is the network.
func TestNetworkOrRefusal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err     error
		stage   stage
		reason  string // empty: the error's own
		network bool
	}{
		{errors.New("net/http: HTTP/1.x transport connection broken: x"), waiting, "the reply is not valid HTTP", true},
		{errors.New("invalid byte in chunk length"), receiving, "the reply is not valid HTTP", true},
		{errors.New("not known"), waiting, "", true},
		{io.EOF, connecting, "the connection was closed inside TLS", true},
		{fmt.Errorf("wrapped: %w", io.ErrUnexpectedEOF), receiving, "the reply was cut off", true},
		{errors.New("tls: server selected unsupported protocol version 302"), connecting, "TLS failed: tls: server selected unsupported protocol version 302", false},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: alert")}, waiting, "TLS failed: remote error: tls: alert", false},
		{errors.New("net/http: HTTP/1.x transport connection broken: malformed HTTP response \"tls: \""), waiting, "the reply is not valid HTTP", true},
		{&net.OpError{Op: "local error", Err: errors.New("tls: bad record MAC")}, receiving, "the reply is not valid HTTP", true},
		{http.ErrSchemeMismatch, waiting, "TLS failed: " + http.ErrSchemeMismatch.Error(), false},
		{errors.New("http: server closed idle connection"), waiting, "the connection was closed before the reply", true},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, waiting, "the connection was reset", true},
		{&net.OpError{Op: "write", Err: syscall.EPIPE}, waiting, "the connection was reset", true},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, waiting, "", false},
		{os.ErrDeadlineExceeded, receiving, "", false},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, connecting, "", true},
		{&net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}}, connecting, "the host name cannot be resolved", true},
		{timeLimit(time.Second), connecting, "no connection within 1 s", true},
		{timeLimit(2500 * time.Millisecond), waiting, "no complete reply within 2.5 s", false},
		{timeLimit(time.Second), receiving, "no complete reply within 1 s", false},
		{timeLimit(time.Second), fetching, "no token within 1 s", false},
	}
	for _, test := range tests {
		reason, network := explain(test.err, test.stage)
		if reason != cmp.Or(test.reason, test.err.Error()) || network != test.network {
			t.Errorf("%v: %q, %v", test.err, reason, network)
		}
		if got := shouldRepeat(&TransportError{network: network}, nil); got != test.network {
			t.Errorf("%v: repeated: %v", test.err, got)
		}
	}
}
