package link

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// cable is a network whose sockets can be unplugged.
type cable struct{ unplugged atomic.Bool }

func (c *cable) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
	return &cableConn{conn, c}, err
}

type cableConn struct {
	net.PacketConn
	c *cable
}

func (c *cableConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if c.c.unplugged.Load() {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

func TestASilentPeerMayComeBack(t *testing.T) {
	plug := &cable{}
	a, b := newEnd(t, nil), newEnd(t, func(c *Config) { c.Network = plug })
	ab, ba := join(t, a, b)
	session := ab.Session()
	ba.Carry(Tight, Still)
	ab.Carry(Still, Tight)
	plug.unplugged.Store(true)
	a.until(func() bool { return ab.State() == Silent })
	plug.unplugged.Store(false)
	a.until(func() bool { return ab.State() == Up })
	if ab.Session() != session {
		t.Error("the session was given up too soon")
	}
}

// A peer is silent for so long that this end gives up. Then the two meet in a
// later epoch, although the other end still believes in the earlier one.
func TestAGivenUpPeerIsMetInALaterEpoch(t *testing.T) {
	plug := &cable{}
	hasty := func(c *Config) { c.GiveUp = 300 * time.Millisecond }
	patient := func(c *Config) { c.Network = plug; c.GiveUp = time.Hour; c.Idle = time.Hour }
	a, b := newEnd(t, hasty), newEnd(t, patient)
	ab, ba := join(t, a, b)
	before := ba.Session()
	ab.Carry(Still, Tight)
	plug.unplugged.Store(true)
	a.until(func() bool { return ab.State() == Connecting })
	plug.unplugged.Store(false)
	b.until(func() bool { return ba.Session() > before && ba.State() == Up })
	a.until(func() bool { return ab.State() == Up })
	if ab.epoch.Load() == 0 || ba.epoch.Load() < ab.epoch.Load() {
		t.Errorf("epochs %d and %d", ab.epoch.Load(), ba.epoch.Load())
	}
}

// A heartbeat keeps a link that feeds the other end from being held for silent.
func TestHeartbeatsFillPauses(t *testing.T) {
	a, b := newEnd(t, nil), newEnd(t, nil)
	ab, ba := join(t, a, b)
	ba.Carry(Tight, Still)
	ab.Carry(Still, Tight)
	silent := 0
	for end := time.Now().Add(400 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ab.State() == Silent {
			silent++
		}
	}
	if heard := a.Links()[0].Heard; heard > time.Second {
		t.Errorf("heard %v ago, silent %d times", heard, silent)
	}
}

func TestCredentialsAreTheSameAtBothEnds(t *testing.T) {
	a, b := newEnd(t, nil), newEnd(t, nil)
	pa, err := newPairing(a.key, party{a.identity.ID(), 1}, party{b.identity.ID(), 2}, b.Endpoint().Key)
	if err != nil {
		t.Fatal(err)
	}
	pb, err := newPairing(b.key, party{b.identity.ID(), 2}, party{a.identity.ID(), 1}, a.Endpoint().Key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pa.credentials(3)
	if err != nil {
		t.Fatal(err)
	}
	cb, err := pb.credentials(3)
	if err != nil {
		t.Fatal(err)
	}
	if ca.ufrag != cb.peerUfrag || ca.peerPwd != cb.pwd || ca.pwd != cb.peerPwd || ca.ufrag == ca.peerUfrag || pa.smaller == pb.smaller {
		t.Errorf("%+v\n%+v", ca, cb)
	}
	if other, err := pa.credentials(4); err != nil || other.pwd == ca.pwd {
		t.Errorf("the next epoch has the same password, %v", err)
	}
}

// A kernel that does not cut trains gets single datagrams.
func TestTrainsAreSplitWhereTheKernelDoesNot(t *testing.T) {
	a, b := newEnd(t, nil), newEnd(t, nil)
	ab, _ := join(t, a, b)
	cuts, ok := a.socket.(interface{ cutHere() })
	if !ok {
		t.Skip("this socket knows no trains")
	}
	for round := range 2 {
		for i := range 100 {
			add(t, a.Batch(), ab, packet(t, uint64(1<<16+round*100+i)))
		}
		a.Batch().Flush()
		b.until(func() bool { return len(b.packets) == 100*(round+1) })
		cuts.cutHere()
	}
}
