package world

import (
	"testing"
	"time"
)

// The clocks of three coordinators are two minutes apart. Whoever leads, streams go
// on, and who joined by one clock and dies is found dead by another.
func TestClocksDisagree(t *testing.T) {
	inWorld(t, 1, 3, func(w *world) {
		for i, s := range w.coordinators {
			s.kill()
			s.skew = time.Duration(i-1) * maxSkew
			s.start()
		}
		w.until("somebody leads", func() bool { return w.leader() != nil })
		w.populate(mixed(8)...)
		list := w.stage("stage")
		w.settled()
		for range 3 {
			mark(list)
			leader := w.leader()
			w.note("the clock of %s is ahead by %v", leader.name, leader.skew)
			late := w.participant(0)
			late.enterAndWatch()
			w.seen(w.audience("stage"), 1)
			late.kill()
			leader.kill()
			time.Sleep(45 * time.Second)
			w.unbroken(list, steady)
			w.settled()
			leader.start()
			w.settled()
		}
	})
}
