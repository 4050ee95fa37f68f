package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"azureml-scoring-clients/go/internal/program"
)

const (
	key         = "s3cr3t-key"
	predictions = "[217.67978776218715, 224.78937091757172]"
)

func TestMain(m *testing.M) {
	program.Main(m)
}

// service answers like the article's, to one key; every other one gets 401 and sees it echoed.
func service(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		switch {
		case r.Header.Get("Authorization") != "Bearer "+key:
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"message": "refused:\n`+r.Header.Get("Authorization")+`"}`)
		case err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" ||
			!bytes.HasPrefix(body, []byte(`{"data":[[0.0199132141783263,`)) || !bytes.HasSuffix(body, []byte(`,0.00720651632920303]]}`)):
			w.WriteHeader(http.StatusBadRequest)
		default:
			_, _ = io.WriteString(w, predictions+"\n")
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// The command of the README.
func TestGoRun(t *testing.T) {
	t.Parallel()
	run := program.Command([]string{"SCORING_URI=" + service(t).URL + "/score", "SCORING_KEY=" + key}, "go", "run", "./quickstart")
	run.Dir = ".."
	run.Check(t, 0, predictions+"\n", "")
}

func TestQuickstart(t *testing.T) {
	t.Parallel()
	server := service(t)
	uri := "SCORING_URI=" + server.URL + "/score?code=hidden"
	redirect := httptest.NewServer(http.RedirectHandler(server.URL, http.StatusTemporaryRedirect))
	t.Cleanup(redirect.Close)
	odd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, map[string]string{"/object": `{"error": "no model"}`, "/null": "null", "/nan": "[NaN]"}[r.URL.Path])
	}))
	t.Cleanup(odd.Close)
	const (
		badURI     = "SCORING_URI must be set to an absolute http or https URI\n"
		badKey     = "SCORING_KEY has a character that cannot be sent in a header at position 10 (a trailing newline?)\n"
		badTimeout = "SCORING_TIMEOUT must be a number of seconds from 0.001 to 86400\n"
	)
	tests := map[string]struct {
		variables []string
		code      int
		stdout    string
		stderr    string
	}{
		"success":         {[]string{uri, "SCORING_KEY=" + key, "SCORING_TIMEOUT=30.5"}, 0, predictions + "\n", ""},
		"wrong key":       {[]string{uri, "SCORING_KEY=wr0ng-key"}, 1, "", "401 Unauthorized: refused: Bearer ***\n"},
		"no key":          {[]string{uri}, 1, "", "401 Unauthorized: refused:\n"},
		"redirect":        {[]string{"SCORING_URI=" + redirect.URL, "SCORING_KEY=" + key}, 1, "", "307 Temporary Redirect:\n"},
		"object":          {[]string{"SCORING_URI=" + odd.URL + "/object"}, 1, "", `the reply is not an array: {"error": "no model"}` + "\n"},
		"null":            {[]string{"SCORING_URI=" + odd.URL + "/null"}, 1, "", "the reply is not an array: null\n"},
		"NaN":             {[]string{"SCORING_URI=" + odd.URL + "/nan"}, 1, "", "the reply is not an array: [NaN]\n"},
		"empty":           {[]string{"SCORING_URI=" + odd.URL + "/empty"}, 1, "", "the reply is not an array:\n"},
		"no URI":          {nil, 2, "", badURI},
		"relative URI":    {[]string{"SCORING_URI=/score"}, 2, "", badURI},
		"other scheme":    {[]string{"SCORING_URI=ftp://localhost/score"}, 2, "", badURI},
		"line feed":       {[]string{uri, "SCORING_KEY=" + key + "\n"}, 2, "", badKey},
		"no number":       {[]string{uri, "SCORING_TIMEOUT=5m"}, 2, "", badTimeout},
		"not positive":    {[]string{uri, "SCORING_TIMEOUT=0"}, 2, "", badTimeout},
		"not finite":      {[]string{uri, "SCORING_TIMEOUT=NaN"}, 2, "", badTimeout},
		"line feed (URI)": {[]string{uri + "\n"}, 2, "", badURI},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program.New(test.variables).Check(t, test.code, test.stdout, test.stderr)
		})
	}
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	code, stdout, stderr := program.New([]string{"SCORING_URI=http://" + address + "/score?code=hidden", "SCORING_KEY=" + key}).End(t)
	if code != 1 || stdout != "" || !strings.HasPrefix(stderr, "cannot reach "+address+": ") || strings.Count(stderr, "\n") != 1 || strings.Contains(stderr, "hidden") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}

// The limit covers the body too; the server never ends it.
func TestTimeout(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "[1.5,")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	code, stdout, stderr := program.New([]string{"SCORING_URI=" + server.URL, "SCORING_TIMEOUT=2"}).End(t)
	if code != 1 || stdout != "" || !strings.Contains(stderr, "Client.Timeout") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}
