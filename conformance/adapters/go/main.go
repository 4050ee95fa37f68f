// Command adapter lets the conformance suite use the Go client, as ../../PROTOCOL.md says: one JSON object a line, in and out.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"azureml-scoring-clients/go/scoring"
)

type request struct {
	ID          string     `json:"id"`
	Op          string     `json:"op"`
	Client      string     `json:"client"`
	ScoringURI  string     `json:"scoring_uri"`
	Key         *string    `json:"key"`
	Options     options    `json:"options"`
	Rows        [][]string `json:"rows"`
	JSON        string     `json:"json"`
	Body        []byte     `json:"body"`
	ContentType *string    `json:"content_type"`
	Timeout     *float64   `json:"timeout"`
	Call        string     `json:"call"`
	Answer      *answer    `json:"answer"`
}

type answer struct {
	Token     string   `json:"token"`
	RefreshBy *float64 `json:"refresh_by"`
	Error     *string  `json:"error"`
}

type object map[string]any

// providerError and hookError are exceptions of the provider's and the hook's own.
type (
	providerError string
	hookError     string
)

func (e providerError) Error() string { return string(e) }
func (e hookError) Error() string     { return string(e) }

// unsupported is what Go, or its client, cannot express.
type unsupported string

func (e unsupported) Error() string { return string(e) }

type adapter struct {
	mu      sync.Mutex
	lines   *json.Encoder // one write a line, not buffered
	clients map[string]*scoring.Client
	calls   map[string]context.CancelFunc // under way, by request
	asked   map[string]chan answer        // by question
	last    int                           // number of the last question or news
}

func main() {
	a := &adapter{lines: json.NewEncoder(os.Stdout), clients: map[string]*scoring.Client{}, calls: map[string]context.CancelFunc{}, asked: map[string]chan answer{}}
	input := bufio.NewReader(os.Stdin)
	var running sync.WaitGroup
	for {
		line, err := input.ReadBytes('\n')
		if len(line) > 0 {
			var r request
			if err := json.Unmarshal(line, &r); err != nil {
				fmt.Fprintln(os.Stderr, "adapter: a request is not as the protocol says:", err)
				os.Exit(1)
			}
			if r.Answer != nil {
				a.deliver(r.ID, *r.Answer)
				continue
			}
			ctx, cancel := context.WithCancel(context.Background())
			a.locked(func() { a.calls[r.ID] = cancel }) // now, so that a request to cancel finds it
			running.Go(func() {
				reply := a.reply(ctx, r)
				reply["id"] = r.ID
				a.locked(func() { delete(a.calls, r.ID) })
				cancel()
				a.write(reply)
			})
		}
		if err != nil {
			break
		}
	}
	running.Wait()
}

func (a *adapter) locked(do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	do()
}

func (a *adapter) write(line object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.lines.Encode(line); err != nil {
		fmt.Fprintln(os.Stderr, "adapter: a line cannot be written:", err)
		os.Exit(1)
	}
}

func (a *adapter) reply(ctx context.Context, r request) object {
	ok, err := a.do(ctx, r)
	var missing unsupported
	switch {
	case errors.As(err, &missing):
		return object{"unsupported": string(missing)}
	case err != nil:
		return object{"error": describe(err)}
	default:
		return object{"ok": ok}
	}
}

func (a *adapter) do(ctx context.Context, r request) (object, error) {
	switch r.Op {
	case "hello":
		return object{"protocol": 1, "level": 2, "capabilities": []string{"token_provider", "on_retry", "ca_file", "proxy", "cancel", "close"}, "max_in_flight": 64,
			"client": object{"name": "go", "language": "Go", "http_library": "net/http", "language_version": strings.TrimPrefix(runtime.Version(), "go")}}, nil
	case "open":
		return object{}, a.open(r)
	case "cancel":
		a.locked(func() {
			if cancel, found := a.calls[r.Call]; found {
				cancel()
			}
		})
		return object{}, nil
	}
	var client *scoring.Client
	a.locked(func() { client = a.clients[r.Client] })
	if r.Op == "score" && r.Client == "" { // level 1
		var err error
		if client, err = scoring.NewClient(r.ScoringURI, scoring.Options{Key: key(r.Key)}); err != nil {
			return nil, err
		}
		defer client.Close()
	}
	if client == nil {
		return nil, unsupported(r.Op)
	}
	if r.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, seconds(*r.Timeout))
		defer cancel()
	}
	return call(ctx, client, r)
}

func call(ctx context.Context, client *scoring.Client, r request) (object, error) {
	switch r.Op {
	case "score":
		rows, err := decodeRows(r.Rows)
		if err != nil {
			return nil, err
		}
		predictions, err := client.Score(ctx, rows)
		cells := make([]string, len(predictions))
		for i, prediction := range predictions {
			cells[i] = fmt.Sprintf("%016x", math.Float64bits(prediction))
		}
		return object{"predictions": cells}, err
	case "score_json":
		reply, err := client.ScoreJSON(ctx, json.RawMessage(r.JSON))
		return object{"json": string(reply)}, err
	case "score_bytes":
		contentType := scoring.DefaultContentType
		if r.ContentType != nil {
			contentType = *r.ContentType
		}
		reply, err := client.ScoreBytes(ctx, r.Body, contentType)
		return object{"body": base64.StdEncoding.EncodeToString(reply)}, err
	case "swagger":
		reply, err := client.Swagger(ctx)
		return object{"json": string(reply)}, err
	case "health":
		healthy, err := client.Healthy(ctx)
		return object{"healthy": healthy}, err
	case "close":
		client.Close()
		return object{}, nil
	default:
		return nil, unsupported(r.Op)
	}
}

func decodeRows(rows [][]string) ([][]float64, error) {
	decoded := make([][]float64, len(rows))
	for i, row := range rows {
		decoded[i] = make([]float64, len(row))
		for j, cell := range row {
			bits, err := strconv.ParseUint(cell, 16, 64)
			if err != nil {
				return nil, err
			}
			decoded[i][j] = math.Float64frombits(bits)
		}
	}
	return decoded, nil
}

func describe(err error) object {
	text := err.Error()
	var service *scoring.ServiceError
	var transport *scoring.TransportError
	var reply *scoring.ReplyError
	switch {
	case errors.As(err, &service):
		return object{"kind": "service", "text": text, "attempts": service.Attempts, "status": service.StatusCode,
			"message": service.Message, "body": base64.StdEncoding.EncodeToString(service.Body),
			"request_id": known(service.RequestID), "client_request_id": known(service.ClientRequestID),
			"retry_after": inSeconds(service.RetryAfter), "model_status": known(service.ModelStatus), "model_reason": known(service.ModelReason),
			"run_function_failed": service.RunFunctionFailed}
	case errors.As(err, &transport):
		return object{"kind": "transport", "text": text, "attempts": transport.Attempts, "timed_out": transport.Timeout()}
	case errors.As(err, &reply):
		return object{"kind": "reply", "text": text, "attempts": reply.Attempts}
	}
	switch err.(type) { // unchanged means unwrapped, too
	case scoring.ArgumentError:
		return object{"kind": "argument", "text": text}
	case providerError:
		return object{"kind": "provider", "text": text}
	case hookError:
		return object{"kind": "hook", "text": text}
	}
	if err == context.Canceled || err == context.DeadlineExceeded {
		return object{"kind": "cancelled", "text": text}
	}
	return object{"kind": "unexpected", "text": text}
}

// known makes null of what the client does not know.
func known[T comparable](value T) any {
	if value == *new(T) {
		return nil
	}
	return value
}

func inSeconds(hint *time.Duration) any {
	if hint == nil {
		return nil
	}
	return hint.Seconds()
}

func seconds(count float64) time.Duration {
	return time.Duration(count * float64(time.Second))
}

func key(text *string) scoring.Key {
	if text == nil {
		return scoring.Key{}
	}
	return scoring.NewKey(*text)
}
