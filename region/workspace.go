package region

import (
	"math"
	"time"
)

// A Workspace is memory for what decisions and views compute by the way, which grows
// with the tree: with one, each need not ask for it anew. The zero value is ready. It
// serves one Region at a time.
type Workspace struct {
	surveys []*survey // that are in nobody's use
	ledger  ledger
	// reserves and keys are those of brood.survivors.
	reserves []reserve
	keys     []uint64
	// ranked, delay and hazard are a viewer's.
	ranked []ranked
	delay  []time.Duration
	hazard []float64
}

// work is the workspace of r, or a new one.
func (r *Region) work() *Workspace {
	if r.Work == nil {
		return new(Workspace)
	}
	return r.Work
}

// take is a survey to be made.
func (w *Workspace) take() *survey {
	last := len(w.surveys) - 1
	if last < 0 {
		return new(survey)
	}
	s := w.surveys[last]
	w.surveys = w.surveys[:last]
	return s
}

// sized is a slice of length n, in the memory of s if that suffices. What it holds is
// undefined.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}

// A ledger says, by slot, what is left at members when the parent has failed.
type ledger struct {
	// claims is what the choices made for the brood add to what is pledged for the
	// loss of its parent.
	claims []int64
	// rooms are without the claims; unasked if not looked up yet.
	rooms []int64
}

const unasked = math.MinInt64

// open empties the ledger, for members of slots below n.
func (l *ledger) open(n int) {
	l.claims, l.rooms = sized(l.claims, n), sized(l.rooms, n)
	clear(l.claims)
	for i := range l.rooms {
		l.rooms[i] = unasked
	}
}
