package dev

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/cmd/skein/web"
	"github.com/skein-mesh/skein/region"
)

// What may be ordered from the page.
const (
	orderKill  = "kill"
	orderDrain = "drain"
	orderPause = "pause"
	orderStart = "start"
	// orderBlock keeps two members apart: neither receives a datagram of the
	// other. orderUnblock ends that.
	orderBlock   = "block"
	orderUnblock = "unblock"
	// orderPlan has the trees reorganised now; it is about no node.
	orderPlan = "plan"
)

// pauseTime is how long a paused node stands still: long enough for those it
// feeds to give it up, too short for its lease to run out.
const pauseTime = 2 * time.Second

// A pauser is a node that can be made to stand still.
type pauser interface {
	pause(d time.Duration) error
}

// A refuser is a node that can be kept apart from others.
type refuser interface {
	// refuse drops every datagram that comes from one of these addresses, and
	// none from others.
	refuse(ctx context.Context, from []netip.Addr) error
}

// knownOrders lists what can be ordered. Only a process can be paused.
func knownOrders(cfg Config) []string {
	known := []string{orderKill, orderDrain, orderStart, orderPlan}
	if cfg.Processes && canPause {
		known = append(known, orderPause)
	}
	if canRefuse {
		known = append(known, orderBlock, orderUnblock)
	}
	return known
}

// obey carries out what somebody ordered at the page.
func (t *testnet) obey(ctx context.Context, o web.Order) error {
	if o.Do == orderPlan {
		t.plan(ctx)
		return nil
	}
	p, err := t.living(o.Node)
	if o.Do == orderStart && p != nil {
		if p.alive || p.starting {
			return fmt.Errorf("%w: %s runs or starts already", region.ErrInvalid, p.spec.Name)
		}
		t.bringBack(ctx, p)
		return nil
	}
	if err != nil {
		return err
	}
	done, about := "", ""
	switch o.Do {
	case orderKill:
		done = "dev.killed"
		t.end(p)
	case orderDrain:
		done = "dev.drained"
		t.retire(p)
	case orderPause:
		done = "dev.paused"
		err = t.pause(p)
	case orderBlock, orderUnblock:
		done, about = "dev."+o.Do+"ed", "apart from "+o.Peer
		err = t.separate(ctx, p, o.Peer, o.Do == orderBlock)
	default:
		err = fmt.Errorf("%w: %.60q cannot be ordered", region.ErrInvalid, o.Do)
	}
	if err != nil {
		return err
	}
	t.page.note(done, p.spec.Name, about)
	t.show.line("%5.1fs  %s %s %s", time.Since(t.began).Seconds(), o.Do, p.spec.Name, o.Peer)
	return nil
}

// living returns the node of a name or id. An error says that there is none or,
// with the node, that it does not run.
func (t *testnet) living(node string) (*peer, error) {
	p := t.find(node)
	switch {
	case p == nil:
		return nil, fmt.Errorf("%w: no node is called %.60q", region.ErrInvalid, node)
	case !p.alive:
		return p, fmt.Errorf("%w: %s does not run", region.ErrInvalid, p.spec.Name)
	}
	return p, nil
}

func (t *testnet) pause(p *peer) error {
	n, ok := p.node.(pauser)
	if !ok {
		return fmt.Errorf("%w: only processes can be paused: run skein dev --processes", region.ErrInvalid)
	}
	p.still = time.Now().Add(pauseTime)
	return n.pause(pauseTime)
}

// separate keeps two members apart, or lets them meet again.
func (t *testnet) separate(ctx context.Context, p *peer, other string, apart bool) error {
	q, err := t.living(other)
	switch {
	case err != nil:
		return err
	case p == q || p.spec.Member == nil || q.spec.Member == nil || !t.cluster.plan.own:
		return fmt.Errorf("%w: only two members with addresses of their own can be kept apart", region.ErrInvalid)
	case !p.answers() || !q.answers():
		return fmt.Errorf("%w: a paused member takes no orders", region.ErrInvalid)
	}
	if err := p.separate(ctx, q.spec.IP, apart); err != nil {
		return err
	}
	return q.separate(ctx, p.spec.IP, apart)
}

// separate has the member refuse an address, now and when it is started again.
func (p *peer) separate(ctx context.Context, from netip.Addr, apart bool) error {
	spec := *p.spec.Member // others hold the old one
	spec.Refuse = slices.DeleteFunc(slices.Clone(spec.Refuse), func(a netip.Addr) bool { return a == from })
	if apart {
		spec.Refuse = append(spec.Refuse, from)
	}
	if n, ok := p.node.(refuser); ok {
		if err := n.refuse(ctx, spec.Refuse); err != nil {
			return err
		}
	}
	p.spec.Member = &spec
	return nil
}

// plan has the trees reorganised, in the background: answers take seconds.
func (t *testnet) plan(ctx context.Context) {
	t.background.Go(func() {
		p, err := t.client.Plan(ctx, regionID, inspect.PlanOptions{Apply: true})
		said := fmt.Sprintf("%d moves are worth their while", len(p.Moves))
		if err != nil {
			said = err.Error()
		}
		t.page.note("dev.planned", "", said)
	})
}

// find returns the node of a name or id; nil if there is none.
func (t *testnet) find(node string) *peer {
	for _, peers := range [][]*peer{t.members, t.coords} {
		for _, p := range peers {
			if node != "" && (p.spec.Name == node || string(p.last.ID) == node) {
				return p
			}
		}
	}
	return nil
}
