package dev

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/latency"
	"github.com/skein-mesh/skein/cmd/skein/media"
	"github.com/skein-mesh/skein/cmd/skein/walk"
	"github.com/skein-mesh/skein/region"
)

// Limits of a testnet: beyond them one machine measures itself, not Skein.
const (
	MaxCoordinators = 7
	MaxRegions      = 16
	MaxMembers      = 2000
	MaxStreams      = 16
	MaxKills        = 64
)

// publisherUplink is what a publisher sends at most: enough for a few children
// of its own streams, too little to feed everybody.
const publisherUplink region.Rate = 5000

// DefaultUplinks is the mix of the members that do not publish, in kbit/s,
// repeated as often as needed: of six members one gives nothing, two feed two
// or three others, and one feeds ten.
func DefaultUplinks() []region.Rate { return []region.Rate{2500, 8000, 0, 3500, 12000, 5000} }

// Config says what testnet to run. Start from DefaultConfig.
type Config struct {
	// Coordinators is their number: 1, 3, 5 or 7, or, with several regions, 1 to 7.
	Coordinators int
	// Regions is how many there are from the beginning. Each has up to three
	// replicas, on coordinators in turn.
	Regions int
	// RegionMax is how many members make a region split, and a quarter of it how few
	// make it merge; 0 = neither.
	RegionMax int
	// Auto is how many of the members that publish nothing coordinate when no coordinator
	// is left that could; dead coordinators are replaced within seconds then.
	Auto int
	// Arrive spreads the arrival of those who publish nothing over this time, and Depart,
	// after Duration, their departure, until there is one region; 0 = all at once, and
	// nobody goes.
	Arrive, Depart time.Duration
	// Members counts publishers and subscribers, 2 to MaxMembers.
	Members int
	// Streams is the number of cameras. Each is published by a member of its
	// own and consists of a video and an audio stream.
	Streams int
	// Layers of each video, 1 to region.MaxLayers. The subscribers draw one each, in turn,
	// and the lowest one.
	Layers int
	// Uplinks of the members that do not publish, in turn, kbit/s.
	Uplinks []region.Rate
	// LatencyFile names a matrix of round-trip times, "synthetic" generates
	// one, and "" adds no delay.
	LatencyFile string
	// Space is the name of a space that the members walk about, as Walk says (see
	// walk.New), each with a voice, instead of watching cameras; "" is none.
	Space, Walk string
	// Shift is another matrix later in the run.
	Shift Shift
	// Duration from when all members receive all streams; 0 = until ctx ends.
	Duration time.Duration
	Kills    []Kill
	// DataDir keeps the coordinators' logs and keys for the next run; "" uses a
	// temporary folder that is removed at the end.
	DataDir string
	// Page is the address of the HTTP page, "" for none.
	Page string
	// Door lets browsers publish and watch at the page's address, through a
	// member of its own.
	Door bool
	// Processes runs every node in a process of its own, started from
	// Executable with ChildCommand and ChildArgs.
	Processes  bool
	Executable string
	ChildArgs  []string
	// Progress receives the live table or lines; nil = nothing. Terminal says
	// that it may be redrawn.
	Progress io.Writer
	Terminal bool
	Logger   *slog.Logger

	matrix, shifted *latency.Matrix
	walk            *walk.Walk
}

// A Shift says that round-trip times are those of File from At on, counted from
// when the testnet stands. The zero value is no shift.
type Shift struct {
	File string
	At   time.Duration
}

// ParseShift reads FILE@WHEN, e.g. "after.txt@60s"; "" is none.
func ParseShift(s string) (Shift, error) {
	if s == "" {
		return Shift{}, nil
	}
	i := strings.LastIndexByte(s, '@')
	if i <= 0 {
		return Shift{}, fmt.Errorf("--latency-shift %.60q: %w: want FILE@WHEN, e.g. after.txt@60s", s, region.ErrInvalid)
	}
	at, err := time.ParseDuration(s[i+1:])
	if err != nil || at <= 0 {
		return Shift{}, fmt.Errorf("--latency-shift %.60q: %w: %.20q is no time after the start, e.g. 60s", s, region.ErrInvalid, s[i+1:])
	}
	return Shift{s[:i], at}, nil
}

// DefaultConfig returns a testnet of 3 coordinators and 12 members with one
// camera.
func DefaultConfig() Config {
	return Config{
		Coordinators: 3,
		Regions:      1,
		Members:      12,
		Streams:      1,
		Layers:       1,
		Uplinks:      DefaultUplinks(),
		Page:         "127.0.0.1:7480",
		Door:         true,
		Logger:       slog.New(slog.DiscardHandler),
	}
}

func (c *Config) validate() error {
	switch {
	case c.Regions < 1 || c.Regions > MaxRegions:
		return fmt.Errorf("--regions %d: %w: 1 to %d", c.Regions, region.ErrInvalid, MaxRegions)
	case c.Coordinators < 1 || c.Coordinators > MaxCoordinators || c.Coordinators%2 == 0 && c.Regions == 1 && c.RegionMax == 0:
		return fmt.Errorf("--coordinators %d: %w: 1, 3, 5 or 7; with several regions, or --region-max, also 2, 4 or 6", c.Coordinators, region.ErrInvalid)
	case c.Members < c.Regions:
		return fmt.Errorf("--members %d: %w: at least one for each of %d regions", c.Members, region.ErrInvalid, c.Regions)
	case c.Members < 2 || c.Members > MaxMembers:
		return fmt.Errorf("--members %d: %w: 2 to %d", c.Members, region.ErrInvalid, MaxMembers)
	case c.Space == "" && c.Walk != "":
		return fmt.Errorf("--walk: %w: it needs a space to walk about (--space)", region.ErrInvalid)
	case c.Space != "" && (c.Processes || len(c.Kills) > 0 || c.Shift.File != ""):
		return fmt.Errorf("--space: %w: it does not go together with --processes, --kill and --latency-shift", region.ErrInvalid)
	case c.Space == "" && c.Streams < 1 || c.Streams > MaxStreams || c.Streams >= c.Members:
		return fmt.Errorf("--streams %d: %w: 1 to %d, and fewer than members", c.Streams, region.ErrInvalid, MaxStreams)
	case c.Layers < 1 || c.Layers > region.MaxLayers:
		return fmt.Errorf("--layers %d: %w: 1 to %d", c.Layers, region.ErrInvalid, region.MaxLayers)
	case len(c.Uplinks) == 0:
		return fmt.Errorf("--uplinks: %w: at least one rate in kbit/s", region.ErrInvalid)
	case c.RegionMax != 0 && (c.RegionMax < 6 || c.RegionMax > region.MaxMembers):
		return fmt.Errorf("--region-max %d: %w: 6 to %d, or 0 for none", c.RegionMax, region.ErrInvalid, region.MaxMembers)
	case c.Arrive < 0 || c.Depart < 0:
		return fmt.Errorf("--arrive %v, --depart %v: %w: negative", c.Arrive, c.Depart, region.ErrInvalid)
	case c.Depart > 0 && (c.Duration == 0 || c.RegionMax == 0):
		return fmt.Errorf("--depart: %w: it begins when --for ends, and needs --region-max", region.ErrInvalid)
	case c.Auto < 0 || c.Auto > c.Members-c.Streams:
		return fmt.Errorf("--auto %d: %w: 0 to %d, the members that publish nothing", c.Auto, region.ErrInvalid, c.Members-c.Streams)
	case c.Duration < 0:
		return fmt.Errorf("--for %v: %w: negative", c.Duration, region.ErrInvalid)
	case len(c.Kills) > MaxKills:
		return fmt.Errorf("--kill: %w: %d, at most %d", region.ErrInvalid, len(c.Kills), MaxKills)
	}
	for _, k := range c.Kills {
		if c.Duration > 0 && k.At >= c.Duration {
			return fmt.Errorf("--kill %s: %w: after the end of the run (--for %v)", k, region.ErrInvalid, c.Duration)
		}
	}
	if c.Shift.File != "" && c.LatencyFile == "" {
		return fmt.Errorf("--latency-shift: %w: it needs distances to begin with (--latency)", region.ErrInvalid)
	}
	if err := c.prepareWalk(); err != nil {
		return err
	}
	if err := c.feasible(); err != nil {
		return err
	}
	return c.loadMatrix()
}

// prepareWalk loads what members walk along; there are no cameras then.
func (c *Config) prepareWalk() (err error) {
	if c.Space == "" {
		return nil
	}
	if err := (region.Space{ID: region.SpaceID(c.Space)}).Check(); err != nil {
		return fmt.Errorf("--space: %w", err)
	}
	c.Streams = 0
	if c.walk, err = walk.New(cmp.Or(c.Walk, walk.Random), c.Members); err != nil {
		return fmt.Errorf("--walk: %w", err)
	}
	return nil
}

// feasible refuses a testnet whose uplinks cannot carry its streams: it would
// run, and show nothing but refusals.
func (c *Config) feasible() error {
	need := c.cameraRate() * uint64(c.Streams) * uint64(c.Members-1)
	have := uint64(publisherUplink) * uint64(c.Streams)
	for i := range c.Members - c.Streams {
		have += uint64(c.Uplinks[i%len(c.Uplinks)])
	}
	// A tenth more, so that there is room for standbys and moves.
	if have < need+need/10 {
		return fmt.Errorf("--uplinks: %w: all members together can send %d kbit/s, but %d camera(s) for %d members need %d: give more uplink or run fewer streams",
			region.ErrInvalid, have, c.Streams, c.Members, need+need/10)
	}
	return nil
}

// shape is how the cameras send: as large pictures if there is one, else as small ones.
// Four then take what one takes; for every region has to carry all of them with the uplinks
// of its own members, of which it may have few, and one machine does the work of all.
func (c *Config) shape() media.Shape {
	if c.Streams > 1 {
		return media.Small
	}
	return media.Large
}

func (c *Config) cameraRate() uint64 {
	rate := media.NewPattern(region.Audio, c.shape()).Track().Rate
	for _, layer := range media.NewPatternLayers(c.Layers, c.shape()) {
		rate += layer.Track().Rate
	}
	return uint64(rate)
}

func (c *Config) loadMatrix() (err error) {
	if c.matrix, err = matrixFor(c.LatencyFile, c.Members); err != nil {
		return err
	}
	c.shifted, err = matrixFor(c.Shift.File, c.Members)
	return err
}

// Synthetic is the LatencyFile that stands for a generated world.
const Synthetic = "synthetic"

func matrixFor(file string, members int) (*latency.Matrix, error) {
	switch file {
	case "":
		return nil, nil
	case Synthetic:
		const seed = 1
		return latency.Synthetic(members, seed), nil
	default:
		m, err := latency.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--latency: %w", err)
		}
		return m, nil
	}
}

// ParseUplinks reads rates in kbit/s separated by commas; "" is the default mix.
func ParseUplinks(s string) ([]region.Rate, error) {
	if s == "" || s == "mixed" {
		return DefaultUplinks(), nil
	}
	var out []region.Rate
	for _, f := range strings.Split(s, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(f), 10, 32)
		if err != nil || n > 10_000_000 {
			return nil, fmt.Errorf("--uplinks: %w: %.20q is not a rate in kbit/s from 0 to 10000000", region.ErrInvalid, f)
		}
		out = append(out, region.Rate(n))
	}
	return out, nil
}
