package world

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/latency"
)

// latencyVariable names a file of round-trip times between the sites of a real
// network.
const latencyVariable = "SKEIN_LATENCY"

// stand puts hosts on the sites of a matrix: members in their order, coordinators
// and operators from the end.
func (t *ways) stand(m *latency.Matrix) {
	t.matrix, t.site = m, func(a netip.Addr) int {
		b := a.As4()
		n := int(b[2])*250 + int(b[3])
		if b[1] == 1 {
			return (n - 2) % m.Sites() // the first member is at .2
		}
		return m.Sites() - 1 - n
	}
	t.apply()
}

// A hundred members on the distances of a real network: within three minutes their
// tree is nearly what full knowledge would make of it; when all ways of a relay
// become three times as long it is good again within one; and then nothing is
// moved any more. No packet is lost by any of it. SKEIN_MEMBERS asks for others.
func TestAHundredMembersOnARealNetwork(t *testing.T) {
	file := os.Getenv(latencyVariable)
	if file == "" {
		t.Skip("wants " + latencyVariable)
	}
	m := must(latency.ReadFile(file))
	count := max(int(number(t, membersVariable)), 100)
	if n := number(t, membersVariable); n > 0 {
		count = int(n)
	}
	inWorld(t, 1, 3, func(w *world) {
		know := w.flung()
		know.stand(m)
		w.populate(mixed(count)...)
		list := w.stage("stage")
		w.settled()
		mark(list)
		const gap = time.Second // ways of a second there and back are among them
		time.Sleep(180 * time.Second)
		plan, bound := know.quality("stage")
		t.Logf("after 180 s: %.3f times the plan, %.3f times the bound", plan, bound)
		if plan > 1.03 || bound > 1.25 {
			t.Errorf("the tree is not good")
		}
		w.unbroken(list, gap)
		know.lengthen(w.relays("stage")[0], 3)
		_, bound = know.quality("stage")
		t.Logf("at once: %.3f times the bound", bound)
		began := time.Now()
		for bound > 1.3 && time.Since(began) < 5*time.Minute {
			time.Sleep(time.Second)
			_, bound = know.quality("stage")
		}
		t.Logf("%.3f times the bound %v later", bound, time.Since(began))
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it took %v", took)
		}
		w.unbroken(list, gap)
		time.Sleep(5 * time.Minute)
		moved := w.moves("stage")
		time.Sleep(time.Hour / 2)
		t.Logf("%d members moved in half an hour in which nothing changed", moved())
		if n := moved(); n*2*100 > 2*count {
			t.Errorf("%d members were moved although nothing changed", n)
		}
		w.unbroken(list, gap)
		plan, bound = know.quality("stage")
		t.Logf("at the end: %.3f times the plan, %.3f times the bound", plan, bound)
		w.settled()
	})
}
