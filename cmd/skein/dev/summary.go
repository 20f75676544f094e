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
	Regions    []RegionSummary    `json:"regions"`
	// Boundary says how regions were split and merged.
	Boundary BoundarySummary `json:"boundary"`
	// InvariantsBroken counts structures that failed their check, and replicas
	// that differed at the same revision.
	InvariantsBroken uint64 `json:"invariants_broken"`
	// AvgOverBound and AvgOverFullKnowledge are those of the stream for which they
	// are worst; 0 without distances.
	AvgOverBound         float64 `json:"avg_over_bound"`
	AvgOverFullKnowledge float64 `json:"avg_over_full_knowledge"`
	// Control is what the members' exchanges besides media took, in bytes per
	// member and second, sent and received, while the testnet stood.
	Control ControlSummary `json:"control_bytes_per_member_second"`
	// ControlLately is the same over the last minute: without what it took to join, and
	// to make a tree good that had grown at random.
	ControlLately ControlSummary `json:"control_bytes_per_member_second_lately"`
	// Moves counts the voluntary moves by the steps they reached, after the
	// members had joined.
	Moves MoveSummary `json:"moves"`
	// PlanningCPU is the part of a core that the leader planned on.
	PlanningCPU float64 `json:"planning_cpu"`
	// Plaza is what walkers heard; nil without a space.
	Plaza *PlazaSummary `json:"plaza,omitempty"`
	// LeaderCPU is the part of a core that the process of the coordinator that leads at
	// the end took while the testnet stood; 0 without --processes.
	LeaderCPU float64 `json:"leader_cpu,omitempty"`
	// Shift is what became of a latency shift; nil without one.
	Shift *ShiftSummary `json:"latency_shift,omitempty"`
}

// A MoveSummary counts moves. LastS is when the last one was decided.
type MoveSummary struct {
	Proposed  int     `json:"proposed"`
	Objected  int     `json:"objected"`
	Decided   int     `json:"decided"`
	Confirmed int     `json:"confirmed"`
	Reversed  int     `json:"reversed"`
	LastS     float64 `json:"last_at_s"`
}

// A ShiftSummary says how a changed network was coped with. It is looked at every
// second, by the new distances; of several streams the worst one counts.
type ShiftSummary struct {
	AtS float64 `json:"at_s"`
	// OverBoundAtOnce is the average delay over the new bound before anything was
	// done, OverBoundMax the most that it was, and OverBoundEnd what it came to.
	OverBoundAtOnce float64 `json:"avg_over_bound_at_once"`
	OverBoundMax    float64 `json:"avg_over_bound_max"`
	OverBoundEnd    float64 `json:"avg_over_bound_end"`
	// RecoveredS is how long after the shift it was at most Limit, for good; -1 if it
	// was not at the end.
	Limit      float64 `json:"limit"`
	RecoveredS float64 `json:"recovered_after_s"`
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
	// DelayMsMeanEnd is the mean over the subscribers of what packets took in the
	// last 10 to 20 s.
	DelayMsMeanEnd float64 `json:"delay_ms_mean_end"`
	// Layers tell of a stream with several, the lowest first.
	Layers []LayerSummary `json:"layers,omitempty"`
	Quality
}

// A LayerSummary is how a layer arrived at the surviving subscribers that drew it besides
// the lowest one. What is missing of the lowest is lost; of the others, links that are too
// narrow, or seem so on a busy machine, carry nothing for a while.
type LayerSummary struct {
	Subscribers        int    `json:"subscribers"`
	PacketsReceivedMin uint64 `json:"packets_received_min"`
	PacketsMissingMax  uint64 `json:"packets_missing_max"`
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
	// GapBeyondRTTMsMax is the longest of them less the round trip from that
	// orphan to the standby that saved it.
	GapBeyondRTTMsMax float64 `json:"gap_beyond_rtt_ms_max"`
	// Reformed says what became of a region whose coordinators were killed.
	Reformed *ReformSummary `json:"reformed,omitempty"`
}

// A ReformSummary is how a region was formed anew.
type ReformSummary struct {
	// AfterS is how long after the kill somebody led it again; 0 if nobody did.
	AfterS float64 `json:"after_s"`
	// Edges were in its trees before, EdgesChanged of them were others afterwards.
	Edges        int `json:"edges"`
	EdgesChanged int `json:"edges_changed"`
}

// grace is the time before the end of a run in which packets may still be on
// their way.
const grace = 2 * time.Second

// summarize gathers the books of all survivors.
func summarize(cfg Config, reports []Report) []StreamSummary {
	var out []StreamSummary
	for _, p := range allStreams(cfg) {
		name := string(p.Stream)
		s := StreamSummary{Name: name, PacketsReceivedMin: math.MaxUint64}
		if p.Layers > 1 {
			s.Layers = make([]LayerSummary, p.Layers)
		}
		var delays Histogram
		var mean time.Duration
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
				mean += got.DelayMean
				s.PacketsReceivedMin = min(s.PacketsReceivedMin, got.Received)
				s.PacketsLostMax = max(s.PacketsLostMax, got.Lost)
				s.DuplicatesDelivered += got.Duplicates
				if s.Layers != nil {
					s.Layers[got.Layer].add(got)
				}
				if got.Delays != nil {
					delays.Merge(*got.Delays)
				}
			}
		}
		if s.Subscribers == 0 {
			s.PacketsReceivedMin = 0
		}
		s.DelayMsMeanEnd = ms(mean / time.Duration(max(s.Subscribers, 1)))
		s.DelayMsP50, s.DelayMsP99 = ms(delays.Quantile(0.5)), ms(delays.Quantile(0.99))
		out = append(out, s)
	}
	return out
}

func (l *LayerSummary) add(got ReceivedReport) {
	received, missing := got.Received, got.Lost
	if got.Layer > 0 {
		received, missing = got.LayerReceived, got.LayerMissing
	}
	if l.Subscribers++; l.Subscribers == 1 {
		l.PacketsReceivedMin = received
	}
	l.PacketsReceivedMin = min(l.PacketsReceivedMin, received)
	l.PacketsMissingMax = max(l.PacketsMissingMax, missing)
}

// seconds is a duration in seconds with one decimal.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*10) / 10 }

// ms is a duration in milliseconds with one decimal.
func ms(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Millisecond)*10) / 10
}
