package group

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

func TestTwoGroupsShareAListener(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		var others []*Group
		for _, a := range c.nodes {
			cfg := a.config(c.voters())
			cfg.Region = "r2"
			g, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { g.Close() })
			others = append(others, g)
		}
		c.leader().join(1, 5)
		c.agreed()
		until(t, "a leader of r2", func() bool {
			for _, g := range others {
				if _, l := g.current(); l.Leading {
					_, err := g.Propose(t.Context(), join(0, 1))
					return err == nil
				}
			}
			return false
		})
		for _, g := range others {
			until(t, "r2 follows", func() bool { return g.State().Region.MemberCount() == 1 })
		}
		if got := c.leader().State().Region.MemberCount(); got != 5 {
			t.Errorf("r1 has %d members, want 5", got)
		}

		_, err := Open(c.nodes[0].config(c.voters()))
		if !errors.Is(err, region.ErrExists) && !strings.Contains(err.Error(), "in use") {
			t.Errorf("r1 opened twice: %v", err)
		}
		for _, g := range others {
			g.Close()
		}
		c.leader().join(6, 6)
	})
}

// knock dials an actor's Raft port as somebody, for a group.
func knock(from *actor, creds *trust.Credentials, to *actor, id region.ID) error {
	from.listen()
	cfg := from.listener.cfg
	cfg.Credentials = creds
	l := newLayer(&Listener{cfg: cfg}, id, nil)
	conn, err := l.Dial(nodeAddress(to.creds.ID(), to.address()), 10*time.Second)
	if err == nil {
		conn.Close()
	}
	return err
}

func TestOnlyReplicasOfTheGroupAreLetIn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		voters := c.voters()
		for _, a := range c.nodes {
			a.start(voters)
		}
		leader := c.leader()
		peer := c.followers()[0]
		outsider := c.hire(trust.RoleCoordinator)
		member := c.hire(trust.RoleMember)
		foreign := newCast(t, 1).nodes[0]

		if err := knock(peer, peer.creds, leader, "r1"); err != nil {
			t.Errorf("a replica: %v", err)
		}
		if err := knock(outsider, outsider.creds, leader, "r1"); err == nil || !strings.Contains(err.Error(), notConfigured.String()) {
			t.Errorf("a coordinator of another group: %v", err)
		}
		if err := knock(peer, peer.creds, leader, "r9"); err == nil || !strings.Contains(err.Error(), noSuchGroup.String()) {
			t.Errorf("a group that is not here: %v", err)
		}
		if err := knock(outsider, member.creds, leader, "r1"); err == nil {
			t.Error("a member was let in")
		}
		if err := knock(outsider, foreign.creds, leader, "r1"); err == nil {
			t.Error("a coordinator of another cluster was let in")
		}
		other := c.followers()[1]
		wrong := newLayer(peer.listener, "r1", nil)
		if _, err := wrong.Dial(nodeAddress(outsider.creds.ID(), other.address()), time.Second); !errors.Is(err, trust.ErrPeer) {
			t.Errorf("another node at the address: %v", err)
		}
		leader.join(1, 1)
	})
}

func TestSilentAndGarbledCallersAreCutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 1)
		a := c.nodes[0]
		a.start(c.voters())
		host := c.net.Host("10.0.0.9")
		ends := func(what string, conn net.Conn) {
			t.Helper()
			start := time.Now()
			if err := conn.SetReadDeadline(start.Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			_, err := io.Copy(io.Discard, conn)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s: ended only after %v: %v", what, took, err)
			}
		}
		dial := func() net.Conn {
			conn, err := host.Dial(t.Context(), a.address())
			if err != nil {
				t.Fatal(err)
			}
			return conn
		}
		ends("silent", dial())
		garbled := dial()
		if _, err := garbled.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		ends("not TLS", garbled)
		mute := tls.Client(dial(), a.creds.ClientTLS())
		if err := mute.Handshake(); err != nil {
			t.Fatal(err)
		}
		ends("no header", mute)
		strange := tls.Client(dial(), a.creds.ClientTLS())
		if _, err := strange.Write([]byte("SKNR\x63\x02r1")); err != nil {
			t.Fatal(err)
		}
		ends("unknown protocol", strange)
	})
}

func TestAReplicaIsAddedReplacedAndRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		voters := c.voters()
		for _, a := range c.nodes {
			a.start(voters)
		}
		leader := c.leader()
		leader.join(1, 100)
		fresh := c.hire(trust.RoleCoordinator)
		fresh.start(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := leader.AddReplica(ctx, Peer{Node: fresh.creds.ID(), Address: fresh.address()}); err != nil {
			t.Fatal(err)
		}
		c.agreed()
		until(t, "the new replica knows of its vote", func() bool {
			voter, _ := fresh.replica.member(fresh.creds.ID())
			return voter
		})

		dead := c.followers()[0]
		if dead == fresh {
			dead = c.followers()[1]
		}
		dead.die()
		if err := leader.RemoveReplica(ctx, dead.creds.ID()); err != nil {
			t.Fatal(err)
		}
		if n := len(leader.Status().Replicas); n != 3 {
			t.Errorf("%d replicas, want 3", n)
		}
		if err := leader.Transfer(ctx, fresh.creds.ID()); err != nil {
			t.Fatal(err)
		}
		until(t, "the new replica leads", fresh.leads)
		fresh.join(101, 110)
		c.agreed()
		if err := fresh.RemoveReplica(ctx, fresh.creds.ID()); err != nil {
			t.Fatal(err)
		}
		next := c.leader(fresh)
		next.join(111, 111)
		until(t, "it knows that it is out", func() bool { return fresh.says("not in the group") })
		if err := next.AddReplica(ctx, Peer{Node: "", Address: "x"}); !errors.Is(err, region.ErrInvalid) {
			t.Errorf("a peer without a name: %v", err)
		}
		if err := next.Transfer(ctx, "nobody"); !errors.Is(err, region.ErrInvalid) {
			t.Errorf("a transfer to nobody: %v", err)
		}
	})
}

func TestAReplicaThatDoesNotComeGetsNoVote(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		err := leader.AddReplica(ctx, Peer{Node: id(1), Address: "10.0.0.77:7401"})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if voter, known := leader.replica.member(id(1)); voter || !known {
			t.Errorf("voter %v, known %v", voter, known)
		}
		leader.join(1, 3) // two of three voters are enough as before
		if !leader.leads() {
			t.Error("the leader changed")
		}
	})
}

func TestAMovedReplicaIsFoundByItsNewAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		moved := c.nodes[2]
		voters := c.voters()
		for i := range voters {
			if voters[i].Node == moved.creds.ID() {
				voters[i].Address = "10.0.0.66:7401" // where it was when the group began
			}
		}
		for _, a := range c.nodes {
			a.start(voters, func(cfg *Config) {
				cfg.Resolve = func(n region.MemberID) (string, bool) {
					return moved.address(), n == moved.creds.ID()
				}
			})
		}
		c.leader().join(1, 3)
		c.agreed()
		if moved.State().Region.MemberCount() != 3 {
			t.Error("it was not found")
		}
	})
}

// A leader that was removed while it was away comes back over the connections that it had,
// and over those nobody tells it. When it asks anew it is told.
func TestWhoWasRemovedIsToldWhenItKnocks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		old := c.leader()
		old.join(1, 5)
		c.agreed()
		c.net.Partition(func(src, dst netip.Addr) bool { return (src == old.host.Addr()) != (dst == old.host.Addr()) })
		next := c.leader(old)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := next.RemoveReplica(ctx, old.creds.ID()); err != nil {
			t.Fatal(err)
		}
		c.net.Partition(nil)
		old.Knock()
		if s := old.Status(); s.Refused < 0 || s.Refused > time.Second {
			t.Errorf("it was refused %v ago", s.Refused)
		}
	})
}
