package coordinator

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/skein-mesh/skein/region"
)

// meters are the metrics of a coordinator. Every one of a region carries the
// region's name; there are at most MaxGroups of them.
type meters struct {
	registry *prometheus.Registry

	admissions  *prometheus.CounterVec
	overloads   *prometheus.CounterVec
	broken      *prometheus.CounterVec
	corrections *prometheus.CounterVec
	queued      *prometheus.GaugeVec
	sessions    *prometheus.GaugeVec
	leader      *prometheus.GaugeVec
	members     *prometheus.GaugeVec
	streams     *prometheus.GaugeVec
	revision    *prometheus.GaugeVec
	leafBudget  *prometheus.GaugeVec
	leafUsed    *prometheus.GaugeVec
	leaves      *prometheus.GaugeVec
	volunteers  *prometheus.GaugeVec
	suited      *prometheus.GaugeVec
	admission   *prometheus.HistogramVec
	commit      *prometheus.HistogramVec
	fsync       *prometheus.HistogramVec
	batch       *prometheus.HistogramVec
	calls       *prometheus.CounterVec

	rounds, moves, mismatches *prometheus.CounterVec
	votes, ways, gain         *prometheus.GaugeVec
	planning                  *prometheus.HistogramVec
}

func newMeters() *meters {
	m := &meters{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"region"})
		m.registry.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{"region"})
		m.registry.MustRegister(v)
		return v
	}
	m.admissions = counter("skein_admissions_total", "Admissions by outcome: accepted as proposed, placed by the coordinators, or refused.", "region", "outcome")
	m.overloads = counter("skein_requests_overload_total", "Requests refused because the decider's queue was full.", "region")
	m.broken = counter("skein_decisions_broken_total", "Decisions that would have broken an invariant or were refused by the log.", "region")
	m.corrections = counter("skein_contradictions_settled_total", "Lasting contradictions between a member's digest and the structure.", "region")
	m.queued = gauge("skein_requests_queued", "Requests that wait for the decider.")
	m.sessions = gauge("skein_sessions", "Sessions of members on this coordinator.")
	m.leader = gauge("skein_leader", "1 if this coordinator leads the region's group.")
	m.members = gauge("skein_members", "Members of the region.")
	m.streams = gauge("skein_streams", "Streams published in the region.")
	m.revision = gauge("skein_revision", "Newest revision this replica has applied.")
	m.leafBudget = gauge("skein_leaf_budget_bytes_per_second", "Uplink delegated to members for local admissions (leader only).")
	m.leafUsed = gauge("skein_leaf_used_bytes_per_second", "Part of the leaf budgets that is used, by what members say (leader only).")
	m.leaves = gauge("skein_leaf_children", "Children that members have admitted by themselves, by what they say (leader only).")
	m.volunteers = gauge("skein_volunteers", "Members whose nodes would coordinate the region, or do (leader only).")
	m.suited = gauge("skein_volunteers_suited", "Those of them that come up to the standards for it (leader only).")
	m.admission = histogram("skein_admission_seconds", "Time from an admission's arrival at the leader until it was answered.",
		prometheus.ExponentialBuckets(0.001, 2, 14))
	m.fsync = histogram("skein_fsync_seconds", "Time of writes to the log, until they were on disk.",
		prometheus.ExponentialBuckets(0.00025, 2, 14))
	m.commit = histogram("skein_commit_seconds", "Time from proposing an entry until it was applied here.",
		prometheus.ExponentialBuckets(0.0005, 2, 14))
	m.batch = histogram("skein_batch_requests", "Requests decided together.", prometheus.ExponentialBuckets(1, 2, 10))
	m.rounds = counter("skein_plan_rounds_total", "Rounds of reorganisation that ended, by cause.", "region", "cause")
	m.moves = counter("skein_plan_moves_total", "Moves by the step they reached: proposed, objected, decided, dropped, confirmed, reversed.", "region", "step")
	m.mismatches = counter("skein_mismatches_total", "Disagreements between members, or with the structure, by kind.", "region", "kind")
	m.votes = gauge("skein_plan_votes", "Members that could have it better by what they know.")
	m.ways = gauge("skein_rtt_pairs", "Pairs of members whose round-trip time was measured.")
	m.gain = gauge("skein_plan_gain_ratio", "Part of the total cost that the last plan would save.")
	m.planning = histogram("skein_plan_seconds", "Time of planning once.", prometheus.ExponentialBuckets(0.001, 2, 14))
	m.calls = counter("skein_calls_total", "gRPC calls and streams that ended, by method and code.", "method", "code")
	return m
}

// A meter holds the metrics of one region.
type meter struct {
	admissions                     *prometheus.CounterVec
	overloads, broken, corrections prometheus.Counter
	queued, sessions, leader       prometheus.Gauge
	members, streams, revision     prometheus.Gauge
	leafBudget, leafUsed, leaves   prometheus.Gauge
	volunteers, suited             prometheus.Gauge
	admission, commit, fsync       prometheus.Observer
	batch                          prometheus.Observer
	rounds, moves, mismatches      *prometheus.CounterVec
	votes, ways, gain              prometheus.Gauge
	planning                       prometheus.Observer
}

func (m *meters) of(id region.ID) *meter {
	name := string(id)
	return &meter{
		admissions:  m.admissions.MustCurryWith(prometheus.Labels{"region": name}),
		overloads:   m.overloads.WithLabelValues(name),
		broken:      m.broken.WithLabelValues(name),
		corrections: m.corrections.WithLabelValues(name),
		queued:      m.queued.WithLabelValues(name),
		sessions:    m.sessions.WithLabelValues(name),
		leader:      m.leader.WithLabelValues(name),
		members:     m.members.WithLabelValues(name),
		streams:     m.streams.WithLabelValues(name),
		revision:    m.revision.WithLabelValues(name),
		leafBudget:  m.leafBudget.WithLabelValues(name),
		leafUsed:    m.leafUsed.WithLabelValues(name),
		leaves:      m.leaves.WithLabelValues(name),
		volunteers:  m.volunteers.WithLabelValues(name),
		suited:      m.suited.WithLabelValues(name),
		admission:   m.admission.WithLabelValues(name),
		fsync:       m.fsync.WithLabelValues(name),
		commit:      m.commit.WithLabelValues(name),
		batch:       m.batch.WithLabelValues(name),
		rounds:      m.rounds.MustCurryWith(prometheus.Labels{"region": name}),
		moves:       m.moves.MustCurryWith(prometheus.Labels{"region": name}),
		mismatches:  m.mismatches.MustCurryWith(prometheus.Labels{"region": name}),
		votes:       m.votes.WithLabelValues(name),
		ways:        m.ways.WithLabelValues(name),
		gain:        m.gain.WithLabelValues(name),
		planning:    m.planning.WithLabelValues(name),
	}
}

// forget drops what was measured of a region.
func (m *meters) forget(id region.ID) {
	of := prometheus.Labels{"region": string(id)}
	for _, v := range []interface{ DeletePartialMatch(prometheus.Labels) int }{
		m.admissions, m.overloads, m.broken, m.corrections, m.queued, m.sessions, m.leader, m.members, m.streams, m.revision,
		m.leafBudget, m.leafUsed, m.leaves, m.volunteers, m.suited,
		m.admission, m.commit, m.fsync, m.batch, m.rounds, m.moves, m.mismatches, m.votes, m.ways, m.gain, m.planning,
	} {
		v.DeletePartialMatch(of)
	}
}

// describe takes the sizes of a structure.
func (m *meter) describe(r *region.Region) {
	m.members.Set(float64(r.MemberCount()))
	m.streams.Set(float64(r.StreamCount()))
	m.revision.Set(float64(r.Revision()))
}

func (m *meter) leading(yes bool) {
	m.leader.Set(0)
	if yes {
		m.leader.Set(1)
	}
}
