package history

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

func at(ms int) time.Time { return time.UnixMilli(int64(ms)) }

func put(rev region.Revision, id region.MemberID) Step {
	m := region.Member{ID: id, Lease: region.Lease(rev), Uplink: 1000, Joined: at(int(rev))}
	return Step{Revision: rev, Change: region.Change{Time: at(int(rev)), Edits: []region.Edit{region.PutMember{Member: m}}}}
}

func has(id region.MemberID) func(*region.Region) error {
	return func(r *region.Region) error {
		if _, ok := r.Member(id); !ok {
			return errors.New("no such member")
		}
		return nil
	}
}

func TestHistories(t *testing.T) {
	log := []Step{put(3, "a"), put(5, "b"), put(9, "c")}
	a := Call{Request: "a", Begun: at(0), Ended: at(10), Revision: 3, Holds: has("a")}
	b := Call{Request: "b", Begun: at(5), Ended: at(20), Revision: 5, Holds: has("b")}
	c := Call{Request: "c", Begun: at(30), Ended: at(40), Revision: 9, Holds: has("c")}
	with := func(c Call, f func(*Call)) Call { f(&c); return c }
	for _, tt := range []struct {
		name  string
		log   []Step
		calls []Call
		want  string // a part of the complaint; empty: sound
	}{
		{"sound", log, []Call{a, b, c}, ""},
		{"sound, side by side", log, []Call{with(a, func(c *Call) { c.Ended = at(99) }), b, c}, ""},
		{"the same answer twice", log, []Call{a, with(a, func(c *Call) { c.Begun, c.Ended = at(50), at(60) }), b, c}, ""},
		{"acknowledged but lost", log[:2], []Call{a, b, c}, "c was acknowledged at revision 9, which is not in the log"},
		{"carried out twice", log, []Call{a, with(a, func(c *Call) { c.Revision = 5 })}, "a was acknowledged at revisions 3 and 5"},
		{"told what does not hold", log, []Call{with(a, func(c *Call) { c.Holds = has("c") })}, "a at revision 3: no such member"},
		{"later, but before", log, []Call{with(a, func(c *Call) { c.Begun, c.Ended = at(50), at(60) }), b, c},
			"a began after c had ended, but took effect at revision 3, not after 9"},
		{"a log out of order", []Step{log[1], log[0]}, nil, "revision 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Check(region.New("r1", 10), tt.log, tt.calls)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("complains: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestTheEndIsTheSumOfTheSteps(t *testing.T) {
	start := region.New("r1", 10)
	end, err := Check(start, []Step{put(3, "a"), put(5, "b")}, nil)
	if err != nil || end.MemberCount() != 2 || end.Revision() != 5 || start.MemberCount() != 0 {
		t.Errorf("%d members at %d, the start has %d: %v", end.MemberCount(), end.Revision(), start.MemberCount(), err)
	}
}

func TestClaims(t *testing.T) {
	claim := func(client string, d Deed, begun, ended int, refused bool) Claim {
		return Claim{Client: client, Thing: "desk", Deed: d, Begun: at(begun), Ended: at(ended), Refused: refused}
	}
	lost := func(c Claim) Claim { c.Ended = time.Time{}; return c }
	for _, tt := range []struct {
		name   string
		claims []Claim
		sound  bool
	}{
		{"one after the other", []Claim{claim("a", Take, 0, 1, false), claim("a", Give, 2, 3, false), claim("b", Take, 4, 5, false)}, true},
		{"two hold it", []Claim{claim("a", Take, 0, 1, false), claim("b", Take, 2, 3, false)}, false},
		{"at the same time", []Claim{claim("a", Take, 0, 9, false), claim("a", Give, 10, 12, false), claim("b", Take, 5, 11, false)}, true},
		{"refused, and somebody has it", []Claim{claim("a", Take, 0, 1, false), claim("b", Take, 2, 3, true)}, true},
		{"refused, but free", []Claim{claim("a", Take, 0, 1, false), claim("a", Give, 2, 3, false), claim("b", Take, 4, 5, true)}, false},
		{"an old answer", []Claim{claim("a", Take, 0, 1, false), claim("a", Give, 2, 3, false), claim("b", Take, 4, 5, false), claim("c", Take, 6, 7, false)}, false},
		{"the stay has ended", []Claim{claim("a", Take, 0, 1, false), claim("a", End, 2, 4, false), claim("b", Take, 3, 5, false)}, true},
		{"ended, yet held", []Claim{claim("a", Take, 0, 1, false), claim("a", End, 2, 3, false), claim("b", Take, 4, 5, true)}, false},
		{"given, though not held", []Claim{claim("a", Give, 0, 1, false)}, false},
		{"no answer, done", []Claim{lost(claim("a", Take, 0, 1, false)), claim("b", Take, 4, 5, true)}, true},
		{"no answer, not done", []Claim{lost(claim("a", Take, 0, 1, false)), claim("b", Take, 4, 5, false)}, true},
	} {
		if err := Linearizable(tt.claims); (err == nil) != tt.sound {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
