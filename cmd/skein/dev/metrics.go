package dev

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/cmd/skein/web"
)

// A collector turns the latest snapshot into metrics. There is no label per
// member: members come and go, and /state has the details.
type collector struct{ page *web.Page }

// descriptions are made for each scrape; there are few of them.
func descriptions() map[string]*prometheus.Desc {
	stream := []string{"stream"}
	out := make(map[string]*prometheus.Desc)
	for name, d := range map[string]struct {
		help   string
		labels []string
	}{
		"members":                      {"Members that live.", nil},
		"coordinators":                 {"Coordinators that live.", nil},
		"admissions_total":             {"Admissions by outcome.", []string{"outcome"}},
		"invariants_broken_total":      {"Structures that failed their check.", nil},
		"packets_received_total":       {"Distinct packets of a stream, over all living subscribers.", stream},
		"packets_lost_total":           {"Packets of a stream that never came, over all living subscribers.", stream},
		"duplicates_delivered_total":   {"Packets of a stream delivered twice, over all living subscribers.", stream},
		"stream_delay_p99_seconds_max": {"The worst 99th percentile of a stream's delay at a subscriber.", stream},
	} {
		out[name] = prometheus.NewDesc("skein_dev_"+name, d.help, d.labels, nil)
	}
	return out
}

// Describe sends nothing: what is collected depends on the testnet.
func (c collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	s := c.page.Latest()
	if s == nil {
		return
	}
	d := descriptions()
	gauge := func(name string, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d[name], prometheus.GaugeValue, v, labels...)
	}
	counter := func(name string, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d[name], prometheus.CounterValue, float64(v), labels...)
	}
	counter("invariants_broken_total", s.Broken)
	counter("admissions_total", s.Admissions.Accepted, "accepted")
	counter("admissions_total", s.Admissions.RefusedStale, "refused_stale")
	counter("admissions_total", s.Admissions.RefusedFull, "refused_full")
	counter("admissions_total", s.Admissions.RefusedByPeer, "refused_by_peer")
	coordinators, members := 0, 0
	for _, p := range s.Coordinators {
		coordinators += one(p.Alive)
	}
	streams := make(map[string]inspect.StreamState)
	for _, m := range s.Members {
		members += one(m.Alive)
		for _, r := range m.Streams {
			if !m.Alive {
				continue
			}
			sum := streams[r.Stream]
			sum.Received += r.Received
			sum.Lost += r.Lost
			sum.Duplicates += r.Duplicates
			sum.DelayMsP99 = max(sum.DelayMsP99, r.DelayMsP99)
			streams[r.Stream] = sum
		}
	}
	gauge("coordinators", float64(coordinators))
	gauge("members", float64(members))
	for name, r := range streams {
		counter("packets_received_total", r.Received, name)
		counter("packets_lost_total", r.Lost, name)
		counter("duplicates_delivered_total", r.Duplicates, name)
		gauge("stream_delay_p99_seconds_max", r.DelayMsP99/1000, name)
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
