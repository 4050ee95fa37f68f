// Package program lets a test run the program of its package as a process of its own: go run replaces every exit code but 0 by 1.
package program

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var path string

// Main is for a TestMain: it builds the program, runs the tests and ends the process.
func Main(m *testing.M) {
	folder, err := os.MkdirTemp("", "program")
	if err != nil {
		panic(err)
	}
	path = filepath.Join(folder, "program.exe") // a name for every system
	output, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		panic(string(output))
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// Run is a process that was not started yet.
type Run struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

// New prepares a run of the program.
func New(variables []string, arguments ...string) *Run {
	return Command(variables, path, arguments...)
}

// Command prepares a run of any program, in the environment of the tests without the network settings of the machine, and with these
// variables.
func Command(variables []string, name string, arguments ...string) *Run {
	run := &Run{Cmd: exec.Command(name, arguments...)}
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(strings.ToUpper(variable), "=")
		if !strings.HasPrefix(name, "SCORING_") && !strings.HasSuffix(name, "_PROXY") && !strings.HasPrefix(name, "SSL_CERT") {
			run.Env = append(run.Env, variable)
		}
	}
	run.Env = append(run.Env, variables...)
	run.Stdout, run.Stderr = &run.stdout, &run.stderr
	return run
}

// Check runs the process, unless it was started, and compares how it ended.
func (r *Run) Check(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	gotCode, gotStdout, gotStderr := r.End(t)
	if gotCode != code || gotStdout != stdout || gotStderr != stderr {
		t.Errorf("exit %d, %q, %q; want %d, %q, %q", gotCode, gotStdout, gotStderr, code, stdout, stderr)
	}
}

// End runs the process, unless it was started, and returns how it ended.
func (r *Run) End(t *testing.T) (code int, stdout, stderr string) {
	t.Helper()
	// A file that a test reads is an input to go test's cache; what a built program is made of is not.
	sources, err := filepath.Glob("../*/*.go")
	for _, source := range sources {
		if _, err := os.ReadFile(source); err != nil {
			t.Fatal(err)
		}
	}
	if err == nil && r.Process == nil {
		err = r.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	err = r.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return r.ProcessState.ExitCode(), r.stdout.String(), r.stderr.String()
}
