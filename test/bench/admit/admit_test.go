package admit

import (
	"testing"
	"time"
)

// Everybody who comes is answered, and every replica knows of it.
func TestCrowd(t *testing.T) {
	c := DefaultCrowd()
	c.Members, c.Within, c.Dir = 60, 100*time.Millisecond, t.TempDir()
	r, err := RunCrowd(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Placed != c.Members || r.Lost != 0 || r.InvariantBroken != "" {
		t.Errorf("of %d members %d were placed, %d lost, invariants %q: %+v", c.Members, r.Placed, r.Lost, r.InvariantBroken, r)
	}
}

// Who is not answered in time is reported, and does not take the report along.
func TestACrowdThatWaitsInVainIsReported(t *testing.T) {
	c := DefaultCrowd()
	c.Members, c.Within, c.Patience, c.Dir = 5, time.Nanosecond, time.Nanosecond, t.TempDir()
	r, err := RunCrowd(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Asked != c.Members || r.Failed != c.Members || r.Answered != 0 || r.Lost != 0 || r.FirstFailure == "" {
		t.Errorf("%+v", r)
	}
}

func TestRate(t *testing.T) {
	for _, sessions := range []bool{false, true} {
		c := DefaultRate()
		if sessions {
			c.AtOnce = 4
		}
		c.Clients, c.Streams, c.Dir, c.Sessions = 8, 2048, t.TempDir(), sessions
		c.Warmup, c.Duration = 10*time.Millisecond, 200*time.Millisecond
		r, err := RunRate(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if r.Admissions == 0 || r.Refused != 0 || r.Lost != 0 {
			t.Errorf("sessions %v: %+v", sessions, r)
		}
	}
}
