package link

import (
	"testing"
	"time"
)

// Nobody is given up for a silence that is shorter than this process is late; who is in time
// is no more patient for that.
func TestWhoIsLateIsPatient(t *testing.T) {
	l := &Link{t: &Transport{cfg: DefaultConfig()}}
	l.fed.swap(Tight)
	for late, want := range map[time.Duration]time.Duration{
		0:                      100 * time.Millisecond,
		10 * time.Millisecond:  140 * time.Millisecond,
		100 * time.Millisecond: 300 * time.Millisecond,
		700 * time.Millisecond: 1500 * time.Millisecond,
	} {
		if got := l.patience(late); got != want {
			t.Errorf("late by %v, it waits %v, want %v", late, got, want)
		}
	}
}
