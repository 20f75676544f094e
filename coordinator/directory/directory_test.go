package directory_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator/directory"
	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world"
	"github.com/skein-mesh/skein/test/world/simnet"
)

const (
	oneWay   = 20 * time.Millisecond
	patience = 5 * time.Minute // of virtual time
)

// A crowd is coordinators on a simulated network, in virtual time.
type crowd struct {
	t     *testing.T
	net   *simnet.Net
	ca    *trust.Authority
	seats []*seat
}

// A seat is a coordinator's machine; Directory is nil while none runs on it.
type seat struct {
	*directory.Directory
	crowd    *crowd
	host     *simnet.Host
	self     region.Host
	creds    *trust.Credentials
	listener *group.Listener
}

func inCrowd(t *testing.T, n int, story func(*crowd)) {
	world.Bubble(t, time.Minute, func(t *testing.T) {
		c := &crowd{t: t, net: simnet.New(1), ca: must(trust.NewAuthority(time.Now()))}
		c.net.Profile(func(src, dst netip.Addr) simnet.Link { return simnet.Link{Latency: oneWay} })
		t.Cleanup(func() {
			for _, s := range c.seats {
				s.stop()
			}
			time.Sleep(2 * time.Minute) // memberlist does not wait for its goroutines
			c.net.Close()
		})
		for i := range n {
			creds := must(c.ca.Issue(must(trust.NewIdentity()), trust.RoleCoordinator, time.Hour*24*365, time.Now()))
			ip := fmt.Sprintf("10.0.0.%d", i+1)
			s := &seat{crowd: c, host: c.net.Host(ip), creds: creds, self: region.Host{ID: creds.ID(), GRPC: ip + ":7400", Raft: ip + ":7401"}}
			c.seats = append(c.seats, s)
		}
		for _, s := range c.seats {
			s.start()
		}
		story(c)
	})
}

// start opens a directory that knows only the first coordinator.
func (s *seat) start() {
	s.host.PowerOn()
	cfg := group.DefaultListenerConfig()
	cfg.Address, cfg.Credentials, cfg.Network = s.self.Raft, s.creds, s.host
	s.listener = must(group.Listen(s.crowd.t.Context(), cfg))
	s.Directory = must(directory.Open(directory.Config{
		Channel: must(s.listener.Channel(directory.ChannelName)), Self: s.self, MaxGroups: 64,
		Seeds: []region.Host{s.crowd.seats[0].self},
		Vouched: func(d *skeinv1.SignedDescriptor) error {
			return s.creds.CheckVoucher(d.GetVoucher().GetCertificate(), d.GetBody(), d.GetVoucher().GetSignature(), time.Now())
		},
	}))
}

func (s *seat) stop() {
	if s.Directory == nil {
		return
	}
	if err := errors.Join(s.Directory.Close(), s.listener.Close()); err != nil {
		s.crowd.t.Error(err)
	}
	s.Directory = nil
}

// each waits until something holds of every directory that runs.
func (c *crowd) each(what string, holds func(*seat) bool) {
	c.t.Helper()
	began := time.Now()
	for i, s := range c.seats {
		for s.Directory != nil && !holds(s) {
			if time.Since(began) > patience {
				c.t.Fatalf("coordinator %d: not in %v: %s", i+1, patience, what)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

func (c *crowd) meet() {
	c.t.Helper()
	running := 0
	for _, s := range c.seats {
		if s.Directory != nil {
			running++
		}
	}
	c.each("all have met", func(s *seat) bool { return len(s.Coordinators()) == running })
}

// A realm is a region that has descriptors made.
type realm struct {
	key ed25519.PrivateKey
	now region.Descriptor
}

func (c *crowd) realm(id region.ID, at ...*seat) *realm {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r := &realm{key: key, now: region.Descriptor{Region: id, Generation: 1, Term: 1, MaxMembers: 512}}
	for _, s := range at {
		r.now.Replicas = append(r.now.Replicas, s.self)
	}
	return r
}

// next is the realm's next descriptor, after a change.
func (r *realm) next(change func(*region.Descriptor)) *skeinv1.SignedDescriptor {
	r.now.Sequence++
	if change != nil {
		change(&r.now)
	}
	return must(skeinv1.SignDescriptor(r.key, r.now))
}

func (c *crowd) publish(at *seat, s *skeinv1.SignedDescriptor) {
	c.t.Helper()
	if err := at.Publish(s); err != nil {
		c.t.Fatal(err)
	}
}

func TestEveryCoordinatorKnowsEveryRegion(t *testing.T) {
	inCrowd(t, 6, func(c *crowd) {
		c.meet()
		var realms []*realm
		for i, s := range c.seats {
			r := c.realm(region.ID(fmt.Sprintf("r%d", i+1)), s)
			realms = append(realms, r)
			c.publish(s, r.next(nil))
		}
		c.each("all regions are known", func(s *seat) bool { return len(s.Regions()) == len(realms) })
		began := time.Now()
		c.publish(c.seats[2], realms[2].next(func(d *region.Descriptor) { d.Members = 77 }))
		c.each("news spread", func(s *seat) bool { e, _ := s.Region("r3"); return e.Members == 77 })
		// Whom gossip misses is told when coordinators compare all they know.
		if took := time.Since(began); took > 90*time.Second {
			t.Errorf("news took %v to six coordinators", took)
		}
		c.each("distances are known", func(s *seat) bool {
			e, _ := s.Region("r2")
			rtt, ok := s.Distance(e.Descriptor)
			if s == c.seats[1] {
				return ok && rtt == 0
			}
			return ok && rtt >= 2*oneWay && rtt < 3*oneWay
		})
	})
}

func TestTheNewerDescriptorCounts(t *testing.T) {
	inCrowd(t, 3, func(c *crowd) {
		c.meet()
		r := c.realm("r1", c.seats[0])
		old := r.next(nil)
		c.publish(c.seats[0], r.next(func(d *region.Descriptor) { d.Generation, d.Members = 2, 5 }))
		c.each("generation 2 is known", func(s *seat) bool { e, _ := s.Region("r1"); return e.Generation == 2 })
		c.publish(c.seats[2], old) // a leader of the past
		time.Sleep(2 * time.Minute)
		c.each("the past does not return", func(s *seat) bool { e, _ := s.Region("r1"); return e.Generation == 2 && e.Members == 5 })
	})
}

func TestAStrangersKeyIsRefused(t *testing.T) {
	inCrowd(t, 2, func(c *crowd) {
		c.meet()
		genuine, forged := c.realm("r1", c.seats[0]), c.realm("r1", c.seats[1])
		c.publish(c.seats[0], genuine.next(nil))
		c.each("the region is known", func(s *seat) bool { _, ok := s.Region("r1"); return ok })
		if err := c.seats[1].Publish(forged.next(func(d *region.Descriptor) { d.Generation = 9 })); !errors.Is(err, trust.ErrDescriptor) {
			t.Errorf("another key was taken: %v", err)
		}
		tampered := genuine.next(nil)
		tampered.Body[len(tampered.Body)-1] ^= 1
		if err := c.seats[1].Publish(tampered); err == nil {
			t.Error("a descriptor that was tampered with was taken")
		}
		// A group that was lost and formed anew has another key, a far higher
		// generation, and a coordinator that vouches for it.
		anew := forged.next(func(d *region.Descriptor) { d.Generation = 1 + region.ReformJump })
		if err := c.seats[1].Publish(anew); !errors.Is(err, trust.ErrDescriptor) {
			t.Errorf("a key that nobody vouches for was taken: %v", err)
		}
		other := must(must(trust.NewAuthority(time.Now())).Issue(must(trust.NewIdentity()), trust.RoleCoordinator, time.Hour, time.Now()))
		for _, creds := range []*trust.Credentials{other, must(c.ca.Issue(must(trust.NewIdentity()), trust.RoleMember, time.Hour, time.Now()))} {
			vouch(anew, creds)
			if err := c.seats[1].Publish(anew); !errors.Is(err, trust.ErrDescriptor) {
				t.Errorf("a %s of %.8s vouched for a key: %v", creds.Role(), creds.CAHash(), err)
			}
		}
		vouch(anew, c.seats[1].creds)
		c.publish(c.seats[1], anew)
		c.each("the new group is known", func(s *seat) bool {
			e, _ := s.Region("r1")
			return e.Generation == 1+region.ReformJump
		})
		if err := c.seats[0].Publish(genuine.next(func(d *region.Descriptor) { d.Generation = 7 })); !errors.Is(err, trust.ErrDescriptor) {
			t.Errorf("the lost group speaks for the region again: %v", err)
		}
	})
}

func TestACoordinatorThatWasAwayCatchesUp(t *testing.T) {
	inCrowd(t, 4, func(c *crowd) {
		c.meet()
		r := c.realm("r1", c.seats[0])
		c.publish(c.seats[0], r.next(nil))
		c.each("the region is known", func(s *seat) bool { _, ok := s.Region("r1"); return ok })
		c.seats[3].host.PowerOff()
		c.seats[3].stop()
		c.each("it is missed", func(s *seat) bool { return len(s.Coordinators()) == 3 })
		c.publish(c.seats[0], r.next(func(d *region.Descriptor) { d.Members = 9 }))
		c.seats[3].start()
		c.meet()
		c.each("it has caught up", func(s *seat) bool { e, _ := s.Region("r1"); return e.Members == 9 })
		c.seats[1].SetGroups(7)
		c.each("what it hosts is known", func(s *seat) bool {
			for _, x := range s.Coordinators() {
				if x.ID == c.seats[1].self.ID {
					return x.Groups == 7 && x.GRPC == c.seats[1].self.GRPC && x.Raft == c.seats[1].self.Raft
				}
			}
			return false
		})
	})
}

func TestHalvesFindTogether(t *testing.T) {
	inCrowd(t, 4, func(c *crowd) {
		c.meet()
		north := func(a netip.Addr) bool { return a == c.seats[0].host.Addr() || a == c.seats[1].host.Addr() }
		c.net.Partition(func(src, dst netip.Addr) bool { return north(src) != north(dst) })
		c.each("the halves lost each other", func(s *seat) bool { return len(s.Coordinators()) == 2 })
		r := c.realm("r1", c.seats[3])
		c.publish(c.seats[3], r.next(nil))
		c.net.Partition(nil)
		c.meet()
		c.each("all know", func(s *seat) bool { _, ok := s.Region("r1"); return ok })
	})
}

func vouch(d *skeinv1.SignedDescriptor, creds *trust.Credentials) {
	certificate, signature := creds.Vouch(d.Body)
	d.Voucher = &skeinv1.Voucher{Certificate: certificate, Signature: signature}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
