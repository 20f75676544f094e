package coordinator

import (
	"bytes"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// divide has the leader's log split a member off into region r2.
func (c *cluster) divide(goes region.MemberID) {
	c.t.Helper()
	birth := &skeinv1.Birth{Secrets: &skeinv1.Secrets{
		SigningSeed: bytes.Repeat([]byte{1}, 32), GossipKeys: [][]byte{bytes.Repeat([]byte{2}, 32)},
	}}
	for _, p := range c.configs[0].Groups[0].Peers {
		birth.Peers = append(birth.Peers, &skeinv1.BirthPeer{Node: string(p.ID), Address: p.Raft})
	}
	by := region.Division{Child: "r2", Members: []region.MemberID{goes}}
	c.until("the region is divided", func() bool {
		log := c.running()[c.leader()].replicas[0].group
		_, err := log.Propose(c.t.Context(), &skeinv1.Entry{Version: group.EntryVersion, Birth: birth, Change: skeinv1.FromChange(region.Change{
			Time: time.Now(), Base: log.State().Region.Revision(), Edits: []region.Edit{region.Divide{Division: by}},
		})})
		return err == nil
	})
}

// child waits until all running coordinators hold the same child.
func (c *cluster) child() *group.State {
	c.t.Helper()
	var state *group.State
	c.until("all coordinators hold the same child", func() bool {
		hashes := map[[32]byte]bool{}
		for _, s := range c.running() {
			r := s.hosts("r2")
			if r == nil {
				return false
			}
			state = r.group.State()
			hashes[state.Hash()] = true
		}
		return len(hashes) == 1 && len(state.Secrets.SigningSeed) > 0
	})
	return state
}

func TestAChildIsHostedWhereItsParentIs(t *testing.T) {
	c := newCluster(t, 3, nil)
	stays, goes := c.participant(1000), c.participant(2000)
	stays.join()
	goes.join()
	c.agree()
	// One coordinator is away while the child is born.
	away := (c.leader() + 1) % 3
	c.kill(away)
	c.divide(goes.id())
	if n := c.child().Region.MemberCount(); n != 1 {
		t.Errorf("the child has %d members, want 1", n)
	}
	c.start(away)
	c.child()
	c.until("the child is led", func() bool {
		for _, s := range c.running() {
			if s.Leading("r2") {
				return true
			}
		}
		return false
	})
	c.entry(0, "r2", func(d region.Descriptor) bool { return d.Generation == 2 && d.Members == 1 && len(d.Replicas) == 3 })
	c.entry(1, "r1", func(d region.Descriptor) bool { return d.Generation == 2 && d.Members == 1 })

	// Killed and started again, everybody goes on with both.
	for i := range 3 {
		c.kill(i)
	}
	for i := range 3 {
		c.start(i)
	}
	if n := c.child().Region.MemberCount(); n > 1 {
		t.Errorf("after a restart the child has %d members", n)
	}
	// What is over stays away, although the parent's state still tells of it.
	for _, s := range c.running() {
		if err := s.Drop("r2"); err != nil {
			t.Fatal(err)
		}
	}
	c.kill(0)
	c.start(0)
	c.leader()
	if c.running()[0].hosts("r2") != nil {
		t.Error("a child that is over is hosted again")
	}
}

// A child whose replica could not be opened is not taken for one that is over.
func TestAChildThatCouldNotBeOpenedMayComeAgain(t *testing.T) {
	r, err := openRoster(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	child := Group{Region: "r2", Child: true}
	for range 2 {
		if err := r.add(child); err != nil {
			t.Fatal(err)
		}
		if err := r.undo(child.Region); err != nil {
			t.Fatal(err)
		}
		if r.dropped(child.Region) || len(r.groups()) != 0 {
			t.Errorf("dropped %v, groups %v", r.dropped(child.Region), r.groups())
		}
	}
	if err := r.add(child); err != nil {
		t.Fatal(err)
	}
	if err := r.remove(child.Region); err != nil || !r.dropped(child.Region) {
		t.Errorf("what is over is not remembered: %v", err)
	}
}
