package coordinator

import (
	"strings"
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// Who does not agree to move before a division is left alone for a while, longer each time,
// but not for so long that everybody waits for it.
func TestWhoDoesNotAgreeIsAskedAgainSoon(t *testing.T) {
	var shy reluctance
	now := time.Unix(1000, 0)
	if shy.heed("a", "b", now) || shy.said() != "" {
		t.Error("somebody objects who was not asked")
	}
	shy.remember(objection{member: "a", about: "b", reason: skeinv1.Objection_OBJECTION_UNREACHABLE}, now)
	for _, c := range []struct {
		a, b  string
		heeds bool
	}{{"a", "b", true}, {"b", "a", true}, {"a", "c", false}, {"c", "b", false}} {
		if got := shy.heed(region.MemberID(c.a), region.MemberID(c.b), now); got != c.heeds {
			t.Errorf("%s under %s after a way was objected to: avoided %v, want %v", c.a, c.b, got, c.heeds)
		}
	}
	if shy.heed("a", "b", now.Add(shyFor)) {
		t.Error("they are not asked again")
	}
	for range 20 {
		shy.remember(objection{member: "c", reason: skeinv1.Objection_OBJECTION_OVERLOADED}, now)
	}
	if !shy.heed("c", "d", now.Add(shyMost-1)) || !shy.heed("d", "c", now.Add(shyMost-1)) || shy.heed("c", "d", now.Add(shyMost)) {
		t.Errorf("who objects again and again is not left alone for %v", shyMost)
	}
	if mine, others := []region.Step{{Member: "c", To: "d"}}, []region.Step{{Member: "d", To: "c"}}; !shy.overruled("c", mine) ||
		shy.overruled("c", others) || shy.overruled("a", []region.Step{{Member: "a", To: "d"}}) {
		t.Error("who always objects to being moved is not overruled, or somebody else is")
	}
	if !strings.Contains(shy.said(), "c: overloaded") {
		t.Errorf("the last objection is told as %q", shy.said())
	}
}
