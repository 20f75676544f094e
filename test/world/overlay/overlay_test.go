package overlay

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPatch(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.go")
	if err := os.WriteFile(file, []byte("one\n\ttwo\nthree\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	apply := func(text string) (string, error) {
		p, err := Parse(text)
		if err != nil {
			return "", err
		}
		files, err := p.Apply(Roots{Module: dir})
		return files[file], err
	}
	got, err := apply("Why.\n@ a.go\n-one\n+ONE\n\n \ttwo\n+more\n-three\n")
	if err != nil || got != "ONE\n\ttwo\nmore\ntwo\n" {
		t.Errorf("%q, %v", got, err)
	}
	for text, want := range map[string]string{
		"nothing":              "names no file",
		"@ a.go\n-four\n+4\n":  "0 times",
		"@ a.go\n-two\n+2\n":   "2 times",
		"@ a.go\n+new\n":       "not once",
		"@ a.go\n*one\n":       "begins with none",
		"@ b.go\n-one\n+two\n": "no such file",
	} {
		if _, err := apply(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
