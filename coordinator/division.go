package coordinator

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// preparedTick is how often it is looked whether trees can be cut.
	preparedTick = 50 * time.Millisecond
	// noRoomFor is how long nothing may be movable before a division is given up: long
	// enough to ask those again who did not agree.
	noRoomFor = 15 * time.Second
	// maxSuffix bounds what a child's name adds to its parent's.
	maxSuffix = 16
)

// split divides the region, and returns when that is in the log. ErrLimit if it
// cannot be divided.
func (b *boundary) split(ctx context.Context, cause string) (region.ID, error) {
	return b.splitOff(ctx, cause, nil)
}

// splitOff is split for members that are to go together; nil = half of all.
func (b *boundary) splitOff(ctx context.Context, cause string, goes []region.MemberID) (region.ID, error) {
	child, err := b.prepare(ctx, cause, goes)
	if err != nil && ctx.Err() == nil {
		b.tell("region.undivided", cause, err.Error(), 0)
	}
	return child, err
}

func (b *boundary) prepare(ctx context.Context, cause string, goes []region.MemberID) (_ region.ID, err error) {
	r := b.hub.current()
	if err := unwell(b.replica.group.Status()); err != nil {
		return "", err
	}
	if most := b.leadership.cfg.maxGroups(); len(b.replica.server.hosted()) >= most {
		return "", fmt.Errorf("divide region %s: this coordinator hosts %d groups: %w", r.ID(), most, region.ErrLimit)
	}
	if goes == nil {
		able, others := b.ableNodes()
		if goes, err = r.Halve(b.position, able, others); err != nil {
			return "", err
		}
	}
	div := newDivision(r, r.Divide(childName(r), goes, b.rtts.view(time.Now())))
	b.tell("region.dividing", cause, fmt.Sprintf("%d of %d members go to %s", len(goes), r.HomedCount(), div.Child), 0)
	b.leadership.cfg.pass(splitChosen)
	b.publish(div)
	defer b.sides.Store(nil)
	ctx, cancel := context.WithTimeoutCause(ctx, b.cfg.Patience, fmt.Errorf("the trees of region %s could not be made ready in %v: %w", r.ID(), b.cfg.Patience, region.ErrOverloaded))
	defer cancel()
	if err := b.untangle(ctx, div); err != nil {
		return "", err
	}
	return div.Child, nil
}

// position is where a member stands, in a space of round-trip times.
func (b *boundary) position(m region.MemberID) []float64 {
	var at []float64
	for _, v := range b.rtts.position(m) {
		at = append(at, float64(v))
	}
	return at
}

// childName is a name that no region had before: of one parent at one generation
// there is one child.
func childName(r *region.Region) region.ID {
	parent := string(r.ID())
	if len(parent) > region.MaxName-maxSuffix {
		h := fnv.New32a()
		_, _ = h.Write([]byte(parent)) // never fails
		parent = parent[:region.MaxName-2*maxSuffix] + strconv.FormatUint(uint64(h.Sum32()), 36)
	}
	return region.ID(parent + "-" + strconv.FormatUint(uint64(r.Generation()+1), 36))
}

// untangle moves members, with their consent, until all trees can be cut, and then cuts
// them: make before break, so that no packet takes another way when the region is
// divided.
func (b *boundary) untangle(ctx context.Context, div *division) error {
	ctx, cancel := context.WithCancel(ctx)
	u := b.untangling(div)
	defer u.wg.Wait()
	defer cancel()
	ticker := time.NewTicker(preparedTick)
	defer ticker.Stop()
	progress := time.Now()
	told := false
	for {
		moved, left, err := u.advance(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case left == 0 && moved == 0:
			if !told {
				told = true
				b.leadership.cfg.pass(splitUntangled)
			}
			if err := b.cut(ctx, div); !errors.Is(err, region.ErrUncut) {
				return err
			}
		case moved > 0:
			progress = time.Now()
			b.leadership.cfg.pass(splitMoved)
		case len(u.asked) == 0 && time.Since(progress) > noRoomFor:
			return fmt.Errorf("%d edges cross the border of %s, and nobody has room to move them%s: %w", left, div.Child, div.shy.said(), region.ErrLimit)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// decide has something decided along with other requests, and waits for it.
func (b *boundary) decide(ctx context.Context, decide func(*draft) error) error {
	_, err := b.decider.do(ctx, &request{urgency: urgent, decide: func(d *draft) ([]byte, error) {
		return nil, decide(d)
	}})
	return err
}

// cut divides the region in the log. ErrUncut if somebody has come in between.
func (b *boundary) cut(ctx context.Context, div *division) error {
	birth := &skeinv1.Birth{Secrets: newSecrets()}
	for _, p := range b.replica.members() {
		birth.Peers = append(birth.Peers, &skeinv1.BirthPeer{Node: string(p.ID), Address: p.Raft})
	}
	var begun time.Time
	err := b.decideAlone(ctx, func(d *draft) error {
		begun = time.Now()
		div.adapt(d.region, d.rtt)
		list, err := d.region.Crossings(div.Division)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			return fmt.Errorf("%d edges: %w", len(list), region.ErrUncut)
		}
		b.leadership.cfg.pass(splitDecided)
		d.birth = birth
		return d.carry([]region.Edit{region.Divide{Division: div.Division}})
	})
	if err != nil {
		return err
	}
	pause := time.Since(begun)
	b.leadership.cfg.pass(splitCommitted)
	// The others learn of it with the next entry, and have a child to host.
	if err := b.replica.group.Barrier(ctx); err != nil {
		b.replica.logger.Debug("the others learn of the division later", "err", err)
	}
	b.announceNow()
	b.tell("region.divided", "", fmt.Sprintf("%d members went to %s", len(div.Members), div.Child), pause)
	return nil
}
