//go:build unix

// Command bench measures what a call costs: with the client, or with net/http alone. It prints one line of JSON.
//
//	SCORING_KEY=... go run ./bench --mode bare|client --uri URI --calls 30000 --warmup 30000 --concurrency 1 --rows 2
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"azureml-scoring-clients/go/scoring"
)

func main() {
	mode := flag.String("mode", "", "bare or client")
	uri := flag.String("uri", "", "scoring URI")
	calls := flag.Int("calls", 1000, "calls that are measured")
	warmup := flag.Int("warmup", 100, "calls before them")
	concurrency := flag.Int("concurrency", 1, "goroutines that call")
	rowCount := flag.Int("rows", 2, "rows of ten numbers in a call")
	flag.Parse()
	if *calls < 1 || *warmup < 0 || *concurrency < 1 || *rowCount < 1 || flag.NArg() > 0 {
		fail(2, "the counts must be positive, and there is no other argument")
	}
	rows := make([][]float64, *rowCount)
	for i := range rows {
		for j := range 10 {
			rows[i] = append(rows[i], float64(i*10+j)/7)
		}
	}
	score, err := prepare(*mode, *uri, os.Getenv("SCORING_KEY"))
	if err != nil {
		fail(2, err.Error())
	}
	run(score, rows, *warmup, *concurrency)

	before, begin := cpuSeconds(), time.Now()
	took := run(score, rows, *calls, *concurrency)
	seconds, cpu := time.Since(begin).Seconds(), cpuSeconds()-before
	slices.Sort(took)
	percentile := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Nanoseconds()) / 1e3
	}
	err = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"calls": *calls, "seconds": seconds, "cpu_seconds": cpu, "p50_us": percentile(0.50), "p99_us": percentile(0.99), "peak_rss_bytes": peakMemory(),
	})
	if err != nil {
		fail(1, err.Error())
	}
}

type scoreFunc func(rows [][]float64) ([]float64, error)

func prepare(mode, uri, key string) (scoreFunc, error) {
	switch mode {
	case "client":
		var options scoring.Options
		if key != "" {
			options.Key = scoring.NewKey(key)
		}
		client, err := scoring.NewClient(uri, options)
		if err != nil {
			return nil, err
		}
		return func(rows [][]float64) ([]float64, error) { return client.Score(context.Background(), rows) }, nil
	case "bare":
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 64
		client := &http.Client{Transport: transport, Timeout: 100 * time.Second}
		return func(rows [][]float64) ([]float64, error) { return bare(client, uri, key, rows) }, nil
	default:
		return nil, fmt.Errorf("the mode must be bare or client")
	}
}

// bare is the quickstart's call.
func bare(client *http.Client, uri, key string, rows [][]float64) ([]float64, error) {
	body, err := json.Marshal(map[string]any{"data": rows})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(http.MethodPost, uri, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	reply, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", response.Status)
	}
	var predictions []float64
	if err := json.Unmarshal(reply, &predictions); err != nil {
		return nil, err
	}
	if len(predictions) != len(rows) {
		return nil, fmt.Errorf("%d predictions for %d rows", len(predictions), len(rows))
	}
	return predictions, nil
}

// run makes calls from some goroutines and returns how long each took.
func run(score scoreFunc, rows [][]float64, calls, concurrency int) []time.Duration {
	took := make([]time.Duration, calls)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range concurrency {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(calls); i = next.Add(1) - 1 {
				begin := time.Now()
				if _, err := score(rows); err != nil {
					fail(1, err.Error())
				}
				took[i] = time.Since(begin)
			}
		})
	}
	workers.Wait()
	return took
}

// cpuSeconds is what this process has used, in user and system mode.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(1, err.Error())
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// peakMemory is VmHWM, in bytes; 0 where the system does not tell.
func peakMemory() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

func fail(code int, text string) {
	fmt.Fprintln(os.Stderr, "bench:", strings.Join(strings.Fields(text), " "))
	os.Exit(code)
}
