package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// environment is what makes a run of the binary repeat, here and elsewhere: nothing else
// is passed on but what the stories read. Collections of garbage move what maps by address
// iterate over: there is none up to the limit of memory.
func environment(chance string) []string {
	env := []string{"SKEIN_REPLAY=" + chance, "GOMAXPROCS=1", "GOGC=off", "GOMEMLIMIT=5GiB", "GODEBUG=asyncpreemptoff=1", "PATH=/usr/bin:/bin", "HOME=/"}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "SKEIN_") && !strings.HasPrefix(v, "SKEIN_REPLAY=") {
			env = append(env, v)
		}
	}
	return env
}

// A telling is a run of one test.
type telling struct {
	name, chance string
	env          []string
}

// An order says what is told: the stories that match, or the random worlds of so many
// seeds, from first on.
type order struct {
	match, chance      string
	first, seeds, jobs int
	all                bool // print also what those say that pass
}

// tell runs what is ordered, each in a process of its own, so many at a time. It prints a
// line for each, with fingerprints of what happened, and all that those say that fail.
func (o order) tell(binary string) error {
	binary, remove, err := aside(binary)
	if err != nil {
		return err
	}
	defer remove()
	list, err := exec.Command(binary, "-test.list", o.match).Output()
	if err != nil {
		return fmt.Errorf("list stories: %w", err)
	}
	var all []telling
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "Test") {
			all = append(all, telling{name: lines.Text(), chance: o.chance})
		}
	}
	if o.seeds > 0 {
		all = nil
		for seed := range o.seeds {
			text := strconv.Itoa(o.first + seed)
			all = append(all, telling{"TestRandomWorlds", text, []string{"SKEIN_SEED=" + text}})
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("no story matches %q", o.match)
	}
	todo := make(chan telling)
	go func() {
		defer close(todo)
		for _, x := range all {
			todo <- x
		}
	}()
	var tellers sync.WaitGroup
	var mu sync.Mutex
	failed := 0
	for range o.jobs {
		tellers.Go(func() {
			for x := range todo {
				begun := time.Now()
				said, err := x.run(binary)
				took := time.Since(begun).Seconds()
				mu.Lock()
				if err == nil {
					if o.all {
						fmt.Printf("%s", said)
					}
					fmt.Printf("ok  \t%s\t%.3fs\t%s\n", x, took, fingerprints(said))
				} else {
					failed++
					fmt.Printf("%sFAIL\t%s\t%.3fs\t%v\n", said, x, took, err)
				}
				mu.Unlock()
			}
		})
	}
	tellers.Wait()
	if failed > 0 {
		return fmt.Errorf("%d failed; make stories STORIES=Name CHANCE=%s tells a story again, make replay SEED=.. MEMBERS=%s REGIONS=%s a world",
			failed, o.chance, os.Getenv("SKEIN_MEMBERS"), os.Getenv("SKEIN_REGIONS"))
	}
	return nil
}

// aside copies the binary to where its path is as long as on any other machine.
func aside(binary string) (copied string, remove func(), err error) {
	data, err := os.ReadFile(binary)
	if err != nil {
		return "", nil, err
	}
	dir := fmt.Sprintf("/tmp/skein-replay-%07d", os.Getpid())
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", nil, err
	}
	copied = filepath.Join(dir, "replay.test")
	return copied, func() { _ = os.RemoveAll(dir) }, os.WriteFile(copied, data, 0o700)
}

func (x telling) String() string { return strings.Join(append([]string{x.name}, x.env...), " ") }

// run runs the test. Neither its folder nor its name says where the project is.
func (x telling) run(binary string) ([]byte, error) {
	cmd := exec.Command(binary, "-test.v", "-test.timeout", "20m", "-test.run", "^"+x.name+"$")
	cmd.Args[0], cmd.Dir, cmd.Env = "replay.test", "/", append(environment(x.chance), x.env...)
	return cmd.CombinedOutput()
}

// fingerprints are those of all that the networks of a story did.
func fingerprints(said []byte) string {
	var list []string
	for _, m := range fingerprint.FindAllSubmatch(said, -1) {
		list = append(list, string(m[1]))
	}
	return strings.Join(list, " ")
}

var fingerprint = regexp.MustCompile(`the network did ([0-9a-f]{16})`)

// tellAnyway runs them with the Go there is: they pass, but what fails may not fail again.
func tellAnyway(match string) error {
	cmd := exec.Command("go", "test", "-timeout", "20m", "-run", match, "./test/world")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
