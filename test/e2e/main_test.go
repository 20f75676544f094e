package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// program is the path of skein, built once for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "skein-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "skein")
	build := exec.Command("go", "build", "-o", program, "github.com/skein-mesh/skein/cmd/skein")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "go build:", err)
		return 1
	}
	return m.Run()
}

// A result is what a run of skein left behind.
type result struct {
	out, err string
	code     int
}

// skein runs the program to its end.
func skein(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = t.TempDir()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || !exit.Exited()) {
		t.Fatalf("skein %s: %v\n%s", strings.Join(args, " "), err, errOut.String())
	}
	return result{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// must is skein for runs that have to succeed; it returns standard output.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := skein(t, args...)
	if r.code != 0 {
		t.Fatalf("skein %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.err)
	}
	return r.out
}

// decode reads JSON that skein has printed.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

// A process is a skein that keeps running.
type process struct {
	cmd  *exec.Cmd
	log  *journal
	done chan struct{}
	name string
}

// A journal gathers what a process says. It may be read meanwhile.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// said reports whether the process has printed some words.
func (p *process) said(words string) bool { return strings.Contains(p.log.String(), words) }

// launch starts skein in the background and ends it with the test.
func launch(t *testing.T, args ...string) *process {
	t.Helper()
	return spawn(t, append([]string{program}, args...)...)
}

// spawn is launch for a whole command line, of skein or of what runs it.
func spawn(t *testing.T, line ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(line[0], line[1:]...), log: new(journal), done: make(chan struct{})}
	p.name = "skein " + line[slices.Index(line, program)+1]
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the code is in ProcessState
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", p.name, p.log.String())
		}
	})
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// end sends SIGTERM and returns the exit code.
func (p *process) end(t *testing.T) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("%s: %v\n%s", p.name, err, p.log)
	}
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s does not end", p.name)
	}
	return p.cmd.ProcessState.ExitCode()
}

// A cluster is a folder made by skein init and its running coordinators.
type cluster struct {
	dir    string
	addrs  []string
	coords []*process
}

// newCluster makes a cluster and waits until a coordinator leads.
func newCluster(t *testing.T, coordinators int) *cluster {
	t.Helper()
	c := &cluster{dir: filepath.Join(t.TempDir(), "cluster"), addrs: freeAddresses(t, coordinators)}
	must(t, "init", "--dir", c.dir, "--coordinators", strings.Join(c.addrs, ","))
	for i := range coordinators {
		c.coords = append(c.coords, c.start(t, i))
	}
	c.awaitLeader(t)
	return c
}

func (c *cluster) start(t *testing.T, i int) *process {
	t.Helper()
	return launch(t, "coordinator", "--config", c.settings(i))
}

func (c *cluster) settings(i int) string { return filepath.Join(c.coordinator(i), "skein.yaml") }

func (c *cluster) coordinator(i int) string {
	return filepath.Join(c.dir, fmt.Sprintf("coordinator-%d", i+1))
}

// operator returns the arguments of a question to the cluster.
func (c *cluster) operator(args ...string) []string {
	return append(args, "--coordinators", strings.Join(c.addrs, ","), "--credentials", filepath.Join(c.dir, "operator"))
}

// member returns the arguments of a command that joins the cluster.
func (c *cluster) member(t *testing.T, args ...string) []string {
	t.Helper()
	token := strings.TrimSpace(must(t, "token", "create", "--authority", filepath.Join(c.dir, "ca")))
	return append(args, "--coordinators", strings.Join(c.addrs, ","), "--token", token, "--media", "127.0.0.1:0", "--gossip", "127.0.0.1:0")
}

func (c *cluster) awaitLeader(t *testing.T) {
	t.Helper()
	eventually(t, "a leader", func() bool {
		r := skein(t, c.operator("status", "-o", "json")...)
		if r.code != 0 {
			return false
		}
		for _, s := range decode[[]inspect.Coordinator](t, r.out) {
			for _, g := range s.Groups {
				if g.State == "leader" {
					return true
				}
			}
		}
		return false
	})
}

// eventually asks until the answer is yes, for half a minute.
func eventually(t *testing.T, what string, ask func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ask() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

// freeAddresses finds gRPC addresses whose port, the next one (Raft) and the one
// 80 above (HTTP) are free.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	listen := func(port int) (net.Listener, bool) {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			held = append(held, l)
		}
		return l, err == nil
	}
	for len(out) < n {
		l, ok := listen(0)
		if !ok {
			t.Fatal("no free port")
		}
		port := l.Addr().(*net.TCPAddr).Port
		_, raft := listen(port + 1)
		_, http := listen(port + 80)
		if raft && http {
			out = append(out, l.Addr().String())
		}
	}
	return out
}
