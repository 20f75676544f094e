package group

import (
	"bytes"
	"errors"
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// split is an entry by which members first to last found region r2.
func (c *cast) split(base region.Revision, first, last int) *skeinv1.Entry {
	by := region.Division{Child: "r2"}
	for n := first; n <= last; n++ {
		by.Members = append(by.Members, id(n))
	}
	return &skeinv1.Entry{
		Version: EntryVersion,
		Change:  skeinv1.FromChange(region.Change{Time: time.Now(), Base: base, Edits: []region.Edit{region.Divide{Division: by}}}),
		Birth: &skeinv1.Birth{
			Secrets: &skeinv1.Secrets{SigningSeed: bytes.Repeat([]byte{7}, 32), GossipKeys: [][]byte{bytes.Repeat([]byte{8}, 32)}},
			Peers:   fromPeers(c.voters()),
		},
	}
}

// beget opens this actor's replica of the child that its state tells of.
func (a *actor) beget() *Group {
	a.cast.t.Helper()
	children := a.State().Children
	if len(children) != 1 {
		a.cast.t.Fatalf("%s knows %d children", a.name, len(children))
	}
	cfg := a.config(children[0].Peers)
	cfg.Region, cfg.Genesis = "r2", children[0].State
	g, err := Open(cfg)
	if err != nil {
		a.cast.t.Fatal(err)
	}
	return g
}

func (c *cast) closeAll(groups ...*Group) {
	for _, g := range groups {
		if err := g.Close(); err != nil {
			c.t.Error(err)
		}
	}
}

// sameState waits until all groups hold the same state and returns it.
func (c *cast) sameState(groups ...*Group) *State {
	c.t.Helper()
	var s *State
	until(c.t, "the children agree", func() bool {
		states := map[[32]byte]bool{}
		for _, g := range groups {
			s = g.State()
			states[s.Hash()] = true
		}
		return len(states) == 1
	})
	return s
}

func leading(groups ...*Group) *Group {
	for _, g := range groups {
		if _, l := g.current(); l.Leading {
			return g
		}
	}
	return nil
}

func TestAChildIsBornOnAllReplicas(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		leader.join(1, 6)
		if _, err := leader.Propose(t.Context(), c.split(leader.State().Region.Revision(), 4, 6)); err != nil {
			t.Fatal(err)
		}
		c.agreed()
		if n := leader.State().Region.MemberCount(); n != 3 {
			t.Errorf("%d members stay, want 3", n)
		}
		// One coordinator is killed before it has begun with the child, and its
		// parent's log has become a snapshot meanwhile.
		late := c.followers()[0]
		if err := late.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		late.die()
		var children []*Group
		for _, a := range c.nodes {
			if a != late {
				children = append(children, a.beget())
			}
		}
		until(t, "the child has a leader", func() bool { return leading(children...) != nil })
		s := leading(children...).State()
		if s.Region.ID() != "r2" || s.Region.MemberCount() != 3 || s.Region.Generation() != 2 || s.Secrets.SigningSeed[0] != 7 {
			t.Errorf("the child: %s", s.Region.Describe())
		}
		if a, ok := s.Answer(id(5), "join-5", time.Now()); !ok || string(a.Response) != "welcome" {
			t.Error("the child has forgotten what its members were answered")
		}
		if _, ok := s.Answer(id(2), "join-2", time.Now()); ok {
			t.Error("the child remembers answers of those who stayed")
		}
		if _, err := leading(children...).Propose(t.Context(), join(s.Region.Revision(), 9)); err != nil {
			t.Fatalf("the child does not work: %v", err)
		}
		late.host.PowerOn()
		late.start(c.voters())
		until(t, "the late one knows of the child", func() bool { return len(late.State().Children) == 1 })
		children = append(children, late.beget())
		if n := c.sameState(children...).Region.MemberCount(); n != 4 {
			t.Errorf("the child has %d members, want 4", n)
		}
		c.agreed()
		c.closeAll(children...)
	})
}

// A replica that comes later, and one that was killed, get what the child began
// with like any snapshot.
func TestWhatAChildBeganWithReachesNewReplicas(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		leader.join(1, 4)
		if _, err := leader.Propose(t.Context(), c.split(leader.State().Region.Revision(), 3, 4)); err != nil {
			t.Fatal(err)
		}
		c.agreed()
		var children []*Group
		for _, a := range c.nodes {
			children = append(children, a.beget())
		}
		until(t, "the child has a leader", func() bool { return leading(children...) != nil })
		// Opened again, a folder is taken up as it is.
		c.closeAll(children[0])
		children[0] = c.nodes[0].beget()
		c.sameState(children...)
		until(t, "the child has a leader", func() bool { return leading(children...) != nil })

		newcomer := c.hire("coordinator")
		newcomer.listen()
		cfg := newcomer.config(nil)
		cfg.Region = "r2"
		g, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := leading(children...).AddReplica(t.Context(), Peer{Node: newcomer.creds.ID(), Address: newcomer.address()}); err != nil {
			t.Fatal(err)
		}
		children = append(children, g)
		if n := c.sameState(children...).Region.MemberCount(); n != 2 {
			t.Errorf("the newcomer holds %d members, want 2", n)
		}
		c.closeAll(children...)
	})
}

func TestADivisionWithoutABirthIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 1)
		c.startAll()
		leader := c.leader()
		leader.join(1, 4)
		entry := c.split(leader.State().Region.Revision(), 3, 4)
		birth := entry.Birth
		entry.Birth = nil
		if _, err := leader.Propose(t.Context(), entry); !errors.Is(err, region.ErrInvalid) {
			t.Errorf("a division without a birth: %v", err)
		}
		plain := join(leader.State().Region.Revision(), 5)
		plain.Birth = birth
		if _, err := leader.Propose(t.Context(), plain); !errors.Is(err, region.ErrInvalid) {
			t.Errorf("a birth without a division: %v", err)
		}
		if n := leader.State().Region.MemberCount(); n != 4 {
			t.Errorf("%d members", n)
		}
	})
}
