package planet

import (
	"fmt"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Config says which world is simulated.
type Config struct {
	// Members present once all have come, 2 to MaxMembers.
	Members int
	// Duration is for how long the world is watched after all have come.
	Duration time.Duration
	// RTT is a file with a matrix of RTTs in ms, or Globe.
	RTT string
	// Uplinks says how many children members can feed: a Mix.
	Uplinks string
	// Churn says how long members stay; see Stays.
	Churn string
	// Crash is the share of members that go without a word.
	Crash float64
	// RegionMax is how many members a region has at most before it splits.
	RegionMax int
	// Sample is the time between two looks at the whole world.
	Sample time.Duration
	// Workers is how many regions are computed at a time; 0 = one per core.
	Workers int
	Seed    uint64
}

// MaxMembers bounds a world.
const MaxMembers = 2_000_000

// DefaultConfig is a thousand members on the globe for ten minutes.
func DefaultConfig() Config {
	return Config{
		Members: 1000, Duration: 10 * time.Minute, RTT: Globe, Uplinks: "mixed", Churn: "exponential:30m",
		Crash: 0.5, RegionMax: region.DefaultMembers, Sample: 30 * time.Second, Seed: 1,
	}
}

func (c Config) validate() error {
	switch {
	case c.Members < 2 || c.Members > MaxMembers:
		return fmt.Errorf("members %d: %w: 2 to %d", c.Members, region.ErrInvalid, MaxMembers)
	case c.Duration < time.Second || c.Duration > 1000*time.Hour:
		return fmt.Errorf("duration %v: %w: 1s to 1000h", c.Duration, region.ErrInvalid)
	case c.Sample < time.Second:
		return fmt.Errorf("sample %v: %w: at least 1s", c.Sample, region.ErrInvalid)
	case c.Crash < 0 || c.Crash > 1:
		return fmt.Errorf("crash %g: %w: 0 to 1", c.Crash, region.ErrInvalid)
	case c.RegionMax < 16 || 2*c.RegionMax > region.MaxMembers:
		return fmt.Errorf("region-max %d: %w: 16 to %d", c.RegionMax, region.ErrInvalid, region.MaxMembers/2)
	case c.Workers < 0:
		return fmt.Errorf("workers %d: %w", c.Workers, region.ErrInvalid)
	}
	return nil
}
