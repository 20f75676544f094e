package world

import (
	"fmt"
	"testing"
	"time"

	"github.com/skein-mesh/skein/member"
)

// controlLimit is what a member's exchanges besides media may take, in bytes per
// second, sent and received.
const controlLimit = 1500

// What measuring, verification and agreement take depends hardly on how many take
// part. SKEIN_MEMBERS=500 asks for a full region.
func TestControlIsCheap(t *testing.T) {
	long(t)
	members := max(int(number(t, membersVariable)), 40)
	afar(t, members, func(w *world, _ *ways, list []*viewer) {
		read := func() (sum member.ControlStats) {
			for _, p := range w.present() {
				sum.Add(p.node.Stats().Control)
			}
			return sum
		}
		span := 5 * time.Minute
		if members > 100 {
			span = 2 * time.Minute
		}
		time.Sleep(time.Minute) // newcomers compare their tables of the pool with somebody's
		for _, when := range []string{"while trees become good", "at rest"} {
			before := read()
			time.Sleep(span)
			after := read()
			per := func(bytes uint64) float64 { return float64(bytes) / float64(len(w.members)) / span.Seconds() }
			total := per(after.Sum() - before.Sum())
			t.Logf("%s, bytes per member and second: %.0f; %s", when, total, apart(before, after, per))
			if total > controlLimit {
				t.Errorf("control takes %.0f bytes per member and second, the limit is %d", total, controlLimit)
			}
		}
		w.unbroken(list, parted)
	})
}

// apart says what control took from one time to another by what it was for.
func apart(from, to member.ControlStats, per func(bytes uint64) float64) string {
	of := func(what string, read func(member.ControlStats) uint64) string {
		return fmt.Sprintf("%s %.0f, ", what, per(read(to)-read(from)))
	}
	return of("coordinators", func(c member.ControlStats) uint64 { return c.Coordinators }) +
		of("(reports", func(c member.ControlStats) uint64 { return c.Session.Reports }) +
		of("roles", func(c member.ControlStats) uint64 { return c.Session.Roles }) +
		of("around", func(c member.ControlStats) uint64 { return c.Session.Around }) +
		of(") gossip", func(c member.ControlStats) uint64 { return c.Gossip }) +
		of("heartbeats", func(c member.ControlStats) uint64 { return c.Links.Heartbeats }) +
		of("pings", func(c member.ControlStats) uint64 { return c.Links.Pings }) +
		of("feedback", func(c member.ControlStats) uint64 { return c.Links.Feedback }) +
		of("beliefs", func(c member.ControlStats) uint64 { return c.Links.Beliefs }) +
		of("haves", func(c member.ControlStats) uint64 { return c.Links.Haves }) +
		of("draws", func(c member.ControlStats) uint64 { return c.Links.Draws }) +
		of("paths", func(c member.ControlStats) uint64 { return c.Links.Paths }) +
		of("tips", func(c member.ControlStats) uint64 { return c.Links.Tips }) +
		of("repair", func(c member.ControlStats) uint64 { return c.Links.Repair }) +
		of("voices", func(c member.ControlStats) uint64 { return c.Links.Voices }) +
		fmt.Sprintf("others %.0f", per(to.Links.Others-from.Links.Others))
}
