// Command replay builds test/world so that what a seed gives repeats: a random world
// (make replay, make world-replays), or a story (make stories), each in a process of its own:
//
//	go run ./test/world/replay -tell . -chance 1 -jobs 2
//	go run ./test/world/replay -first 7 -seeds 1 -v
//
// It writes the overlay it needs and calls go test -c with it.
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
	var o order
	flag.StringVar(&o.match, "tell", "", "then run the tests that match, each by itself")
	flag.StringVar(&o.chance, "chance", "1", "seed of what happens by chance; for -tell")
	flag.IntVar(&o.seeds, "seeds", 0, "or run the random worlds of that many seeds")
	flag.IntVar(&o.first, "first", 1, "from this seed on; for -seeds")
	flag.IntVar(&o.jobs, "jobs", 2, "tests that run at a time")
	flag.BoolVar(&o.all, "v", false, "print also what those say that pass")
	flag.Parse()
	o.jobs = max(1, o.jobs)
	err := build(*out)
	switch {
	case err == nil && (o.match != "" || o.seeds > 0):
		o.match = cmp.Or(o.match, ".")
		err = o.tell(*out)
	case errors.Is(err, overlay.ErrMismatch) && o.match != "":
		fmt.Fprintf(os.Stderr, "replay: %v; stories are told without\n", err)
		err = tellAnyway(o.match)
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
