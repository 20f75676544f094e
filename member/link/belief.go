package link

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Belief is what a member holds for true of its own place in a stream.
type Belief struct {
	// Mark of the stream, see MarkOf.
	Mark uint32
	// Yours: it draws from whom this is told.
	Yours bool
	// Delay since the origin, as measured lately.
	Delay time.Duration
}

// MaxBeliefs bounds those of one message, which has 7 bytes and 9 for each.
const MaxBeliefs = 128

// Bundles splits beliefs into lists that each fit a message.
func Bundles(list []Belief) [][]Belief { return slices.Collect(slices.Chunk(list, MaxBeliefs)) }

func appendBeliefs(to []byte, m *Message) []byte {
	to = binary.BigEndian.AppendUint32(append(to, flag(m.Question)), uint32(m.Free))
	to = append(to, byte(len(m.Beliefs)))
	for _, b := range m.Beliefs {
		to = append(binary.BigEndian.AppendUint32(to, b.Mark), flag(b.Yours))
		to = binary.BigEndian.AppendUint32(to, uint32(min(max(b.Delay.Microseconds(), 0), 1<<32-1)))
	}
	return to
}

func (d *decoder) beliefs(m *Message) {
	m.Question, m.Free = d.flag(), region.Rate(d.number(4))
	n := int(d.number(1))
	if n > MaxBeliefs {
		d.bad = true
		return
	}
	for range n {
		m.Beliefs = append(m.Beliefs, Belief{
			Mark: uint32(d.number(4)), Yours: d.flag(), Delay: time.Duration(d.number(4)) * time.Microsecond,
		})
	}
}
