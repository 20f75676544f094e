package dev

import (
	"math"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// A Summary is the result of a run. Its JSON form is an interface: fields are
// only added.
type Summary struct {
	Coordinators int             `json:"coordinators"`
	Members      int             `json:"members"`
	Streams      []StreamSummary `json:"streams"`
	// Admissions by outcome, summed over all coordinators.
	Admissions inspect.Admissions `json:"admissions"`
	Kills      []KillSummary      `json:"kills"`
	// InvariantsBroken counts structures that failed their check, and replicas
	// that differed at the same revision.
	InvariantsBroken uint64 `json:"invariants_broken"`
}

// A StreamSummary is how a stream arrived at the subscribers that survived.
type StreamSummary struct {
	Name        string `json:"name"`
	PacketsSent uint64 `json:"packets_sent"`
	Subscribers int    `json:"subscribers"`
	// PacketsReceivedMin is that of the subscriber that received least.
	PacketsReceivedMin uint64 `json:"packets_received_min"`
	// PacketsLostMax is that of the subscriber that lost most: packets between
	// the first one it received and 2 s before the end that it never got. One
	// that received nothing has lost all.
	PacketsLostMax uint64 `json:"packets_lost_max"`
	// DuplicatesDelivered is the sum over all subscribers.
	DuplicatesDelivered uint64 `json:"duplicates_delivered"`
	// DelayMsP50 and DelayMsP99 are over all packets and subscribers.
	DelayMsP50 float64 `json:"delay_ms_p50"`
	DelayMsP99 float64 `json:"delay_ms_p99"`
}

// A KillSummary is what a failure cost.
type KillSummary struct {
	What string  `json:"what"`
	AtS  float64 `json:"at_s"`
	// Orphans counts the members that lost a parent.
	Orphans int `json:"orphans"`
	// GapMsMax is the longest silence at an orphan within 5 s of the kill; at
	// any subscriber if there was no orphan.
	GapMsMax float64 `json:"gap_ms_max"`
}

// grace is the time before the end of a run in which packets may still be on
// their way.
const grace = 2 * time.Second

// summarize gathers the books of all survivors.
func summarize(cfg Config, reports []Report) []StreamSummary {
	var out []StreamSummary
	for _, name := range streamNames(cfg) {
		s := StreamSummary{Name: name, PacketsReceivedMin: math.MaxUint64}
		var delays Histogram
		for _, r := range reports {
			for _, sent := range r.Sent {
				if string(sent.Stream) == name {
					s.PacketsSent = sent.Packets
				}
			}
			for _, got := range r.Received {
				if string(got.Stream) != name {
					continue
				}
				s.Subscribers++
				s.PacketsReceivedMin = min(s.PacketsReceivedMin, got.Received)
				s.PacketsLostMax = max(s.PacketsLostMax, got.Lost)
				s.DuplicatesDelivered += got.Duplicates
				if got.Delays != nil {
					delays.Merge(*got.Delays)
				}
			}
		}
		if s.Subscribers == 0 {
			s.PacketsReceivedMin = 0
		}
		s.DelayMsP50, s.DelayMsP99 = ms(delays.Quantile(0.5)), ms(delays.Quantile(0.99))
		out = append(out, s)
	}
	return out
}

// seconds is a duration in seconds with one decimal.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*10) / 10 }

// ms is a duration in milliseconds with one decimal.
func ms(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Millisecond)*10) / 10
}
