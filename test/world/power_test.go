package world

import (
	"testing"
	"time"
)

// All coordinators lose their power at once, in the middle of their writes or
// while their disks take their time, again and again. What clerks were told holds.
func TestAcknowledgedIsDurable(t *testing.T) {
	for name, fail := range map[string]func(*world){
		"torn writes": func(w *world) {
			for _, s := range w.coordinators {
				s.disk.set(func(d *disk) { d.tear = w.chance })
			}
			time.Sleep(500 * time.Millisecond)
		},
		"slow disks": func(w *world) {
			for _, s := range w.coordinators { // all alike: what one has written the others have not, either
				s.disk.set(func(d *disk) { d.delay = 150 * time.Millisecond })
			}
			time.Sleep(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 1, 3, func(w *world) {
				w.hire(6)
				w.office.open()
				for range 5 {
					time.Sleep(6 * time.Second)
					fail(w)
					for _, s := range w.coordinators {
						s.host.PowerOff()
						s.disk.cut()
					}
					for _, s := range w.coordinators {
						s.powerOff()
					}
					for _, s := range w.coordinators {
						s.start()
					}
				}
				time.Sleep(6 * time.Second)
				w.office.close()
				w.settled()
			})
		})
	}
}

// A coordinator whose disk is stuck or full makes room for another.
func TestASickDiskHoldsNobodyUp(t *testing.T) {
	for name, sicken := range map[string]func(*disk){
		"stuck": func(d *disk) { d.stuck = make(chan struct{}) },
		"full":  func(d *disk) { d.full = true },
	} {
		t.Run(name, func(t *testing.T) {
			inTheatre(t, 8, func(w *world, list []*viewer) {
				sick := w.leader()
				w.note("the disk of %s is %s", sick.name, name)
				sick.disk.set(sicken)
				late := w.participant(1000)
				began := time.Now()
				late.enterAndWatch()
				if late.node == nil {
					return
				}
				list = append(list, late.views["stage"])
				w.seen(list[len(list)-1:], 1)
				if took := time.Since(began); took > 25*time.Second {
					t.Errorf("a newcomer had to wait %v", took)
				}
				w.unbroken(list[:len(list)-1], steady)
				sick.disk.mend()
				w.settled()
			})
		})
	}
}

// Who says of everybody what is not so hurts nobody who draws a stream already,
// and who feeds nobody keeps nobody from it for long.
func TestALiarHurtsNobody(t *testing.T) {
	inTheatre(t, 12, func(w *world, list []*viewer) {
		w.lie(0)
		time.Sleep(time.Minute)
		w.unbroken(list, steady)
		w.shame()
		w.settled()
	})
}

func TestAParentThatFeedsNobody(t *testing.T) {
	inTheatre(t, 8, func(w *world, list []*viewer) {
		w.lie(8000)
		time.Sleep(10 * time.Second)
		for range 4 {
			p := w.participant(1000)
			p.enterAndWatch()
			w.seen([]*viewer{p.views["stage"]}, 1)
		}
		w.back(w.audience("stage"), comeback)
		w.shame()
		w.settled()
	})
}

func TestPauses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lasts time.Duration
		limit time.Duration // of the gap of those who did not pause
	}{
		{"a moment", 700 * time.Millisecond, rescue},
		{"longer than a lease", 25 * time.Second, rescue},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inTheatre(t, 12, func(w *world, _ []*viewer) {
				relay := w.relays("stage")[0]
				relay.host.Pause()
				w.leader().host.Pause()
				w.note("%s and %s pause", relay, w.leader().name)
				time.Sleep(tt.lasts)
				var others []*viewer
				for _, v := range w.audience("stage") {
					if v.p != relay {
						others = append(others, v)
					}
				}
				w.unbroken(others, tt.limit)
				relay.host.Resume()
				for _, s := range w.coordinators {
					s.host.Resume()
				}
				w.back(w.audience("stage"), comeback)
				w.settled()
			})
		})
	}
}
