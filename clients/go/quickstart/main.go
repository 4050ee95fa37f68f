// Command quickstart sends two rows to SCORING_URI, with SCORING_KEY if it is set, and prints their predictions.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

var rows = [][]float64{
	{0.0199132141783263, 0.0506801187398187, 0.104808689473925, 0.0700725447072635, -0.0359677812752396,
		-0.0266789028311707, -0.0249926566315915, -0.00259226199818282, 0.00371173823343597, 0.0403433716478807},
	{-0.0127796318808497, -0.044641636506989, 0.0606183944448076, 0.0528581912385822, 0.0479653430750293,
		0.0293746718291555, -0.0176293810234174, 0.0343088588777263, 0.0702112981933102, 0.00720651632920303},
}

func main() {
	body, err := json.Marshal(map[string]any{"data": rows})
	if err != nil {
		fail(2, "the rows: %v", err) // a NaN among them
	}
	request, err := http.NewRequest(http.MethodPost, os.Getenv("SCORING_URI"), bytes.NewReader(body))
	if err != nil || request.URL.Host == "" || request.URL.Scheme != "http" && request.URL.Scheme != "https" {
		fail(2, "SCORING_URI must be set to an absolute http or https URI")
	}
	seconds, err := strconv.ParseFloat(cmp.Or(os.Getenv("SCORING_TIMEOUT"), "60"), 64)
	if err != nil || !(seconds >= 0.001 && seconds <= 86400) {
		fail(2, "SCORING_TIMEOUT must be a number of seconds from 0.001 to 86400")
	}
	request.Header.Set("Content-Type", "application/json")
	if key := os.Getenv("SCORING_KEY"); key != "" { // some services need none
		if at := strings.IndexFunc(key, func(r rune) bool { return r < 0x21 || r > 0x7E }); at >= 0 {
			fail(2, "SCORING_KEY has a character that cannot be sent in a header at position %d (a trailing newline?)", at)
		}
		request.Header.Set("Authorization", "Bearer "+key)
	}
	client := http.Client{
		Timeout:       time.Duration(seconds * float64(time.Second)), // of the whole call
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		fail(1, "cannot reach %s: %v", request.URL.Host, errors.Unwrap(err)) // the outer text shows the whole URI
	}
	defer response.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		fail(1, "no complete reply from %s: %v", request.URL.Host, err)
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		var said struct{ Message string }
		_ = json.Unmarshal(reply, &said) // or it is a text, a page, nothing
		fail(1, "%s: %s", response.Status, cmp.Or(said.Message, string(reply)))
	}
	var predictions []json.RawMessage
	if err := json.Unmarshal(reply, &predictions); err != nil || predictions == nil {
		fail(1, "the reply is not an array: %s", reply)
	}
	fmt.Println(strings.ReplaceAll(fmt.Sprintf("%s", predictions), " ", ", "))
}

// fail ends the program with one line, in which the key does not appear.
func fail(code int, format string, values ...any) {
	text := fmt.Sprintf(format, values...)
	if key := os.Getenv("SCORING_KEY"); key != "" {
		text = strings.ReplaceAll(text, key, "***")
	}
	fmt.Fprintf(os.Stderr, "%.400s\n", strings.Join(strings.Fields(text), " "))
	os.Exit(code)
}
