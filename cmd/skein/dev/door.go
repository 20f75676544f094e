package dev

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/skein-mesh/skein/member/door"
)

// doorName is the member through which browsers come in.
const doorName = "door"

// An entrance is a member of its own, in this process, whose door the page's server
// serves. It publishes and watches nothing by itself, and is no victim.
type entrance struct {
	node *memberNode
	door *door.Door
}

// openDoor joins the member and opens its door.
func (t *testnet) openDoor(ctx context.Context) error {
	spec := Spec{
		Name: doorName, IP: t.cluster.plan.member(t.cfg.Members), Site: -1,
		Member: &MemberSpec{Coordinators: t.cluster.plan.grpc(), Token: t.cluster.token, Uplink: doorUplink},
	}
	e := &entrance{node: newMemberNode(spec, t.log)}
	t.entrance = e
	if err := e.node.start(ctx); err != nil {
		return err
	}
	var err error
	if e.door, err = door.New(door.Config{Node: e.node.node, Media: at(spec.IP, 0), Logger: t.log, Crowd: t.crowd}); err != nil {
		return fmt.Errorf("--door: %w", err)
	}
	handler := e.door.Handler()
	t.page.door.Store(&handler)
	t.show.line("the door is open: publish and watch with a browser at %sdoor/", t.page.server.URL())
	return nil
}

// crowd is where the walkers are and whom they hear; nil without a space.
func (t *testnet) crowd() any {
	if p := t.square.Load(); p != nil {
		return p.crowd(time.Now())
	}
	return nil
}

// doorUplink is enough for a few cameras published by browsers, and their first
// children.
const doorUplink = 20_000

// close ends what openDoor began, as far as it came.
func (e *entrance) close(ctx context.Context) {
	if e.door != nil {
		if err := e.door.Close(); err != nil {
			e.node.log.Debug("the door did not close", "error", err)
		}
	}
	e.node.stop(ctx)
}

// serveDoor passes requests on to the door once it is open.
func (p *page) serveDoor(w http.ResponseWriter, r *http.Request) {
	if h := p.door.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Retry-After", "2")
	http.Error(w, "the door is not open: the testnet is still starting, or runs without --door", http.StatusServiceUnavailable)
}
