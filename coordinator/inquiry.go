package coordinator

import (
	"context"
	"fmt"
	"sync"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// maxDetail bounds a member's own words, in bytes.
const maxDetail = 200

// inquiries are the questions of a leader that wait for members' answers.
type inquiries struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]*inquiry
}

// An inquiry is one proposed move.
type inquiry struct {
	waiting    map[region.MemberID]bool
	objections []objection
	// done is closed when all have answered.
	done chan struct{}
}

func newInquiries() *inquiries { return &inquiries{open: map[uint64]*inquiry{}} }

// ask shows a move to those it touches and returns what they have against it;
// none if all agree. It waits for patience at most.
func (l *leadership) ask(ctx context.Context, steps []region.Step, gain, patience time.Duration, rtt region.RTT) []objection {
	r := l.hub.current()
	shown := concerned(r, steps, rtt)
	q := &inquiry{waiting: map[region.MemberID]bool{}, done: make(chan struct{})}
	for m := range shown {
		q.waiting[m] = true
	}
	l.inquiries.mu.Lock()
	l.inquiries.last++
	id := l.inquiries.last
	l.inquiries.open[id] = q
	l.inquiries.mu.Unlock()
	for m, list := range shown {
		l.hub.propose(m, &skeinv1.MoveProposal{
			Id: id, Steps: list, GainUs: gain.Microseconds(), PatienceMs: patience.Milliseconds(),
		})
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-q.done:
	case <-timer.C:
	case <-ctx.Done():
	}
	return l.inquiries.close(id)
}

// concerned tells each end of each step what the step is to it.
func concerned(r *region.Region, steps []region.Step, rtt region.RTT) map[region.MemberID][]*skeinv1.MoveStep {
	shown := map[region.MemberID][]*skeinv1.MoveStep{}
	for _, s := range steps {
		d, _ := rtt.RTT(s.Member, s.To)
		show := func(m, peer region.MemberID, parent bool) {
			shown[m] = append(shown[m], &skeinv1.MoveStep{
				Stream: string(s.Stream), Peer: peerOf(r, peer), Parent: parent, RttUs: d.Microseconds(),
			})
		}
		show(s.Member, s.To, false)
		show(s.To, s.Member, true)
	}
	return shown
}

// close ends an inquiry: who has not answered by now objects.
func (i *inquiries) close(id uint64) []objection {
	i.mu.Lock()
	defer i.mu.Unlock()
	q := i.open[id]
	delete(i.open, id)
	list := q.objections
	for m := range q.waiting {
		list = append(list, objection{member: m, reason: unanswered})
	}
	return list
}

// answered takes a member's answer. One that nobody waits for is late, and of no
// consequence.
func (i *inquiries) answered(m region.MemberID, a *skeinv1.MoveAnswer) error {
	if len(a.Detail) > maxDetail {
		return fmt.Errorf("answers: %w: detail of %d bytes, want at most %d", region.ErrInvalid, len(a.Detail), maxDetail)
	}
	x := objection{member: m, reason: a.Objection, detail: a.Detail}
	if a.About != "" {
		about, err := skeinv1.ToMemberID(a.About)
		if err != nil {
			return fmt.Errorf("answers: %w", err)
		}
		x.about = about
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	q := i.open[a.Id]
	if q == nil || !q.waiting[m] {
		return nil
	}
	delete(q.waiting, m)
	if a.Objection != skeinv1.Objection_OBJECTION_UNSPECIFIED {
		q.objections = append(q.objections, x)
	}
	if len(q.waiting) == 0 {
		close(q.done)
	}
	return nil
}
