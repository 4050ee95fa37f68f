package main

import (
	"bytes"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"azureml-scoring-clients/go/internal/program"
)

const (
	token = "t0k3n-of-the-file"
	image = "../../test-vectors/digit.pgm"
)

func TestMain(m *testing.M) {
	program.Main(m)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Over https, with a CA file, a busy service and the bytes of a file as they are.
func TestExample(t *testing.T) {
	t.Parallel()
	picture, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil || !bytes.Equal(body, picture) || r.Header.Get("Content-Type") != "image/x-portable-graymap" || r.Header.Get("Authorization") != "Bearer "+token:
			w.WriteHeader(http.StatusBadRequest)
		case requests.Add(1) == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"message": "busy `+token+`"}`)
		default:
			_, _ = io.WriteString(w, "{\"digit\":\n 7}\n")
		}
	}))
	t.Cleanup(server.Close)
	ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	code, stdout, log := program.New([]string{
		"SCORING_URI=" + server.URL + "/score", "SCORING_TOKEN_FILE=" + write(t, "token", token+"\n"), "SCORING_CA_FILE=" + ca, "SCORING_TIMEOUT=30",
	}, image).End(t)
	if code != 0 || stdout != "{\"digit\":  7}\n" {
		t.Errorf("exit %d, printed %q", code, stdout)
	}
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, "retrying attempt=1 wait=") || !strings.Contains(log, `reason="503: busy ***"`) {
		t.Errorf("logged %q", log)
	}
}

func TestCtrlC(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows cannot send an interrupt to one process")
	}
	t.Parallel()
	arrived := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not see the client go
		close(arrived)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	run := program.New([]string{"SCORING_URI=" + server.URL, "SCORING_TOKEN_FILE=" + write(t, "token", token)}, image)
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	<-arrived
	if err := run.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	run.Check(t, 130, "", "cancelled\n")
}

func TestWhatIsWrong(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/denied" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, "no, "+r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	uri, file := "SCORING_URI="+server.URL, "SCORING_TOKEN_FILE="+write(t, "token", token)
	tests := map[string]struct {
		variables []string
		arguments []string
		code      int
		text      string
	}{
		"no image":       {[]string{uri, file}, nil, 2, "usage: example IMAGE\n"},
		"no URI":         {[]string{file}, []string{image}, 2, "SCORING_URI is not set\n"},
		"no token file":  {[]string{uri}, []string{image}, 2, "SCORING_TOKEN_FILE is not set\n"},
		"bad URI":        {[]string{"SCORING_URI=/score", file}, []string{image}, 2, "the scoring URI must be an absolute http or https URI\n"},
		"bad time":       {[]string{uri, file, "SCORING_TIMEOUT=soon"}, []string{image}, 2, "SCORING_TIMEOUT must be a number of seconds from 0.001 to 86400\n"},
		"missing image":  {[]string{uri, file}, []string{"missing.pgm"}, 2, "the image cannot be read: open missing.pgm: " + syscall.ENOENT.Error() + "\n"},
		"missing token":  {[]string{uri, "SCORING_TOKEN_FILE=missing"}, []string{image}, 1, "the token file cannot be read: open missing: " + syscall.ENOENT.Error() + "\n"},
		"empty token":    {[]string{uri, "SCORING_TOKEN_FILE=" + write(t, "token", "\n")}, []string{image}, 1, "the token is empty\n"},
		"denied":         {[]string{uri + "/denied", file}, []string{image}, 1, "POST " + server.URL + "/denied: 403: no, Bearer *** (1 attempt)\n"},
		"reply not JSON": {[]string{uri + "/score", file}, []string{image}, 1, "the reply is not JSON\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program.New(test.variables, test.arguments...).Check(t, test.code, "", test.text)
		})
	}
}
