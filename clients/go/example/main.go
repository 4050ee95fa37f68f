// Command example sends a picture to a scoring service, with a token that something else keeps fresh.
//
//	SCORING_URI=https://... SCORING_TOKEN_FILE=/run/secrets/token go run ./example digit.pgm
//
// SCORING_CA_FILE names a file of certificates to trust, SCORING_TIMEOUT is in seconds; both may be unset. Waits between attempts
// are logged. Ctrl-C cancels the call.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"azureml-scoring-clients/go/scoring"
)

func main() {
	if len(os.Args) != 2 {
		fail(2, "usage: example IMAGE")
	}
	for _, name := range []string{"SCORING_URI", "SCORING_TOKEN_FILE"} {
		if os.Getenv(name) == "" {
			fail(2, name+" is not set")
		}
	}
	seconds, err := strconv.ParseFloat(cmp.Or(os.Getenv("SCORING_TIMEOUT"), "100"), 64)
	if err != nil || !(seconds >= 0.001 && seconds <= 86400) {
		fail(2, "SCORING_TIMEOUT must be a number of seconds from 0.001 to 86400")
	}
	image, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(2, "the image cannot be read: "+err.Error())
	}
	client, err := scoring.NewClient(os.Getenv("SCORING_URI"), scoring.Options{
		TokenProvider: readToken,
		Timeout:       time.Duration(seconds * float64(time.Second)),
		CAFile:        os.Getenv("SCORING_CA_FILE"),
		OnRetry:       logRetry,
	})
	if err != nil {
		fail(2, err.Error())
	}
	defer client.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	reply, err := client.ScoreBytes(ctx, image, "image/x-portable-graymap")
	switch {
	case errors.Is(err, context.Canceled):
		fail(130, "cancelled")
	case err != nil:
		fail(1, err.Error())
	case !json.Valid(reply):
		fail(1, "the reply is not JSON")
	}
	fmt.Println(strings.NewReplacer("\r", " ", "\n", " ").Replace(strings.TrimSpace(string(reply))))
}

// readToken reads the file each time a token is needed, so that a new one is found within five minutes.
func readToken(context.Context) (scoring.AccessToken, error) {
	text, err := os.ReadFile(os.Getenv("SCORING_TOKEN_FILE"))
	if err != nil {
		return scoring.AccessToken{}, fmt.Errorf("the token file cannot be read: %w", err)
	}
	token := strings.TrimRight(string(text), "\r\n") // editors end files so
	return scoring.AccessToken{Token: scoring.NewKey(token), RefreshBy: time.Now().Add(5 * time.Minute)}, nil
}

// logRetry logs a wait; its reason holds no secret.
func logRetry(retry scoring.Retry) error {
	slog.Warn("retrying", "attempt", retry.Attempt, "wait", retry.Wait, "reason", retry.Reason)
	return nil
}

// fail ends the program with one line.
func fail(code int, text string) {
	fmt.Fprintln(os.Stderr, strings.Join(strings.Fields(text), " "))
	os.Exit(code)
}
