package member

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

const (
	// maxRounds is how often a refused member computes a new place before it
	// lets the coordinators choose.
	maxRounds = 5
	// maxProbes bounds the candidates that are measured for one admission.
	maxProbes = 8
	// anyDelay is what an orphan believes of the standby it already draws from:
	// however late, it is better than nothing.
	anyDelay = time.Minute
	// unreachable is the RTT of a candidate that did not answer the probe.
	unreachable = time.Minute
)

// requestID makes a call safe to repeat.
func requestID() string { return rand.Text() }

// ask gets the place that w wants: at first by proposals of its own, an orphan
// by naming the standby that feeds it already. It gives up after two
// Config.CallTimeout, since what w rests on may have changed by then.
func (p *placement) ask(ctx context.Context, w wish) error {
	n := p.node
	if w.cause == region.Orphaned && p.healed(w) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*n.cfg.CallTimeout)
	defer cancel()
	request := &skeinv1.AdmitRequest{
		Region: string(n.cfg.Region), Stream: string(p.stream), Layers: uint32(p.layers), Cause: skeinv1.FromCause(w.cause),
	}
	for _, f := range w.faults {
		request.Reports = append(request.Reports, peerReport(p.stream, f.peer, f.what))
	}
	if w.cause == region.Orphaned {
		request.Place = true
		if w.using != "" {
			rtt, _ := n.rtts.rtt(w.using)
			request.Proposals = skeinv1.FromProposals([]region.Proposal{{Parent: w.using, ParentDelay: anyDelay, RTT: rtt}})
		}
		_, err := p.admit(ctx, request)
		return err
	}
	view, err := p.locate(ctx)
	if err != nil {
		return err
	}
	for round := range maxRounds + 1 {
		proposals := p.propose(ctx, view)
		request.Base = uint64(view.Revision)
		request.Proposals = skeinv1.FromProposals(proposals)
		request.Place = round == maxRounds || len(proposals) == 0
		fresh, err := p.admit(ctx, request)
		if err == nil || !errors.Is(err, errNoRoom) || request.Place {
			return err
		}
		view = *fresh
		request.Reports = nil
	}
	return errNoRoom
}

// healed reports whether the coordinators have found another parent for an
// orphan before it asked.
func (p *placement) healed(w wish) bool {
	now := p.node.assigned.place(p.stream)
	if !now.placed || now.parent == w.using {
		return now.placed
	}
	return !slices.ContainsFunc(w.faults, func(f fault) bool { return f.peer == now.parent })
}

// locate fetches the part of the tree that concerns this member.
func (p *placement) locate(ctx context.Context) (region.View, error) {
	n := p.node
	request := &skeinv1.LocateRequest{
		Region: string(n.cfg.Region), Lease: uint64(n.Lease()), Stream: string(p.stream), Layers: uint32(p.layers),
	}
	var response *skeinv1.LocateResponse
	err := n.group.call(ctx, func(ctx context.Context, c client) (err error) {
		response, err = c.Locate(ctx, request)
		return err
	})
	if err != nil {
		return region.View{}, err
	}
	view, err := skeinv1.ToView(response.GetView())
	if err != nil {
		return region.View{}, fmt.Errorf("view: %w", err)
	}
	return view, nil
}

// admit asks once, with a request id of its own. A refusal is errNoRoom together
// with the fresh view.
func (p *placement) admit(ctx context.Context, request *skeinv1.AdmitRequest) (*region.View, error) {
	n := p.node
	request.RequestId = requestID()
	request.Lease = uint64(n.Lease())
	var response *skeinv1.AdmitResponse
	err := n.group.call(ctx, func(ctx context.Context, c client) (err error) {
		response, err = c.Admit(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	if role := response.GetAccepted(); role != nil {
		return nil, n.assign(role)
	}
	refusals, err := skeinv1.ToRefusals(response.GetRefused().GetRefusals())
	if err != nil {
		return nil, fmt.Errorf("refusal: %w", err)
	}
	for _, r := range refusals {
		n.events.put(Event{Kind: Refused, Stream: p.stream, Peer: string(r.Proposal.Parent), Detail: fmt.Sprint(r.Reason)})
	}
	view, err := skeinv1.ToView(response.GetRefused().GetView())
	if err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	return &view, errNoRoom
}

// propose computes this member's insertion points in v, best first.
func (p *placement) propose(ctx context.Context, v region.View) []region.Proposal {
	n := p.node
	self := region.Self{ID: n.id, Free: n.freeUplink(), Layers: p.layers, Forward: region.DefaultForward}
	proposals := region.Rank(&v, self, n.rtts.rtt, nil)
	list := unmeasured(&v, proposals, n.rtts.rtt)
	if len(list) == 0 {
		return proposals
	}
	silent := n.measure(ctx, list)
	return region.Rank(&v, self, func(id region.MemberID) (time.Duration, bool) {
		if silent[id] {
			return unreachable, true
		}
		return n.rtts.rtt(id)
	}, proposals[:0])
}

// unmeasured picks the candidates worth a probe: the best ones whose RTT
// nobody knows.
func unmeasured(v *region.View, ranked []region.Proposal, known func(region.MemberID) (time.Duration, bool)) []region.Candidate {
	var list []region.Candidate
	add := func(c region.Candidate) {
		_, ok := known(c.Member)
		if !ok && c.RTT == 0 && len(c.Endpoint.Media) > 0 && len(list) < maxProbes {
			list = append(list, c)
		}
	}
	seen := make(map[region.MemberID]bool)
	for _, r := range ranked {
		if i := slices.IndexFunc(v.Candidates, func(c region.Candidate) bool { return c.Member == r.Parent }); i >= 0 && !seen[r.Parent] {
			seen[r.Parent] = true
			add(v.Candidates[i])
		}
	}
	for _, c := range v.Candidates {
		if !seen[c.Member] && c.Free > 0 {
			add(c)
		}
	}
	return list
}

// measure probes candidates, all at once, for at most Config.ProbeTimeout, and
// returns those that did not answer.
func (n *Node) measure(ctx context.Context, list []region.Candidate) map[region.MemberID]bool {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ProbeTimeout)
	defer cancel()
	var wg sync.WaitGroup
	failed := make([]bool, len(list))
	for i, c := range list {
		wg.Go(func() {
			rtt, err := n.transport.Probe(ctx, c.Endpoint.Media[0])
			failed[i] = err != nil
			n.rtts.observe(c.Member, rtt)
		})
	}
	wg.Wait()
	silent := make(map[region.MemberID]bool)
	for i, c := range list {
		silent[c.Member] = failed[i]
	}
	return silent
}

// freeUplink is what this member could still send.
func (n *Node) freeUplink() region.Rate {
	used := n.relay.Stats().Admitted
	return n.cfg.Uplink - min(used, n.cfg.Uplink)
}
