package coordinator

import (
	"math"
	"time"
)

// An unrest is whether trees are being made better, or are at rest. They come to
// rest when neither simple moves nor a thorough plan pay any more; and what is at
// rest is left there until members learnt other ways, others came or left, or much
// could be saved. It belongs to the goroutine of the reorganiser.
type unrest struct {
	awake bool
	// deep is when trees were last planned thoroughly, and deeper how often that led
	// to moves since something happened.
	deep   time.Time
	deeper int
	// sifted is when what members had learnt was last let go, too little to wake anybody.
	sifted time.Time
	// vain counts those in a row that led to none.
	vain int
}

// stirring is the part of all places in trees that must have been taken, left or lost
// their parent for all trees to be looked at. The tree that one of them changes gets its one
// improving move at once.
const stirring = 0.05

// trickle is how long what members learn adds up while trees are at rest. What comes
// more slowly wakes nobody: how well a change was coped with was seen when most of it
// was known, and if much can be saved that shows by itself.
const trickle = time.Minute

// deeperBy is how much more each further thorough plan must save. Chance finds
// another tree that is a little better nearly every time.
const deeperBy = 1.5

// A new leader is told within the briefing what others knew before it. Trees were made
// for that: it goes on with what was left undone, for which a thorough plan must save as
// much as after tookOver others, and leaves alone what its predecessor did.
const (
	briefing = time.Minute
	tookOver = 3
)

// stir wakes trees if enough has happened to their places. The ways of one member that
// moved are enough.
func (o *reorganiser) stir(members, places int, now time.Time) {
	o.mu.Lock()
	changed := float64(o.changes) >= max(1, stirring*float64(places))
	o.mu.Unlock()
	learnt := float64(o.rtts.learnt()) >= max(1, float64(members)/2)
	if changed || learnt {
		o.awake = true
	}
	if changed || learnt && now.Sub(o.since) >= briefing {
		o.deeper = 0
	}
	if now.Sub(o.sifted) < trickle {
		return
	}
	if o.sifted = now; !o.awake {
		o.rtts.heed(now)
	}
}

// bar is the part of the total cost that a thorough plan must save.
func (u *unrest) bar(least float64) float64 {
	return least * math.Pow(deeperBy, float64(u.deeper))
}

// heed begins anew to count what happens: the plan that is about to be made knows of
// all there was.
func (o *reorganiser) heed(now time.Time) {
	o.deep = now
	o.rtts.heed(now)
	o.mu.Lock()
	o.changes = 0
	o.mu.Unlock()
}
