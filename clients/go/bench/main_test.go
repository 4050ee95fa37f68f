//go:build unix

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
)

// Both modes make the calls that are asked for, and refuse a wrong answer.
func TestModes(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"bare", "client"} {
		var requests atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			if r.Header.Get("Authorization") != "Bearer a-key" {
				w.WriteHeader(http.StatusUnauthorized)
			}
			_, _ = io.WriteString(w, "[1.5, 2.5]")
		}))
		defer server.Close()
		score, err := prepare(mode, server.URL+"/score", "a-key")
		if err != nil {
			t.Fatal(err)
		}
		took := run(score, [][]float64{{1}, {2}}, 20, 3)
		if len(took) != 20 || requests.Load() != 20 || took[19] <= 0 {
			t.Errorf("%s: %d calls, %d requests", mode, len(took), requests.Load())
		}
		if got, err := score([][]float64{{1}}); err == nil {
			t.Errorf("%s: two predictions for a row are taken: %v", mode, got)
		}
	}
	if _, err := prepare("other", "http://localhost", ""); err == nil {
		t.Error("another mode is taken")
	}
	if runtime.GOOS == "linux" && peakMemory() <= 0 || cpuSeconds() <= 0 {
		t.Error("no memory or no time was used")
	}
}
