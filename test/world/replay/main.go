// Command replay builds test/world so that a seed gives the same run to the bit,
// every time. It writes the overlay it needs and calls go test -c with it:
//
//	go run ./test/world/replay -o bin/replay.test
//	SKEIN_SEED=7 SKEIN_REPLAY=7 GOMAXPROCS=1 GOGC=off GODEBUG=asyncpreemptoff=1 bin/replay.test -test.run RandomWorlds
//
// as make replay SEED=7 does. The patch of Go's runtime (runtime.patch) is for one
// version of Go; where it does not fit, this says so. Nothing that ships is ever
// built with it.
package main

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/skein-mesh/skein/test/world/overlay"
)

//go:embed runtime.patch
var patch string

func main() {
	out := flag.String("o", "bin/replay.test", "where to put the test binary")
	flag.Parse()
	if err := build(*out); err != nil {
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
	dir, err := os.MkdirTemp("", "skein-replay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	name, err := p.Write(overlay.Roots{Go: strings.TrimSpace(string(root))}, dir)
	if err != nil {
		return err
	}
	build := exec.Command("go", "test", "-c", "-overlay", name, "-o", out, "./test/world")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	return build.Run()
}
