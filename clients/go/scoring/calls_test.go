package scoring

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func matches(pattern, text string) bool {
	return regexp.MustCompile(pattern).MatchString(text)
}

func contextWithTimeout(t *testing.T, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), limit)
}

// Proves B12, B13, B52.
// JSON goes out and comes back as it is, but for a byte order mark.
func TestScoreJSON(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"data": [[9007199254740993, 123456789012345678901234567890, 1e400, -0]], "<é>": "\u00e9"}`, ` [1] `, `"[1, 2]"`, "null", "0",
		strings.Repeat("[", 64) + strings.Repeat("]", 64),
	} {
		service := serve(t, func(conn net.Conn, request received) bool { return reply(200, "\uFEFF"+request.body)(conn, request) })
		got, err := newClient(t, service.uri, Options{}).ScoreJSON(t.Context(), json.RawMessage(text))
		if err != nil || string(got) != text {
			t.Errorf("%s: got %s, %v", text, got, err)
		}
		request := service.one(t)
		if request.body != text || strings.Join(request.header("Content-Type"), ",") != "application/json" {
			t.Errorf("%s was sent, as %v, want %s", request.body, request.header("Content-Type"), text)
		}
	}
}

// Proves B13.
func TestPayloadsThatAreNotJSON(t *testing.T) {
	t.Parallel()
	service := serve(t, twoPredictions)
	client := newClient(t, service.uri, Options{})
	for _, text := range []string{"", " ", "\uFEFF[1]", "[NaN]", "[1] [2]", "[1],", "{'a': 1}", "[1", "\"\xFF\"", strings.Repeat("[", 100_000)} {
		if got, err := client.ScoreJSON(t.Context(), json.RawMessage(text)); err != ArgumentError("the payload is not JSON") || got != nil {
			t.Errorf("%.20q: got %s, %v", text, got, err)
		}
	}
	if len(service.got()) != 0 {
		t.Error("a request was sent")
	}
}

// Proves B47, B52.
func TestJSONRepliesThatAreWrong(t *testing.T) {
	t.Parallel()
	for body, reason := range map[string]string{
		"":                           "the reply is empty",
		"[NaN]":                      "the reply contains NaN or Infinity, which is not JSON",
		"[1] ok":                     "the reply is not JSON",
		"\"\xFF\"":                   "the reply is not valid UTF-8",
		strings.Repeat("[", 100_000): "the reply is not JSON",
	} {
		service := serve(t, reply(200, body))
		client := newClient(t, service.uri, Options{})
		for name, call := range map[string]func() (json.RawMessage, error){
			"ScoreJSON": func() (json.RawMessage, error) { return client.ScoreJSON(t.Context(), json.RawMessage("1")) },
			"Swagger":   func() (json.RawMessage, error) { return client.Swagger(t.Context()) },
		} {
			got, err := call()
			var wrong *ReplyError
			if !errors.As(err, &wrong) || wrong.Reason != reason || got != nil {
				t.Errorf("%s, %.20q: got %s, %v, want %q", name, body, got, err, reason)
			}
		}
		if got := len(service.got()); got != 2 {
			t.Errorf("%.20q: %d requests for 2 calls", body, got)
		}
	}
}

// Proves B12, B17, B52.
// 20 MB of any bytes go out and come back, with the caller's media type.
func TestScoreBytes(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("\x00\xFF\r\n\uFEFF"), 20<<20/7)
	for _, body := range [][]byte{large, {}, nil, []byte("\uFEFFHTTP/1.1")} {
		service := serve(t, func(conn net.Conn, request received) bool { return reply(200, request.body)(conn, request) })
		got, err := newClient(t, service.uri, Options{}).ScoreBytes(t.Context(), body, "image/x-portable-graymap; a=b")
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes came back of %d, error %v", len(got), len(body), err)
		}
		request := service.one(t)
		want := fmt.Sprint([]string{"image/x-portable-graymap; a=b"}, []string{fmt.Sprint(len(body))})
		if got := fmt.Sprint(request.header("Content-Type"), request.header("Content-Length")); got != want {
			t.Errorf("headers %s, want %s", got, want)
		}
	}
}

// Proves B02.
// What would end a header line, or begin another, is refused, and nothing is sent.
func TestContentTypesThatCannotTravel(t *testing.T) {
	t.Parallel()
	service := serve(t, twoPredictions)
	client := newClient(t, service.uri, Options{})
	for contentType, text := range map[string]string{
		"":              "the content type is empty",
		"a/b\r\nX: y":   "the content type has a character that cannot be sent in a header at position 3",
		"a/b\n":         "the content type has a character that cannot be sent in a header at position 3",
		" a/b":          "the content type has a character that cannot be sent in a header at position 0",
		"a/b ":          "the content type has a character that cannot be sent in a header at position 3",
		"a/b;\tc=d":     "the content type has a character that cannot be sent in a header at position 4",
		"text/pl\u00E9": "the content type has a character that cannot be sent in a header at position 7",
	} {
		if _, err := client.ScoreBytes(t.Context(), nil, contentType); err != ArgumentError(text) {
			t.Errorf("%q: got %v, want %q", contentType, err, text)
		}
	}
	if len(service.got()) != 0 {
		t.Error("a request was sent")
	}
}

// Proves B70.
func TestSwagger(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/score":                      "/swagger.json",
		"/api/v1/service/n/score":     "/api/v1/service/n/swagger.json",
		"/api/v1/service/n/score?a=b": "/api/v1/service/n/swagger.json",
		"/a%2Fb/score/":               "/a%2Fb/score/swagger.json",
		"":                            "/swagger.json",
	} {
		service := serve(t, reply(503, ""), reply(200, "\uFEFF{\"openapi\": 9007199254740993}"))
		client := newClient(t, strings.TrimSuffix(service.uri, "/score")+path, Options{Key: NewKey(secret), Deployment: "blue"})
		got, err := client.Swagger(t.Context())
		if err != nil || string(got) != `{"openapi": 9007199254740993}` {
			t.Errorf("%s: got %s, %v", path, got, err)
		}
		requests := service.got()
		if len(requests) != 2 || requests[1].line != "GET "+want+" HTTP/1.1" {
			t.Errorf("%s: %d requests, the last %v, want two for %s", path, len(requests), requests[len(requests)-1], want)
		}
		checkGet(t, requests[1])
	}
	service := serve(t, reply(404, "no swagger"))
	_, err := newClient(t, service.uri+"?code=hidden", Options{}).Swagger(t.Context())
	if want := "GET " + strings.Replace(service.uri, "score", "swagger.json", 1) + ": 404: no swagger (1 attempt)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

// checkGet checks what a GET carries: the key, an id, and nothing of a scoring call.
func checkGet(t *testing.T, request received) {
	t.Helper()
	for name, count := range map[string]int{"Authorization": 1, "x-ms-client-request-id": 1, "Content-Type": 0, "Content-Length": 0, "Transfer-Encoding": 0, "azureml-model-deployment": 0} {
		if got := request.header(name); len(got) != count {
			t.Errorf("%s: %q, want %d of it", name, got, count)
		}
	}
}

// Proves B14, B71.
func TestHealthy(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer answer
		want   bool
	}{
		"bare":             {reply(200, "Healthy"), true},
		"line end":         {reply(200, "Healthy\r\n"), true},
		"JSON":             {reply(203, "\uFEFF\"Healthy\""), true},
		"white space":      {reply(200, "\uFEFF\t Healthy\n"), true},
		"another space":    {reply(200, "Healthy\u00A0"), false},
		"two BOMs":         {reply(200, "\uFEFF\uFEFFHealthy"), false},
		"other case":       {reply(200, "healthy"), false},
		"other text":       {reply(200, "Healthy enough"), false},
		"empty":            {reply(200, ""), false},
		"unavailable":      {reply(503, "Healthy"), false},
		"redirect":         {reply(302, "Healthy", "Location: /"), false},
		"refused":          {reply(401, "Healthy"), false},
		"compressed":       {reply(200, "Healthy", "Content-Encoding: gzip"), false},
		"larger than read": {reply(200, "Healthy"+strings.Repeat(" ", 200)), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := serve(t, test.answer)
			client := newClient(t, service.uri+"/x/score?a=b", Options{Key: NewKey(secret), Deployment: "blue", MaxReplyBytes: 100})
			if got, err := client.Healthy(t.Context()); got != test.want || err != nil {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
			request := service.one(t)
			if request.line != "GET /score/x/ HTTP/1.1" {
				t.Errorf("request line %q", request.line)
			}
			checkGet(t, request)
		})
	}
	got, err := newClient(t, refusedURI(t), Options{}).Healthy(t.Context())
	var transport *TransportError
	if !errors.As(err, &transport) || transport.Attempts != 1 || got || !strings.HasPrefix(err.Error(), "GET http://") {
		t.Errorf("got %v, %v, want a transport error after one attempt", got, err)
	}
}

// Proves B02.
func TestDeployment(t *testing.T) {
	t.Parallel()
	service := serve(t, twoPredictions)
	client := newClient(t, service.uri, Options{Deployment: "blue"})
	scoreTwo(t, client)
	if _, err := client.ScoreBytes(t.Context(), nil, DefaultContentType); err != nil {
		t.Fatal(err)
	}
	scoreTwo(t, newClient(t, service.uri, Options{}))
	for i, want := range []string{"[blue]", "[blue]", "[]"} {
		if got := fmt.Sprint(service.got()[i].header("azureml-model-deployment")); got != want {
			t.Errorf("request %d names %s, want %s", i, got, want)
		}
	}
}

// Proves B03.
// 64 goroutines on one client: each gets its own answer, connections are used again, and the server sees all of them end.
func TestConcurrentCallsOverSockets(t *testing.T) {
	t.Parallel()
	// The first 64 wait for each other, because net/http may otherwise make more connections than are ever needed at once.
	var first sync.WaitGroup
	first.Add(64)
	service := serve(t, func(conn net.Conn, request received) bool {
		if matches(`\[\[[0-9]*00\.25\]\]`, request.body) || strings.Contains(request.body, "[[0.25]]") {
			first.Done()
			first.Wait()
		}
		return echoCells(conn, request)
	})
	client := newClient(t, service.uri, Options{Key: NewKey(secret)})
	callConcurrently(t, client)
	client.Close()
	service.mu.Lock()
	connections := service.connections
	service.mu.Unlock()
	// Not 64: net/http gives up a connection whose request took 50 ms to be seen as written, which happens on a busy machine.
	if connections > 200 {
		t.Errorf("%d connections for 640 calls of 64 callers", connections)
	}
	for range connections {
		<-service.closed
	}
}

// Proves B03, B33.
// The same over pipes in a bubble, which fails when a goroutine is left at its end.
func TestNothingStaysBehind(t *testing.T) {
	t.Parallel()
	t.Run("after Close", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			client, _ := piped(t, Options{}, echoCells)
			callConcurrently(t, client)
			client.Close()
		})
	})
	t.Run("after cancellation", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			client, service := piped(t, Options{TokenProvider: func(context.Context) (AccessToken, error) {
				return AccessToken{Token: NewKey("token")}, nil
			}}, silence("HTTP/1.1 200 OK\r\n"))
			ctx, cancel := context.WithCancel(t.Context())
			var calls sync.WaitGroup
			for range 64 {
				calls.Go(func() {
					if _, err := client.Score(ctx, twoRows); err != context.Canceled {
						t.Errorf("got %v, want context.Canceled", err)
					}
				})
			}
			synctest.Wait() // until all wait for the rest of the reply
			if got := len(service.got()); got != 64 {
				t.Errorf("%d requests, want 64", got)
			}
			cancel()
			calls.Wait()
			for range 64 {
				<-service.closed
			}
		})
	})
}

func echoCells(conn net.Conn, request received) bool {
	cells := strings.TrimSuffix(strings.TrimPrefix(request.body, `{"data": [[`), "]]}")
	return reply(200, "["+cells+"]")(conn, request)
}

func callConcurrently(t *testing.T, client *Client) {
	t.Helper()
	var calls sync.WaitGroup
	for caller := range 64 {
		calls.Go(func() {
			for i := range 10 {
				want := float64(100*caller+i) + 0.25
				if got, err := client.Score(t.Context(), [][]float64{{want}}); err != nil || len(got) != 1 || got[0] != want {
					t.Errorf("got %v, %v, want %v", got, err, want)
				}
			}
		})
	}
	calls.Wait()
}
