package dev

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/latency"
	"github.com/skein-mesh/skein/cmd/skein/media"
	"github.com/skein-mesh/skein/region"
)

// Limits of a testnet: beyond them one machine measures itself, not Skein.
const (
	MaxCoordinators = 7
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
	// Coordinators is the number of replicas: 1, 3, 5 or 7.
	Coordinators int
	// Members counts publishers and subscribers, 2 to MaxMembers.
	Members int
	// Streams is the number of cameras. Each is published by a member of its
	// own and consists of a video and an audio stream.
	Streams int
	// Uplinks of the members that do not publish, in turn, kbit/s.
	Uplinks []region.Rate
	// LatencyFile names a matrix of round-trip times, "synthetic" generates
	// one, and "" adds no delay.
	LatencyFile string
	// Duration from when all members receive all streams; 0 = until ctx ends.
	Duration time.Duration
	Kills    []Kill
	// DataDir keeps the coordinators' logs and keys for the next run; "" uses a
	// temporary folder that is removed at the end.
	DataDir string
	// Page is the address of the HTTP page, "" for none.
	Page string
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

	matrix *latency.Matrix
}

// DefaultConfig returns a testnet of 3 coordinators and 12 members with one
// camera.
func DefaultConfig() Config {
	return Config{
		Coordinators: 3,
		Members:      12,
		Streams:      1,
		Uplinks:      DefaultUplinks(),
		Page:         "127.0.0.1:7480",
		Logger:       slog.New(slog.DiscardHandler),
	}
}

func (c *Config) validate() error {
	switch {
	case c.Coordinators < 1 || c.Coordinators > MaxCoordinators || c.Coordinators%2 == 0:
		return fmt.Errorf("--coordinators %d: %w: 1, 3, 5 or 7", c.Coordinators, region.ErrInvalid)
	case c.Members < 2 || c.Members > MaxMembers:
		return fmt.Errorf("--members %d: %w: 2 to %d", c.Members, region.ErrInvalid, MaxMembers)
	case c.Streams < 1 || c.Streams > MaxStreams || c.Streams >= c.Members:
		return fmt.Errorf("--streams %d: %w: 1 to %d, and fewer than members", c.Streams, region.ErrInvalid, MaxStreams)
	case len(c.Uplinks) == 0:
		return fmt.Errorf("--uplinks: %w: at least one rate in kbit/s", region.ErrInvalid)
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
	if err := c.feasible(); err != nil {
		return err
	}
	return c.loadMatrix()
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

func (c *Config) cameraRate() uint64 {
	return uint64(media.NewPattern(region.Video).Track().Rate + media.NewPattern(region.Audio).Track().Rate)
}

func (c *Config) loadMatrix() (err error) {
	c.matrix, err = matrixFor(c.LatencyFile, c.Members)
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
	if s == "" {
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
