package scoring

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tokens is a provider that gives one token after the other, and counts.
type tokens struct {
	mu      sync.Mutex
	results []any // a token, an AccessToken or an error; the last one serves the rest
	fetches int
}

func (p *tokens) fetch(context.Context) (AccessToken, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	result := p.results[min(p.fetches, len(p.results)-1)]
	p.fetches++
	switch result := result.(type) {
	case AccessToken:
		return result, nil
	case error:
		return AccessToken{}, result
	default:
		return AccessToken{Token: NewKey(result.(string))}, nil
	}
}

func (p *tokens) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetches
}

func providing(results ...any) *tokens {
	return &tokens{results: results}
}

// accepting answers with two predictions to some tokens, and with 401 to all others.
func accepting(good ...string) answer {
	return func(conn net.Conn, request received) bool {
		token := strings.TrimPrefix(strings.Join(request.header("Authorization"), ","), "Bearer ")
		if slices.Contains(good, token) {
			return twoPredictions(conn, request)
		}
		return reply(401, "no such token: "+token)(conn, request)
	}
}

func sent(requests []received) (credentials []string) {
	for _, request := range requests {
		credentials = append(credentials, strings.TrimPrefix(strings.Join(request.header("Authorization"), ","), "Bearer "))
	}
	return credentials
}

// Proves B14, B24.
// A token is asked for when first needed, kept, and asked for again once it is due; without a time, never.
func TestTokenIsRefreshed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		provider := providing(AccessToken{NewKey("one"), time.Now().Add(time.Minute)}, "two")
		client, service := piped(t, Options{TokenProvider: provider.fetch}, accepting("one", "two"))
		if provider.count() != 0 {
			t.Error("the provider was called before a token was needed")
		}
		scoreTwo(t, client)
		time.Sleep(time.Minute - time.Nanosecond)
		scoreTwo(t, client)
		time.Sleep(time.Nanosecond)
		scoreTwo(t, client)
		time.Sleep(1000 * time.Hour)
		scoreTwo(t, client)
		if got, want := sent(service.got()), []string{"one", "one", "two", "two"}; !slices.Equal(got, want) || provider.count() != 2 {
			t.Errorf("sent %v after %d fetches, want %v after 2", got, provider.count(), want)
		}
	})
}

// Proves B24.
// 64 callers share one fetch.
func TestTokenSingleFlight(t *testing.T) {
	t.Parallel()
	for _, wanted := range []error{nil, errors.New("no token today")} {
		synctest.Test(t, func(t *testing.T) {
			fetches, release := 0, make(chan struct{})
			client, service := piped(t, Options{TokenProvider: func(context.Context) (AccessToken, error) {
				fetches++
				<-release
				return AccessToken{Token: NewKey("one")}, wanted
			}}, accepting("one"))
			var calls sync.WaitGroup
			for range 64 {
				calls.Go(func() {
					if _, err := client.Score(t.Context(), twoRows); err != wanted {
						t.Errorf("got %v, want %v itself", err, wanted)
					}
				})
			}
			synctest.Wait()
			close(release)
			calls.Wait()
			requests := 64
			if wanted != nil {
				requests = 0
			}
			if fetches != 1 || len(service.got()) != requests {
				t.Errorf("%d fetches and %d requests, want 1 and %d", fetches, len(service.got()), requests)
			}
		})
	}
}

// Proves B24, B33.
// A caller who gives up ends neither the fetch nor the wait of another.
func TestGivingUpDoesNotEndTheFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fetches, release := 0, make(chan struct{})
		client, service := piped(t, Options{TokenProvider: func(ctx context.Context) (AccessToken, error) {
			fetches++
			select {
			case <-release:
				return AccessToken{Token: NewKey("one")}, nil
			case <-ctx.Done():
				return AccessToken{}, ctx.Err()
			}
		}}, accepting("one"))
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		calls.Go(func() {
			if _, err := client.Score(ctx, twoRows); err != context.Canceled {
				t.Errorf("got %v, want context.Canceled", err)
			}
		})
		synctest.Wait()
		calls.Go(func() { scoreTwo(t, client) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		calls.Wait()
		if fetches != 1 || len(service.got()) != 1 {
			t.Errorf("%d fetches and %d requests, want 1 each", fetches, len(service.got()))
		}
	})
}

// Proves B24, B32.
// The wait for a token ends with the call's time, and the fetch with it.
func TestTokenTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := time.Duration(0)
		begin := time.Now()
		client, service := piped(t, Options{TokenProvider: func(ctx context.Context) (AccessToken, error) {
			<-ctx.Done()
			ended = time.Since(begin)
			return AccessToken{}, ctx.Err()
		}}, twoPredictions)
		err := scoreError[*TransportError](t, client)
		if want := "POST http://example.com/score: no token within 100 s (0 attempts)"; err.Error() != want || !err.Timeout() {
			t.Errorf("got %q, timeout %v, want %q", err, err.Timeout(), want)
		}
		synctest.Wait()
		if ended != 100*time.Second || len(service.got()) != 0 {
			t.Errorf("the fetch ended after %v, %d requests", ended, len(service.got()))
		}
	})
}

// Proves B24, B32.
// The same for who came later and has time left: the provider's error that its context ended is not his.
func TestTokenTimeoutOfTheFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, _ := piped(t, Options{Timeout: 10 * time.Second, TokenProvider: func(ctx context.Context) (AccessToken, error) {
			<-ctx.Done()
			return AccessToken{}, fmt.Errorf("wrapped: %w", ctx.Err())
		}}, twoPredictions)
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() {
				begin := time.Now()
				err := scoreError[*TransportError](t, client)
				if want := "POST http://example.com/score: no token within 10 s (0 attempts)"; err.Error() != want || !err.Timeout() {
					t.Errorf("got %q after %v, want %q", err, time.Since(begin), want)
				}
			})
			time.Sleep(3 * time.Second)
		}
		calls.Wait()
	})
}

// Proves B24, B33.
// A caller who is gone begins no fetch.
func TestNoFetchForACancelledCall(t *testing.T) {
	t.Parallel()
	provider := providing("one")
	client := newClient(t, "https://example.com/score", Options{TokenProvider: provider.fetch})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Score(ctx, twoRows); err != context.Canceled || provider.count() != 0 {
		t.Errorf("got %v after %d fetches", err, provider.count())
	}
}

// Proves B20, B24.
// The provider's errors arrive as they are, bad tokens as argument errors; neither is repeated, and nothing is sent.
func TestProviderFails(t *testing.T) {
	t.Parallel()
	own := errors.New("no token today")
	tests := map[string]struct {
		result any
		want   error
	}{
		"own error":      {own, own},
		"empty":          {"", ArgumentError("the token is empty")},
		"zero value":     {AccessToken{}, ArgumentError("the token is empty")},
		"line feed":      {"abcdefghijkl\n", ArgumentError("the token has a character that cannot be sent in a header at position 12 (a trailing newline?)")},
		"another header": {"abc\r\nX: y", ArgumentError("the token has a character that cannot be sent in a header at position 3 (a trailing newline?)")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := serve(t, twoPredictions)
			provider := providing(test.result)
			client := newClient(t, service.uri, Options{TokenProvider: provider.fetch})
			for call := range 2 {
				if _, err := client.Score(t.Context(), twoRows); err != test.want {
					t.Errorf("got %v, want %v itself", err, test.want)
				}
				if provider.count() != call+1 || len(service.got()) != 0 {
					t.Errorf("%d fetches, %d requests", provider.count(), len(service.got()))
				}
			}
			if healthy, err := client.Healthy(t.Context()); healthy || err != test.want {
				t.Errorf("healthy: %v, %v", healthy, err)
			}
		})
	}
}

// Proves B24.
// When a refresh fails, or gives a bad token, the old one serves, and the next call asks again.
func TestFailingRefreshServesTheOldToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		provider := providing(AccessToken{NewKey("one"), time.Now().Add(time.Minute)}, errors.New("not now"), "bad\n", "two")
		client, service := piped(t, Options{TokenProvider: provider.fetch}, accepting("one", "two"))
		scoreTwo(t, client)
		time.Sleep(time.Minute)
		for range 4 {
			scoreTwo(t, client)
		}
		if got, want := sent(service.got()), []string{"one", "one", "one", "two", "two"}; !slices.Equal(got, want) || provider.count() != 4 {
			t.Errorf("sent %v after %d fetches, want %v after 4", got, provider.count(), want)
		}
	})
}

// Proves B25, B60.
// A refused token is dropped and fetched once more, and the call resent at once, without the hook or a retry.
func TestRefusedToken(t *testing.T) {
	t.Parallel()
	hook := func(retry Retry) error {
		t.Errorf("the hook was called: %v", retry)
		return nil
	}
	provider := providing("one", "two")
	service := serve(t, accepting("two"))
	client := newClient(t, service.uri, Options{TokenProvider: provider.fetch, MaxRetries: -1, OnRetry: hook})
	scoreTwo(t, client)
	scoreTwo(t, client)
	requests := service.got()
	if got, want := sent(requests), []string{"one", "two", "two"}; !slices.Equal(got, want) || provider.count() != 2 {
		t.Fatalf("sent %v after %d fetches, want %v after 2", got, provider.count(), want)
	}
	id := func(i int) string { return fmt.Sprint(requests[i].header("x-ms-client-request-id")) }
	if id(0) != id(1) || id(1) == id(2) || requests[0].body != requests[1].body {
		t.Errorf("ids %s %s %s, want the first two alike", id(0), id(1), id(2))
	}
}

// Proves B25.
// At most once in a call, health included; its retries are another matter, and a text hides all tokens of the call.
func TestRefusedTokens(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		results  []any
		answers  []answer
		sent     []string
		text     string
		fetches  int // after the call
		retained bool
	}{
		"two of them":          {[]any{"tok-1", "tok-2", "tok-3"}, []answer{reply(401, "tok-1"), reply(401, "not tok-1 nor tok-2")}, []string{"tok-1", "tok-2"}, "401: not *** nor *** (2 attempts)", 2, true},
		"one in the other":     {[]any{"tok-1", "tok-1-long"}, []answer{reply(401, ""), reply(403, "not tok-1-long")}, []string{"tok-1", "tok-1-long"}, "403: not *** (2 attempts)", 2, true},
		"the same again":       {[]any{"tok-1"}, []answer{accepting()}, []string{"tok-1"}, "401: no such token: *** (1 attempt)", 2, false},
		"the provider fails":   {[]any{"tok-1", errors.New("gone")}, []answer{accepting()}, []string{"tok-1"}, "gone", 2, false},
		"a retry in between":   {[]any{"tok-1", "tok-2"}, []answer{reply(503, ""), reply(401, ""), reply(503, ""), reply(401, "")}, []string{"tok-1", "tok-1", "tok-2", "tok-2"}, "401 (4 attempts)", 2, true},
		"a refresh at once":    {[]any{AccessToken{NewKey("tok-1"), time.Unix(1, 0)}, AccessToken{NewKey("tok-2"), time.Unix(1, 0)}}, []answer{reply(401, ""), reply(400, "")}, []string{"tok-1", "tok-2"}, "400 (2 attempts)", 2, false},
		"three retries after":  {[]any{"tok-1", "tok-2"}, []answer{reply(401, ""), reply(503, "")}, []string{"tok-1", "tok-2", "tok-2", "tok-2", "tok-2"}, "503 (5 attempts)", 2, true},
		"another status first": {[]any{"tok-1"}, []answer{reply(403, "")}, []string{"tok-1"}, "403 (1 attempt)", 1, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			provider := providing(test.results...)
			service := serve(t, test.answers...)
			client := newClient(t, service.uri, Options{TokenProvider: provider.fetch})
			_, err := client.Score(t.Context(), twoRows)
			if err == nil || !strings.HasSuffix(err.Error(), test.text) {
				t.Errorf("got %v, want it to end with %q", err, test.text)
			}
			if got := sent(service.got()); !slices.Equal(got, test.sent) || provider.count() != test.fetches {
				t.Errorf("sent %v after %d fetches, want %v after %d", got, provider.count(), test.sent, test.fetches)
			}
			client.tokens.mu.Lock()
			defer client.tokens.mu.Unlock()
			if name != "a refresh at once" && (client.tokens.token != "") != test.retained {
				t.Errorf("the cache holds %q, want one: %v", client.tokens.token, test.retained)
			}
		})
	}
	provider := providing("one", "two", "three")
	service := serve(t, accepting())
	if healthy, err := newClient(t, service.uri, Options{TokenProvider: provider.fetch}).Healthy(t.Context()); healthy || err != nil || len(service.got()) != 2 {
		t.Errorf("healthy: %v, %v, %d requests, want 2", healthy, err, len(service.got()))
	}
}

// Proves B24, B25.
// A token that was refused may come again, and serves when it is no more refused.
func TestRefusedTokenComesBack(t *testing.T) {
	t.Parallel()
	provider := providing("one")
	service := serve(t, reply(401, ""), twoPredictions)
	client := newClient(t, service.uri, Options{TokenProvider: provider.fetch})
	if err := scoreError[*ServiceError](t, client); err.StatusCode != 401 || err.Attempts != 1 {
		t.Errorf("got %v, want a 401 after one attempt", err)
	}
	scoreTwo(t, client)
	scoreTwo(t, client)
	if provider.count() != 3 {
		t.Errorf("%d fetches, want 3: one after the 401, and one for the call after it", provider.count())
	}
}

// Proves B24, B25.
// 64 callers whose token is refused at the same time share the fetch of the next one; who comes late finds it there.
func TestRefusedTokenSingleFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		provider := providing("one", "two", "three")
		release := make(chan struct{})
		refuse := accepting("two")
		client, service := piped(t, Options{TokenProvider: provider.fetch}, func(conn net.Conn, request received) bool {
			if request.header("Authorization")[0] == "Bearer one" {
				<-release
			}
			return refuse(conn, request)
		})
		var calls sync.WaitGroup
		for range 64 {
			calls.Go(func() { scoreTwo(t, client) })
		}
		synctest.Wait()
		close(release)
		calls.Wait()
		if provider.count() != 2 || len(service.got()) != 128 {
			t.Errorf("%d fetches and %d requests, want 2 and 128", provider.count(), len(service.got()))
		}
	})
}

// Proves B02, B21, B23.
func TestProviderOptions(t *testing.T) {
	t.Parallel()
	provider := providing(secret)
	if _, err := NewClient("https://example.com", Options{Key: NewKey("a"), TokenProvider: provider.fetch}); err != ArgumentError("Key and TokenProvider exclude each other") {
		t.Errorf("got %v", err)
	}
	if _, err := NewClient("http://example.com", Options{TokenProvider: provider.fetch}); err == nil || !strings.HasPrefix(err.Error(), "a key over plain http") {
		t.Errorf("got %v", err)
	}
	client := newClient(t, serve(t, twoPredictions).uri, Options{TokenProvider: provider.fetch})
	scoreTwo(t, client)
	checkHidden(t, "Client", client.String())
	token, _ := provider.fetch(t.Context())
	checkHidden(t, "AccessToken", token)
	checkHidden(t, "&AccessToken", &token)
}
