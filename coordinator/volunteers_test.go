package coordinator

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator/directory"
	"github.com/skein-mesh/skein/region"
)

// offered is an offer with which all is well, of a group of a and b.
func offered(id region.MemberID, at time.Time) *offer {
	return &offer{
		Coordinator: directory.Coordinator{Host: region.Host{ID: id, GRPC: "10.0.0.9:7400", Raft: "10.0.0.9:7401"}},
		member:      "m", writes: leastWrites, write: 10 * time.Millisecond, heard: at,
		rtts: map[region.MemberID]time.Duration{"a": 20 * time.Millisecond, "b": 90 * time.Millisecond},
	}
}

func TestAVolunteerIsJudgedByTheStandards(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		name  string
		up    time.Duration
		bend  func(*offer)
		lacks string
	}{
		{"all is well", time.Hour, func(*offer) {}, ""},
		{"it lives elsewhere", -1, func(*offer) {}, "home"},
		{"it has only just come", time.Minute, func(*offer) {}, "uptime"},
		{"little was measured", time.Hour, func(o *offer) { o.writes = 4 }, "writes"},
		{"its disk is slow", time.Hour, func(o *offer) { o.write = 101 * time.Millisecond }, "disk"},
		{"it is hidden", time.Hour, func(o *offer) { o.unreachable = "refused" }, "reach"},
		{"a way is not known", time.Hour, func(o *offer) { delete(o.rtts, "b") }, "ways"},
		{"a replica is far", time.Hour, func(o *offer) { o.rtts["b"] = 151 * time.Millisecond }, "distance"},
		{"a replica that is dead is far", time.Hour, func(o *offer) { o.rtts["c"] = time.Second }, ""},
		{"it was invited a moment ago", time.Hour, func(o *offer) { o.invited = now.Add(-inviteFor / 2) }, ""},
		{"it did not come", time.Hour, func(o *offer) { o.invited = now.Add(-inviteFor) }, "coming"},
		{"that is long ago", time.Hour, func(o *offer) { o.invited = now.Add(-asideFor) }, ""},
		{"it is a replica itself", time.Hour, func(o *offer) { o.ID = "b"; delete(o.rtts, "b") }, ""},
	} {
		o := offered("v", now)
		c.bend(o)
		lacks := DefaultStandards().judge(o, c.up, []region.MemberID{"a", "b"}, now)
		if lacks.of != c.lacks || (lacks.why == "") != (c.lacks == "") {
			t.Errorf("%s: it lacks %q (%s), want %q", c.name, lacks.of, lacks.why, c.lacks)
		}
	}
}

// Offers that are not repeated are forgotten, and there is room for so many only.
func TestOffersAreBounded(t *testing.T) {
	v, now := newVolunteers(), time.Unix(1000, 0)
	for i := range maxOffers {
		if _, err := v.take(offered(region.MemberID(fmt.Sprint(i)), now)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.take(offered("one more", now)); !errors.Is(err, region.ErrOverloaded) {
		t.Errorf("one more: %v, want overloaded", err)
	}
	if _, err := v.take(offered("0", now)); err != nil {
		t.Errorf("one that is known: %v", err)
	}
	if _, err := v.take(offered("one more", now.Add(offerFor+1))); err != nil || len(v.list(now.Add(offerFor+1))) != 1 {
		t.Errorf("when the others are silent: %v, %d offers", err, len(v.list(now.Add(offerFor+1))))
	}
}

// A volunteer is knocked at before it is invited, and again every minute; whoever was
// invited is awaited, and nobody else is suited by its word alone.
func TestAVolunteerIsKnockedAtAndInvited(t *testing.T) {
	v, now := newVolunteers(), time.Unix(1000, 0)
	known := map[region.MemberID]bool{}
	judge := func(o *offer) shortfall {
		return DefaultStandards().judge(o, time.Hour, []region.MemberID{"a", "b"}, now)
	}
	suited := func() (int, bool) {
		list, awaited := v.suited(judge, func(id region.MemberID) bool { return known[id] }, now)
		return len(list), awaited
	}
	take := func(o *offer) bool {
		t.Helper()
		knock, err := v.take(o)
		if err != nil {
			t.Fatal(err)
		}
		return knock
	}
	if !take(offered("v", now)) {
		t.Error("nobody knocks at a new one")
	}
	if n, _ := suited(); n != 0 {
		t.Error("it is suited before it was reached")
	}
	v.found("v", nil)
	if n, awaited := suited(); n != 1 || awaited {
		t.Errorf("%d are suited when it was reached, awaited %v", n, awaited)
	}
	v.invite("v", now)
	if _, invited, _ := v.verdict("v", judge, now); !invited {
		t.Error("it is not told that it is invited")
	}
	if n, awaited := suited(); n != 0 || !awaited {
		t.Errorf("%d are suited after the invitation, awaited %v", n, awaited)
	}
	now = now.Add(OfferEvery)
	if take(offered("v", now)) {
		t.Error("it is knocked at again at once")
	}
	serving := offered("v", now)
	serving.serving = true
	if take(serving) {
		t.Error("it is knocked at while it serves")
	}
	if _, invited, _ := v.verdict("v", judge, now); invited {
		t.Error("it is invited while it serves")
	}
	if n, awaited := suited(); n != 0 || !awaited {
		t.Errorf("%d are suited before the directory knows it, awaited %v", n, awaited)
	}
	known["v"] = true
	if n, awaited := suited(); n != 0 || awaited {
		t.Errorf("%d are suited when the directory knows it, awaited %v", n, awaited)
	}
	moved := offered("v", now)
	moved.Raft = "10.0.0.8:7401"
	if !take(moved) {
		t.Error("nobody knocks at its new address")
	}
}

// One that serves is dismissed when it does far worse than it should, for long.
func TestAVolunteerIsDismissed(t *testing.T) {
	v, now := newVolunteers(), time.Unix(1000, 0)
	appraise := func(after, write time.Duration) (bool, bool) {
		t.Helper()
		at := now.Add(after)
		o := offered("v", at)
		o.serving, o.write = true, write
		if _, err := v.take(o); err != nil {
			t.Fatal(err)
		}
		return v.appraise("v", func(o *offer) bool { return DefaultStandards().fails(o, []region.MemberID{"a", "b"}) }, at)
	}
	for _, c := range []struct {
		after, write    time.Duration
		dismissed, news bool
	}{
		{0, 150 * time.Millisecond, false, false},
		{time.Second, 250 * time.Millisecond, false, false},
		{30 * time.Second, 250 * time.Millisecond, false, false},
		{61 * time.Second, 250 * time.Millisecond, true, true},
		{71 * time.Second, 250 * time.Millisecond, true, false},
		{81 * time.Second, 150 * time.Millisecond, false, false},
		{91 * time.Second, 250 * time.Millisecond, false, false},
	} {
		if dismissed, news := appraise(c.after, c.write); dismissed != c.dismissed || news != c.news {
			t.Errorf("after %v with %v: dismissed %v, news %v, want %v, %v", c.after, c.write, dismissed, news, c.dismissed, c.news)
		}
	}
}
