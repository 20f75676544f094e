package coordinator

import (
	"time"

	"github.com/skein-mesh/skein/region"
)

// leastLoss of pings, per mille, tells of a bad way; one that was lost by chance is
// up to 62.
const leastLoss = 100

// lose takes what reporter says of how much the way to peer loses.
func (r *rtts) lose(reporter, peer region.MemberID, perMille uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, known := r.numbers[reporter]
	to, knownToo := r.numbers[peer]
	if !known || !knownToo {
		return
	}
	w := wayOf(from, to)
	if s := r.ways[w]; s != nil {
		s.ends[w.end(from)].loss = min(perMille, 1000)
	}
}

// loss is what the worse end says, per mille.
func (s *sample) loss() uint32 { return max(s.ends[0].loss, s.ends[1].loss) }

// repair is what is added to the round trip of a way that loses much: what is lost
// comes another round trip later, and a hop is half of one.
func (s *sample) repair(rtt time.Duration) time.Duration {
	if s.loss() < leastLoss {
		return 0
	}
	return 2 * rtt * time.Duration(s.loss()) / 1000
}
