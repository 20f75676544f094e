package member

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/skein-mesh/skein/member/line"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

const (
	// maxCoordinators bounds the addresses a member remembers.
	maxCoordinators = 64
	// A call that failed is tried again after 50 ms, doubling to 2 s, with
	// jitter: an election takes 1 to 3 s.
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 2 * time.Second
	// maxRetryAfter bounds how long a coordinator can make a member wait.
	maxRetryAfter = 10 * time.Second
	// maxMessage bounds an answer: a view of 64 candidates has about 20 kB, the
	// roles of a busy member a few hundred.
	maxMessage = 4 << 20
)

// client is what a coordinator offers.
type client struct {
	skeinv1.MembershipClient
	skeinv1.EnrolmentClient
	skeinv1.InspectionClient
	skeinv1.DirectoryClient
}

// A connection leads to one coordinator.
type connection struct {
	*grpc.ClientConn
	line *line.Line
}

func (c connection) close() {
	c.line.Close()
	_ = c.ClientConn.Close()
}

// coordinators reaches the region's group: it knows addresses, keeps
// connections, follows the hints to the leader and repeats calls that failed
// for a passing reason. It may be used by any goroutine.
type coordinators struct {
	network Network
	tls     *tls.Config
	access  func(context.Context) (string, error) // nil = none
	timeout time.Duration
	log     *slog.Logger
	seeds   []string
	bytes   atomic.Uint64 // to and from all of them
	session sessionBooks

	mu     sync.Mutex
	closed bool
	conns  map[string]connection
	// addrs are the addresses to try: seeds first, then learnt ones.
	addrs  []string
	next   int
	leader string // empty if not known
	// distrusted holds what was wrong with the certificate at an address.
	distrusted map[string]error
}

func newCoordinators(cfg Config, t *tls.Config) *coordinators {
	return &coordinators{
		network: cfg.Network, tls: t, access: cfg.Access, timeout: cfg.CallTimeout, log: cfg.Logger,
		seeds:      slices.Clone(cfg.Coordinators),
		addrs:      slices.Clone(cfg.Coordinators),
		conns:      make(map[string]connection),
		distrusted: make(map[string]error),
	}
}

// call runs f against the leader, or whoever leads to it, until it succeeds, is
// refused for a reason that will not pass, or ctx ends. f is run again with the
// same request, whose id makes that safe. Errors are those of package region.
func (g *coordinators) call(ctx context.Context, f func(context.Context, client) error) error {
	var tried attempts
	pause := firstBackoff
	for {
		addr, c, err := g.pick()
		if err != nil {
			return err
		}
		attempt, cancel := context.WithTimeout(ctx, g.timeout)
		err = f(attempt, c)
		cancel()
		if err == nil {
			g.setLeader(addr)
			return nil
		}
		outcome := g.judge(addr, err)
		if outcome.final != nil {
			return outcome.final
		}
		tried.add(addr, outcome.err)
		if err := g.foreign(); err != nil {
			return err
		}
		if outcome.hinted && tried.hops < 3 {
			tried.hops++
			continue
		}
		tried.hops = 0
		wait := max(outcome.wait, pause/2+rand.N(pause/2))
		pause = min(2*pause, lastBackoff)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return tried.failure(ctx)
		}
	}
}

// attempts remembers what each address last answered.
type attempts struct {
	hops  int // hints followed without a pause
	addrs []string
	errs  map[string]error
}

func (a *attempts) add(addr string, err error) {
	if a.errs == nil {
		a.errs = make(map[string]error)
	}
	if _, known := a.errs[addr]; !known {
		a.addrs = append(a.addrs, addr)
	}
	a.errs[addr] = err
}

func (a *attempts) failure(ctx context.Context) error {
	var b strings.Builder
	for i, addr := range a.addrs {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %v", addr, a.errs[addr])
	}
	return fmt.Errorf("coordinators %w (%s): check that the addresses are right and that coordinators run there: %w",
		region.ErrUnreachable, b.String(), context.Cause(ctx))
}

// A judgement says what to do after a failed call.
type judgement struct {
	final  error         // not nil: give up with it
	err    error         // what to tell if all else fails
	wait   time.Duration // at least this long before the next attempt
	hinted bool          // the leader is known now
}

// judge decides what an error of the coordinator at addr means.
func (g *coordinators) judge(addr string, err error) judgement {
	code := status.Code(err)
	err = skeinv1.FromStatus(err)
	if hint, ok := errors.AsType[*region.NotLeaderError](err); ok {
		g.setLeader(hint.Address)
		delay, _ := skeinv1.RetryDelay(err)
		return judgement{err: err, wait: min(delay, maxRetryAfter), hinted: hint.Address != "" && hint.Address != addr}
	}
	delay, _ := skeinv1.RetryDelay(err)
	delay = min(delay, maxRetryAfter)
	switch code {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unknown, codes.Internal, codes.Unimplemented:
		g.forget(addr)
		return judgement{err: err, wait: delay}
	case codes.Aborted:
		return judgement{err: err, wait: delay}
	}
	if errors.Is(err, region.ErrOverloaded) {
		return judgement{err: err, wait: delay}
	}
	if there, ok := errors.AsType[*region.ElsewhereError](err); ok && (g.follow(there) || len(there.Now) == 1 && there.Now[0].Over()) {
		// Who is asked next may know more.
		g.forget(addr)
		return judgement{err: err}
	}
	return judgement{final: err}
}

// known are the addresses to try.
func (g *coordinators) known() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.addrs)
}

// ask runs f once against the coordinator at an address, whoever leads.
func (g *coordinators) ask(ctx context.Context, addr string, f func(context.Context, client) error) error {
	g.mu.Lock()
	c, err := g.at(addr)
	g.mu.Unlock()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	return skeinv1.FromStatus(f(ctx, c))
}

// pick returns the leader's address, or the next one in turn.
func (g *coordinators) pick() (string, client, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return "", client{}, net.ErrClosed
	}
	addr := g.leader
	if addr == "" {
		addr = g.addrs[g.next%len(g.addrs)]
		g.next++
	}
	c, err := g.at(addr)
	return addr, c, err
}

// at returns the coordinator at an address; called with mu held.
func (g *coordinators) at(addr string) (client, error) {
	if g.closed {
		return client{}, net.ErrClosed
	}
	conn, ok := g.conns[addr]
	if !ok {
		dialled, err := g.dial(addr)
		if err != nil {
			return client{}, err
		}
		conn = connection{dialled, line.New(dialled)}
		g.conns[addr] = conn
	}
	return client{
		conn.line, skeinv1.NewEnrolmentClient(conn), skeinv1.NewInspectionClient(conn),
		skeinv1.NewDirectoryClient(conn),
	}, nil
}

// setLeader remembers who answered; empty means that nobody is known to lead.
func (g *coordinators) setLeader(addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leader = addr
}

func (g *coordinators) leaderAddr() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.leader
}

// forget drops addr as leader, so that the next call tries another one.
func (g *coordinators) forget(addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leader == addr {
		g.leader = ""
	}
}

// learn replaces the addresses learnt so far. The seeds stay: a group may move
// away entirely and come back.
func (g *coordinators) learn(group []*skeinv1.Coordinator) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.addrs = slices.Clone(g.seeds)
	for _, c := range group {
		addr := c.GetAddress()
		if _, _, err := net.SplitHostPort(addr); err != nil || len(g.addrs) >= maxCoordinators {
			continue
		}
		if !slices.Contains(g.addrs, addr) {
			g.addrs = append(g.addrs, addr)
		}
		if c.GetLeader() {
			g.leader = addr
		}
	}
	for addr, conn := range g.conns {
		if addr != g.leader && !slices.Contains(g.addrs, addr) {
			delete(g.conns, addr)
			conn.close()
		}
	}
}

// prefer adds addresses before those that were given.
func (g *coordinators) prefer(addresses []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := slices.Clone(addresses)
	for _, a := range g.seeds {
		if !slices.Contains(list, a) && len(list) < maxCoordinators {
			list = append(list, a)
		}
	}
	g.seeds, g.addrs, g.next, g.leader = list, slices.Clone(list), 0, ""
}

// follow learns where a region is that is not hosted where it was asked for; false
// if it is over, nobody knows, or the caller is at home in another one now.
func (g *coordinators) follow(e *region.ElsewhereError) bool {
	if !errors.Is(e, region.ErrElsewhere) || len(e.Now) != 1 || e.Now[0].Over() {
		return false
	}
	var list []*skeinv1.Coordinator
	for _, h := range e.Now[0].Replicas {
		list = append(list, &skeinv1.Coordinator{Id: string(h.ID), Address: h.GRPC})
	}
	g.learn(list)
	return true
}

func (g *coordinators) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, conn := range g.conns {
		conn.close()
	}
	clear(g.conns)
}

// foreign reports what is wrong if no address belongs to our cluster: that
// does not pass, so nobody should wait for it.
func (g *coordinators) foreign() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, addr := range g.addrs {
		if g.distrusted[addr] == nil {
			return nil
		}
	}
	addr := g.addrs[0]
	return fmt.Errorf("coordinator %s: %w", addr, g.distrusted[addr])
}
