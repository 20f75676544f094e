package dev

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// A RegionSummary is a region at the end of a run.
type RegionSummary struct {
	ID         string            `json:"region"`
	Generation uint64            `json:"generation"`
	Members    int               `json:"members"`
	Visitors   int               `json:"visitors"`
	Replicas   []inspect.Replica `json:"replicas"`
	Gateways   []GatewaySummary  `json:"gateways"`
}

// A GatewaySummary says who draws a stream for a region, and who stands by.
type GatewaySummary struct {
	Stream  string `json:"stream"`
	From    string `json:"from"`
	Active  string `json:"active"`
	Standby string `json:"standby,omitempty"`
}

// homesOf says where members live. Where regions split and merge, the publishers begin
// in the first one and everybody else goes to the nearest. With distances, one member of each region and
// the publishers are told, far from one another, and everybody else goes to the
// nearest; without, all are told in turn.
func homesOf(cfg Config) []region.ID {
	ids := regionIDs(cfg.Regions)
	homes := make([]region.ID, cfg.Members)
	if cfg.Regions == 1 && cfg.RegionMax > 0 {
		for i := range homes {
			homes[i] = member.NearestRegion
			if i < cfg.Streams {
				homes[i] = ids[0]
			}
		}
		return homes
	}
	if cfg.Regions == 1 || cfg.matrix == nil {
		for i := range homes {
			homes[i] = ids[i%len(ids)]
		}
		return homes
	}
	rtt := func(a, b int) time.Duration { return cfg.matrix.RTT(a, b) + cfg.matrix.RTT(b, a) }
	centres := []int{0}
	nearest := func(i int) int {
		return slices.Index(centres, slices.MinFunc(centres, func(a, b int) int { return int(rtt(i, a) - rtt(i, b)) }))
	}
	for len(centres) < cfg.Regions {
		far, away := 0, time.Duration(-1)
		for i := range cfg.Members {
			if d := rtt(i, centres[nearest(i)]); d > away && !slices.Contains(centres, i) {
				far, away = i, d
			}
		}
		centres = append(centres, far)
	}
	for i := range homes {
		homes[i] = member.NearestRegion
		if i < cfg.Streams || slices.Contains(centres, i) {
			homes[i] = ids[nearest(i)]
		}
	}
	return homes
}

// present lists the regions that there are, those that are over left out.
func (t *testnet) present(ctx context.Context) ([]inspect.Region, error) {
	list, err := t.client.Regions(ctx, "")
	return slices.DeleteFunc(list, func(r inspect.Region) bool { return r.Into != "" }), err
}

// whole asks for the structure of all regions and puts it together: whoever
// visits is listed at home only, and a stream has one tree, in which gateways
// draw from another region.
func (t *testnet) whole(ctx context.Context) (members []inspect.Member, streams []inspect.Stream, trees []inspect.Tree, err error) {
	regions, err := t.present(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	var drawn []inspect.Tree
	feeds := map[string]bool{} // active gateways, by stream
	for _, r := range regions {
		there, err := t.client.Members(ctx, region.ID(r.ID))
		if err != nil {
			return nil, nil, nil, err
		}
		members = append(members, slices.DeleteFunc(slices.Clone(there), func(m inspect.Member) bool { return m.Home != "" })...)
		list, err := t.client.Streams(ctx, region.ID(r.ID))
		if err != nil {
			return nil, nil, nil, err
		}
		known, err := t.client.Trees(ctx, region.ID(r.ID), "")
		if err != nil {
			return nil, nil, nil, err
		}
		visits := map[string]bool{}
		for _, m := range there {
			visits[m.ID] = m.Home != ""
		}
		for _, tree := range known {
			i := slices.IndexFunc(list, func(s inspect.Stream) bool { return s.Name == tree.Stream })
			if i < 0 {
				continue
			}
			for k, n := range tree.Nodes {
				if visits[n.Member] {
					tree.Nodes[k].Member = visitor + n.Member // until it is known whether it only stands by
				}
			}
			if list[i].From == "" {
				streams, trees = append(streams, list[i]), append(trees, tree)
				continue
			}
			feeds[tree.Stream+" "+list[i].Origin] = true
			drawn = append(drawn, tree)
		}
	}
	for i := range trees {
		trees[i] = graft(trees[i], drawn, feeds)
	}
	return members, streams, trees, nil
}

// visitor marks a place that a member has in another region.
const visitor = "visitor "

// graft puts the trees of a stream together: each hangs below the place of its root,
// a gateway, in another one. Who only stands by has another place at home.
func graft(tree inspect.Tree, drawn []inspect.Tree, feeds map[string]bool) inspect.Tree {
	whole := inspect.Tree{Stream: tree.Stream}
	pending := []inspect.Tree{tree}
	for len(pending) > 0 {
		for _, n := range pending[0].Nodes {
			id, visits := strings.CutPrefix(n.Member, visitor)
			below := feeds[tree.Stream+" "+id]
			switch {
			case visits && !below, n.Parent == "" && len(whole.Nodes) > 0:
				continue
			case visits:
				n.Member = id
				at := slices.IndexFunc(drawn, func(d inspect.Tree) bool { return d.Stream == tree.Stream && rooted(d, id) })
				if at >= 0 {
					pending = append(pending, drawn[at])
				}
			}
			whole.Nodes = append(whole.Nodes, n)
		}
		pending = pending[1:]
	}
	return whole
}

// rooted says whether a tree has that root.
func rooted(t inspect.Tree, id string) bool {
	return slices.ContainsFunc(t.Nodes, func(n inspect.Node) bool { return n.Parent == "" && n.Member == id })
}

// survey adds to a summary what became of the regions.
func (t *testnet) survey(ctx context.Context, s *Summary) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pollTimeout)
	defer cancel()
	s.Regions = []RegionSummary{}
	list, err := t.present(ctx)
	if err != nil {
		t.log.Error("regions are not listed", "error", err)
		return
	}
	for _, r := range list {
		sum := RegionSummary{ID: r.ID, Generation: r.Generation, Replicas: r.Replicas, Gateways: []GatewaySummary{}}
		members, err := t.client.Members(ctx, region.ID(r.ID))
		if err != nil {
			t.log.Error("a region is not described", "region", r.ID, "error", err)
			continue
		}
		name := map[string]string{}
		for _, m := range members {
			name[m.ID] = m.Name
			if m.Home != "" {
				sum.Visitors++
			} else {
				sum.Members++
			}
		}
		streams, _ := t.client.Streams(ctx, region.ID(r.ID)) // whoever listed the members has said what is wrong
		for _, st := range streams {
			if st.From != "" {
				sum.Gateways = append(sum.Gateways, GatewaySummary{st.Name, st.From, name[st.Origin], name[st.Standby]})
			}
		}
		s.Regions = append(s.Regions, sum)
	}
}
