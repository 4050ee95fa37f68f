package scoring

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const secret = "s3cr3t-key/with+all=of~it"

var (
	twoRows        = [][]float64{{0.1, -2.5}, {3, 1e21}}
	twoPredictions = reply(200, "[1.5, 2.5]", "Content-Type: application/json")
)

// newClient makes a client that waits only a moment before a retry, unless the options say otherwise.
func newClient(t *testing.T, uri string, options Options) *Client {
	t.Helper()
	options.BaseDelay = cmp.Or(options.BaseDelay, time.Millisecond)
	client, err := NewClient(uri, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// scoreError scores two rows and returns the error, which must be of type E.
func scoreError[E error](t *testing.T, client *Client) E {
	t.Helper()
	predictions, err := client.Score(t.Context(), twoRows)
	var want E
	if !errors.As(err, &want) {
		t.Fatalf("got %v and the error %T %v, want a %T", predictions, err, err, want)
	}
	if predictions != nil {
		t.Errorf("got the predictions %v beside an error", predictions)
	}
	return want
}

func scoreTwo(t *testing.T, client *Client) {
	t.Helper()
	predictions, err := client.Score(t.Context(), twoRows)
	if err != nil {
		t.Fatal(err)
	}
	if want := []float64{1.5, 2.5}; !slices.Equal(predictions, want) {
		t.Fatalf("got %v, want %v", predictions, want)
	}
}

// Proves B10, B12, B14, B15, B16, B17.
// Everything that is sent, and nothing else.
func TestScoreSendsOnePost(t *testing.T) {
	t.Parallel()
	service := serve(t, twoPredictions)
	scoreTwo(t, newClient(t, service.uri+"?api=1", Options{Key: NewKey(secret)}))

	request := service.one(t)
	if want := "POST /score?api=1 HTTP/1.1"; request.line != want {
		t.Errorf("request line %q, want %q", request.line, want)
	}
	if want := `{"data": [[0.1, -2.5], [3.0, 1e+21]]}`; request.body != want {
		t.Errorf("body %q, want %q", request.body, want)
	}
	id := strings.Join(request.header("x-ms-client-request-id"), ",")
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) {
		t.Errorf("x-ms-client-request-id is %q, not a UUID", id)
	}
	want := []string{
		"accept-encoding: identity",
		"authorization: Bearer " + secret,
		"content-length: 37",
		"content-type: application/json",
		"host: " + strings.TrimSuffix(strings.TrimPrefix(service.uri, "http://"), "/score"),
		"user-agent: Go-http-client/1.1",
		"x-ms-client-request-id: " + id,
	}
	var got []string
	for _, line := range request.headers {
		name, value, _ := strings.Cut(line, ":")
		got = append(got, strings.ToLower(name)+":"+value)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("headers\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Proves B01.
// Path and query go out as they are given.
func TestURIIsSentAsGiven(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		"/", "/score", "/score/", "//score", "/Score", "/a/b%2Fc/score", "/a%20b", "/%e9%C3", "/score?", "/score?a=b&a=%20&c=d/../e", "/a;b=c/:@!$&'()*+,=~",
	} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			service := serve(t, twoPredictions)
			scoreTwo(t, newClient(t, strings.TrimSuffix(service.uri, "/score")+target, Options{}))
			if got, want := service.one(t).line, "POST "+target+" HTTP/1.1"; got != want {
				t.Errorf("request line %q, want %q", got, want)
			}
		})
	}
}

// Proves B14.
// Without a key there is no header.
func TestNoKeyNoAuthorization(t *testing.T) {
	t.Parallel()
	service := serve(t, twoPredictions)
	scoreTwo(t, newClient(t, service.uri, Options{}))
	if got := service.one(t).header("Authorization"); got != nil {
		t.Errorf("Authorization: %q was sent", got)
	}
}

// Proves B15.
// Every call has an id of its own. B03: calls one after the other share a connection.
func TestCallsShareAConnectionAndNotAnID(t *testing.T) {
	t.Parallel()
	service := serve(t, twoPredictions)
	client := newClient(t, service.uri, Options{})
	ids := map[string]bool{}
	for range 3 {
		scoreTwo(t, client)
	}
	for _, request := range service.got() {
		ids[strings.Join(request.header("x-ms-client-request-id"), ",")] = true
		if request.connection != 1 {
			t.Errorf("a request came on connection %d, want all on the first", request.connection)
		}
	}
	if len(ids) != 3 {
		t.Errorf("%d different ids in 3 calls", len(ids))
	}
}

// An error's body is read, so that its connection serves the next call too.
func TestErrorKeepsTheConnection(t *testing.T) {
	t.Parallel()
	service := serve(t, reply(504, "later"), twoPredictions)
	client := newClient(t, service.uri, Options{})
	scoreError[*ServiceError](t, client)
	scoreTwo(t, client)
	if last := service.got()[1]; last.connection != 1 {
		t.Errorf("the second request came on connection %d, want the first", last.connection)
	}
}

// Proves B03.
// Goroutines share a client; run with -race.
func TestConcurrentCalls(t *testing.T) {
	t.Parallel()
	echo := func(conn net.Conn, request received) bool {
		cells := strings.TrimSuffix(strings.TrimPrefix(request.body, `{"data": [[`), "]]}")
		return reply(200, "["+cells+"]")(conn, request)
	}
	client := newClient(t, serve(t, echo).uri, Options{Key: NewKey(secret)})
	var calls sync.WaitGroup
	for i := range 50 {
		calls.Go(func() {
			want := []float64{float64(i) + 0.25}
			if got, err := client.Score(t.Context(), [][]float64{want}); err != nil || !slices.Equal(got, want) {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
		})
	}
	calls.Wait()
}

// Proves B03.
// Close drops idle connections only.
func TestCloseLeavesTheClientUsable(t *testing.T) {
	t.Parallel()
	service := serve(t, twoPredictions)
	client := newClient(t, service.uri, Options{})
	scoreTwo(t, client)
	client.Close()
	<-service.closed // the server sees the end of the idle connection
	scoreTwo(t, client)
	if last := service.got()[1]; last.connection != 2 {
		t.Errorf("the second request came on connection %d, want a new one", last.connection)
	}
}

// Proves B11.
// The shape of the rows is the service's to judge.
func TestRowsOfAnyShapeAreSent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rows        [][]float64
		body, reply string
	}{
		{nil, `{"data": []}`, "[]"},
		{[][]float64{}, `{"data": []}`, "[]"},
		{[][]float64{nil}, `{"data": [[]]}`, "[1]"},
		{[][]float64{{1.5, 2.5}, {}, {3.5}}, `{"data": [[1.5, 2.5], [], [3.5]]}`, "[1, 2, 3]"},
	}
	for _, test := range tests {
		service := serve(t, reply(200, test.reply))
		predictions, err := newClient(t, service.uri, Options{}).Score(t.Context(), test.rows)
		if err != nil || predictions == nil || len(predictions) != len(test.rows) {
			t.Errorf("%v: got %v, %v", test.rows, predictions, err)
		}
		if got := service.one(t).body; got != test.body {
			t.Errorf("%v: body %q, want %q", test.rows, got, test.body)
		}
	}
}

// Proves B11.
// Nothing is sent.
func TestNotFiniteRowsAreNotSent(t *testing.T) {
	t.Parallel()
	service := serve(t, twoPredictions)
	client := newClient(t, service.uri, Options{})
	for _, test := range notFiniteRows {
		_, err := client.Score(t.Context(), test.rows)
		if want := ArgumentError(test.text); err != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	if got := service.got(); len(got) != 0 {
		t.Errorf("%d requests were sent", len(got))
	}
}

// Proves B22, B42, B43, B46, B50.
// Every status but 2xx is a service error, and four of them are asked for again.
func TestStatusDecides(t *testing.T) {
	t.Parallel()
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 413, 415, 424, 429, 431, 499, 500, 501, 502, 503, 504, 599, 999} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			body := "[1.5, 2.5]"
			if status == 304 {
				body = "" // it has none
			}
			service := serve(t, reply(status, body, "Location: /elsewhere", "Content-Type: application/json"))
			err := scoreError[*ServiceError](t, newClient(t, service.uri, Options{Key: NewKey(secret)}))
			attempts := 1
			if status == 429 || status == 500 || status == 502 || status == 503 {
				attempts = 4
			}
			if got := len(service.got()); err.StatusCode != status || err.Attempts != attempts || got != attempts {
				t.Errorf("status %d after %d attempts and %d requests, want %d after %d", err.StatusCode, err.Attempts, got, status, attempts)
			}
		})
	}
	for _, status := range []int{200, 201, 202, 206, 299} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			scoreTwo(t, newClient(t, serve(t, reply(status, "[1.5, 2.5]")).uri, Options{}))
		})
	}
}

// Proves B22.
// A redirect that leads nowhere keeps its status, too.
func TestBrokenRedirect(t *testing.T) {
	t.Parallel()
	service := serve(t, reply(302, "", "Location: http://[::1"))
	if err := scoreError[*ServiceError](t, newClient(t, service.uri, Options{})); err.StatusCode != 302 {
		t.Errorf("status %d, want 302", err.StatusCode)
	}
}

// Proves B50.
// What becomes of the body does not change the status.
func TestStatusSurvivesItsBody(t *testing.T) {
	t.Parallel()
	tests := map[string]answer{
		"cut":                bytesOf("HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nlater", false),
		"reset":              reset("HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nlater"),
		"broken chunk":       bytesOf("HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nlater\r\nzz\r\n", false),
		"encoding":           reply(503, "later", "Content-Encoding: gzip"),
		"after interim ones": bytesOf("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nlater", true),
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := serve(t, answer)
			err := scoreError[*ServiceError](t, newClient(t, service.uri, Options{}))
			if err.StatusCode != 503 || !strings.HasPrefix("later", err.Message) && name != "reset" {
				t.Errorf("status %d, message %q", err.StatusCode, err.Message)
			}
		})
	}
}

// A switch of protocols has no body that ends.
func TestSwitchingProtocols(t *testing.T) {
	t.Parallel()
	service := serve(t, silence("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"))
	if err := scoreError[*ServiceError](t, newClient(t, service.uri, Options{})); err.StatusCode != 101 {
		t.Errorf("status %d, want 101", err.StatusCode)
	}
	<-service.closed
}

// Proves B50.
// Interim replies are skipped.
func TestInterimRepliesAreSkipped(t *testing.T) {
	t.Parallel()
	service := serve(t, bytesOf("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1.5, 2.5]", true))
	scoreTwo(t, newClient(t, service.uri, Options{}))
}

// Proves B51, B52.
// The body decides, whatever surrounds it.
func TestRepliesThatAreRead(t *testing.T) {
	t.Parallel()
	tests := map[string]answer{
		"text":         reply(200, "[1.5, 2.5]", "Content-Type: text/plain"),
		"latin 1":      reply(200, "[1.5, 2.5]", "Content-Type: application/json; charset=iso-8859-1"),
		"no type":      reply(200, "[1.5, 2.5]"),
		"white space":  reply(200, " \r\n[1.5,\t2.5]\n"),
		"BOM":          reply(200, "\uFEFF[1.5, 2.5]"),
		"identity":     reply(200, "[1.5, 2.5]", "Content-Encoding: Identity"),
		"chunked":      bytesOf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1.5,\r\n5\r\n 2.5]\r\n0\r\nTrailer: x\r\n\r\n", true),
		"until closed": bytesOf("HTTP/1.0 200 OK\r\n\r\n[1.5, 2.5]", false),
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scoreTwo(t, newClient(t, serve(t, answer).uri, Options{}))
		})
	}
}

// Proves B51, B53, B54, B64.
// Through the whole client; the reasons have a table of their own.
func TestWrongReplies(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer          answer
		reason, excerpt string
	}{
		"object":    {reply(200, `{"error": "no model"}`), "the reply is a JSON object, not an array: no model", `{"error": "no model"}`},
		"empty":     {reply(204, ""), "the reply is empty", ""},
		"encoding":  {reply(200, "\x1f\x8b", "Content-Encoding: gzip"), "the reply has Content-Encoding: gzip, which was not asked for", ""},
		"encodings": {reply(200, "\x1f\x8b", "Content-Encoding: identity", "Content-Encoding: br"), "the reply has Content-Encoding: identity, br, which was not asked for", ""},
		"too large": {reply(200, "[1.5,  "+strings.Repeat("9", 100)+"]"), "the reply is larger than 20 bytes", "[1.5,  9999999999999"},
		"endless": {func(conn net.Conn, _ received) bool {
			_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
			for err == nil {
				_, err = io.WriteString(conn, "[")
			}
			return false
		}, "the reply is larger than 20 bytes", strings.Repeat("[", 20)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := serve(t, test.answer)
			options := Options{}
			if strings.Contains(test.reason, "larger") {
				options.MaxReplyBytes = 20
			}
			err := scoreError[*ReplyError](t, newClient(t, service.uri, options))
			service.one(t)
			want := &ReplyError{Call: err.Call, Reason: test.reason, Excerpt: test.excerpt}
			if !reflect.DeepEqual(err, want) {
				t.Errorf("got %#v, want %#v", err, want)
			}
			text := "POST " + service.uri + ": " + test.reason + " (1 attempt)"
			if test.excerpt != "" {
				text = "POST " + service.uri + ": " + test.reason + ": " + test.excerpt + " (1 attempt)"
			}
			if err.Error() != text {
				t.Errorf("text %q, want %q", err, text)
			}
		})
	}
}

// Proves B54.
// A Content-Length that no memory holds is not believed.
func TestDeclaredLengthIsNotBelieved(t *testing.T) {
	t.Parallel()
	service := serve(t, bytesOf("HTTP/1.1 200 OK\r\nContent-Length: 4611686018427387904\r\n\r\n[1.5,", false))
	err := scoreError[*TransportError](t, newClient(t, service.uri, Options{MaxReplyBytes: math.MaxInt64, MaxRetries: -1}))
	if !strings.Contains(err.Error(), "the reply was cut off") {
		t.Errorf("got %q", err)
	}
}

// Proves B54.
// A reply may be exactly as large as allowed.
func TestReplyOfTheLargestSize(t *testing.T) {
	t.Parallel()
	scoreTwo(t, newClient(t, serve(t, twoPredictions).uri, Options{MaxReplyBytes: int64(len("[1.5, 2.5]"))}))
}

// Proves B54.
// An error's body is cut, not refused, even if it does not end.
func TestErrorBodyIsCut(t *testing.T) {
	t.Parallel()
	service := serve(t, func(conn net.Conn, _ received) bool {
		_, err := io.WriteString(conn, "HTTP/1.1 500 Oops\r\n\r\n")
		for err == nil {
			_, err = io.WriteString(conn, strings.Repeat("x", 1<<12))
		}
		return false
	})
	err := scoreError[*ServiceError](t, newClient(t, service.uri, Options{MaxRetries: -1}))
	if len(err.Body) != 64<<10 || err.StatusCode != 500 {
		t.Errorf("status %d and %d bytes, want 500 and %d", err.StatusCode, len(err.Body), 64<<10)
	}
	if want := "500: " + strings.Repeat("x", 299) + "… (1 attempt)"; !strings.HasSuffix(err.Error(), want) {
		t.Errorf("the text is %q, want it to end with %q", err, want)
	}
}

// Proves B61, B63.
// All that a service error knows.
func TestServiceError(t *testing.T) {
	t.Parallel()
	service := serve(t, reply(424, `{"message": "model\nfailed"}`,
		"x-request-id: abc", "x-ms-request-id: other", "x-ms-client-request-id: echoed",
		"ms-azureml-model-error-statuscode: 500", "ms-azureml-model-error-reason: model_error", "x-ms-run-function-failed: True"))
	err := scoreError[*ServiceError](t, newClient(t, service.uri+"?code=hidden", Options{}))
	want := &ServiceError{
		Call:       Call{Method: "POST", URL: service.uri, ClientRequestID: service.one(t).header("x-ms-client-request-id")[0], Attempts: 1},
		StatusCode: 424, Message: "model\nfailed", Body: []byte(`{"message": "model\nfailed"}`), RequestID: "abc",
		ModelStatus: 500, ModelReason: "model_error", RunFunctionFailed: true,
	}
	if !reflect.DeepEqual(err, want) {
		t.Errorf("got %#v, want %#v", err, want)
	}
	if want := "POST " + service.uri + ": 424: model failed (1 attempt, request id abc)"; err.Error() != want {
		t.Errorf("text %q, want %q", err, want)
	}
}

// Proves B61.
// Headers that are missing or wrong.
func TestServiceErrorWithoutHeaders(t *testing.T) {
	t.Parallel()
	service := serve(t, reply(500, "", "x-ms-request-id: second", "ms-azureml-model-error-statuscode: soon", "x-ms-run-function-failed: False"))
	err := scoreError[*ServiceError](t, newClient(t, service.uri, Options{MaxRetries: -1}))
	want := &ServiceError{Call: err.Call, StatusCode: 500, Body: []byte{}, RequestID: "second"}
	if !reflect.DeepEqual(err, want) {
		t.Errorf("got %#v, want %#v", err, want)
	}
	if want := "POST " + service.uri + ": 500 (1 attempt, request id second)"; err.Error() != want {
		t.Errorf("text %q, want %q", err, want)
	}
	for text, want := range map[string]int{"503": 503, "099": 99, "": 0, "50": 0, "0503": 0, "+50": 0, "5e2": 0} {
		service := serve(t, reply(424, "", "ms-azureml-model-error-statuscode: "+text))
		if got := scoreError[*ServiceError](t, newClient(t, service.uri, Options{})).ModelStatus; got != want {
			t.Errorf("a model status of %q is read as %d, want %d", text, got, want)
		}
	}
}

// Proves B15, B40, B48, B60.
// No complete reply is a transport error, after four requests with the same bytes.
func TestNoWholeReply(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer answer
		reason string
	}{
		"closed":                {bytesOf("", false), "the connection was closed before the reply"},
		"reset":                 {reset(""), "the connection was reset"},
		"cut in the status":     {bytesOf("HTTP/1.", false), "the reply is not valid HTTP"},
		"cut in a header":       {bytesOf("HTTP/1.1 200 OK\r\nContent-", false), "the reply is not valid HTTP"},
		"cut in the body":       {bytesOf("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1.5,", false), "the reply was cut off"},
		"reset in the body":     {reset("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1.5,"), "the connection was reset"},
		"cut in a chunk":        {bytesOf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1.", false), "the reply was cut off"},
		"cut between chunks":    {bytesOf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n[1, 2]\r\n", false), "the reply was cut off"},
		"broken chunk":          {bytesOf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false), "the reply is not valid HTTP"},
		"garbage":               {bytesOf("220 smtp.example ESMTP\r\n", false), "the reply is not valid HTTP"},
		"status of two digits":  {bytesOf("HTTP/1.1 20 OK\r\n\r\n", false), "the reply is not valid HTTP"},
		"two Content-Lengths":   {bytesOf("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 11\r\n\r\n[1.5, 2.5]", false), "the reply is not valid HTTP"},
		"Content-Length of -10": {bytesOf("HTTP/1.1 200 OK\r\nContent-Length: -10\r\n\r\n[1.5, 2.5]", false), "the reply is not valid HTTP"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := serve(t, test.answer)
			err := scoreError[*TransportError](t, newClient(t, service.uri+"?code=hidden", Options{Key: NewKey(secret)}))
			requests := service.got()
			request := requests[0]
			for _, again := range requests {
				if again.line != request.line || !slices.Equal(again.headers, request.headers) || again.body != request.body {
					t.Errorf("%v was sent after %v", again, request)
				}
			}
			if len(requests) != 4 {
				t.Errorf("%d requests, want 4", len(requests))
			}
			if want := (Call{"POST", service.uri, request.header("x-ms-client-request-id")[0], 4}); err.FailedCall() != want {
				t.Errorf("the call is %v, want %v", err.FailedCall(), want)
			}
			if err.Timeout() {
				t.Error("Timeout() is true")
			}
			text := err.Error()
			if text != "POST "+service.uri+": "+test.reason+" (4 attempts)" || err.Reason != test.reason {
				t.Errorf("the text is %q, want the reason %q", text, test.reason)
			}
		})
	}
}

// Headers that are larger than net/http reads would come again.
func TestHeadersTooLarge(t *testing.T) {
	t.Parallel()
	line := "X: " + strings.Repeat("x", 1<<16) + "\r\n"
	service := serve(t, bytesOf("HTTP/1.1 200 OK\r\n"+strings.Repeat(line, 11<<4)+"\r\n[1.5, 2.5]", false))
	err := scoreError[*TransportError](t, newClient(t, service.uri, Options{}))
	if want := "POST " + service.uri + ": the headers of the reply are too large (1 attempt)"; err.Error() != want || err.Timeout() || len(service.got()) != 1 {
		t.Errorf("got %q after %d requests, want %q", err, len(service.got()), want)
	}
}

// Proves B40, B64.
func TestRefused(t *testing.T) {
	t.Parallel()
	uri := refusedURI(t)
	err := scoreError[*TransportError](t, newClient(t, uri, Options{}))
	if want := "POST " + uri + ": connection refused (4 attempts)"; err.Error() != want || err.Timeout() || err.Attempts != 4 {
		t.Errorf("got %q, timeout %v, attempts %d", err, err.Timeout(), err.Attempts)
	}
	var cause *net.OpError
	if !errors.As(err, &cause) || cause.Op != "dial" {
		t.Errorf("the cause %v is not in the chain", err.Err)
	}
}

// Proves B40.
// A POST on a kept connection that the server closes is repeated by the client, and not behind its back.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	service := serve(t, twoPredictions, bytesOf("", false), twoPredictions)
	var retries []Retry
	client := newClient(t, service.uri, Options{OnRetry: func(retry Retry) error {
		retries = append(retries, retry)
		return nil
	}})
	scoreTwo(t, client)
	scoreTwo(t, client)
	if got := len(service.got()); got != 3 || len(retries) != 1 || retries[0].Reason != "the connection was closed before the reply" {
		t.Errorf("%d requests, want 3, and the retries %v, want one", got, retries)
	}
}

// Proves B02.
// What the zero values mean, where no clock can show it. Loopback is never proxied, however its name is spelled.
func TestDefaults(t *testing.T) {
	t.Parallel()
	if got := newClient(t, "https://example.com", Options{}).options.MaxReplyBytes; got != 64<<20 {
		t.Errorf("a reply may have %d bytes, want 64 MiB", got)
	}
	for host, loopback := range map[string]bool{"LocalHost": true, "127.1.2.3:80": true, "[::1]": true, "example.com": false} {
		transport, err := newTransport(Options{}, &url.URL{Scheme: "http", Host: host})
		if err != nil || (transport.Proxy == nil) != loopback {
			t.Errorf("%s: a proxy is used: %v, %v", host, transport.Proxy != nil, err)
		}
	}
}
