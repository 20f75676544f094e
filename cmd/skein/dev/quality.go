package dev

import (
	"context"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/cmd/skein/latency"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg"
	"github.com/skein-mesh/skein/test/sim"
)

// recovered is what the average delay over the bound must come back to after a
// latency shift.
const recovered = 1.3

// Quality compares the tree of a stream, by the distances that the testnet puts
// between its members, with what could be. All is zero without distances.
type Quality struct {
	// AvgMs is the average delay from the origin by the tree, the true distances and the
	// forwarding times that members measured.
	AvgMs float64 `json:"avg_ms,omitempty"`
	// BoundMs is the level bound: no tree of members with these uplinks has a
	// lower average, even if every relay gave all it has to this stream and forwarded as
	// fast as the fastest.
	BoundMs float64 `json:"bound_ms,omitempty"`
	// FullKnowledgeMs is that of the trees that reorg.Plan finds, without a limit,
	// from the trees at the end if it knows every distance.
	FullKnowledgeMs      float64 `json:"full_knowledge_ms,omitempty"`
	AvgOverBound         float64 `json:"avg_over_bound,omitempty"`
	AvgOverFullKnowledge float64 `json:"avg_over_full_knowledge,omitempty"`
}

// truth is the testnet's own knowledge of the distances.
type truth struct {
	matrix *latency.Matrix
	site   map[region.MemberID]int
}

// RTT implements region.RTT.
func (t truth) RTT(a, b region.MemberID) (time.Duration, bool) {
	i, known := t.site[a]
	j, too := t.site[b]
	if !known || !too {
		return 0, false
	}
	return (t.matrix.RTT(i, j) + t.matrix.RTT(j, i)) / 2, true
}

// world asks the coordinators for the structure, with the true distances in it.
func (t *testnet) world(ctx context.Context) (*region.Region, truth, error) {
	know := truth{t.distances(time.Now()), make(map[region.MemberID]int)}
	members, streams, trees, err := t.whole(ctx)
	if err != nil {
		return nil, know, err
	}
	for _, m := range members {
		n, err := strconv.Atoi(strings.TrimPrefix(m.Name, "member-"))
		if err != nil {
			continue // the door stands nowhere
		}
		know.site[region.MemberID(m.ID)] = n - 1
	}
	r, err := rebuild(members, streams, trees, know)
	return r, know, err
}

// rebuild makes a region of what people are told of one.
func rebuild(members []inspect.Member, streams []inspect.Stream, trees []inspect.Tree, know truth) (*region.Region, error) {
	var edits []region.Edit
	for i, m := range members {
		edits = append(edits, region.PutMember{Member: region.Member{
			ID: region.MemberID(m.ID), Lease: region.Lease(i + 1), Name: m.Name,
			Uplink: region.Rate(m.UplinkKbps), Leaf: region.Rate(m.LeafKbps),
			Forward: time.Duration(m.ForwardMs * float64(time.Millisecond)), Joined: time.UnixMilli(m.JoinedMs),
		}})
	}
	kinds := map[string]region.Kind{"video": region.Video, "audio": region.Audio, "data": region.Data}
	for _, s := range streams {
		layers := make([]region.Rate, len(s.LayerKbps))
		for i, kbps := range s.LayerKbps {
			layers[i] = region.Rate(kbps)
		}
		edits = append(edits, region.PutStream{Stream: region.Stream{
			ID: region.StreamID(s.Name), Origin: region.MemberID(s.Origin), Kind: kinds[s.Kind],
			Layers: layers, SSRC: s.SSRC, Codec: s.Codec,
		}})
	}
	for _, tree := range trees {
		for _, n := range tree.Nodes {
			if n.Parent == "" {
				continue
			}
			rtt, _ := know.RTT(region.MemberID(n.Member), region.MemberID(n.Parent))
			edits = append(edits, region.SetNode{Stream: region.StreamID(tree.Stream), Node: region.Node{
				Member: region.MemberID(n.Member), Parent: region.MemberID(n.Parent), Layers: 1,
				Hop: rtt / 2, State: region.Standing,
			}})
		}
	}
	r := region.New(regionID, MaxMembers)
	err := r.Apply(1, region.Change{Time: time.Now(), Edits: edits})
	return r, err
}

// distances are those that hold at a time.
func (t *testnet) distances(now time.Time) *latency.Matrix {
	if t.shiftedAt.IsZero() || now.Before(t.shiftedAt) {
		return t.cfg.matrix
	}
	return t.cfg.shifted
}

// bounds compares all trees with the level bound; with plan, also with what full
// knowledge would make of them.
func (t *testnet) bounds(ctx context.Context, plan bool) (map[string]Quality, error) {
	r, know, err := t.world(ctx)
	if err != nil {
		return nil, err
	}
	best := r
	if plan {
		if best, err = planned(r, know); err != nil {
			return nil, err
		}
	}
	out := make(map[string]Quality)
	for s := range r.Streams() {
		q := Quality{AvgMs: average(r, s.ID), BoundMs: levelBound(r, s, know)}
		q.AvgOverBound = ratio(q.AvgMs, q.BoundMs)
		if plan {
			q.FullKnowledgeMs = average(best, s.ID)
			q.AvgOverFullKnowledge = ratio(q.AvgMs, q.FullKnowledgeMs)
		}
		out[string(s.ID)] = q
	}
	return out, nil
}

// planned carries out all that reorg.Plan finds.
func planned(r *region.Region, know region.RTT) (*region.Region, error) {
	now := time.Now()
	round := reorg.Plan(r, know, reorg.Unlimited(), now, rand.New(rand.NewPCG(1, 1)))
	best := r.Clone()
	apply := func(edits []region.Edit) error {
		if len(edits) == 0 {
			return nil
		}
		base := best.Revision()
		return best.Apply(base+1, region.Change{Time: now, Base: base, Edits: edits})
	}
	for _, m := range round.Moves {
		edits, err := best.Move(m.Steps, now, time.Minute, know)
		if err != nil {
			continue // a move that does not fit while it is under way is left out
		}
		if err := apply(edits); err != nil {
			return nil, err
		}
		for _, s := range m.Steps {
			if err := apply(best.Confirmed(s.Stream, s.Member, s.To)); err != nil {
				return nil, err
			}
		}
	}
	return best, nil
}

// average is the mean delay of a stream over those that receive it, in ms.
func average(r *region.Region, s region.StreamID) float64 {
	var sum time.Duration
	for n := range r.Nodes(s) {
		d, _ := r.Delay(s, n.Member)
		sum += d
	}
	return float64(sum) / float64(time.Millisecond) / float64(max(r.NodeCount(s)-1, 1))
}

// levelBound is what no tree of the stream's members can beat, in ms.
func levelBound(r *region.Region, s region.Stream, know region.RTT) float64 {
	w := &sim.World{Forward: math.Inf(1)}
	var ids []region.MemberID
	for n := range r.Nodes(s.ID) {
		ids = append(ids, n.Member)
		m, _ := r.Member(n.Member)
		w.Forward = min(w.Forward, float64(m.Forward)/float64(time.Millisecond))
		w.Slots = append(w.Slots, int(m.Uplink/s.Rate(region.AllLayers)))
	}
	for _, a := range ids {
		row := make([]float64, len(ids))
		for j, b := range ids {
			rtt, _ := know.RTT(a, b)
			row[j] = float64(rtt) / float64(time.Millisecond)
		}
		w.RTT = append(w.RTT, row)
	}
	return w.Bound(0, 1).Avg
}

func ratio(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return math.Round(1000*a/b) / 1000
}

// weigh adds to a summary how good trees are, and what that takes.
func (t *testnet) weigh(ctx context.Context, s *Summary) {
	s.Control = controlOf(t.controlled, t.control(), time.Since(t.began))
	if len(t.readings) > 0 {
		s.ControlLately = controlOf(t.readings[0].cost, t.control(), time.Since(t.readings[0].at))
	}
	s.Moves, s.Shift = t.moves, t.shifted
	for _, p := range t.coords {
		s.PlanningCPU = max(s.PlanningCPU, ratio(p.last.Planning.Seconds(), time.Since(t.began).Seconds()))
		if at := p.spec.Coordinator.GRPC; at == t.leading {
			s.LeaderCPU = ratio((p.last.CPU - t.taken[at]).Seconds(), time.Since(t.began).Seconds())
		}
	}
	if t.cfg.matrix == nil {
		return
	}
	// What was asked before may have taken all of its time.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pollTimeout)
	defer cancel()
	all, err := t.bounds(ctx, true)
	if err != nil {
		t.log.Error("trees are not compared with what could be", "error", err)
		return
	}
	for i, stream := range s.Streams {
		q := all[stream.Name]
		s.Streams[i].Quality = q
		s.AvgOverBound = max(s.AvgOverBound, q.AvgOverBound)
		s.AvgOverFullKnowledge = max(s.AvgOverFullKnowledge, q.AvgOverFullKnowledge)
	}
}
