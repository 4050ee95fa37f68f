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

// The connections of a caller's HTTP client are not closed, and it does not ask for compression.
func TestHTTPClient(t *testing.T) {
	t.Parallel()
	service := serve(t, twoPredictions)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := newClient(t, service.uri, Options{Key: NewKey(secret), HTTPClient: &http.Client{Transport: transport}})
	scoreTwo(t, client)
	client.Close()
	scoreTwo(t, client)
	requests := service.got()
	if len(requests) != 2 || requests[1].connection != 1 {
		t.Errorf("%d requests, the last on connection %d, want 2 on one", len(requests), requests[len(requests)-1].connection)
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
	if want := "POST https://example.com/score: no network (4 attempts)"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}
