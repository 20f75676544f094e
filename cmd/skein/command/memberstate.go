package command

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/member/relay"
)

// A memberState is /state of a member.
type memberState struct {
	ID          string              `json:"id"`
	Lease       uint64              `json:"lease"`
	Connected   bool                `json:"connected"`
	Leader      string              `json:"leader"`
	UplinkKbps  uint32              `json:"uplink_kbps"`
	SendingKbps uint32              `json:"sending_kbps"`
	Peers       int                 `json:"peers"`
	Links       int                 `json:"links"`
	Streams     []memberStreamState `json:"streams"`
}

// A memberStreamState is how a stream arrives at, and leaves, a member.
type memberStreamState struct {
	Stream     string   `json:"stream"`
	Parent     string   `json:"parent,omitempty"`
	Standbys   []string `json:"standbys,omitempty"`
	Children   []string `json:"children,omitempty"`
	Received   uint64   `json:"packets_received"`
	Lost       uint64   `json:"packets_lost"`
	Duplicates uint64   `json:"duplicates_delivered"`
	Sent       uint64   `json:"packets_sent"`
	DelayMsP50 float64  `json:"delay_ms_p50"`
	DelayMsP99 float64  `json:"delay_ms_p99"`
	GapMsMax   float64  `json:"gap_ms_max"`
}

// A memberEvent is an event of a member on /events.
type memberEvent struct {
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"`
	Stream string    `json:"stream,omitempty"`
	Peer   string    `json:"peer,omitempty"`
	Detail string    `json:"detail,omitempty"`
}

func memberStateOf(s member.Stats) memberState {
	out := memberState{
		ID: string(s.ID), Lease: uint64(s.Lease), Connected: s.Connected, Leader: s.Leader,
		UplinkKbps: uint32(s.Uplink), SendingKbps: uint32(s.Sending), Peers: s.Peers, Links: s.Links,
		Streams: []memberStreamState{},
	}
	for _, r := range s.Streams {
		out.Streams = append(out.Streams, memberStreamState{
			Stream: string(r.Stream), Parent: string(r.Parent), Standbys: texts(r.Standbys), Children: texts(r.Children),
			Received: r.Received, Lost: r.Lost, Duplicates: r.DuplicatesDelivered, Sent: r.Sent,
			DelayMsP50: durationMs(r.DelayP50), DelayMsP99: durationMs(r.DelayP99), GapMsMax: durationMs(r.GapMax),
		})
	}
	return out
}

func texts[T ~string](in []T) []string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = string(v)
	}
	return out
}

func durationMs(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// A nodeCollector turns a member's statistics into metrics. Streams are summed
// up: they come and go, and /state has the details.
type nodeCollector struct{ stats func() member.Stats }

// Describe sends nothing: Collect checks itself.
func (c nodeCollector) Describe(chan<- *prometheus.Desc) {}

func (c nodeCollector) Collect(out chan<- prometheus.Metric) {
	s := c.stats()
	emit := func(kind prometheus.ValueType, name, help string, v float64) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("skein_member_"+name, help, nil, nil), kind, v)
	}
	var sum member.StreamStats
	children := 0
	for _, r := range s.Streams {
		sum.Received += r.Received
		sum.Lost += r.Lost
		sum.DuplicatesDelivered += r.DuplicatesDelivered
		sum.Sent += r.Sent
		sum.DelayP99 = max(sum.DelayP99, r.DelayP99)
		sum.GapMax = max(sum.GapMax, r.GapMax)
		sum.Delays.Merge(r.Delays)
		sum.Gaps.Merge(r.Gaps)
		children += len(r.Children)
	}
	connected := 0.0
	if s.Connected {
		connected = 1
	}
	const kbit = 1000 / 8 // in bytes
	emit(prometheus.GaugeValue, "connected", "Whether the session with the coordinators stands.", connected)
	emit(prometheus.GaugeValue, "uplink_bytes_per_second", "What the member is willing to send.", float64(s.Uplink)*kbit)
	emit(prometheus.GaugeValue, "sending_bytes_per_second", "What the member sends now.", float64(s.Sending)*kbit)
	emit(prometheus.GaugeValue, "peers", "Members that gossip knows.", float64(s.Peers))
	emit(prometheus.GaugeValue, "links", "Links that stand.", float64(s.Links))
	emit(prometheus.GaugeValue, "streams", "Streams received or published.", float64(len(s.Streams)))
	emit(prometheus.GaugeValue, "children", "Children fed, over all streams.", float64(children))
	emit(prometheus.GaugeValue, "leaf_budget_bytes_per_second", "What the member may admit by itself.", float64(s.Leaf.Granted)*kbit)
	emit(prometheus.GaugeValue, "leaf_used_bytes_per_second", "What it feeds to those it has admitted by itself.", float64(s.Leaf.Used)*kbit)
	emit(prometheus.GaugeValue, "leaf_children", "Children it has admitted by itself.", float64(s.Leaf.Children))
	emit(prometheus.GaugeValue, "leaf_places", "Streams that neighbours feed it by themselves.", float64(s.Leaf.Places))
	emit(prometheus.CounterValue, "leaf_admitted_total", "Draws of neighbours that it has admitted by itself.", float64(s.Leaf.Admitted))
	emit(prometheus.CounterValue, "leaf_refused_total", "Draws of neighbours that it has refused by itself.", float64(s.Leaf.Refused))
	emit(prometheus.CounterValue, "packets_received_total", "Distinct packets received.", float64(sum.Received))
	emit(prometheus.CounterValue, "packets_lost_total", "Packets given up.", float64(sum.Lost))
	emit(prometheus.CounterValue, "duplicates_delivered_total", "Packets handed out twice.", float64(sum.DuplicatesDelivered))
	emit(prometheus.CounterValue, "packets_sent_total", "Packets sent to children.", float64(sum.Sent))
	emit(prometheus.GaugeValue, "delay_p99_seconds", "Worst 99th percentile of the delay of a stream.", sum.DelayP99.Seconds())
	emit(prometheus.GaugeValue, "gap_max_seconds", "Longest time without a packet of a flowing stream.", sum.GapMax.Seconds())
	offences := prometheus.NewDesc("skein_member_offences_total", "How often a peer was named for flooding, replaying or forging.", []string{"peer", "kind"}, nil)
	for o, n := range s.Offences {
		out <- prometheus.MustNewConstMetric(offences, prometheus.CounterValue, float64(n), string(o.Peer), o.Kind.String())
	}
	out <- histogram("delay_seconds", "Delay of packets from the publisher to here, over all streams received.", sum.Delays)
	out <- histogram("gap_seconds", "Time between two packets of a flowing stream, over all streams received.", sum.Gaps)
}

func histogram(name, help string, d relay.Distribution) prometheus.Metric {
	count, below := uint64(0), make(map[float64]uint64)
	bounds := relay.Bounds()
	for i, n := range d.Counts {
		count += n
		if i < len(bounds) {
			below[bounds[i].Seconds()] = count
		}
	}
	return prometheus.MustNewConstHistogram(prometheus.NewDesc("skein_member_"+name, help, nil, nil), count, d.Sum.Seconds(), below)
}
