package region

import (
	"math/rand/v2"
	"testing"
)

// studio is an origin with room for three videos and some, and ten members that
// could each feed four.
func studio(t *testing.T) *world {
	w := newWorld(t, 64, newPlane(16, rand.New(rand.NewPCG(1, 1)), 0))
	w.join(0, 3200, 0)
	for i := 1; i <= 10; i++ {
		w.join(i, 4000, 0)
	}
	return w
}

func (w *world) fill(s StreamID) {
	w.Helper()
	for i := 1; i <= 10; i++ {
		if d := w.place(s, i); !d.OK {
			w.Fatalf("m%03d has no place in %s:\n%s", i, s, w.r.Describe())
		}
	}
}

func TestOriginKeepsRoomForTheFirstCopyOfEachStream(t *testing.T) {
	w := studio(t)
	w.publish("video", 0, 1000)
	w.publish("screen", 0, 800)
	w.fill("video")
	if n := len(w.r.Children("video", memberID(0))); n != 2 {
		t.Errorf("the origin feeds its video to %d, so the screen could not leave it:\n%s", n, w.r.Describe())
	}
	w.fill("screen")
}

func TestFullOriginMakesRoomForAStreamPublishedLater(t *testing.T) {
	w := studio(t)
	w.publish("video", 0, 1000)
	w.fill("video")
	if n := len(w.r.Children("video", memberID(0))); n != 3 {
		t.Fatalf("the origin feeds %d, want it full:\n%s", n, w.r.Describe())
	}
	w.publish("screen", 0, 800)
	first := Admission{Stream: "screen", Child: memberID(1), Cause: Joining, Place: true}
	if d := w.admit(first); d.OK {
		t.Fatal("there was no room, and yet a place")
	}
	before := w.r.Revision()
	if d := w.admit(first); d.OK || w.r.Revision() != before {
		t.Fatal("asking again moved somebody else, or took room that is still held")
	}
	w.confirm("video")
	w.fill("screen")
}
