package coordinator

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// The decisions of a draft. Each carries out what package region decides and
// returns the answer as it is stored: what changes from reading to reading
// (grants, addresses, keys) is added when it is given; see leadership.complete.

func (d *draft) join(m region.Member) (*skeinv1.JoinResponse, error) {
	edits, joined, err := d.region.Join(m, d.now, d.rtt)
	if err != nil {
		return nil, err
	}
	if err := d.carry(edits); err != nil {
		return nil, err
	}
	return &skeinv1.JoinResponse{Lease: uint64(joined.Lease)}, nil
}

// visit takes in a visitor.
func (d *draft) visit(m region.Member) (*skeinv1.JoinResponse, error) {
	edits, visitor, err := d.region.Visit(m, d.now, d.rtt)
	if err != nil {
		return nil, err
	}
	if err := d.carry(edits); err != nil {
		return nil, err
	}
	return &skeinv1.JoinResponse{Lease: uint64(visitor.Lease)}, nil
}

// leave ends a stay. lost says that it ends because the member fell silent.
func (d *draft) leave(s stay, lost bool) error {
	edits, err := d.region.Leave(s.member, s.lease, d.now, d.rtt)
	if err != nil {
		return err
	}
	if err := d.carry(edits); err != nil {
		return err
	}
	if lost && len(edits) > 0 {
		d.lost = append(d.lost, string(s.member))
	}
	return nil
}

func (d *draft) publish(s region.Stream, lease region.Lease) (*skeinv1.PublishResponse, error) {
	edits, stream, err := d.region.Publish(s, lease, d.now)
	if err != nil {
		return nil, err
	}
	if err := d.carry(edits); err != nil {
		return nil, err
	}
	return &skeinv1.PublishResponse{Stream: skeinv1.FromStream(stream)}, nil
}

func (d *draft) unpublish(id region.StreamID, s stay) error {
	edits, err := d.region.Unpublish(id, s.member, s.lease)
	if err != nil {
		return err
	}
	return d.carry(edits)
}

// admit answers an admission. Being refused is an answer, with a fresh view.
func (d *draft) admit(a region.Admission) (*skeinv1.AdmitResponse, error) {
	if a.Cause == region.Gateway {
		edits, err := d.region.Succeed(a.Stream, a.Child, d.now, d.rtt)
		switch {
		case errors.Is(err, region.ErrForbidden):
			a.Cause, a.Place = region.Orphaned, true
		case err != nil:
			return nil, err
		}
		if err := d.carry(edits); err != nil {
			return nil, err
		}
	}
	if err := d.carry(d.region.Relieve(a.Stream, a.Child, d.rtt)); err != nil {
		return nil, err
	}
	stream, _ := d.region.Stream(a.Stream)
	if stream.From != "" && stream.Origin == a.Child {
		return &skeinv1.AdmitResponse{Outcome: &skeinv1.AdmitResponse_Accepted{Accepted: &skeinv1.Role{
			Stream: skeinv1.FromStream(stream), Layers: uint32(region.AllLayers), Placed: true,
		}}}, nil
	}
	edits, decision, err := d.region.Admit(a, d.now, d.hold, d.rtt)
	if err != nil {
		return nil, err
	}
	if err := d.take(edits, decision); err != nil {
		return nil, err
	}
	if !decision.OK {
		view, err := d.region.ViewFrom(a.Stream, a.Child, a.Layers, a.Apart, d.rtt)
		if err != nil {
			return nil, err
		}
		return &skeinv1.AdmitResponse{Outcome: &skeinv1.AdmitResponse_Refused{Refused: &skeinv1.Refused{
			Refusals: skeinv1.FromRefusals(decision.Refusals),
			View:     skeinv1.FromView(view),
		}}}, nil
	}
	return &skeinv1.AdmitResponse{Outcome: &skeinv1.AdmitResponse_Accepted{Accepted: &skeinv1.Role{
		Stream: skeinv1.FromStream(stream),
		Parent: &skeinv1.Upstream{Peer: &skeinv1.Peer{Id: string(decision.Accepted.Parent)}},
		Layers: uint32(decision.Accepted.Layers),
		Placed: true,
	}}}, nil
}

// fetch begins to draw a stream of another region, because m wants it.
func (d *draft) fetch(s region.Stream, m region.MemberID) error {
	if _, ok := d.region.Stream(s.ID); ok {
		return nil
	}
	edits, err := d.region.Import(s, m, d.rtt)
	if err != nil {
		return err
	}
	return d.carry(edits)
}

// appoint chooses who takes a stream over from its gateway, should that fail.
func (d *draft) appoint(id region.StreamID) error { return d.carry(d.region.Appoint(id)) }

// regate lets a better gateway take a stream over.
func (d *draft) regate(id region.StreamID, away func(region.MemberID) (time.Duration, bool), ready func(region.MemberID) bool) error {
	return d.carry(d.region.Regate(id, away, ready, d.rtt))
}

func (d *draft) release(id region.StreamID, s stay) error {
	edits, err := d.region.Release(id, s.member, s.lease, d.now, d.rtt)
	if err != nil {
		return err
	}
	return d.carry(edits)
}

// expire reverses the reservations that nobody confirmed in time.
func (d *draft) expire() error { return d.carry(d.region.Expire(d.now, d.rtt)) }

// tend gives better standbys to some members of a stream.
func (d *draft) tend(id region.StreamID, turn int) error {
	return d.carry(d.region.Tend(id, turn, d.now, d.rtt))
}

// errOverdue: since a move was planned the structure has changed too much for it.
var errOverdue = errors.New("the move is not possible any more")

// move carries out what those it touches have agreed to; hold is how long it may
// take.
func (d *draft) move(steps []region.Step, hold time.Duration) error {
	edits, err := d.region.Move(steps, d.now, hold, d.rtt)
	if err != nil {
		// Not the defect that a broken invariant is elsewhere.
		return fmt.Errorf("%w: %v", errOverdue, err)
	}
	return d.carry(edits)
}

// A forwarding time is brought up to date if it is off by half and by slowLeast,
// which is more than what a busy machine makes of one and the same member.
const (
	slowShare = 0.5
	slowLeast = 5 * time.Millisecond
)

// reforward brings the forwarding times of members up to date with what they say.
// Nobody seems faster than one that was never measured.
func (d *draft) reforward(said map[region.MemberID]time.Duration) error {
	for _, id := range slices.Sorted(maps.Keys(said)) {
		m, ok := d.region.Member(id)
		t := min(max(said[id], region.DefaultForward), region.MaxDelay)
		if !ok || !longer(t, m.Forward, slowShare, slowLeast) && !longer(m.Forward, t, slowShare, slowLeast) {
			continue
		}
		m.Forward = t
		if err := d.carry([]region.Edit{region.PutMember{Member: m}}); err != nil {
			return err
		}
	}
	return nil
}

// remeasure brings the hops of all trees up to date.
func (d *draft) remeasure() error {
	for s := range d.region.Streams() {
		if d.full() {
			return nil
		}
		if err := d.carry(d.region.Remeasure(s.ID, d.rtt)); err != nil {
			return err
		}
	}
	return nil
}

// An edgeReport is a member's word on where it draws a stream from.
type edgeReport struct {
	stream region.StreamID
	parent region.MemberID
}

// confirm ends the reservations of the edges that a stay reports to stand.
func (d *draft) confirm(s stay, reports []edgeReport) error {
	if m, ok := d.region.Member(s.member); !ok || m.Lease != s.lease {
		return fmt.Errorf("confirm edges of %s: %w", s.member, region.ErrLease)
	}
	for _, r := range reports {
		if err := d.carry(d.region.Confirmed(r.stream, s.member, r.parent)); err != nil {
			return err
		}
	}
	return nil
}

// correct makes the structure say what a member holds: it draws the stream from
// the parent it reports, whatever was decided. It reports whether that could be.
func (d *draft) correct(s stay, r edgeReport) (bool, error) {
	if _, ok := d.region.Stream(r.stream); !ok {
		return false, nil
	}
	if n, ok := d.region.Node(r.stream, s.member); ok && n.Parent == r.parent {
		return true, nil
	}
	edits, decision, err := d.region.Admit(region.Admission{
		Stream: r.stream, Child: s.member, Lease: s.lease, Layers: region.AllLayers, Cause: region.Orphaned,
		Proposals: []region.Proposal{{Parent: r.parent, ParentDelay: d.delay(r)}},
	}, d.now, d.hold, d.rtt)
	if err != nil || !decision.OK {
		return false, err
	}
	if err := d.take(edits, decision); err != nil {
		return false, err
	}
	return true, d.carry(d.region.Confirmed(r.stream, s.member, r.parent))
}

// delay is what the structure says of the reported parent: the report rests on
// what the member holds, not on what it believes of delays.
func (d *draft) delay(r edgeReport) time.Duration {
	delay, _ := d.region.Delay(r.stream, r.parent)
	return delay
}

// useToken counts a use of a join token by the holder of a key.
func (d *draft) useToken(t trust.Token) error {
	if t.Uses == 0 {
		return nil
	}
	if used := d.tokenUses(t.ID); used >= t.Uses {
		return fmt.Errorf("%w (it allowed %d)", trust.ErrTokenSpent, t.Uses)
	}
	// Remembered for longer than it lasts: the next leader's clock may be behind.
	expires := t.Expires.Add(time.Hour).UnixMilli()
	d.tokens = append(d.tokens, &skeinv1.TokenUse{Id: t.ID, ExpiresMs: expires, Count: 1})
	return nil
}
