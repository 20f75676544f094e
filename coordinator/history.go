package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// A history holds what happened lately in a region, for people and their tools.
// Readers hold a position in it; one that falls behind the oldest record must
// begin anew.
type history struct {
	limit int

	mu      sync.Mutex
	region  *region.Region // after the newest record
	records []record       // oldest first, numbered without gaps
	news    chan struct{}  // closed and replaced when something is added
}

// A record is what happened at one revision.
type record struct {
	number   uint64
	revision region.Revision
	time     time.Time
	events   []*skeinv1.Event
}

func newHistory(limit int) *history {
	return &history{limit: limit, news: make(chan struct{})}
}

// begin sets the structure from which on changes are described.
func (h *history) begin(r *region.Region) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.region = r
}

// applied adds the events of an entry.
func (h *history) applied(a group.Applied) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var events []*skeinv1.Event
	if !a.Gap {
		events = describe(h.region, a.Region, a.Change, a.Lost)
	}
	h.region = a.Region
	at := a.Time
	if at.IsZero() {
		at = time.Now()
	}
	// Even what is of no interest moves the position of those who resume.
	h.add(at, events)
}

// note adds an event that is no change.
func (h *history) note(events ...*skeinv1.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.add(time.Now(), events)
}

// add must be called with mu held.
func (h *history) add(at time.Time, events []*skeinv1.Event) {
	next := uint64(1)
	if n := len(h.records); n > 0 {
		next = h.records[n-1].number + 1
	}
	if len(h.records) >= h.limit {
		h.records = slices.Delete(h.records, 0, len(h.records)-h.limit+1)
	}
	h.records = append(h.records, record{next, h.region.Revision(), at, events})
	close(h.news)
	h.news = make(chan struct{})
}

// A position is where a reader stands in a history.
type position struct {
	h *history
	// after is the number of the last record read.
	after uint64
}

// A behindError says that records are missing between a position and the oldest.
type behindError struct{ oldest region.Revision }

func (e *behindError) Error() string {
	return fmt.Sprintf("events before revision %d are not held any more: read the state anew, then watch from there", e.oldest)
}

// from returns the position after a revision; 0 stands for the present.
func (h *history) from(after region.Revision) (*position, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.records)
	switch {
	case n == 0:
		return &position{h: h}, nil
	case after == 0:
		return &position{h, h.records[n-1].number}, nil
	}
	i, _ := slices.BinarySearchFunc(h.records, after+1, func(r record, rev region.Revision) int {
		return cmp.Compare(r.revision, rev)
	})
	if i == 0 && h.records[0].number > 1 {
		return nil, &behindError{h.records[0].revision}
	}
	return &position{h, h.records[0].number + uint64(i) - 1}, nil
}

// next returns the records after the position, waiting for one until ctx ends
// or, at most, for patience; then it returns none. The position moves on.
func (p *position) next(ctx context.Context, patience time.Duration) ([]record, region.Revision, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		records, revision, news, err := p.read()
		if err != nil || len(records) > 0 {
			return records, revision, err
		}
		select {
		case <-news:
		case <-timer.C:
			return nil, revision, nil
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		}
	}
}

func (p *position) read() ([]record, region.Revision, <-chan struct{}, error) {
	h := p.h
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.records)
	if n == 0 || h.records[n-1].number <= p.after {
		return nil, h.region.Revision(), h.news, nil
	}
	first := h.records[0]
	if first.number > p.after+1 {
		return nil, 0, nil, &behindError{first.revision}
	}
	records := slices.Clone(h.records[p.after+1-first.number:])
	p.after = records[len(records)-1].number
	return records, h.region.Revision(), nil, nil
}

// describe tells people what a change did.
func describe(before, after *region.Region, c region.Change, lost []region.MemberID) []*skeinv1.Event {
	var events []*skeinv1.Event
	add := func(kind string, m region.MemberID, s region.StreamID, parent region.MemberID, detail string) {
		events = append(events, &skeinv1.Event{
			Kind: kind, Member: string(m), Stream: string(s), Parent: string(parent), Detail: detail,
		})
	}
	for _, e := range c.Edits {
		switch e := e.(type) {
		case region.PutMember:
			if was, ok := before.Member(e.Member.ID); !ok || was.Lease != e.Member.Lease {
				add("member.joined", e.Member.ID, "", "", e.Member.Name)
			} else if was.Leaf != e.Member.Leaf {
				add("leaf.delegated", e.Member.ID, "", "", fmt.Sprintf("%d kbit/s, before %d", e.Member.Leaf, was.Leaf))
			}
		case region.DropMember:
			was, _ := before.Member(e.Member)
			kind := "member.left"
			if slices.Contains(lost, e.Member) {
				kind = "member.lost"
			}
			add(kind, e.Member, "", "", was.Name)
		case region.PutStream:
			add("stream.published", e.Stream.Origin, e.Stream.ID, "", e.Stream.Codec)
		case region.DropStream:
			was, _ := before.Stream(e.Stream)
			add("stream.unpublished", was.Origin, e.Stream, "", "")
		case region.SetNode:
			was, placed := before.Node(e.Stream, e.Node.Member)
			if placed && sameRole(was, e.Node) {
				continue
			}
			kind, detail := describeEdge(was, placed, e.Node, c.Time)
			add(kind, e.Node.Member, e.Stream, e.Node.Parent, detail)
		case region.DropNode:
			was, _ := before.Node(e.Stream, e.Member)
			kind := "edge.released"
			if was.State == region.Reserved && was.Deadline.Before(c.Time) {
				kind = "edge.expired"
			}
			add(kind, e.Member, e.Stream, was.Parent, "")
		case region.SetGateways:
			if was, _ := before.Stream(e.Stream); was.Origin != e.Origin {
				add("gateway.changed", e.Origin, e.Stream, was.Origin, "draws it from region "+string(was.From))
			} else if e.Standby != "" {
				add("gateway.standby", e.Standby, e.Stream, e.Origin, "")
			}
		case region.Confirm:
			now, _ := after.Node(e.Stream, e.Member)
			add("edge.confirmed", e.Member, e.Stream, now.Parent, "")
		}
	}
	return events
}

func describeEdge(was region.Node, placed bool, now region.Node, at time.Time) (kind, detail string) {
	switch {
	case !placed:
		return "edge.admitted", "new"
	case was.State == region.Reserved && was.Deadline.Before(at) && now.State == region.Standing:
		return "edge.expired", "back from " + string(was.Parent)
	case was.Parent == now.Parent:
		return "edge.admitted", "layers"
	}
	return "edge.admitted", "moved from " + string(was.Parent)
}
