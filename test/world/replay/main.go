// Command replay builds test/world so that a seed gives the same run to the bit,
// every time. It writes the overlay it needs and calls go test -c with it:
//
//	go run ./test/world/replay -o bin/replay.test
//	SKEIN_SEED=7 SKEIN_REPLAY=7 GOMAXPROCS=1 GOGC=off GODEBUG=asyncpreemptoff=1 bin/replay.test -test.run RandomWorlds
//
// as make replay SEED=7 does. With -tell it then runs the stories that match, each in a
// process of its own, so that one which fails once fails again (make stories):
//
//	go run ./test/world/replay -tell . -chance 1 -jobs 2
//
// With -seeds it runs random worlds in the same way (make world-replays).
// Another -chance is another order of what happens at the same time. The patch of Go's
// runtime (runtime.patch) is for one version of Go; where it does not fit, this says so, and
// stories are told without. Nothing that ships is ever built with it.
package main

import (
	"cmp"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/skein-mesh/skein/test/world/overlay"
)

//go:embed runtime.patch
var patch string

func main() {
	out := flag.String("o", "bin/replay.test", "where to put the test binary")
	match := flag.String("tell", "", "then run the tests that match, each by itself")
	chance := flag.String("chance", "1", "seed of what happens by chance; for -tell")
	seeds := flag.Int("seeds", 0, "or run the random worlds of that many seeds")
	jobs := flag.Int("jobs", 2, "tests that run at a time; for -tell")
	flag.Parse()
	err := build(*out)
	switch {
	case err == nil && (*match != "" || *seeds > 0):
		err = tell(*out, cmp.Or(*match, "."), *chance, *seeds, max(1, *jobs))
	case errors.Is(err, overlay.ErrMismatch) && *match != "":
		fmt.Fprintf(os.Stderr, "replay: %v; stories are told without\n", err)
		err = tellAnyway(*match)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

func build(out string) error {
	p, err := overlay.Parse(patch)
	if err != nil {
		return err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	// Always the same folder, so that the next build finds this one's packages; go list skips it.
	dir := filepath.Join(filepath.Dir(out), "_overlay")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name, err := p.Write(overlay.Roots{Go: strings.TrimSpace(string(root))}, dir)
	if err != nil {
		return err
	}
	// The same binary wherever it is built.
	build := exec.Command("go", "test", "-c", "-trimpath", "-overlay", name, "-o", out, "./test/world")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	return build.Run()
}
