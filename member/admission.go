package member

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
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

// ask gets the place that w wants: of a neighbour, or of the coordinators, at first by
// proposals of its own, an orphan by naming the standby that feeds it already. It gives up after two
// Config.CallTimeout, since what w rests on may have changed by then.
func (p *placement) ask(ctx context.Context, w wish) error {
	n := p.node
	if w.cause == region.Orphaned && p.healed(w) || w.cause == region.Joining && p.locally(ctx) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*n.cfg.CallTimeout)
	defer cancel()
	request := &skeinv1.AdmitRequest{
		Stream: string(p.stream), Layers: uint32(p.layers), Cause: skeinv1.FromCause(w.cause),
	}
	for _, f := range w.faults {
		request.Reports = append(request.Reports, peerReport(p.stream, f.peer, f.what))
	}
	if w.cause == region.Orphaned {
		request.Place = true
		if p.at == n.residence && w.using != "" && n.from(p.stream, w.using) != p.at {
			// The gateway has failed, and this member draws the stream by itself.
			request.Cause = skeinv1.FromCause(region.Gateway)
			_, err := p.admit(ctx, request)
			return err
		}
		if w.using != "" {
			rtt, _ := p.at.rtts.rtt(w.using)
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
	now := p.at.assigned.place(p.stream)
	if !now.placed || now.parent == w.using {
		return now.placed
	}
	return !slices.ContainsFunc(w.faults, func(f fault) bool { return f.peer == now.parent })
}

// locate fetches the part of the tree that concerns this member.
func (p *placement) locate(ctx context.Context) (region.View, error) {
	request := &skeinv1.LocateRequest{
		Lease: uint64(p.at.lease()), Stream: string(p.stream), Layers: uint32(p.layers),
	}
	var response *skeinv1.LocateResponse
	err := p.at.call(ctx, func(ctx context.Context, c client, at *address) (err error) {
		request.Region = string(at.region)
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
	request.Lease = uint64(p.at.lease())
	var response *skeinv1.AdmitResponse
	var era uint64
	err := p.at.call(ctx, func(ctx context.Context, c client, at *address) (err error) {
		era, request.Region = at.era, string(at.region)
		response, err = c.Admit(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	if role := response.GetAccepted(); role != nil {
		return nil, n.assign(p.at, role, era)
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
	self := region.Self{ID: n.id, Free: p.freeUplink(), Layers: p.layers, Forward: region.DefaultForward}
	proposals := region.Rank(&v, self, p.at.rtts.rtt, nil)
	list := unmeasured(&v, proposals, p.at.rtts.rtt)
	if len(list) == 0 {
		return proposals
	}
	silent := n.measure(ctx, p.at.rtts, list)
	return region.Rank(&v, self, func(id region.MemberID) (time.Duration, bool) {
		if silent[id] {
			return unreachable, true
		}
		return p.at.rtts.rtt(id)
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
func (n *Node) measure(ctx context.Context, book *rttBook, list []region.Candidate) map[region.MemberID]bool {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ProbeTimeout)
	defer cancel()
	var wg sync.WaitGroup
	failed := make([]bool, len(list))
	for i, c := range list {
		wg.Go(func() {
			rtt, err := n.probe(ctx, c.Endpoint.Media)
			failed[i] = err != nil
			book.observe(c.Member, rtt)
		})
	}
	wg.Wait()
	silent := make(map[region.MemberID]bool)
	for i, c := range list {
		silent[c.Member] = failed[i]
	}
	return silent
}

// probe measures the round-trip time to whichever of a member's addresses answers
// first.
func (n *Node) probe(ctx context.Context, addrs []netip.AddrPort) (time.Duration, error) {
	if len(addrs) == 1 {
		return n.transport.Probe(ctx, addrs[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type sample struct {
		rtt time.Duration
		err error
	}
	samples := make(chan sample, len(addrs))
	for _, a := range addrs {
		go func() {
			rtt, err := n.transport.Probe(ctx, a)
			samples <- sample{rtt, err}
		}()
	}
	var best sample
	for range addrs { // all end, since the first answer ends the others
		if s := <-samples; best.rtt == 0 && (s.err == nil || best.err == nil) {
			best = s
			if s.err == nil {
				cancel()
			}
		}
	}
	return best.rtt, best.err
}

// freeUplink is what this member could still send; a visitor relays nothing.
func (p *placement) freeUplink() region.Rate {
	n := p.node
	if p.at != n.residence {
		return 0
	}
	used := n.relay.Admitted()
	return n.cfg.Uplink - min(used, n.cfg.Uplink)
}
