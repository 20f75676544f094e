package rescue

import (
	"context"
	"sync"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member/relay"
)

// A log judges what one reader of the stream gets.
type log struct {
	sink   *relay.Sink
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu        sync.Mutex
	received  int
	next      uint64 // index that ought to come
	lost      uint64
	reordered int // packets behind one that came before
	at        time.Time
	gap       time.Duration
}

// read starts a reader at n.
func (w *world) read(n *node) (*log, error) {
	sink, err := n.r.Subscribe(w.stream.ID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &log{sink: sink, cancel: cancel}
	l.done.Go(func() {
		for {
			p, err := sink.ReadRTP(ctx)
			if err != nil {
				return
			}
			l.note(p.Index, time.Now())
		}
	})
	return l, nil
}

func (l *log) note(index uint64, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.received == 0:
	case index < l.next:
		l.reordered++
		return
	default:
		l.lost += index - l.next
		l.gap = max(l.gap, now.Sub(l.at))
	}
	l.received++
	l.next, l.at = index+1, now
}

// mark forgets gap and losses so far.
func (l *log) mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gap, l.lost = 0, 0
}

func (l *log) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.received
}

// since returns what was found since mark. A gap that lasts counts, too.
func (l *log) since() (gap time.Duration, lost uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.gap, time.Since(l.at)), l.lost
}

func (l *log) close() {
	l.cancel()
	l.done.Wait()
	_ = l.sink.Close()
}

// play writes frames of so many packets at an interval until stop is called.
func play(src *relay.Source, every time.Duration, packets, size int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		p := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96}, Payload: make([]byte, size)}
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			p.Timestamp += uint32(every.Seconds() * 90_000)
			for i := range packets {
				p.SequenceNumber++
				p.Marker = i == packets-1
				if src.WriteRTP(0, p, time.Time{}) != nil {
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func() { cancel(); done.Wait() }
}
