package rescue

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/member/relay"
)

// RelayCommand is the argument with which the executable must call Main.
const RelayCommand = "bench-relay"

// A setup is the first line a relay's process reads.
type setup struct {
	Key []byte
	RTT time.Duration
}

// Main is a relay's process. It says who it is, then carries out assignments, one
// per line, until in ends.
func Main(in io.Reader, out io.Writer) error {
	lines, answers := json.NewDecoder(in), json.NewEncoder(out)
	var s setup
	if err := lines.Decode(&s); err != nil {
		return err
	}
	n, err := newNode(s.Key, s.RTT)
	if err != nil {
		return err
	}
	defer n.close()
	if err := answers.Encode(n.peer); err != nil {
		return err
	}
	for {
		var a relay.Assignment
		if err := lines.Decode(&a); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := n.r.Assign(a); err != nil {
			return err
		}
		if err := answers.Encode(true); err != nil {
			return err
		}
	}
}

// A process is a relay that can be killed.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	in    *json.Encoder
	out   *json.Decoder
	peer  link.Peer
}

func (w *world) start(ctx context.Context, executable string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, executable, RelayCommand)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.in, p.out = json.NewEncoder(p.stdin), json.NewDecoder(bufio.NewReader(stdout))
	if err = p.in.Encode(setup{w.pub, w.rtt}); err == nil {
		err = p.out.Decode(&p.peer)
	}
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("start a relay: %w", err)
	}
	return p, nil
}

func (p *process) assign(a relay.Assignment) error {
	if err := p.in.Encode(a); err != nil {
		return fmt.Errorf("relay %s: %w", p.peer.ID, err)
	}
	var done bool
	if err := p.out.Decode(&done); err != nil {
		return fmt.Errorf("relay %s: %w", p.peer.ID, err)
	}
	return nil
}

// kill ends the process by SIGKILL: it says good-bye to nobody.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	_ = p.stdin.Close()
}
