package coordinator

import (
	"fmt"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Boundary says when a leader has its region divided or merged. Start from
// DefaultBoundary; the zero value never does unless an operator asks.
type Boundary struct {
	// SplitAt is how many members at home make a region too large; 0 = none do. It is
	// less than MaxMembers, so that newcomers find room until it is divided.
	SplitAt int
	// SplitBusy is the part of its time that the decider may spend on deciding and
	// committing, over BusyWindow, before the region counts as too large whatever its
	// size: at 1 everybody waits longer and longer.
	SplitBusy  float64
	BusyWindow time.Duration
	// MergeBelow is the part of SplitAt below which a region is merged into another
	// one, MergeUpTo the part that both together may reach: far enough below 1 that
	// they are not divided again soon.
	MergeBelow, MergeUpTo float64
	// CedeAt is how many members must find another region clearly nearer, and CedeShare
	// which part of all, for them to be moved there together: it divides this region
	// and enlarges the other. CedeAt 0 = never.
	CedeAt    int
	CedeShare float64
	// Quiet is how long a boundary stays as it is, unless an operator asks.
	Quiet time.Duration
	// Every is the cadence at which a leader looks at the size, Looks how often in a row
	// it must be wrong.
	Every time.Duration
	Looks int
	// Patience is how long it may take to prepare a division, that is to move members
	// until their trees can be cut. Then it is given up, and tried again after Retry.
	Patience, Retry time.Duration
	// Tombstone is how long the replicas of a region that has been merged tell who asks
	// where it is.
	Tombstone time.Duration
}

// DefaultBoundary returns the settings that suit regions of DefaultMembers.
func DefaultBoundary() Boundary {
	return Boundary{
		SplitAt:    region.DefaultMembers * 7 / 8,
		SplitBusy:  0.7,
		BusyWindow: time.Minute,
		MergeBelow: 0.25,
		MergeUpTo:  0.75,
		CedeAt:     3,
		CedeShare:  0.05,
		Quiet:      time.Hour,
		Every:      time.Second,
		Looks:      3,
		Patience:   time.Minute,
		Retry:      30 * time.Second,
		Tombstone:  time.Hour,
	}
}

func (c *Boundary) validate() error {
	switch {
	case c.SplitAt < 0 || c.SplitAt > region.MaxMembers:
		return fmt.Errorf("config Boundary: %w: SplitAt %d, not 0 to %d (--region-max)", region.ErrInvalid, c.SplitAt, region.MaxMembers)
	case c.SplitAt == 0:
		return nil
	case c.SplitAt < leastSplit:
		return fmt.Errorf("config Boundary: %w: SplitAt %d: each side of a division needs %d nodes, so at least %d (--region-max)", region.ErrInvalid, c.SplitAt, leastSplit/2, leastSplit)
	case c.MergeBelow < 0 || c.MergeUpTo < c.MergeBelow || c.MergeUpTo > 1:
		return fmt.Errorf("config Boundary: %w: MergeBelow %.2f and MergeUpTo %.2f, want 0 to MergeUpTo and that at most 1", region.ErrInvalid, c.MergeBelow, c.MergeUpTo)
	case c.Every <= 0 || c.Looks <= 0 || c.Patience <= 0 || c.Retry <= 0 || c.BusyWindow <= 0 || c.SplitBusy <= 0:
		return fmt.Errorf("config Boundary: %w: a limit is not positive; start from DefaultBoundary", region.ErrInvalid)
	case c.CedeAt < 0 || c.CedeShare < 0 || c.CedeShare > 1:
		return fmt.Errorf("config Boundary: %w: CedeAt %d and CedeShare %.2f, want 0 or more and 0 to 1", region.ErrInvalid, c.CedeAt, c.CedeShare)
	case c.Quiet < 0 || c.Tombstone < 0:
		return fmt.Errorf("config Boundary: %w: a time is negative", region.ErrInvalid)
	}
	return nil
}

// leastSplit is the least size at which a region can be divided: three nodes that can
// coordinate on each side.
const leastSplit = 6
