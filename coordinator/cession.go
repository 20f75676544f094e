package coordinator

import (
	"context"
	"fmt"
	"slices"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// byDistance is the cause of a cession.
	byDistance = "distance"
	// cedeFor is how long the region that was split off is given to be taken in.
	cedeFor = 15 * time.Second
)

// longing is the region that enough members find clearly nearer than this one, and who
// they are; empty if there is none.
func (b *boundary) longing(r *region.Region) (to region.ID, members []region.MemberID) {
	if b.cfg.CedeAt == 0 {
		return "", nil
	}
	homed := r.HomedCount()
	least := max(b.cfg.CedeAt, int(b.cfg.CedeShare*float64(homed)))
	for id, said := range b.hub.longings() {
		here := slices.DeleteFunc(said, func(m region.MemberID) bool {
			x, ok := r.Member(m)
			return !ok || x.Home != ""
		})
		more := len(here) > len(members) || len(here) == len(members) && id < to
		if e, known := b.replica.directory.Region(id); !known || e.Over() || e.Room() < len(here) {
			continue
		}
		if more && len(here) >= least && homed-len(here) >= leastSplit/2 {
			to, members = id, here
		}
	}
	slices.Sort(members)
	return to, members
}

// cede moves members to another region that is clearly nearer to them: they are split
// off, and the region that they are for a moment asks the other one to take it in. So
// no stream is interrupted, and what can go wrong is what can go wrong with either.
func (b *boundary) cede(ctx context.Context, to region.ID, members []region.MemberID) error {
	child, err := b.splitOff(ctx, byDistance, members)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cedeFor)
	defer cancel()
	m := &skeinv1.CedeRequest{Region: string(child), Into: string(to)}
	for {
		err = b.replica.server.consult(ctx, child, func(l *leadership) error {
			return l.boundary.ceded(ctx, to)
		}, func(ctx context.Context, c skeinv1.DirectoryClient) error {
			_, err := c.Cede(ctx, m)
			return err
		})
		if e, known := b.replica.directory.Region(child); err == nil || known && e.Over() {
			return nil
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			// It is a region like any other, and small.
			return fmt.Errorf("region %s is not merged into %s yet: %w", child, to, err)
		}
	}
}

// ceded has the region taken in by another one, if it was split off just now for that.
func (b *boundary) ceded(ctx context.Context, to region.ID) error {
	o := boundaryOrder{ctx: ctx, into: to, cause: byDistance, done: make(chan boundaryOutcome, 1)}
	_, err := b.await(ctx, o)
	return err
}

// Cede serves the side of the region that was split off.
func (a *atlas) Cede(ctx context.Context, m *skeinv1.CedeRequest) (*skeinv1.CedeResponse, error) {
	into, err := skeinv1.ToRegionID(m.GetInto())
	if err != nil {
		return nil, fmt.Errorf("into: %w", err)
	}
	l, err := a.leader(m.GetRegion())
	if err != nil {
		return nil, err
	}
	return &skeinv1.CedeResponse{}, l.boundary.ceded(ctx, into)
}
