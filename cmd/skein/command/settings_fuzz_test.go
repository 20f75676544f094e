package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever is in a settings file, it is used or the error says where it is wrong.
func FuzzSettings(f *testing.F) {
	for _, text := range []string{
		"the-name: x\ndir: data\n", "count: [1, 2]\n", "the-name: {a: b}\n", "- the-name\n", "a: &a [*a]\n", "the-name: !!binary aGk=\n", "\x00",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "skein.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := settled(t, nil, "--config", file); err != nil && !strings.Contains(err.Error(), file) {
			t.Errorf("does not name the file: %v", err)
		}
	})
}
