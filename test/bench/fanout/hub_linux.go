package fanout

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/region"
)

// The kinds of hubs.
const (
	plainHub = "udp"
	limitHub = "limit"
	relayHub = "relay"
)

// Cores the processes are pinned to.
const (
	hubCore    = 0
	sourceCore = 1
)

// A setup is the first line a hub reads: what it is to be.
type setup struct {
	Kind string
	Key  []byte // relay: verifies grants
}

// An order is any later line.
type order struct {
	Children []netip.AddrPort  // bare hubs: whom to feed
	Assign   *relay.Assignment // relay: what to do for one stream
	Rest     bool              // give memory back before answering
}

// An answer is what a hub says to its setup and to each order: what it has used.
type answer struct {
	Peer    *link.Peer     `json:",omitempty"` // to the setup, by a relay
	Addr    netip.AddrPort // to the setup, by a bare hub
	CPU     int64          // nanoseconds
	RSS     int64          // KiB
	Mallocs uint64
	Error   string
}

// A server is the inside of a hub.
type server interface {
	order(order) error
	close()
}

// Main is a hub's process. It ends when in does.
func Main(in io.Reader, out io.Writer) error {
	if err := pin(hubCore); err != nil {
		return err
	}
	lines, answers := json.NewDecoder(in), json.NewEncoder(out)
	var s setup
	if err := lines.Decode(&s); err != nil {
		return err
	}
	var first answer
	var h server
	var err error
	if s.Kind == relayHub {
		h, first.Peer, err = newRelayServer(s.Key)
	} else {
		h, first.Addr, err = newBareServer(s.Kind == limitHub)
	}
	if err != nil {
		return answers.Encode(answer{Error: err.Error()})
	}
	defer h.close()
	for a := first; ; {
		if err := answers.Encode(a); err != nil {
			return err
		}
		var o order
		if err := lines.Decode(&o); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		err := h.order(o)
		if o.Rest {
			debug.FreeOSMemory()
			debug.FreeOSMemory() // what pools held the first time
		}
		if a, err = used(err); err != nil {
			a = answer{Error: err.Error()}
		}
	}
}

// used is what this process has used.
func used(err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return answer{}, err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return answer{}, err
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return answer{}, fmt.Errorf("%w: /proc/self/statm", region.ErrInvalid)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return answer{CPU: u.Utime.Nano() + u.Stime.Nano(), RSS: pages * int64(os.Getpagesize()) / 1024, Mallocs: m.Mallocs}, err
}

// pin makes all threads of this process stay on one core.
func pin(core int) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	var set unix.CPUSet
	set.Set(core)
	for _, t := range tasks {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("pin to core %d (one for the hub and another for its children are needed): %w", core, err)
		}
	}
	runtime.GOMAXPROCS(1)
	return nil
}

// A process is a hub as the benchmark sees it.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	in    *json.Encoder
	out   *json.Decoder
}

func startHub(ctx context.Context, cfg Config, s setup) (*process, answer, error) {
	p := &process{cmd: exec.CommandContext(ctx, cfg.Executable, HubCommand)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, answer{}, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, answer{}, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, answer{}, err
	}
	p.in, p.out = json.NewEncoder(p.stdin), json.NewDecoder(bufio.NewReader(stdout))
	a, err := p.ask(s)
	if err != nil {
		p.close()
	}
	return p, a, err
}

// ask sends one line and waits for the answer.
func (p *process) ask(line any) (a answer, err error) {
	if err := p.in.Encode(line); err != nil {
		return a, fmt.Errorf("hub: %w", err)
	}
	if err := p.out.Decode(&a); err != nil {
		return a, fmt.Errorf("hub: %w", err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("hub: %s", a.Error)
	}
	return a, nil
}

func (p *process) usage() (answer, error) { return p.ask(order{}) }

func (p *process) close() {
	_ = p.stdin.Close()
	_ = p.cmd.Wait()
}
