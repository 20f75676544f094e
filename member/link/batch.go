package link

// A Batch gathers media packets for many links and sends them with few system
// calls. Packets of the same size that follow one another to the same link form
// a train, so add child by child, not packet by packet. One goroutine owns it.
type Batch struct {
	t      *Transport
	slabs  [][]byte
	slab   int // in use
	used   int // of the slab in use
	last   *session
	trains []train
	// joined holds trains that were joined, of the present Flush.
	joined []byte
	flush  uint64 // counts them
}

const (
	slabSize = 64 << 10
	maxSlabs = 8
	// maxTrain is what the kernel cuts: 64 packets, and one datagram's size.
	maxTrain, maxTrainBytes = 64, 65000
)

// Batch returns the transport's batch. There is one, because there is one
// encryption state per link.
func (t *Transport) Batch() *Batch { return &t.batch }

// Add encrypts a packet (as AppendPacket made it), whose header is h, for l. It does not
// keep p. It reports false if l has no session.
func (b *Batch) Add(l *Link, h Header, p []byte) bool {
	s := l.session.Load()
	if s == nil {
		return false
	}
	room := len(p) + tagSize
	if len(b.slabs) == 0 || b.used+room > slabSize {
		b.nextSlab()
	}
	out := s.out.encrypt(b.slabs[b.slab][b.used:b.used:b.used+room], p, h)
	dest := s.dest.Load()
	data := b.slabs[b.slab][b.used : b.used+len(out)]
	b.used += len(out)
	if n := len(b.trains); n > 0 && b.last == s && b.trains[n-1].takes(dest, data) {
		last := &b.trains[n-1]
		last.data = last.data[:len(last.data)+len(data)]
	} else {
		b.trains = append(b.trains, train{to: dest, data: data, size: len(data)})
	}
	b.last = s
	l.estimate.departed(h, len(out), b.t)
	l.packetsSent.Add(1)
	l.bytesSent.Add(uint64(len(out)))
	return true
}

// takes says whether data, which lies right behind t's, may join it.
func (t *train) takes(dest *destination, data []byte) bool {
	n := len(t.data)
	return t.to == dest && len(data) <= t.size && n%t.size == 0 && n/t.size < maxTrain &&
		n+len(data) <= maxTrainBytes && cap(t.data)-n >= len(data) && &t.data[:n+1][n] == &data[0]
}

func (b *Batch) nextSlab() {
	b.last = nil
	b.used = 0
	if len(b.slabs) > 0 {
		b.slab++
	}
	if b.slab == maxSlabs {
		b.Flush()
		return
	}
	if b.slab == len(b.slabs) {
		b.slabs = append(b.slabs, make([]byte, slabSize))
	}
}

// Flush sends what was added.
func (b *Batch) Flush() {
	if len(b.trains) > 0 {
		b.join()
		now := b.t.now()
		for i := range b.trains {
			b.trains[i].to.sent(now)
		}
		b.t.sendFailures.Add(uint64(b.t.writeTrains(b.trains)))
	}
	b.trains = b.trains[:0]
	b.slab, b.used, b.last = 0, 0, nil
}
