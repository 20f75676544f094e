package coordinator

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// untangleMost moves are asked about before a division at a time, and untangleEach of
	// one member: it looks into no more (member.maxConsidered).
	untangleMost = 32
	untangleEach = 6
	// replanAfter is when moves are planned anew although nothing has changed: who objected
	// may be asked again.
	replanAfter = 250 * time.Millisecond
)

// An untangling moves members, with their consent, until all trees can be cut. Each move is
// decided as soon as those whom it touches agree, whatever others have to say about theirs.
type untangling struct {
	*boundary
	div *division
	// asked are the moves that are being agreed, and answers where it is heard what came
	// of each; of the goroutine that untangles, as all but wg.
	asked   [][]region.Step
	answers chan word
	wg      sync.WaitGroup
	// moving are the moves that were decided and are not confirmed yet.
	moving map[site]region.MemberID
	// planned is when moves were planned, on which revision, and how many were being asked
	// about and how many edges crossed the border then.
	planned struct {
		at          time.Time
		on          region.Revision
		asked, left int
	}
}

// A site is the place of a member in a tree.
type site struct {
	stream region.StreamID
	member region.MemberID
}

// A word is what those whom a move touches have against it.
type word struct {
	steps   []region.Step
	against []objection
}

func (b *boundary) untangling(div *division) *untangling {
	return &untangling{boundary: b, div: div, answers: make(chan word, untangleMost), moving: map[site]region.MemberID{}}
}

// advance decides what is agreed to, and asks about further moves. moved counts what was
// decided, and left the edges that cross the border.
func (u *untangling) advance(ctx context.Context) (moved, left int, err error) {
	if moved, err = u.decideAgreed(ctx); err != nil {
		return moved, 0, err
	}
	now, rtt := time.Now(), u.rtts.view(time.Now())
	r := u.replica.group.State().Region
	u.div.adapt(r, rtt)
	u.publish(u.div)
	u.confirmed(r, now)
	crossings, err := r.Crossings(u.div.Division)
	if err != nil || len(crossings) == 0 {
		return moved, 0, err
	}
	if p := &u.planned; p.on == r.Revision() && p.asked == len(u.asked) && now.Sub(p.at) < replanAfter {
		return moved, p.left, nil
	}
	x := region.Untangling{
		Now: u.leadership.cfg.Now(), Hold: u.leadership.cfg.Reorganise.confirm(), RTT: rtt,
		Most: untangleMost - len(u.asked), Each: untangleEach, Asked: u.asked,
		Avoid: func(member, parent region.MemberID) bool { return u.div.shy.heed(member, parent, now) },
	}
	u.div.yield(r, crossings, x, now)
	moves, left, err := r.Untangle(u.div.Division, x)
	for _, steps := range moves {
		u.inquire(ctx, steps, rtt)
	}
	u.planned.at, u.planned.on, u.planned.asked, u.planned.left = now, r.Revision(), len(u.asked), left
	return moved, left, err
}

// inquire shows a move to those whom it touches.
func (u *untangling) inquire(ctx context.Context, steps []region.Step, rtt region.RTT) {
	u.asked = append(u.asked, steps)
	u.wg.Go(func() {
		against := u.ask(ctx, steps, 0, u.leadership.cfg.Reorganise.patience(), rtt)
		u.answers <- word{steps, against} // there is room for all that are asked
	})
}

// decideAgreed has the moves decided that were agreed to since it was last called, and
// lets gateways draw all layers.
func (u *untangling) decideAgreed(ctx context.Context) (moved int, err error) {
	var agreed [][]region.Step
	for {
		select {
		case a := <-u.answers:
			if u.heard(a) {
				agreed = append(agreed, a.steps)
			}
			continue
		default:
		}
		break
	}
	if len(agreed) == 0 && len(u.replica.group.State().Region.Complete(u.div.Division)) == 0 {
		return 0, nil
	}
	var under [][]region.Step
	err = u.decide(ctx, func(d *draft) error {
		moved, under = 0, nil
		if edits := d.region.Complete(u.div.Division); len(edits) > 0 {
			moved++
			if err := d.carry(edits); err != nil {
				return err
			}
		}
		for _, steps := range agreed {
			switch err := d.move(steps, u.leadership.cfg.Reorganise.confirm()); {
			case err == nil:
				moved++
				under = append(under, steps)
			case !errors.Is(err, errOverdue): // what is overdue has been overtaken, and is planned anew
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, steps := range under {
		for _, s := range steps {
			u.moving[site{s.Stream, s.Member}] = s.To
		}
	}
	return moved, nil
}

// heard says whether those whom a move touches agree to it, and remembers who does not.
func (u *untangling) heard(a word) bool {
	u.asked = slices.DeleteFunc(u.asked, func(steps []region.Step) bool { return slices.Equal(steps, a.steps) })
	// That a way is longer than it was thought is no reason: somebody has to feed it.
	against := slices.DeleteFunc(a.against, func(x objection) bool {
		return x.reason == skeinv1.Objection_OBJECTION_SLOWER || u.div.shy.overruled(x.member, a.steps)
	})
	for _, x := range against {
		u.div.shy.remember(x, time.Now())
		u.replica.history.note(&skeinv1.Event{
			Kind: "plan.objected", Member: string(x.member), Stream: string(a.steps[0].Stream), Parent: string(x.about),
			Cause: reasonOf(x.reason), Detail: x.detail,
		})
	}
	return len(against) == 0
}

// confirmed looks what became of the moves that were decided: who did not get the stream
// from its new parent in time is not to be hung there again soon.
func (u *untangling) confirmed(r *region.Region, now time.Time) {
	for at, to := range u.moving {
		n, ok := r.Node(at.stream, at.member)
		if ok && n.Parent == to && n.State == region.Reserved {
			continue
		}
		delete(u.moving, at)
		if ok && n.Parent != to {
			u.div.shy.remember(objection{member: at.member, about: to, reason: skeinv1.Objection_OBJECTION_UNREACHABLE, detail: "it has not moved"}, now)
		}
	}
}

// ableNodes says who could coordinate the sides of a division: members that offer it, and
// how many coordinators that do nothing else are there for both. A group of fewer
// replicas than three needs no more after it than before.
func (b *boundary) ableNodes() (able func(region.MemberID) bool, others int) {
	nodes, living := map[region.MemberID]bool{}, b.livingReplicas()
	for _, id := range living { // the directory may not have heard of all of them yet
		nodes[id] = true
	}
	for _, c := range b.replica.directory.Coordinators() {
		nodes[c.ID] = !c.Volunteer && !c.Retiring && (nodes[c.ID] || c.Groups < c.MaxGroups)
	}
	for _, does := range nodes {
		if does {
			others++
		}
	}
	judge, offering := b.judge(), map[region.MemberID]bool{}
	for _, o := range b.volunteers.list(time.Now()) {
		if o.serving || judge(&o) == (shortfall{}) {
			offering[o.member] = true
		}
	}
	return func(m region.MemberID) bool { return offering[m] }, others + max(0, leastSplit/2-len(living))
}

// confirm is how long a move may take; that of a leader that never reorganises, too.
func (c *Reorganisation) confirm() time.Duration {
	if c.Confirm > 0 {
		return c.Confirm
	}
	return DefaultReorganisation().Confirm
}

// patience is how long members may think about a move, likewise.
func (c *Reorganisation) patience() time.Duration {
	if c.Patience > 0 {
		return c.Patience
	}
	return DefaultReorganisation().Patience
}
