package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

// tell runs the stories that match, each in a process of its own, so many at a time.
// It prints a line for each, with fingerprints of what happened, and all that those say
// that fail.
func tell(binary, match, chance string, jobs int) error {
	binary, remove, err := aside(binary)
	if err != nil {
		return err
	}
	defer remove()
	list, err := exec.Command(binary, "-test.list", match).Output()
	if err != nil {
		return fmt.Errorf("list stories: %w", err)
	}
	names := make(chan string)
	go func() {
		defer close(names)
		for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "Test") {
				names <- lines.Text()
			}
		}
	}()
	var tellers sync.WaitGroup
	var mu sync.Mutex
	failed := 0
	for range jobs {
		tellers.Go(func() {
			for name := range names {
				begun := time.Now()
				said, err := story(binary, name, chance)
				took := time.Since(begun).Seconds()
				mu.Lock()
				if err == nil {
					fmt.Printf("ok  \t%s\t%.3fs\t%s\n", name, took, fingerprints(said))
				} else {
					failed++
					fmt.Printf("%sFAIL\t%s\t%.3fs\t%v\n", said, name, took, err)
				}
				mu.Unlock()
			}
		})
	}
	tellers.Wait()
	if failed > 0 {
		return fmt.Errorf("%d stories failed; go run ./test/world/replay -tell NAME -chance %s tells one again as it was", failed, chance)
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

// story runs one test. Neither its folder nor its name says where the project is.
func story(binary, name, chance string) ([]byte, error) {
	cmd := exec.Command(binary, "-test.v", "-test.timeout", "10m", "-test.run", "^"+name+"$")
	cmd.Args[0], cmd.Dir, cmd.Env = "replay.test", "/", environment(chance)
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
