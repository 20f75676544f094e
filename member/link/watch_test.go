package link

import (
	"testing"
	"time"
)

// Who has not read what came does not call others silent, nor does who was late to look;
// a socket that is never empty is no excuse for long.
func TestSilenceIsTrustedByWhoHasReadAll(t *testing.T) {
	var w watch
	at := int64(time.Second)
	step := func(late time.Duration, unread bool) bool {
		due := at + int64(10*time.Millisecond)
		at = due + int64(late)
		w.look(at, due, unread)
		return w.trusts(at)
	}
	if !step(0, false) {
		t.Error("who is in time and has read all does not trust")
	}
	if step(0, true) {
		t.Error("silence is trusted although something waits in the socket")
	}
	for range 30 {
		step(0, true)
	}
	if w.late < int64(290*time.Millisecond) {
		t.Errorf("a reader that is held up for 0.3 s is late by %v", time.Duration(w.late))
	}
	if !step(0, false) {
		t.Error("silence is not trusted although all was read")
	}
	for range 120 {
		step(0, true)
	}
	if !w.trusts(at) {
		t.Error("who never reads all never trusts")
	}
	step(0, false)
	if step(30*time.Millisecond, false) {
		t.Error("silence is trusted just after the pulse was late")
	}
	for range 10 {
		step(0, false)
	}
	if !w.trusts(at) {
		t.Error("the pulse was late, and never trusts again")
	}
}

// Lateness is forgotten in time, however often the pulse looks.
func TestLatenessIsForgottenInTime(t *testing.T) {
	for _, every := range []time.Duration{3 * time.Millisecond, 45 * time.Millisecond} {
		w := watch{late: int64(100 * time.Millisecond), looked: 1}
		for at := int64(1); at < int64(time.Second); at += int64(every) {
			w.look(at, at, false)
		}
		if late := time.Duration(w.late); late < 30*time.Millisecond || late > 40*time.Millisecond {
			t.Errorf("looking every %v, after 1 s it is late by %v", every, late)
		}
	}
}
