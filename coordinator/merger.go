package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// askAgain is how soon the heir is asked again that did not answer.
	askAgain = 100 * time.Millisecond
	// jointHold is how long the edges may be unconfirmed that join two trees.
	jointHold = 10 * time.Second
)

// merge has the region taken in by another one: freeze, ask, and end or go on. It
// returns when that is in the log. into may be empty: the nearest one with room.
//
// The heir's log has the last word. While it is not known the region stays frozen,
// over any number of leaders: see conclude.
func (b *boundary) merge(ctx context.Context, into region.ID, cause string) (region.ID, error) {
	r := b.hub.current()
	err := unwell(b.replica.group.Status())
	if err == nil {
		into, err = b.heir(r, into, cause != bySize)
	}
	if err != nil {
		return "", err
	}
	b.leadership.cfg.pass(mergeChosen)
	b.tell("region.freezing", cause, fmt.Sprintf("%d members go to %s", r.HomedCount(), into), 0)
	err = b.decideAlone(ctx, func(d *draft) error {
		return d.carry([]region.Edit{region.SetFate{Fate: region.Fate{Into: into, Attempt: d.base}}})
	})
	if err != nil {
		return "", err
	}
	fate := b.replica.group.Region().Fate()
	b.leadership.cfg.pass(mergeFrozen)
	return into, b.conclude(ctx, fate)
}

// heir chooses who is to take the region in: of those with room, and larger, so that
// no two want one another, the nearest. One that an operator names need only exist.
func (b *boundary) heir(r *region.Region, named region.ID, forced bool) (region.ID, error) {
	type candidate struct {
		id   region.ID
		away time.Duration
		size int
	}
	var list []candidate
	homed, now := r.HomedCount(), time.Now()
	most := int(b.cfg.MergeUpTo * float64(b.cfg.SplitAt))
	for _, e := range b.replica.directory.Regions() {
		larger := cmp.Or(cmp.Compare(e.Members, homed), cmp.Compare(r.ID(), e.Region)) > 0
		switch {
		case e.Region == r.ID() || e.Over() || e.Silent(now) || named != "" && e.Region != named:
			continue
		case !forced && (!larger || e.Members+homed > most), e.Room() < homed:
			continue
		}
		away, known := b.replica.directory.Distance(e.Descriptor)
		if !known {
			away = unknownRTT
		}
		list = append(list, candidate{e.Region, away, e.Members})
	}
	if len(list) == 0 {
		if named != "" {
			return "", fmt.Errorf("region %s: not known here, or without room for %d members: %w", named, homed, region.ErrLimit)
		}
		return "", fmt.Errorf("no region has room for the %d members of %s: %w", homed, r.ID(), region.ErrLimit)
	}
	best := slices.MinFunc(list, func(x, y candidate) int {
		return cmp.Or(cmp.Compare(x.away, y.away), cmp.Compare(x.size, y.size), cmp.Compare(x.id, y.id))
	})
	return best.id, nil
}

func (b *boundary) setFate(ctx context.Context, f region.Fate) error {
	return b.decideAlone(ctx, func(d *draft) error { return d.carry([]region.Edit{region.SetFate{Fate: f}}) })
}

// conclude finishes a merger that has begun, whoever began it: it asks the heir until
// that has answered, then ends the region, or lets it go on.
func (b *boundary) conclude(ctx context.Context, fate region.Fate) error {
	begun := time.Now()
	for {
		b.leadership.cfg.pass(mergeAsked)
		absorbed, err := b.askHeir(ctx, fate.Into)
		if err == nil {
			b.leadership.cfg.pass(mergeAnswered)
			return b.heed(ctx, fate, absorbed, begun)
		}
		b.replica.logger.Debug("the heir does not answer yet", "heir", fate.Into, "err", err)
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// askHeir asks for the verdict of the heir's log.
func (b *boundary) askHeir(ctx context.Context, heir region.ID) (absorbed bool, err error) {
	m := &skeinv1.MergeRequest{Target: string(heir), Frozen: skeinv1.FromSnapshot(b.replica.group.State().Region.Snapshot())}
	err = b.replica.server.consult(ctx, heir, func(l *leadership) error {
		answer, err := l.takeIn(ctx, m)
		absorbed = answer.GetAbsorbed()
		return err
	}, func(ctx context.Context, c skeinv1.DirectoryClient) error {
		answer, err := c.Merge(ctx, m)
		absorbed = answer.GetAbsorbed()
		return err
	})
	return absorbed, err
}

// heed does what the heir's log says.
func (b *boundary) heed(ctx context.Context, fate region.Fate, absorbed bool, begun time.Time) error {
	heir := fate.Into
	if !absorbed {
		if err := b.setFate(ctx, region.Fate{}); err != nil {
			return err
		}
		b.leadership.cfg.pass(mergeUnfrozen)
		b.rest = time.Now().Add(b.cfg.Retry)
		b.tell("region.unfrozen", "", "refused by "+string(heir), time.Since(begun))
		return fmt.Errorf("region %s does not take it in now: %w: no room, names that both have, or its boundary is being moved; its events say which", heir, region.ErrLimit)
	}
	fate.Over = true
	if err := b.setFate(ctx, fate); err != nil {
		return err
	}
	b.leadership.cfg.pass(mergeOver)
	b.announceNow()
	b.tell("region.merged", "", "into "+string(heir), time.Since(begun))
	return nil
}

// takeIn gives the verdict on a region that asks to be taken in. What was said once
// stays.
func (l *leadership) takeIn(ctx context.Context, m *skeinv1.MergeRequest) (*skeinv1.MergeResponse, error) {
	frozen, err := skeinv1.ToSnapshot(m.GetFrozen())
	if err != nil {
		return nil, fmt.Errorf("frozen: %w", err)
	}
	if frozen.Fate.Into != l.replica.region || frozen.Fate.Over {
		return nil, fmt.Errorf("region %s: %w: it is not frozen to be merged into %s", frozen.ID, region.ErrInvalid, l.replica.region)
	}
	if v, given := l.verdict(frozen); given {
		return v, nil
	}
	published := l.publishedWhere(ctx, frozen)
	err = l.boundary.decideAlone(ctx, func(d *draft) error {
		if _, given := d.state.Verdict(frozen.ID, frozen.Fate.Attempt); given {
			return nil
		}
		l.cfg.pass(absorbDecided)
		if l.boundary.dividing() {
			return errNotTaken
		}
		return d.absorb(frozen, published, l.cfg.MaxMembers)
	})
	if err != nil && !unsettled(err) {
		l.boundary.tell("region.refused", "", fmt.Sprintf("%s: %v", frozen.ID, err), 0)
		err = l.boundary.decideAlone(ctx, func(d *draft) error {
			if _, given := d.state.Verdict(frozen.ID, frozen.Fate.Attempt); !given {
				d.refused = &skeinv1.Verdict{Region: string(frozen.ID), Attempt: uint64(frozen.Fate.Attempt)}
			}
			return nil
		})
	}
	if err != nil {
		return nil, err
	}
	v, given := l.verdict(frozen)
	switch {
	case !given: // a leader of the past
		return nil, l.replica.notLeader()
	case v.Absorbed:
		l.cfg.pass(absorbCommitted)
		l.boundary.announceNow()
		l.boundary.tell("region.absorbed", "", fmt.Sprintf("%d members of %s", len(frozen.Members), frozen.ID), 0)
	default:
		l.cfg.pass(refuseCommitted)
	}
	return v, nil
}

// verdict is what the log says of a frozen region.
func (l *leadership) verdict(frozen region.Snapshot) (*skeinv1.MergeResponse, bool) {
	v, given := l.replica.group.State().Verdict(frozen.ID, frozen.Fate.Attempt)
	return &skeinv1.MergeResponse{Absorbed: v.Absorbed}, given
}

// unsettled says whether an error leaves open what the log says, or will say.
func unsettled(err error) bool {
	for _, passing := range []error{
		region.ErrNotLeader, region.ErrOutcomeUnknown, region.ErrOverloaded, region.ErrRevision, region.ErrClosed,
		context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// errNotTaken: a region cannot be taken in while this one is about to be divided.
var errNotTaken = errors.New("the trees are being made ready for a division")

// publishedWhere finds out where the streams are published that this region and a frozen
// one draw from two other ones, as far as that can be found out.
func (l *leadership) publishedWhere(ctx context.Context, frozen region.Snapshot) map[region.StreamID]region.ID {
	r, homes := l.hub.current(), map[region.StreamID]region.ID{}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	for _, t := range frozen.Trees {
		s, ok := r.Stream(t.Stream.ID)
		if !ok || s.From == "" || t.Stream.From == "" || s.From == t.Stream.From || s.From == frozen.ID || t.Stream.From == r.ID() {
			continue
		}
		found, err := l.replica.server.resolve(ctx, s.ID, r.ID())
		if err != nil {
			l.replica.logger.Debug("where a stream is published is not known", "stream", s.ID, "err", err)
			continue
		}
		homes[s.ID] = found.From
	}
	return homes
}

// absorb takes a frozen region in; published says where streams of other regions are.
func (d *draft) absorb(frozen region.Snapshot, published map[region.StreamID]region.ID, most int) error {
	homed := d.region.HomedCount()
	for _, m := range frozen.Members {
		if m.Home == "" {
			homed++
		}
	}
	if homed > most {
		return fmt.Errorf("%d members of at most %d: %w", homed, most, region.ErrLimit)
	}
	joints, err := d.region.Joints(frozen, func(id region.StreamID) region.ID { return published[id] }, d.now, jointHold, d.rtt)
	if err != nil {
		return err
	}
	return d.carry([]region.Edit{region.Absorb{Region: frozen, Joints: joints}})
}

// Merge serves the heir's side.
func (a *atlas) Merge(ctx context.Context, m *skeinv1.MergeRequest) (*skeinv1.MergeResponse, error) {
	l, err := a.leader(m.GetTarget())
	if err != nil {
		return nil, err
	}
	return l.takeIn(ctx, m)
}
