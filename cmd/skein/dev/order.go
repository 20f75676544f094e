package dev

import (
	"context"
	"fmt"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/web"
	"github.com/skein-mesh/skein/region"
)

// What may be ordered from the page.
const (
	orderKill  = "kill"
	orderDrain = "drain"
	orderPause = "pause"
	orderStart = "start"
)

// pauseTime is how long a paused node stands still: long enough for those it
// feeds to give it up, too short for its lease to run out.
const pauseTime = 2 * time.Second

// A pauser is a node that can be made to stand still.
type pauser interface {
	pause(d time.Duration) error
}

// knownOrders lists what can be ordered. Only a process can be paused.
func knownOrders(cfg Config) []string {
	known := []string{orderKill, orderDrain, orderStart}
	if cfg.Processes && canPause {
		known = append(known, orderPause)
	}
	return known
}

// obey carries out what somebody ordered at the page.
func (t *testnet) obey(ctx context.Context, o web.Order) error {
	p := t.find(o.Node)
	switch {
	case p == nil:
		return fmt.Errorf("%w: no node is called %.60q", region.ErrInvalid, o.Node)
	case o.Do == orderStart && (p.alive || p.starting):
		return fmt.Errorf("%w: %s runs or starts already", region.ErrInvalid, p.spec.Name)
	case o.Do == orderStart:
		t.bringBack(ctx, p)
		return nil
	case !p.alive:
		return fmt.Errorf("%w: %s does not run", region.ErrInvalid, p.spec.Name)
	}
	kind := ""
	switch o.Do {
	case orderKill:
		kind = "dev.killed"
		t.end(p)
	case orderDrain:
		kind = "dev.drained"
		t.retire(p)
	case orderPause:
		kind = "dev.paused"
		n, ok := p.node.(pauser)
		if !ok {
			return fmt.Errorf("%w: only processes can be paused: run skein dev --processes", region.ErrInvalid)
		}
		if err := n.pause(pauseTime); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: %.60q cannot be ordered", region.ErrInvalid, o.Do)
	}
	t.page.note(kind, p.spec.Name, "")
	t.show.line("%5.1fs  %s %s", time.Since(t.began).Seconds(), o.Do, p.spec.Name)
	return nil
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
