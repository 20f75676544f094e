package coordinator

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// More than half of a region's members must say that it is gone: of those its last
// descriptor counts, or of those that its members see, if these are more.
func TestMostMembersMustAgreeThatARegionIsGone(t *testing.T) {
	for _, c := range []struct {
		last, heard, patient, peers int
		ripe                        bool
	}{
		{last: 10, heard: 6, ripe: true},
		{last: 10, heard: 5},
		{last: 10, heard: 6, patient: 1},
		{last: 11, heard: 6}, // they may have become 12
		{last: 11, heard: 7, ripe: true},
		{last: 100, heard: 54},
		{last: 100, heard: 55, ripe: true},
		{last: 10, heard: 10, patient: 4, ripe: true},
		{last: 4, heard: 6, peers: 19}, // the descriptor is old
		{last: 4, heard: 11, peers: 19, ripe: true},
		{last: 10, heard: 6, peers: 2, ripe: true},
		{last: 0, heard: 1, ripe: true},
		{last: 0, heard: 0},
	} {
		g := gathering{heard: map[region.MemberID]heard{}}
		for i := range c.heard {
			h := heard{silent: time.Minute, peers: c.peers}
			if i < c.patient {
				h.silent = time.Second
			}
			g.heard[region.MemberID(fmt.Sprint(i))] = h
		}
		votes, wanted := g.votes(region.Descriptor{Members: c.last}, 15*time.Second)
		if (votes >= wanted) != c.ripe {
			t.Errorf("%+v: %d of %d", c, votes, wanted)
		}
	}
}

// What is not said again is forgotten, and with the last word the region.
func TestTestimoniesAreForgotten(t *testing.T) {
	var x gatherings
	now := time.Now()
	var resp skeinv1.TestifyResponse
	say := func(m region.MemberID, at time.Time) {
		t.Helper()
		h := heard{Testimony: region.Testimony{Member: region.Member{ID: m}}, silent: time.Minute, at: at}
		if err := x.testified(region.Descriptor{Region: "r1", Generation: 3, Members: 2}, h, time.Second, &resp); err != nil {
			t.Fatal(err)
		}
	}
	say("a", now)
	first := resp.Generation
	say("b", now.Add(3*time.Second))
	if resp.Heard != 2 || resp.Wanted != 2 || resp.Generation != first || region.Generation(first) < 3+region.ReformJump || len(resp.GrantKey) != 32 {
		t.Errorf("%v", &resp)
	}
	x.sweep(now.Add(6 * time.Second))
	if g := x.of["r1"]; g == nil || len(g.heard) != 1 {
		t.Errorf("%+v", g)
	}
	x.sweep(now.Add(20 * time.Second))
	if len(x.of) != 0 {
		t.Errorf("%v is left", x.of)
	}
}

// A region that was merged into another one is over, not lost.
func TestAMergedRegionIsNotFormedAnew(t *testing.T) {
	c := newCluster(t, 1, nil)
	at := c.leader()
	s := c.running()[at]
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	over, err := skeinv1.SignDescriptor(key, region.Descriptor{Region: "r9", Generation: 4, Term: 1, Sequence: 1, Into: "r1", MaxMembers: 8})
	if err == nil {
		err = s.directory.Publish(over)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := c.credentials(trust.RoleMember)
	req := skeinv1.FromTestimony(region.Testimony{Generation: 3, Member: region.Member{ID: m.ID(), Lease: 1}})
	req.Region, req.SilentMs = "r9", 60_000
	_, err = skeinv1.NewDirectoryClient(c.dial(at, m)).Testify(t.Context(), req)
	if e, ok := errors.AsType[*region.ElsewhereError](skeinv1.FromStatus(err)); !ok || len(e.Now) == 0 || e.Now[0].Into != "r1" {
		t.Errorf("who asks for it is told %v", err)
	}
	_, err = skeinv1.NewDirectoryClient(c.dial(at, c.credentials(trust.RoleOperator))).Recover(t.Context(), &skeinv1.RecoverRequest{Region: "r9"})
	if !errors.Is(skeinv1.FromStatus(err), region.ErrExists) {
		t.Errorf("it is recovered: %v", err)
	}
}

// Only who was a member when the region was last heard of has a word in it.
func TestStrangersDoNotTestify(t *testing.T) {
	c := newCluster(t, 1, nil)
	at := c.leader()
	m := c.participant(1000)
	joined := m.join()
	s := c.running()[at]
	c.entry(at, "r1", func(d region.Descriptor) bool { return d.Members == 1 })
	mine := region.Testimony{Generation: 1, Member: region.Member{ID: m.id(), Lease: region.Lease(joined.Lease)}}
	ask := func(creds *trust.Credentials, said region.Testimony, pass []byte) (*skeinv1.TestifyResponse, error) {
		req := skeinv1.FromTestimony(said)
		req.Region, req.Pass, req.SilentMs = "r1", pass, 60_000
		resp, err := skeinv1.NewDirectoryClient(c.dial(at, creds)).Testify(t.Context(), req)
		return resp, skeinv1.FromStatus(err)
	}
	if resp, err := ask(m.creds, mine, joined.Pass); err != nil || resp.Heard != 1 || resp.Founder.GetId() != string(s.ID()) {
		t.Errorf("a member's word: %v, %v", resp, err)
	}
	stranger := c.credentials(trust.RoleMember)
	said := mine
	if _, err := ask(stranger, said, joined.Pass); !errors.Is(err, region.ErrForbidden) {
		t.Errorf("a word in the name of another: %v", err)
	}
	said.Member.ID = stranger.ID()
	for name, pass := range map[string][]byte{"none": nil, "another's": joined.Pass, "forged": append([]byte{1}, joined.Pass...)} {
		if _, err := ask(stranger, said, pass); !errors.Is(err, region.ErrForbidden) {
			t.Errorf("a stranger's word with a pass that is %s: %v", name, err)
		}
	}
	said = mine
	said.Member.Lease++
	if _, err := ask(m.creds, said, joined.Pass); !errors.Is(err, region.ErrForbidden) {
		t.Errorf("a pass for another stay: %v", err)
	}
	// It has a leader, so nothing comes of it.
	time.Sleep(2 * reformEvery)
	if g := s.Region("r1").Generation(); g != 1 {
		t.Errorf("generation %d", g)
	}
}
