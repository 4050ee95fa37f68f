package scoring_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"azureml-scoring-clients/go/scoring"
)

// endpoint stands in for a scoring endpoint.
func endpoint(status int, body string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
}

func ExampleClient_Score() {
	server := endpoint(200, "[217.67978776218715, 224.78937091757172]")
	defer server.Close()
	ctx, scoringURI, key := context.Background(), server.URL+"/score", "a-key"

	// [START score]
	client, err := scoring.NewClient(scoringURI, scoring.Options{Key: scoring.NewKey(key)})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	predictions, err := client.Score(ctx, [][]float64{
		{0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635, -0.0359677812752396,
			-0.0266789028311707, -0.0249926566315915, -0.00259226199818282, 0.00371173823343597, 0.0403433716478807},
		{-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822, 0.0479653430750293,
			0.0293746718291555, -0.0176293810234174, 0.0343088588777263, 0.0702112981933102, 0.00720651632920303},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(predictions)
	// [END score]
	// Output: [217.67978776218715 224.78937091757172]
}

func ExampleOptions() {
	server := endpoint(200, "[1.5]")
	defer server.Close()
	scoringURI, fetchToken := server.URL+"/score", func(context.Context) (string, time.Time, error) { return "a-token", time.Time{}, nil }

	// [START options]
	client, err := scoring.NewClient(scoringURI, scoring.Options{
		TokenProvider: func(ctx context.Context) (scoring.AccessToken, error) {
			token, refreshBy, err := fetchToken(ctx)
			return scoring.AccessToken{Token: scoring.NewKey(token), RefreshBy: refreshBy}, err
		},
		Timeout: 30 * time.Second,
		OnRetry: func(retry scoring.Retry) error {
			slog.Warn("scoring", "attempt", retry.Attempt, "wait", retry.Wait, "reason", retry.Reason)
			return nil
		},
	})
	// [END options]
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Score(context.Background(), [][]float64{{1.5, 2.5}}))
	// Output: [1.5] <nil>
}

// Example_handler calls a model from within a server: with the context of the request, so that a visitor who leaves ends the call.
func Example_handler() {
	model := endpoint(200, "[217.67978776218715]")
	defer model.Close()
	client, err := scoring.NewClient(model.URL+"/score", scoring.Options{})
	if err != nil {
		log.Fatal(err)
	}
	rowOf := func(*http.Request) []float64 { return []float64{1.5, 2.5} }

	// [START handler]
	handler := func(w http.ResponseWriter, r *http.Request) { // client was made once, in main
		predictions, err := client.Score(r.Context(), [][]float64{rowOf(r)})
		switch {
		case r.Context().Err() != nil: // the visitor has left
		case err != nil:
			slog.ErrorContext(r.Context(), "scoring", "error", err) // free of credentials
			http.Error(w, "no prediction", http.StatusBadGateway)
		default:
			fmt.Fprintln(w, predictions[0])
		}
	}
	// [END handler]
	recorder := httptest.NewRecorder()
	handler(recorder, httptest.NewRequest("GET", "/", nil))
	fmt.Print(recorder.Body)
	// Output: 217.67978776218715
}

func Example_errors() {
	server := endpoint(401, `{"message": "key_auth_access_denied"}`)
	defer server.Close()
	client, err := scoring.NewClient(server.URL+"/score", scoring.Options{Key: scoring.NewKey("a-key")})
	if err != nil {
		log.Fatal(err)
	}
	ctx, rows := context.Background(), [][]float64{{1.5, 2.5}}

	// [START errors]
	_, err = client.Score(ctx, rows)
	var (
		argument  scoring.ArgumentError
		service   *scoring.ServiceError
		transport *scoring.TransportError
		reply     *scoring.ReplyError
	)
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		fmt.Println("ctx ended the call")
	case errors.As(err, &argument):
		fmt.Println("fix the rows:", argument)
	case errors.As(err, &service):
		fmt.Println("the service answered", service.StatusCode, service.Message)
	case errors.As(err, &transport):
		fmt.Println("no answer, time limit passed:", transport.Timeout())
	case errors.As(err, &reply):
		fmt.Println("no predictions:", reply.Reason)
	}
	// [END errors]
	// Output: the service answered 401 key_auth_access_denied
}
