package scoring

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

var testHTTPClient = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
	return nil, errors.New("no network")
})}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	return f(request)
}

// A caller's HTTP client makes the requests, is not closed, and is not asked for compression.
func TestHTTPClient(t *testing.T) {
	t.Parallel()
	service := serve(t, twoPredictions)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	used := 0
	httpClient := &http.Client{Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
		used++
		return transport.RoundTrip(request)
	})}
	client := newClient(t, service.uri, Options{Key: NewKey(secret), HTTPClient: httpClient})
	scoreTwo(t, client)
	client.Close()
	scoreTwo(t, client)
	requests := service.got()
	if used != 2 || len(requests) != 2 || requests[1].connection != 1 {
		t.Errorf("used %d times for %d requests, the last on connection %d", used, len(requests), requests[len(requests)-1].connection)
	}
	if got := strings.Join(requests[0].header("Accept-Encoding"), ","); got != "identity" {
		t.Errorf("Accept-Encoding: %q, want identity", got)
	}
}

// Its errors keep their cause and lose the query.
func TestHTTPClientFails(t *testing.T) {
	t.Parallel()
	client := newClient(t, "https://example.com/score?code=hidden", Options{HTTPClient: testHTTPClient})
	err := scoreError[*TransportError](t, client)
	if want := "POST https://example.com/score: no network (1 attempt)"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}
