package scoring

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// pipes returns a dial function whose connections lead to a server and touch no network, so that a test can own the clock.
func pipes(t *testing.T, answers ...answer) (dialFunc, *server) {
	s := &server{uri: "http://example.com/score", answers: answers, closed: make(chan struct{}, 1000)}
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	return func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		s.mu.Lock()
		s.connections++
		number := s.connections
		s.mu.Unlock()
		running.Go(func() {
			defer far.Close()
			s.serveConnection(far, number)
		})
		return near, nil
	}, s
}

// overPipe makes an HTTP client of a caller's, over pipes.
func overPipe(t *testing.T, script answer) *http.Client {
	dial, _ := pipes(t, script)
	transport := &http.Transport{DialContext: dial}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// dialing makes a client with its own transport, whose connections come from dial. Its random number is 0.5: the factor 1.
func dialing(t *testing.T, uri string, options Options, dial dialFunc) *Client {
	t.Helper()
	options.AllowInsecureHTTP = true
	client, err := NewClient(uri, options)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := newTransport(client.options, &url.URL{Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	transport.DialContext = dial
	client.roundTrip, client.closeIdle = transport.RoundTrip, transport.CloseIdleConnections
	client.random = func() float64 { return 0.5 }
	t.Cleanup(client.Close)
	return client
}

// piped is dialing over pipes.
func piped(t *testing.T, options Options, answers ...answer) (*Client, *server) {
	t.Helper()
	dial, s := pipes(t, answers...)
	return dialing(t, s.uri, options, dial), s
}

// drip answers with one byte a second after another, until the other side closes.
func drip(begin, drop string) answer {
	return func(conn net.Conn, _ received) bool {
		_, err := io.WriteString(conn, begin)
		for err == nil {
			time.Sleep(time.Second)
			_, err = io.WriteString(conn, drop)
		}
		return false
	}
}

var slow = map[string]answer{
	"nothing":          silence(""),
	"part of a header": silence("HTTP/1.1 200 OK\r\nContent-"),
	"part of the body": silence("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1.5,"),
	"dripping headers": drip("HTTP/1.1 200 OK\r\n", "X: y\r\n"),
	"dripping body":    drip("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", " "),
	"dripping chunks":  drip("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"),
}

// Proves B02, B31, B32.
// Whatever is slow, it ends with the limit of the attempt or of the whole call, which are 60 s and 100 s by default, and is not repeated.
func TestTimeLimits(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		options Options
		limit   time.Duration
		text    string
	}{
		"attempt by default": {Options{}, 60 * time.Second, "no complete reply within 60 s (2 attempts)"},
		"attempt":            {Options{AttemptTimeout: 7 * time.Second}, 7 * time.Second, "no complete reply within 7 s (2 attempts)"},
		"call by default":    {Options{AttemptTimeout: time.Hour}, 100 * time.Second, "no complete reply within 100 s (2 attempts)"},
		"call":               {Options{Timeout: 7500 * time.Millisecond}, 7500 * time.Millisecond, "no complete reply within 7.5 s (2 attempts)"},
	}
	for name, test := range tests {
		for what, answer := range slow {
			t.Run(name+", "+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, service := piped(t, test.options, reply(503, "", "Retry-After: 0"), answer)
					client.options.BaseDelay = 0
					begin := time.Now()
					err := scoreError[*TransportError](t, client)
					if took := time.Since(begin); took != test.limit || len(service.got()) != 2 {
						t.Errorf("%d requests in %v, want 2 in %v", len(service.got()), took, test.limit)
					}
					if want := "POST http://example.com/score: " + test.text; err.Error() != want || !err.Timeout() {
						t.Errorf("got %q, timeout %v, want %q", err, err.Timeout(), want)
					}
					if errors.Is(err, context.DeadlineExceeded) {
						t.Error("it cannot be told from a deadline of the caller's")
					}
				})
			})
		}
	}
}

// Proves B30.
// No connection is a time-out that is repeated, whichever limit passes; 10 s by default.
func TestConnectTimeoutIsRepeated(t *testing.T) {
	t.Parallel()
	for text, options := range map[string]Options{
		"no connection within 10 s": {},
		"no connection within 3 s":  {ConnectTimeout: 3 * time.Second},
		"no connection within 5 s":  {AttemptTimeout: 5 * time.Second},
		"no connection within 7 s":  {Timeout: 7 * time.Second, MaxRetries: -1},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := dialing(t, "http://example.com/score", options, func(ctx context.Context, _, _ string) (net.Conn, error) {
					<-ctx.Value(connectionKey{}).(context.Context).Done()
					return nil, errors.New("no connection")
				})
				err := scoreError[*TransportError](t, client)
				attempts := "4 attempts"
				if options.MaxRetries < 0 {
					attempts = "1 attempt"
				}
				if want := "POST http://example.com/score: " + text + " (" + attempts + ")"; err.Error() != want || !err.Timeout() {
					t.Errorf("got %q, timeout %v, want %q", err, err.Timeout(), want)
				}
			})
		})
	}
}

// Proves B33.
// A caller who gives up between two attempts does not wait for the next.
func TestCancelBetweenRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, service := piped(t, Options{}, reply(503, "", "Retry-After: 30"))
		ctx, cancel := context.WithCancel(t.Context())
		begin := time.Now()
		time.AfterFunc(10*time.Second, cancel)
		if _, err := client.Score(ctx, twoRows); err != context.Canceled {
			t.Errorf("got %v, want context.Canceled", err)
		}
		if took := time.Since(begin); took != 10*time.Second || len(service.got()) != 1 {
			t.Errorf("the call took %v and %d requests, want 10 s and 1", took, len(service.got()))
		}
	})
}

// Proves B50.
// A status that is known stays the outcome when time runs out.
func TestTimeoutInAnErrorBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := silence("HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nlater")
		err := scoreError[*ServiceError](t, newClient(t, "http://example.com/score", Options{MaxRetries: -1, HTTPClient: overPipe(t, answer)}))
		if err.StatusCode != 503 || err.Message != "later" {
			t.Errorf("got status %d, message %q", err.StatusCode, err.Message)
		}
	})
}

// Proves B33, B34.
// A deadline of the caller's surfaces as ctx.Err().
func TestDeadlineOfTheCaller(t *testing.T) {
	t.Parallel()
	for name, answer := range slow {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := newClient(t, "http://example.com/score", Options{HTTPClient: overPipe(t, answer)})
				begin := time.Now()
				ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, errors.New("a cause of the caller's"))
				defer cancel()
				_, err := client.Score(ctx, twoRows)
				if err != context.DeadlineExceeded {
					t.Errorf("got %T %v, want context.DeadlineExceeded itself", err, err)
				}
				if took := time.Since(begin); took != 5*time.Second {
					t.Errorf("the call took %v, want 5 s", took)
				}
			})
		})
	}
}

// Proves B33.
// Cancelling ends the call wherever it is, surfaces as ctx.Err(), and closes the connection.
func TestCancel(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]string{
		"before the reply": "",
		"in the headers":   "HTTP/1.1 200 OK\r\nContent-",
		"in the body":      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1.5,",
		"in an error body": "HTTP/1.1 400 Oops\r\nContent-Length: 10\r\n\r\noops",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			service := serve(t, func(conn net.Conn, request received) bool {
				keep := silence(begin)(conn, request)
				cancel(errors.New("a cause of the caller's"))
				return keep
			})
			_, err := newClient(t, service.uri, Options{}).Score(ctx, twoRows)
			if err != context.Canceled {
				t.Errorf("got %T %v, want context.Canceled itself", err, err)
			}
			<-service.closed
		})
	}
}

// Proves B32, B60.
// What was not sent is not counted.
func TestTimeoutBeforeTheFirstAttempt(t *testing.T) {
	t.Parallel()
	service := serve(t, twoPredictions)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 0, timeLimit(time.Second))
	defer cancel()
	_, err := newClient(t, service.uri, Options{}).Score(ctx, twoRows)
	if want := "POST " + service.uri + ": no complete reply within 1 s (0 attempts)"; err == nil || err.Error() != want || len(service.got()) != 0 {
		t.Errorf("got %v after %d requests, want %q", err, len(service.got()), want)
	}
}

// Proves B33.
func TestCancelledBefore(t *testing.T) {
	t.Parallel()
	service := serve(t, twoPredictions)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newClient(t, service.uri, Options{}).Score(ctx, twoRows); err != context.Canceled {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if got := service.got(); len(got) != 0 {
		t.Errorf("%d requests were sent", len(got))
	}
}

// silentListener accepts connections, reads the first bytes of each, says so, and waits for the other side to close.
func silentListener(t *testing.T) (address string, began, closed <-chan struct{}) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	beginning, closing := make(chan struct{}), make(chan struct{})
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			close(beginning)
			_, _ = io.Copy(io.Discard, conn)
			close(closing)
		}
	}()
	return listener.Addr().String(), beginning, closing
}

// Proves B30.
// The time to connect has a limit of its own, TLS included, and the connection does not stay behind.
func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	address, _, closed := silentListener(t)
	client := newClient(t, "https://"+address+"/score", Options{ConnectTimeout: time.Second, MaxRetries: -1})
	err := scoreError[*TransportError](t, client)
	if want := "POST https://" + address + "/score: no connection within 1 s (1 attempt)"; err.Error() != want || !err.Timeout() {
		t.Errorf("got %q, timeout %v, want %q", err, err.Timeout(), want)
	}
	<-closed
}

// Proves B30, B31.
// Once there is a connection, only the limit of the attempt counts.
func TestConnectTimeoutEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, connection, cancel := limitAttempt(t.Context(), time.Second, time.Minute)
		defer cancel()
		time.Sleep(time.Second / 2)
		httptrace.ContextClientTrace(ctx).GotConn(httptrace.GotConnInfo{})
		begin := time.Now()
		<-ctx.Done()
		if took := time.Since(begin); took != time.Minute-time.Second/2 || context.Cause(ctx) != timeLimit(time.Minute) || context.Cause(connection) != errConnected {
			t.Errorf("%v and %v after %v more", context.Cause(ctx), context.Cause(connection), took)
		}
	})
}

// Proves B30.
// A connection that comes too late is not used: nothing more is known of it than that there was none in time.
func TestConnectionComesTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, connection, cancel := limitAttempt(t.Context(), time.Second, time.Minute)
		defer cancel()
		time.Sleep(time.Second)
		synctest.Wait()
		httptrace.ContextClientTrace(ctx).GotConn(httptrace.GotConnInfo{})
		if ctx.Err() == nil || context.Cause(connection) != timeLimit(time.Second) {
			t.Errorf("the attempt goes on, the connection ended with %v", context.Cause(connection))
		}
	})
}

// Proves B33.
// Cancelling while TLS is being set up closes the connection, which the transport alone would keep.
func TestCancelWhileConnecting(t *testing.T) {
	t.Parallel()
	address, began, closed := silentListener(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	client := newClient(t, "https://"+address+"/score", Options{ConnectTimeout: time.Hour})
	if _, err := client.Score(ctx, twoRows); err != context.Canceled {
		t.Errorf("got %v, want context.Canceled", err)
	}
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Error("the connection stays open")
	}
}

// Proves B33.
// The same while a name is looked up, or TCP set up.
func TestCancelWhileDialing(t *testing.T) {
	t.Parallel()
	ctx, _, cancel := limitAttempt(t.Context(), time.Hour, time.Hour)
	cancel()
	if conn, err := dial(context.WithoutCancel(ctx), "tcp", "name.invalid:443"); !errors.Is(err, context.Canceled) || conn != nil {
		t.Errorf("got %v, %v, want context.Canceled", conn, err)
	}
}

// A time limit of the caller's own HTTP client counts as one, too.
func TestTimeoutOfTheHTTPClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		httpClient := overPipe(t, silence(""))
		httpClient.Timeout = 3 * time.Second
		err := scoreError[*TransportError](t, newClient(t, "http://example.com/score?code=hidden", Options{HTTPClient: httpClient}))
		if !err.Timeout() || strings.Contains(err.Error(), "hidden") {
			t.Errorf("got %q, timeout %v", err, err.Timeout())
		}
	})
}
