package main

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

const (
	token = "t0k3n-of-the-file"
	image = "../../test-vectors/digit.pgm"
)

// program is the built example: go run replaces every exit code but 0 by 1.
var program string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(folder, "example.exe")
	output, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	if err != nil {
		panic(string(output))
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// example prepares a run, in the environment of the tests without settings of the network.
func example(variables []string, arguments ...string) (command *exec.Cmd, stdout, stderr *bytes.Buffer) {
	command = exec.Command(program, arguments...)
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(strings.ToUpper(variable), "=")
		if !strings.HasPrefix(name, "SCORING_") && !strings.HasSuffix(name, "_PROXY") && !strings.HasPrefix(name, "SSL_CERT") {
			command.Env = append(command.Env, variable)
		}
	}
	command.Env = append(command.Env, variables...)
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	command.Stdout, command.Stderr = stdout, stderr
	return command, stdout, stderr
}

func check(t *testing.T, command *exec.Cmd, err error, code int) {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := command.ProcessState.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
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
	command, stdout, stderr := example([]string{
		"SCORING_URI=" + server.URL + "/score", "SCORING_TOKEN_FILE=" + write(t, "token", token+"\n"), "SCORING_CA_FILE=" + ca, "SCORING_TIMEOUT=30",
	}, image)
	check(t, command, command.Run(), 0)
	if got := stdout.String(); got != "{\"digit\":  7}\n" {
		t.Errorf("printed %q", got)
	}
	if log := stderr.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "retrying attempt=1 wait=") || !strings.Contains(log, `reason="503: busy ***"`) {
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
	command, stdout, stderr := example([]string{"SCORING_URI=" + server.URL, "SCORING_TOKEN_FILE=" + write(t, "token", token)}, image)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	<-arrived
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	check(t, command, command.Wait(), 130)
	if stdout.String() != "" || stderr.String() != "cancelled\n" {
		t.Errorf("printed %q, %q", stdout, stderr)
	}
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
			command, stdout, stderr := example(test.variables, test.arguments...)
			check(t, command, command.Run(), test.code)
			if stdout.String() != "" || stderr.String() != test.text {
				t.Errorf("printed %q, %q, want %q", stdout, stderr, test.text)
			}
		})
	}
}
