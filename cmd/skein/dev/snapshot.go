package dev

import (
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/region"
)

// A Snapshot is the testnet at one time, as the page and the table show it. It is
// immutable.
type Snapshot struct {
	Time time.Time `json:"time"`
	// Seconds since the testnet stood.
	Seconds      float64            `json:"seconds"`
	Coordinators []CoordinatorState `json:"coordinators"`
	Members      []MemberState      `json:"members"`
	Admissions   inspect.Admissions `json:"admissions"`
	Broken       uint64             `json:"invariants_broken"`
}

// A CoordinatorState is a coordinator in a Snapshot.
type CoordinatorState struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Address string `json:"address"`
	Alive   bool   `json:"alive"`
	Leader  bool   `json:"leader"`
}

// A MemberState is a member in a Snapshot.
type MemberState struct {
	Name        string        `json:"name"`
	ID          string        `json:"id"`
	Alive       bool          `json:"alive"`
	Connected   bool          `json:"connected"`
	UplinkKbps  uint32        `json:"uplink_kbps"`
	SendingKbps uint32        `json:"sending_kbps"`
	Children    int           `json:"children"`
	Publishes   []string      `json:"publishes,omitempty"`
	Streams     []StreamState `json:"streams"`
}

// A StreamState is how a stream arrives at a member.
type StreamState struct {
	Stream     string  `json:"stream"`
	Parent     string  `json:"parent"` // its name
	Standbys   int     `json:"standbys"`
	Children   int     `json:"children"`
	Received   uint64  `json:"packets_received"`
	Lost       uint64  `json:"packets_lost"`
	Duplicates uint64  `json:"duplicates_delivered"`
	DelayMsP50 float64 `json:"delay_ms_p50"`
	DelayMsP99 float64 `json:"delay_ms_p99"`
	GapMsMax   float64 `json:"gap_ms_max"`
	Failure    string  `json:"failure,omitempty"`
}

// snapshot copies what the harness knows.
func (t *testnet) snapshot() *Snapshot {
	now := time.Now()
	s := &Snapshot{Time: now, Seconds: ms(now.Sub(t.began)) / 1000, Broken: t.forked}
	for _, a := range t.admissions {
		s.Admissions = plus(s.Admissions, plus(a.before, a.now))
	}
	for _, p := range t.coords {
		s.Broken += p.past.Broken + p.last.Broken
		s.Coordinators = append(s.Coordinators, CoordinatorState{
			Name: p.spec.Name, ID: string(p.last.ID), Address: p.spec.Coordinator.GRPC,
			Alive: p.alive, Leader: p.alive && p.spec.Coordinator.GRPC == t.leading,
		})
	}
	names := make(map[region.MemberID]string, len(t.members))
	for _, p := range t.members {
		names[p.last.ID] = p.spec.Name
	}
	for _, p := range t.members {
		s.Members = append(s.Members, memberState(p, names))
	}
	return s
}

func memberState(p *peer, names map[region.MemberID]string) MemberState {
	m := MemberState{
		Name: p.spec.Name, ID: string(p.last.ID), Alive: p.alive, Connected: p.last.Connected,
		UplinkKbps: uint32(p.spec.Member.Uplink), SendingKbps: uint32(p.last.Sending),
	}
	for _, s := range p.last.Sent {
		m.Publishes = append(m.Publishes, string(s.Stream))
		m.Children += s.Children
	}
	for _, r := range p.last.Received {
		m.Children += r.Children
		m.Streams = append(m.Streams, StreamState{
			Stream: string(r.Stream), Parent: names[r.Parent], Standbys: r.Standbys, Children: r.Children,
			Received: r.Received, Lost: r.Lost, Duplicates: r.Duplicates,
			DelayMsP50: ms(r.DelayP50), DelayMsP99: ms(r.DelayP99), GapMsMax: ms(r.GapSoFar),
			Failure: r.Failure,
		})
	}
	return m
}
