package scoring_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The fences of the README are the marked regions of the tested examples.
func TestREADMEShowsTheExamples(t *testing.T) {
	t.Parallel()
	examples := read(t, "example_test.go")
	shown := map[string]string{}
	for _, fence := range regexp.MustCompile("(?s)<!-- begin: (\\w+) -->\n```go\n(.*?)```\n<!-- end: (\\w+) -->").FindAllStringSubmatch(read(t, "../README.md"), -1) {
		shown[fence[1]] = fence[2]
	}
	regions := regexp.MustCompile(`(?s)\t// \[START (\w+)\]\n(.*?)\t// \[END`).FindAllStringSubmatch(examples, -1)
	for _, region := range regions {
		name, want := region[1], strings.TrimPrefix(strings.ReplaceAll("\n"+region[2], "\n\t", "\n"), "\n")
		if shown[name] != want {
			t.Errorf("README.md shows for %q\n%s\nand example_test.go has\n%s", name, shown[name], want)
		}
	}
	if fences := strings.Count(read(t, "../README.md"), "```go"); fences != len(regions) || len(regions) == 0 {
		t.Errorf("README.md has %d fences of Go, and example_test.go %d regions", fences, len(regions))
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
