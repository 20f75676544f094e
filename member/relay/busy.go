package relay

import (
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Most streams of a member rest at any time, and it may know hundreds: the keeper looks at
// those that were stirred, and at all of them only when one is due.

// stir wakes the keeper to look at this stream alone.
func (s *stream) stir() {
	s.queue()
	s.r.rouse()
}

// queue has the keeper look at this stream when it is awake.
func (s *stream) queue() { s.r.stirred.add(s, &s.stirred) }

// A queue is a set of streams that somebody is to look at.
type queue struct {
	mu      sync.Mutex
	streams []*stream
	flags   []*atomic.Bool
}

// add puts a stream into the queue, once; flag says whether it is there.
func (q *queue) add(s *stream, flag *atomic.Bool) {
	if flag.Load() || flag.Swap(true) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.streams, q.flags = append(q.streams, s), append(q.flags, flag)
}

// take empties the queue. What is added from then on is there again.
func (q *queue) take(into []*stream) []*stream {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, flag := range q.flags {
		flag.Store(false)
	}
	into = append(into, q.streams...)
	clear(q.streams)
	q.streams, q.flags = q.streams[:0], q.flags[:0]
	return into
}

// gather finds the places to look at now.
func (k *keeper) gather(everything bool, now int64) {
	k.busy = k.busy[:0]
	k.stirred = k.r.stirred.take(k.stirred[:0])
	for _, s := range k.stirred {
		if p := k.places[s.id]; p != nil && p.s == s {
			p.due = 0
			k.busy = append(k.busy, p)
		}
	}
	clear(k.stirred)
	if !everything && now < k.due {
		slices.SortFunc(k.busy, func(a, b *place) int { return strings.Compare(string(a.s.id), string(b.s.id)) })
		return
	}
	k.busy, k.due = k.busy[:0], math.MaxInt64
	for _, p := range k.all {
		if everything || now >= p.due {
			k.busy = append(k.busy, p)
		} else {
			k.due = min(k.due, p.due)
		}
	}
}

// look does what is to be done for a place.
func (k *keeper) look(p *place, now int64) {
	k.checkChildren(p)
	p.due = min(k.adjust(p, now), k.draw(p, now), k.mend(p, now), k.passKeyframe(p, now))
	if p.due >= now+int64(idleTick) { // whatever rests is looked at at the same time
		p.due = next(now, idleTick)
	}
	k.inform(p, now)
	if sings := p.sings(); sings != p.voice {
		p.voice, k.chorus.next = sings, 0
	}
	p.pause = k.pause(p, now)
	k.due, k.pauses = min(k.due, p.due), min(k.pauses, p.pause)
}

// listen sees which streams have paused, and returns when to do so again. Those that flow
// are put off before their time comes, when another's has.
func (k *keeper) listen(now int64) (due int64) {
	if now < k.pauses {
		return k.pauses
	}
	k.pauses = next(now, idleTick)
	for _, p := range k.all {
		if now+int64(pauseForesight) >= p.pause {
			p.pause = k.pause(p, now)
		}
		k.pauses = min(k.pauses, p.pause)
	}
	return k.pauses
}

// pauseForesight is less than the shortest pause.
const pauseForesight = 30 * time.Millisecond

// next is when a time that all things of one pace have in common comes.
func next(now int64, pace time.Duration) int64 { return now - now%int64(pace) + int64(pace) }
