package mutants

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/test/world/overlay"
)

const (
	// root of the module.
	root = "../../.."
	// minutes of virtual time that a mutant may live through.
	minutes = 60
	// simulation is how much processor time it may have for that, in seconds.
	simulation = 60
	// runVariable says that mutants are to be built and run: names of patches,
	// parted by commas, or "all". It takes minutes.
	runVariable = "SKEIN_MUTANTS"
)

// A mutant is a patch and the tests that are to notice it.
type mutant struct {
	name, harm, run string
	patch           overlay.Patch
}

func mutants(t *testing.T) []mutant {
	t.Helper()
	files, err := filepath.Glob("patches/*.patch")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d patches: %v", len(files), err)
	}
	var list []mutant
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, err := overlay.Parse(string(data))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		m := mutant{name: strings.TrimSuffix(filepath.Base(file), ".patch"), patch: p}
		m.harm, m.run, _ = strings.Cut(p.Comment, "\nrun: ")
		if m.run == "" {
			m.run = "RandomWorlds"
		}
		list = append(list, m)
	}
	return list
}

func roots(t *testing.T) overlay.Roots {
	t.Helper()
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	return overlay.Roots{Module: dir}
}

func TestPatchesFit(t *testing.T) {
	for _, m := range mutants(t) {
		if _, err := m.patch.Apply(roots(t)); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// TestMutantsAreCaught builds and runs them.
func TestMutantsAreCaught(t *testing.T) {
	wanted := os.Getenv(runVariable)
	if wanted == "" {
		t.Skipf("%s=all make mutants builds and runs them", runVariable)
	}
	list := mutants(t)
	rows := make([]string, len(list))
	t.Cleanup(func() {
		fmt.Printf("| mutant | what is broken | which check noticed | after (virtual) | simulation |\n|---|---|---|---|---|\n%s", strings.Join(rows, ""))
	})
	for i, m := range list {
		if !strings.Contains(","+wanted+",", ","+m.name+",") && wanted != "all" {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			v := m.live(t)
			if v.check == "" {
				t.Errorf("nothing noticed: %s", m.harm)
			}
			rows[i] = fmt.Sprintf("| %s | %s | %s | %s | %.1f s |\n", m.name, m.harm, v.check, v.virtual, v.cpu.Seconds())
			t.Log(rows[i])
		})
	}
}

// A verdict is how a mutant was caught; check is empty if it was not.
type verdict struct {
	check, virtual string
	cpu            time.Duration
}

// noticed is how test/world reports a broken promise.
var noticed = regexp.MustCompile(`_test\.go:\d+: after ([0-9.hms]+s): (.*)`)

func (m mutant) live(t *testing.T) verdict {
	t.Helper()
	dir := t.TempDir()
	name, err := m.patch.Write(roots(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "mutant.test")
	build := exec.Command("go", "test", "-c", "-vet=off", "-overlay", name, "-o", bin, "./test/world")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s does not build: %v\n%s", m.name, err, out)
	}
	run := exec.Command("sh", "-c", fmt.Sprintf("ulimit -t %d; exec %s -test.run %s -test.parallel 1 -test.failfast", simulation, bin, m.run))
	run.Dir = filepath.Join(root, "test", "world")
	run.Env = append(os.Environ(), fmt.Sprintf("SKEIN_MINUTES=%d", minutes), "GOMAXPROCS=1", "TMPDIR="+dir)
	var out bytes.Buffer
	run.Stdout, run.Stderr = &out, &out
	err = run.Run()
	v := verdict{cpu: run.ProcessState.UserTime()}
	switch found := noticed.FindSubmatch(out.Bytes()); {
	case err == nil, strings.Contains(err.Error(), "signal"):
	case found != nil:
		v.virtual, v.check = string(found[1]), brief(string(found[2]))
	case bytes.Contains(out.Bytes(), []byte("panic: ")):
		_, text, _ := strings.Cut(out.String(), "panic: ")
		v.check = brief("panic: " + text)
	default:
		v.check = brief(out.String())
	}
	return v
}

// brief is the first line of a complaint, short enough for a table.
func brief(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if len(line) > 110 {
		line = line[:110] + "..."
	}
	return strings.ReplaceAll(line, "|", "/")
}
