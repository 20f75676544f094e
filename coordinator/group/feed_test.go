package group

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein/region"
)

// applied makes entries first to last of a log that changes nothing else.
func applied(s *State, first, last int) []Applied {
	var list []Applied
	for i := first; i <= last; i++ {
		list = append(list, Applied{Revision: region.Revision(i), Region: s.Region.Clone()})
	}
	return list
}

func read(t *testing.T, r *Feed, n int) string {
	t.Helper()
	var got []string
	for range n {
		a, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(a.Revision)
		if a.Gap {
			text = "gap to " + text
		}
		got = append(got, text)
	}
	return fmt.Sprint(got)
}

func TestAFeedIsReadInOrderFromAnywhere(t *testing.T) {
	s := newState("r1", 10)
	f := newFeed(s, 4)
	f.publish(s, applied(s, 1, 3))
	if got := read(t, &Feed{feed: f}, 3); got != "[1 2 3]" {
		t.Errorf("from the start: %s", got)
	}
	if got := read(t, &Feed{feed: f, after: 2}, 1); got != "[3]" {
		t.Errorf("after 2: %s", got)
	}
}

func TestASlowReaderIsSentOneGapAndGoesOn(t *testing.T) {
	s := newState("r1", 10)
	f := newFeed(s, 4)
	slow := &Feed{feed: f}
	f.publish(s, applied(s, 1, 2))
	if got := read(t, slow, 1); got != "[1]" {
		t.Errorf("at first: %s", got)
	}
	f.publish(s, applied(s, 3, 9)) // never waits
	if got := read(t, slow, 1); got != "[gap to 9]" {
		t.Errorf("after falling behind: %s", got)
	}
	f.publish(s, applied(s, 10, 11))
	if got := read(t, slow, 2); got != "[10 11]" {
		t.Errorf("after the gap: %s", got)
	}
}

func TestAReplayIsNotPublishedTwice(t *testing.T) {
	s := newState("r1", 10)
	f := newFeed(s, 8)
	r := &Feed{feed: f}
	f.publish(s, applied(s, 1, 5))
	f.jump(s, 3) // a replica opened again restores an older snapshot
	f.publish(s, applied(s, 4, 5))
	f.publish(s, applied(s, 5, 6))
	if got := read(t, r, 6); got != "[1 2 3 4 5 6]" {
		t.Errorf("got %s", got)
	}
	f.jump(s, 20)
	if got := read(t, r, 1); got != "[gap to 20]" {
		t.Errorf("got %s", got)
	}
}

func TestReadersWaitForNewsContextOrEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState("r1", 10)
		f := newFeed(s, 8)
		r := &Feed{feed: f}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing new: %v", err)
		}
		go func() {
			time.Sleep(time.Minute)
			f.publish(s, applied(s, 1, 1))
			time.Sleep(time.Minute)
			f.close()
		}()
		if got := read(t, r, 1); got != "[1]" {
			t.Errorf("got %s", got)
		}
		if _, err := r.Next(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
	})
}
