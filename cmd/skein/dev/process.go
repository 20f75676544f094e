package dev

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"sync"
)

// ChildCommand is the argument with which the executable must call Child.
const ChildCommand = "dev-node"

// maxLine bounds a line on a pipe: a report of a member with all its streams.
const maxLine = 4 << 20

// A processNode is a node in a process of its own. Orders go to its standard
// input, answers come from its standard output, one line of JSON each; what it
// logs goes to this process's standard error.
type processNode struct {
	spec Spec
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner

	// talk is held for the time of one order and its answer.
	talk sync.Mutex
}

// An order is what the parent tells a child after its Spec.
type order struct {
	Query Query
	// Refuse, unless nil, is what a member is to refuse from now on.
	Refuse *[]netip.Addr `json:",omitempty"`
	Stop   bool
}

// An answer is what a child says to an order, and once it has started.
type answer struct {
	Report Report
	Error  string
}

func newProcessNode(spec Spec, executable string, args []string) *processNode {
	cmd := exec.Command(executable, append([]string{ChildCommand}, args...)...)
	cmd.Stderr = os.Stderr
	return &processNode{spec: spec, cmd: cmd}
}

func (p *processNode) start(ctx context.Context) error {
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.in, p.out = stdin, bufio.NewScanner(stdout)
	p.out.Buffer(nil, maxLine)
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.spec.Name, err)
	}
	_, err = p.exchange(ctx, p.spec)
	return err
}

// exchange sends one line and waits for one. If ctx ends first the child is of
// no use any more and is killed, which also ends the waiting.
func (p *processNode) exchange(ctx context.Context, line any) (Report, error) {
	p.talk.Lock()
	defer p.talk.Unlock()
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	if err := json.NewEncoder(p.in).Encode(line); err != nil {
		return Report{}, fmt.Errorf("%s: %w", p.spec.Name, err)
	}
	if !p.out.Scan() {
		return Report{}, fmt.Errorf("%s: the process has ended: %w", p.spec.Name, errors.Join(p.out.Err(), ctx.Err()))
	}
	var a answer
	if err := json.Unmarshal(p.out.Bytes(), &a); err != nil {
		return Report{}, fmt.Errorf("%s: %w", p.spec.Name, err)
	}
	if a.Error != "" {
		return Report{}, errors.New(a.Error)
	}
	return a.Report, nil
}

func (p *processNode) report(ctx context.Context, q Query) (Report, error) {
	return p.exchange(ctx, order{Query: q})
}

func (p *processNode) refuse(ctx context.Context, from []netip.Addr) error {
	_, err := p.exchange(ctx, order{Refuse: &from})
	return err
}

func (p *processNode) kill() {
	// A process that has ended already needs no killing.
	_ = p.cmd.Process.Kill()
}

func (p *processNode) stop(ctx context.Context) {
	if p.cmd.Process == nil {
		return
	}
	// Whatever it answers, it must end: exchange kills it when ctx does.
	_, _ = p.exchange(ctx, order{Stop: true})
	_ = p.in.Close()
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	// The status of a killed process is no news.
	_ = p.cmd.Wait()
}

// Child is the life of a node process: it reads its Spec and then orders from
// in, answers on out, and ends when told to or when in ends, that is, when the
// parent is gone.
func Child(ctx context.Context, in io.Reader, out io.Writer, log *slog.Logger) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	replies := json.NewEncoder(out)
	var spec Spec
	if !lines.Scan() {
		return fmt.Errorf("no orders: %s is started by skein dev --processes: %w", ChildCommand, lines.Err())
	}
	if err := json.Unmarshal(lines.Bytes(), &spec); err != nil {
		return fmt.Errorf("orders: %w", err)
	}
	n := newLocalNode(spec, log)
	if err := n.start(ctx); err != nil {
		return errors.Join(replies.Encode(answer{Error: err.Error()}), err)
	}
	if err := replies.Encode(answer{}); err != nil {
		return err
	}
	for lines.Scan() {
		var o order
		err := json.Unmarshal(lines.Bytes(), &o)
		if err != nil {
			return fmt.Errorf("orders: %w", err)
		}
		if o.Stop {
			stopNode(n)
			return replies.Encode(answer{})
		}
		var a answer
		if m, ok := n.(refuser); ok && o.Refuse != nil {
			err = m.refuse(ctx, *o.Refuse)
		} else {
			a.Report, err = n.report(ctx, o.Query)
			a.Report.CPU = cpuTime()
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := replies.Encode(a); err != nil {
			return err
		}
	}
	stopNode(n)
	return lines.Err()
}

func stopNode(n node) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	n.stop(ctx)
}

func newLocalNode(spec Spec, log *slog.Logger) node {
	if spec.Member != nil {
		return newMemberNode(spec, log)
	}
	return newCoordinatorNode(spec, log)
}
