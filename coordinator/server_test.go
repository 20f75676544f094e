package coordinator

import (
	"errors"
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

func retriable(err error) bool {
	err = skeinv1.FromStatus(err)
	return errors.Is(err, region.ErrNotLeader) || errors.Is(err, region.ErrOutcomeUnknown) || unavailable(err)
}

// A member joins, publishes; another one is admitted, both ends are told of
// each other, and the edge stands once the child has confirmed it.
func TestAdmissionFromEndToEnd(t *testing.T) {
	c := newCluster(t, 3, nil)
	origin, child := c.participant(10000), c.participant(5000)
	joined := origin.join()
	if joined.LeaseTtlMs != 10000 || len(joined.GrantKey) != 32 || len(joined.GossipKeys) != 1 || len(joined.Coordinators) != 3 {
		t.Fatalf("join: %v", joined)
	}
	origin.publish("cam")
	child.join()
	stream, roles := origin.session()
	if r := roles["cam"]; r == nil || r.Parent != nil || !r.Placed {
		t.Fatalf("the origin was told %v", roles)
	}

	answer := child.admit("cam")
	accepted := answer.GetAccepted()
	if accepted.GetParent().GetPeer().GetId() != string(origin.id()) {
		t.Fatalf("admitted: %v", answer)
	}
	grant, err := trust.OpenGrant(joined.GrantKey, accepted.Parent.Grant, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if grant.Child != child.id() || grant.Parent != origin.id() || uint64(grant.Lease) != child.lease || grant.Standby {
		t.Errorf("grant: %+v", grant)
	}
	origin.told(stream, func(m *skeinv1.SessionResponse) bool {
		for _, r := range m.Roles {
			if len(r.Children) == 1 && r.Children[0].Id == string(child.id()) && r.Children[0].Endpoint.Media[0] == child.addr.String() {
				return true
			}
		}
		return false
	})

	up, roles := child.session()
	if roles["cam"].GetParent().GetPeer().GetId() != string(origin.id()) {
		t.Errorf("the child was told %v", roles)
	}
	child.confirm(up, "cam", string(origin.id()))
	c.until("the edge stands", func() bool {
		n, ok := c.servers[c.leader()].Region("r1").Node("cam", child.id())
		return ok && n.State == region.Standing
	})
	if n, ok := c.agree().Node("cam", child.id()); !ok || n.Parent != origin.id() {
		t.Errorf("the replicas hold %+v", n)
	}
}
