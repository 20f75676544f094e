package gossip_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/skein-mesh/skein/member/gossip"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world"
	"github.com/skein-mesh/skein/test/world/simnet"
)

const (
	oneWay   = 20 * time.Millisecond
	patience = 3 * time.Minute // of virtual time, for anything to happen
)

var (
	firstKey  = bytes.Repeat([]byte{1}, 32)
	secondKey = bytes.Repeat([]byte{2}, 32)
)

// A pond is a network with pools on it, in a bubble.
type pond struct {
	t   *testing.T
	net *simnet.Net
}

func inPond(t *testing.T, story func(*pond)) {
	world.Bubble(t, 20*time.Second, func(t *testing.T) {
		n := simnet.New(1)
		n.Profile(func(src, dst netip.Addr) simnet.Link { return simnet.Link{Latency: oneWay} })
		t.Cleanup(func() {
			time.Sleep(2 * time.Minute) // memberlist does not wait for its goroutines
			n.Close()
		})
		story(&pond{t, n})
	})
}

// A fish is one member of a pond, with all it has heard so far.
type fish struct {
	*gossip.Pool
	host *simnet.Host
	addr netip.AddrPort
	gone map[region.MemberID]region.Lease
	rtts map[region.MemberID]time.Duration
}

func (p *pond) open(id string, host int, lease region.Lease, change func(*gossip.Config)) *fish {
	p.t.Helper()
	h := p.net.Host(fmt.Sprintf("10.0.0.%d", host))
	socket, err := gossip.Listen(context.Background(), h, h.Addr().String()+":0")
	if err != nil {
		p.t.Fatal(err)
	}
	c := gossip.Config{
		Socket: socket, Advertise: socket.Addr(), Self: region.MemberID(id), Lease: lease,
		Region: "r1", Generation: 1, Keys: [][]byte{firstKey},
	}
	if change != nil {
		change(&c)
	}
	pool, err := gossip.Open(c)
	if err != nil {
		p.t.Fatal(err)
	}
	f := &fish{Pool: pool, host: h, addr: socket.Addr(), gone: map[region.MemberID]region.Lease{}, rtts: map[region.MemberID]time.Duration{}}
	p.t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			p.t.Error(err)
		}
	})
	return f
}

// hear takes in what waits.
func (f *fish) hear() {
	for {
		select {
		case e := <-f.Events():
			switch e.Kind {
			case gossip.Gone:
				f.gone[e.Peer.ID] = e.Peer.Lease
			case gossip.RTT:
				f.rtts[e.Peer.ID] = e.RTT
			}
		default:
			return
		}
	}
}

// knows returns the lease under which f knows id; 0 if it does not.
func (f *fish) knows(id string) region.Lease {
	for _, peer := range f.Peers() {
		if peer.ID == region.MemberID(id) {
			return peer.Lease
		}
	}
	return 0
}

// until waits for a condition, never for a fixed time.
func (p *pond) until(what string, holds func() bool) {
	p.t.Helper()
	for began := time.Now(); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > patience {
			p.t.Fatalf("not in %v: %s", patience, what)
		}
	}
}

func seeds(of ...*fish) func(*gossip.Config) {
	return func(c *gossip.Config) {
		for _, f := range of {
			c.Seeds = append(c.Seeds, f.addr.String())
		}
	}
}

func TestMembersFindEachOtherAndMeasureTheirDistance(t *testing.T) {
	inPond(t, func(p *pond) {
		first := p.open("m0", 1, 1, nil)
		all := []*fish{first}
		for i := 1; i < 8; i++ {
			all = append(all, p.open(fmt.Sprintf("m%d", i), i+1, region.Lease(i+1), seeds(first)))
		}
		for _, f := range all {
			p.until("everybody knows everybody", func() bool { return f.Size() == len(all) })
			p.until("every distance is measured", func() bool { f.hear(); return len(f.rtts) == len(all)-1 })
			for id, rtt := range f.rtts {
				if rtt < 2*oneWay || rtt > 2*oneWay+5*time.Millisecond {
					t.Errorf("RTT to %s is %v, the network's is %v", id, rtt, 2*oneWay)
				}
			}
		}
		if lease := all[3].knows("m5"); lease != 6 {
			t.Errorf("m3 knows m5 under lease %d, want 6", lease)
		}
	})
}

func TestSilentMemberIsRumouredDeadWithItsLease(t *testing.T) {
	inPond(t, func(p *pond) {
		first := p.open("m0", 1, 1, nil)
		second := p.open("m1", 2, 2, seeds(first))
		third := p.open("m2", 3, 77, seeds(first))
		p.until("all met", func() bool { return first.Size() == 3 && second.Size() == 3 && third.Size() == 3 })
		third.host.PowerOff()
		for _, f := range []*fish{first, second} {
			p.until("the death is noticed", func() bool { f.hear(); return f.gone["m2"] == 77 })
			if len(f.gone) != 1 {
				t.Errorf("held for dead: %v, want only m2", f.gone)
			}
		}
	})
}

func TestFarewellIsHeardAtOnce(t *testing.T) {
	inPond(t, func(p *pond) {
		first := p.open("m0", 1, 1, nil)
		second := p.open("m1", 2, 2, seeds(first))
		p.until("both met", func() bool { return first.Size() == 2 && second.Size() == 2 })
		began := time.Now()
		second.Leave()
		p.until("the farewell arrives", func() bool { first.hear(); return first.gone["m1"] == 2 })
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("took %v, as long as a death", took)
		}
	})
}

// Two halves of a pool that were kept apart until each held the other for dead find
// each other again.
func TestHalvesFindEachOtherAgain(t *testing.T) {
	inPond(t, func(p *pond) {
		first := p.open("m0", 1, 1, nil)
		all := []*fish{first}
		for i := 1; i < 10; i++ {
			all = append(all, p.open(fmt.Sprintf("m%d", i), i+1, region.Lease(i+1), seeds(first)))
		}
		everybody := func(count int) func() bool {
			return func() bool {
				for _, f := range all {
					if f.Size() != count {
						return false
					}
				}
				return true
			}
		}
		p.until("everybody knows everybody", everybody(len(all)))
		p.net.Partition(func(src, dst netip.Addr) bool { return src.As4()[3]%2 != dst.As4()[3]%2 })
		p.until("the halves are apart", everybody(len(all)/2))
		time.Sleep(5 * time.Minute)
		p.net.Partition(nil)
		began := time.Now()
		p.until("everybody knows everybody again", everybody(len(all)))
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

func TestNewStayIsAnnounced(t *testing.T) {
	inPond(t, func(p *pond) {
		first := p.open("m0", 1, 1, nil)
		second := p.open("m1", 2, 2, seeds(first))
		p.until("both met", func() bool { return first.Size() == 2 && second.Size() == 2 })
		second.SetLease(9)
		p.until("the new lease is known", func() bool { return first.knows("m1") == 9 })
	})
}

func TestMemberComesBackAtAnotherAddress(t *testing.T) {
	inPond(t, func(p *pond) {
		first := p.open("m0", 1, 1, nil)
		second := p.open("m1", 2, 2, seeds(first))
		p.until("both met", func() bool { return first.Size() == 2 && second.Size() == 2 })
		second.host.PowerOff()
		p.until("the death is noticed", func() bool { first.hear(); return first.gone["m1"] == 2 })
		again := p.open("m1", 3, 5, seeds(first))
		p.until("the new stay is known", func() bool { return first.knows("m1") == 5 && again.knows("m0") == 1 })
	})
}

func TestSeedsMayBeDeadAtFirst(t *testing.T) {
	inPond(t, func(p *pond) {
		first := p.open("m0", 1, 1, nil)
		lonely := p.open("m1", 2, 2, func(c *gossip.Config) { c.Seeds = []string{"10.0.0.99:1"} })
		time.Sleep(time.Minute)
		if lonely.Size() != 1 {
			t.Fatalf("knows %d members, though nobody answers", lonely.Size())
		}
		lonely.SetSeeds([]string{first.addr.String()})
		p.until("both met", func() bool { return first.Size() == 2 && lonely.Size() == 2 })
	})
}

func TestPoolsStayApart(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*gossip.Config)
	}{
		{"by key", func(c *gossip.Config) { c.Keys = [][]byte{secondKey} }},
		{"by region", func(c *gossip.Config) { c.Region = "r2" }},
		{"by generation", func(c *gossip.Config) { c.Generation = 2 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			inPond(t, func(p *pond) {
				first := p.open("m0", 1, 1, nil)
				stranger := p.open("m1", 2, 2, func(c *gossip.Config) { seeds(first)(c); test.change(c) })
				friend := p.open("m2", 3, 3, seeds(first))
				p.until("friends met", func() bool { return first.Size() == 2 && friend.Size() == 2 })
				time.Sleep(2 * time.Minute)
				if first.Size() != 2 || stranger.Size() != 1 {
					t.Errorf("the stranger got in: %d and %d members, want 2 and 1", first.Size(), stranger.Size())
				}
			})
		})
	}
}

func TestKeyIsReplacedWhileThePoolRuns(t *testing.T) {
	inPond(t, func(p *pond) {
		first := p.open("m0", 1, 1, nil)
		second := p.open("m1", 2, 2, seeds(first))
		p.until("both met", func() bool { return first.Size() == 2 && second.Size() == 2 })
		for _, ring := range [][][]byte{{firstKey, secondKey}, {secondKey, firstKey}, {secondKey}} {
			for _, f := range []*fish{first, second} {
				if err := f.SetKeys(ring); err != nil {
					t.Fatal(err)
				}
			}
		}
		clear(first.rtts)
		p.until("pings are answered under the new key", func() bool { first.hear(); return len(first.rtts) == 1 })
		old := p.open("m2", 3, 3, seeds(first))
		time.Sleep(time.Minute)
		if first.Size() != 2 || old.Size() != 1 {
			t.Error("a member with the old key got in")
		}
	})
}

func TestTooMuchIsKeptOut(t *testing.T) {
	inPond(t, func(p *pond) {
		first := p.open("m0", 1, 1, nil)
		flood := p.net.Host("10.0.0.66")
		packets, err := flood.ListenPacket(context.Background(), "10.0.0.66:0")
		if err != nil {
			t.Fatal(err)
		}
		defer packets.Close()
		for range 3 {
			if _, err := packets.WriteTo(make([]byte, 5000), net.UDPAddrFromAddrPort(first.addr)); err != nil {
				t.Fatal(err)
			}
		}
		p.until("oversized packets are counted", func() bool { return first.Dropped() == 3 })
		// More connections than may be open: each says nothing and stays.
		for range 70 {
			conn, err := flood.Dial(context.Background(), first.addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		p.until("surplus connections are closed", func() bool { return first.Dropped() > 3 })
	})
}
