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

	"azureml-scoring-clients/go/scoring"
)

type request struct {
	ID         string     `json:"id"`
	Op         string     `json:"op"`
	ScoringURI string     `json:"scoring_uri"`
	Key        *string    `json:"key"`
	Rows       [][]string `json:"rows"`
}

type object map[string]any

func main() {
	lines := bufio.NewReader(os.Stdin)
	replies := json.NewEncoder(os.Stdout) // one write a line, not buffered
	var writing sync.Mutex
	var calls sync.WaitGroup
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var r request
			if err := json.Unmarshal(line, &r); err != nil {
				fmt.Fprintln(os.Stderr, "adapter: a request is not as the protocol says:", err)
				os.Exit(1)
			}
			calls.Go(func() {
				reply := answer(r)
				reply["id"] = r.ID
				writing.Lock()
				defer writing.Unlock()
				if err := replies.Encode(reply); err != nil {
					fmt.Fprintln(os.Stderr, "adapter: a reply cannot be written:", err)
					os.Exit(1)
				}
			})
		}
		if err != nil {
			break
		}
	}
	calls.Wait()
}

func answer(r request) object {
	switch r.Op {
	case "hello":
		return object{"ok": object{"protocol": 1, "level": 1, "capabilities": []string{}, "max_in_flight": 16, "client": object{
			"name": "go", "language": "Go", "http_library": "net/http",
			"language_version": strings.TrimPrefix(runtime.Version(), "go")}}}
	case "score":
		predictions, err := score(r)
		if err != nil {
			return object{"error": describe(err)}
		}
		cells := make([]string, len(predictions))
		for i, prediction := range predictions {
			cells[i] = fmt.Sprintf("%016x", math.Float64bits(prediction))
		}
		return object{"ok": object{"predictions": cells}}
	default:
		return object{"unsupported": r.Op}
	}
}

func score(r request) ([]float64, error) {
	rows := make([][]float64, len(r.Rows))
	for i, row := range r.Rows {
		rows[i] = make([]float64, len(row))
		for j, cell := range row {
			bits, err := strconv.ParseUint(cell, 16, 64)
			if err != nil {
				return nil, err
			}
			rows[i][j] = math.Float64frombits(bits)
		}
	}
	var options scoring.Options
	if r.Key != nil {
		options.Key = scoring.NewKey(*r.Key)
	}
	client, err := scoring.NewClient(r.ScoringURI, options)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.Score(context.Background(), rows)
}

func describe(err error) object {
	var argument scoring.ArgumentError
	var service *scoring.ServiceError
	var transport *scoring.TransportError
	var reply *scoring.ReplyError
	switch {
	case errors.As(err, &argument):
		return object{"kind": "argument", "text": err.Error()}
	case errors.As(err, &service):
		return object{"kind": "service", "text": err.Error(), "attempts": service.Attempts, "status": service.StatusCode,
			"message": service.Message, "body": base64.StdEncoding.EncodeToString(service.Body),
			"request_id": known(service.RequestID), "client_request_id": known(service.ClientRequestID)}
	case errors.As(err, &transport):
		return object{"kind": "transport", "text": err.Error(), "attempts": transport.Attempts, "timed_out": transport.Timeout()}
	case errors.As(err, &reply):
		return object{"kind": "reply", "text": err.Error(), "attempts": reply.Attempts}
	default:
		return object{"kind": "unexpected", "text": err.Error()}
	}
}

func known(id string) any {
	if id == "" {
		return nil
	}
	return id
}
