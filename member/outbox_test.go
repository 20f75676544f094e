package member

import (
	"testing"

	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

func TestOutboxKeepsWhatCouldNotBeSentUnlessSomethingNewerIsKnown(t *testing.T) {
	o := newOutbox()
	o.confirm("b", "p1", 1)
	o.confirm("a", "p1", 1)
	o.confirm("a", "p2", 2)
	o.rumour("m", 7)
	var lost skeinv1.SessionRequest
	if !o.drain(&lost) || len(lost.Confirmations) != 2 || lost.Confirmations[0].Parent != "p2" || len(lost.Rumours) != 1 {
		t.Fatalf("drained %v", &lost)
	}
	var empty skeinv1.SessionRequest
	if o.drain(&empty) {
		t.Fatalf("drained twice: %v", &empty)
	}
	o.confirm("b", "p3", 3)
	o.putBack(&lost)
	var again skeinv1.SessionRequest
	o.drain(&again)
	if len(again.Confirmations) != 2 || again.Confirmations[0].Parent != "p2" || again.Confirmations[1].Parent != "p3" || len(again.Rumours) != 1 {
		t.Errorf("the second attempt says %v", &again)
	}
}

func TestOutboxIsBounded(t *testing.T) {
	o := newOutbox()
	for i := range 10 * maxRumours {
		o.rumour("m", region.Lease(i))
		o.report(peerReport("s", "p", 1))
	}
	var m skeinv1.SessionRequest
	o.drain(&m)
	if len(m.Rumours) != maxRumours || len(m.Reports) != maxReports {
		t.Errorf("%d rumours and %d reports wait", len(m.Rumours), len(m.Reports))
	}
}
