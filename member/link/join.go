package link

// Packets of several streams that are sent to the same peer at the same time, as somebody's
// voice and whereabouts are, make one train: to the kernel and the peer that is one
// datagram, and its cost.

// stub is what fits into a train behind others without lengthening it by much.
const stub = 512

// join makes trains to the same destination one, where that can be.
func (b *Batch) join() {
	if len(b.trains) < 2 {
		return
	}
	b.flush++
	b.joined = b.joined[:0]
	kept := b.trains[:0]
	for _, t := range b.trains {
		to := t.to
		if to.flush == b.flush && b.couple(&kept[to.train], t) {
			continue
		}
		to.flush, to.train = b.flush, len(kept)
		kept = append(kept, t)
	}
	b.trains = kept
}

// couple appends one of two trains to the other: the kernel wants all packets but the last
// to be of the same size. Packets of the same stream stay in order.
func (b *Batch) couple(first *train, next train) bool {
	switch {
	case next.fits(*first):
		b.put(first, *first, next)
	case first.fits(next) && !sameStream(first.data, next.data):
		b.put(first, next, *first)
	default:
		return false
	}
	return true
}

// fits says whether t, a small packet, may be the last of another train.
func (t train) fits(behind train) bool {
	n := len(behind.data)
	return len(t.data) == t.size && t.size <= min(behind.size, stub) && n%behind.size == 0 &&
		n/behind.size < maxTrain && n+len(t.data) <= maxTrainBytes
}

func (b *Batch) put(into *train, head, tail train) {
	need := len(head.data) + len(tail.data)
	if cap(b.joined)-len(b.joined) < need {
		b.joined = make([]byte, 0, max(slabSize, need)) // trains keep the old one until they are sent
	}
	at := len(b.joined)
	b.joined = append(append(b.joined, head.data...), tail.data...)
	*into = train{to: into.to, data: b.joined[at:], size: head.size}
}

// sameStream says whether two packets are of the same SSRC.
func sameStream(a, b []byte) bool { return string(a[8:headerSize]) == string(b[8:headerSize]) }
