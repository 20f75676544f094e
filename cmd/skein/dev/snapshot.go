package dev

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/region"
)

// snapshot is the testnet as the harness knows it: it has counted every packet
// itself, and knows who was killed. What coordinators said of themselves is added.
func (t *testnet) snapshot(status []inspect.Coordinator) *inspect.Snapshot {
	now := time.Now()
	s := inspect.NewSnapshot(now, regionID, status, nil, nil)
	s.Seconds = seconds(now.Sub(t.began))
	s.Broken, s.Admissions = t.forked, inspect.Admissions{}
	for _, a := range t.admissions {
		s.Admissions = s.Admissions.Plus(a.before.Plus(a.now))
	}
	for i, p := range t.coords {
		s.Broken += p.past.Broken + p.last.Broken
		c := &s.Coordinators[i]
		c.Name, c.ID, c.Alive = p.spec.Name, string(p.last.ID), c.Alive && p.alive
		c.Leader = c.Leader && p.alive
	}
	ids := make(map[netip.Addr]string, len(t.members))
	for _, p := range t.members {
		ids[p.spec.IP] = string(p.last.ID)
	}
	for _, p := range t.members {
		m := memberState(p)
		for _, ip := range p.spec.Member.Refuse {
			m.Blocked = append(m.Blocked, ids[ip])
		}
		s.Members = append(s.Members, m)
	}
	return s
}

func memberState(p *peer) inspect.MemberState {
	m := inspect.MemberState{
		Name: p.spec.Name, ID: string(p.last.ID), Alive: p.alive, Connected: p.answers() && p.last.Connected,
		UplinkKbps: uint32(p.spec.Member.Uplink), SendingKbps: uint32(p.last.Sending),
		Peers: uint32(p.last.Peers), GossipEvents: p.last.GossipEvents, Streams: []inspect.StreamState{},
	}
	for _, s := range p.last.Sent {
		m.Publishes = append(m.Publishes, string(s.Stream))
		m.Children += s.Children
	}
	for _, r := range p.last.Received {
		m.Children += r.Children
		m.Streams = append(m.Streams, inspect.StreamState{
			Stream: string(r.Stream), Parent: string(r.Parent), Standbys: texts(r.Standbys), Children: r.Children,
			Received: r.Received, Lost: r.Lost, Duplicates: r.Duplicates,
			DelayMsP50: ms(r.DelayP50), DelayMsP99: ms(r.DelayP99), GapMsMax: ms(r.GapSoFar),
			Failure: r.Failure,
		})
	}
	return m
}

// locate adds where members stand in the network, which the leader knows.
func (t *testnet) locate(ctx context.Context, s *inspect.Snapshot) {
	s.AddRounds(ctx, t.client)
	known, err := t.client.Members(ctx, regionID)
	if err != nil {
		return // the coordinators may all be dead; the page shows that
	}
	index := make(map[string]inspect.Member, len(known))
	for _, m := range known {
		index[m.ID] = m
	}
	for i := range s.Members {
		m, told := &s.Members[i], index[s.Members[i].ID]
		m.PositionMs, m.Nearest, m.Suspect = told.PositionMs, told.Nearest, told.ID != "" && told.Suspect()
	}
}

// names are what people call the members, by id.
func names(s *inspect.Snapshot) map[string]string {
	out := make(map[string]string, len(s.Members))
	for _, m := range s.Members {
		out[m.ID] = m.Name
	}
	return out
}

func texts(ids []region.MemberID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}

// line is a snapshot in one line.
func line(s *inspect.Snapshot) string {
	alive, streams, lost, duplicates, p99 := 0, 0, uint64(0), uint64(0), 0.0
	for _, m := range s.Members {
		if !m.Alive {
			continue
		}
		alive++
		for _, r := range m.Streams {
			streams++
			lost, duplicates, p99 = lost+r.Lost, duplicates+r.Duplicates, max(p99, r.DelayMsP99)
		}
	}
	return fmt.Sprintf("%5.1fs  %d members, %d streams received, %d packets lost, %d duplicates, worst p99 %.1f ms, %d admissions, %d invariants broken",
		s.Seconds, alive, streams, lost, duplicates, p99, s.Admissions.Accepted, s.Broken)
}
