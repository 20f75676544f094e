package group

import (
	"context"
	"io"
	"sort"
	"sync"
	"time"

	"github.com/skein-mesh/skein/region"
)

// An Applied is an entry that was committed, as this replica applied it.
type Applied struct {
	// Revision is the Raft index of the entry.
	Revision region.Revision
	// Time the entry carried; zero if it had no change.
	Time time.Time
	// Change is empty if the entry only held answers, secrets or token uses. It
	// is shared by all readers and must not be modified.
	Change region.Change
	// Lost are the members whose stay ended with this entry because they fell
	// silent, not because they left.
	Lost []region.MemberID
	// Region after the entry. It belongs to the receiver.
	Region *region.Region
	// Gap says that entries are missing before this one, which stands for all of
	// them: Change is empty, Region is the whole present structure.
	Gap bool
}

// A feed holds the newest state and the last entries applied. The state machine
// writes, and never waits; readers that fall behind are sent a gap. The mutex is
// held for copying only.
type feed struct {
	mu    sync.Mutex
	limit int
	// ring holds the entries after floor up to head, by revision, at most limit.
	ring        []Applied
	floor, head region.Revision
	latest      *State        // frozen
	news        chan struct{} // closed and replaced when there is something new
	closed      bool
}

func newFeed(first *State, limit int) *feed {
	return &feed{limit: limit, latest: first.freeze(), news: make(chan struct{})}
}

// publish makes entries visible, and s, to which they led. What is not newer
// than what was published before is ignored: a replica that is opened again
// replays its log.
func (f *feed) publish(s *State, entries []Applied) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(entries) == 0 || entries[len(entries)-1].Revision <= f.head {
		return
	}
	for _, a := range entries {
		if a.Revision > f.head {
			f.ring = append(f.ring, a)
			f.head = a.Revision
		}
	}
	if over := len(f.ring) - f.limit; over > 0 {
		f.floor = f.ring[over-1].Revision
		clear(f.ring[:over])
		f.ring = f.ring[over:]
	}
	f.latest = s.freeze()
	f.wake()
}

// jump publishes a state that no entries lead to, as of revision at.
func (f *feed) jump(s *State, at region.Revision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at <= f.head {
		return
	}
	f.ring, f.floor, f.head, f.latest = nil, at, at, s.freeze()
	f.wake()
}

// wake must be called with mu held.
func (f *feed) wake() {
	close(f.news)
	f.news = make(chan struct{})
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		f.wake()
	}
}

func (f *feed) state() *State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latest.clone()
}

// structure is the newest one, which is frozen.
func (f *feed) structure() *region.Region {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latest.Region
}

func (f *feed) revision() region.Revision {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.head
}

func (f *feed) answer(member region.MemberID, requestID string, now time.Time) (Answer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latest.Answer(member, requestID, now)
}

// next returns what follows revision after, or a channel that is closed when it
// is worth asking again.
func (f *feed) next(after region.Revision) (Applied, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return Applied{}, nil, io.EOF
	case after >= f.head:
		return Applied{}, f.news, nil
	case after < f.floor:
		return Applied{Revision: f.head, Time: f.latest.Time, Region: f.latest.Region.Clone(), Gap: true}, nil, nil
	}
	i := sort.Search(len(f.ring), func(i int) bool { return f.ring[i].Revision > after })
	a := f.ring[i]
	a.Region = a.Region.Clone()
	return a, nil, nil
}

// A Feed reads what a group applies, in order. It is for one goroutine. It holds
// nothing that needs closing.
type Feed struct {
	feed  *feed
	after region.Revision
}

// Next blocks until there is a next entry, or ctx ends. A reader that fell more
// than Config.FeedLength entries behind receives one entry with Gap set and goes
// on from there. After Close of the group Next returns io.EOF.
func (r *Feed) Next(ctx context.Context) (Applied, error) {
	for {
		a, news, err := r.feed.next(r.after)
		if err != nil {
			return Applied{}, err
		}
		if news == nil {
			r.after = a.Revision
			return a, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return Applied{}, ctx.Err()
		}
	}
}
