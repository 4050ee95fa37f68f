package main

import (
	"context"
	"fmt"
	"time"

	"azureml-scoring-clients/go/scoring"
)

// options are those of PROTOCOL.md; what is absent is nil.
type options struct {
	Key               *string  `json:"key"`
	TokenProvider     bool     `json:"token_provider"`
	Timeout           *float64 `json:"timeout"`
	AttemptTimeout    *float64 `json:"attempt_timeout"`
	ConnectTimeout    *float64 `json:"connect_timeout"`
	BaseDelay         *float64 `json:"base_delay"`
	MaxDelay          *float64 `json:"max_delay"`
	MaxRetries        *int     `json:"max_retries"`
	RetryStatuses     []int    `json:"retry_statuses"`
	MaxReplyBytes     *int64   `json:"max_reply_bytes"`
	Deployment        *string  `json:"deployment"`
	CAFile            *string  `json:"ca_file"`
	Proxy             *string  `json:"proxy"`
	AllowInsecureHTTP bool     `json:"allow_insecure_http"`
	OnRetry           string   `json:"on_retry"`
}

func (a *adapter) open(r request) error {
	given := r.Options
	made := scoring.Options{Key: key(given.Key), RetryStatuses: given.RetryStatuses, AllowInsecureHTTP: given.AllowInsecureHTTP}
	// The zero value of an option means its default: a zero that was asked for cannot be expressed.
	for _, err := range []error{
		set(&made.Timeout, given.Timeout, seconds, "timeout"),
		set(&made.AttemptTimeout, given.AttemptTimeout, seconds, "attempt_timeout"),
		set(&made.ConnectTimeout, given.ConnectTimeout, seconds, "connect_timeout"),
		set(&made.BaseDelay, given.BaseDelay, seconds, "base_delay"),
		set(&made.MaxDelay, given.MaxDelay, seconds, "max_delay"),
		set(&made.MaxRetries, given.MaxRetries, retries, "max_retries"),
		set(&made.MaxReplyBytes, given.MaxReplyBytes, same, "max_reply_bytes"),
		set(&made.Deployment, given.Deployment, same, "deployment"),
		set(&made.CAFile, given.CAFile, same, "ca_file"),
		set(&made.Proxy, given.Proxy, same, "proxy"),
	} {
		if err != nil {
			return err
		}
	}
	if given.TokenProvider {
		made.TokenProvider = func(ctx context.Context) (scoring.AccessToken, error) { return a.ask(ctx, r.Client) }
	}
	if given.OnRetry != "" {
		made.OnRetry = func(retry scoring.Retry) error {
			a.write(object{"id": a.next(), "tell": "retry", "client": r.Client, "attempt": retry.Attempt, "wait": retry.Wait.Seconds(), "reason": retry.Reason})
			if given.OnRetry == "throw" {
				return hookError("the hook failed")
			}
			return nil
		}
	}
	client, err := scoring.NewClient(r.ScoringURI, made)
	if err != nil {
		return err
	}
	a.locked(func() { a.clients[r.Client] = client })
	return nil
}

func set[From any, To comparable](to *To, from *From, convert func(From) To, name string) error {
	if from == nil {
		return nil
	}
	if *to = convert(*from); *to == *new(To) {
		return unsupported(fmt.Sprintf("%s: in Go, %v means the default", name, *from))
	}
	return nil
}

func same[T any](value T) T { return value }

// retries spells none as Go does. A negative number, which means none in Go, has no other spelling.
func retries(count int) int {
	switch {
	case count == 0:
		return -1
	case count < 0:
		return 0
	default:
		return count
	}
}

// next is the id of a question or of news.
func (a *adapter) next() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last++
	return fmt.Sprintf("go-%d", a.last)
}

// ask gets a token from the suite.
func (a *adapter) ask(ctx context.Context, client string) (scoring.AccessToken, error) {
	id, answers := a.next(), make(chan answer, 1)
	a.locked(func() { a.asked[id] = answers })
	defer a.locked(func() { delete(a.asked, id) })
	a.write(object{"id": id, "ask": "token", "client": client})
	select {
	case <-ctx.Done():
		return scoring.AccessToken{}, ctx.Err()
	case got := <-answers:
		if got.Error != nil {
			return scoring.AccessToken{}, providerError(*got.Error)
		}
		var refreshBy time.Time
		if got.RefreshBy != nil {
			refreshBy = time.UnixMicro(int64(*got.RefreshBy * 1e6))
		}
		return scoring.AccessToken{Token: scoring.NewKey(got.Token), RefreshBy: refreshBy}, nil
	}
}

// deliver hands an answer to the provider that asked, if it still waits.
func (a *adapter) deliver(id string, got answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if answers, waiting := a.asked[id]; waiting {
		answers <- got
	}
}
