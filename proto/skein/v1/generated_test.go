package skeinv1

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The committed code is what the .proto files generate, and they pass the lint.
func TestGeneratedIsFresh(t *testing.T) {
	if os.Getenv("CI") == "" {
		t.Skip("builds buf from tools/go.mod, which takes minutes the first time: set CI=1 to run it")
	}
	const root = "../../.."
	dir := t.TempDir()
	for _, args := range [][]string{{"lint"}, {"generate", "-o", dir}} {
		cmd := exec.CommandContext(t.Context(), "go", append([]string{"tool", "-modfile=tools/go.mod", "buf"}, args...)...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("buf %s: %v\n%s", args[0], err, out)
		}
	}
	committed, err := filepath.Glob("*.pb.go")
	if err != nil {
		t.Fatal(err)
	}
	generated, err := filepath.Glob(filepath.Join(dir, "proto/skein/v1/*.pb.go"))
	if err != nil || len(generated) == 0 {
		t.Fatalf("nothing generated: %v", err)
	}
	if len(committed) != len(generated) {
		t.Errorf("%d files are committed, %d generated", len(committed), len(generated))
	}
	for _, path := range generated {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile(filepath.Base(path))
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%s is out of date: run make gen", filepath.Base(path))
		}
	}
}
