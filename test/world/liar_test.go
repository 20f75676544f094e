package world

import (
	"context"
	"math/rand/v2"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// A liar is a member that says what is not so: that others are dead, or failed
// it, that it draws streams from wherever, that edges stand which do not, that the
// whole world is near. It asks for places and feeds nobody.
type liar struct {
	*clerk
	uplink region.Rate
	quit   chan struct{}
	done   chan struct{}
}

// lie lets a liar join, with an uplink that makes it a parent of others.
func (w *world) lie(uplink region.Rate) {
	l := &liar{clerk: w.clerk(200 + w.lied), uplink: uplink, quit: make(chan struct{}), done: make(chan struct{})}
	w.lied++
	l.chance = rand.New(rand.NewPCG(w.seed, 1000+uint64(w.lied)))
	w.note("%s (%.6s) comes with %d kbit/s", l.name, l.id(), uplink)
	w.liars = append(w.liars, l)
	go l.run()
}

// shame makes the liars leave, and waits for it.
func (w *world) shame() {
	for _, l := range w.liars {
		close(l.quit)
		<-l.done
		l.close()
	}
	w.liars = nil
}

func (l *liar) run() {
	defer close(l.done)
	for {
		select {
		case <-l.quit:
			for l.lease != 0 && !l.ending {
				l.leave()
			}
			return
		case <-time.After(time.Second):
		}
		if l.lease == 0 || l.ending {
			if err := l.join(l.uplink); err != nil {
				l.w.note("%s cannot join: %v", l.name, err)
				continue
			}
		}
		if err := l.session(); err != nil {
			l.w.note("%s: %v", l.name, err)
			l.at++
			l.ended(skeinv1.FromStatus(err))
		}
	}
}

// session lies until it is over.
func (l *liar) session() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := skeinv1.NewMembershipClient(l.conns[l.at%len(l.conns)]).Session(ctx)
	if err != nil {
		return err
	}
	over := make(chan error, 1)
	go func() { // ends with ctx
		for {
			if _, err := s.Recv(); err != nil {
				over <- err
				return
			}
		}
	}()
	hello := &skeinv1.SessionHello{Region: string(home), Lease: l.lease, Generation: l.generation}
	if err := s.Send(&skeinv1.SessionRequest{Hello: hello}); err != nil {
		return <-over
	}
	for {
		select {
		case <-l.quit:
			cancel()
			<-over
			return nil
		case err := <-over:
			return err
		case <-time.After(time.Duration(50+l.chance.IntN(500)) * time.Millisecond):
		}
		if l.chance.IntN(4) == 0 {
			l.ask()
		}
		_ = s.Send(l.tale()) // the reader hears of its end
	}
}

// ask wants a place in some tree, sometimes by a proposal that is made up.
func (l *liar) ask() {
	r := l.w.judge.structure()
	ids, streams := names(r)
	if len(streams) == 0 {
		return
	}
	request := &skeinv1.AdmitRequest{
		Region: string(home), RequestId: l.request(), Lease: l.lease, Stream: pick(l, streams), Layers: 1,
		Cause: skeinv1.Cause(1 + l.chance.IntN(4)), Base: l.chance.Uint64N(1 << 20), Place: l.chance.IntN(2) == 0,
	}
	for range l.chance.IntN(4) {
		request.Proposals = append(request.Proposals, &skeinv1.Proposal{
			Parent: pick(l, ids), Displaced: pick(l, append(ids, "", "")), RttUs: l.chance.Int64N(1e6), ParentDelayUs: l.chance.Int64N(1e6),
		})
		request.Reports = append(request.Reports, l.report(ids, streams))
	}
	ctx, cancel := context.WithTimeout(context.Background(), attempt)
	defer cancel()
	_, _ = skeinv1.NewMembershipClient(l.conns[l.at%len(l.conns)]).Admit(ctx, request)
}

// tale is a report in which nothing is true.
func (l *liar) tale() *skeinv1.SessionRequest {
	r := l.w.judge.structure()
	ids, streams := names(r)
	m := &skeinv1.SessionRequest{Heartbeat: &skeinv1.Heartbeat{ForwardUs: l.chance.Int64N(1e9), Peers: l.chance.Uint32()}}
	for range l.chance.IntN(8) {
		id := pick(l, ids)
		peer, _ := r.Member(region.MemberID(id))
		m.Rumours = append(m.Rumours, &skeinv1.Rumour{Member: id, Lease: uint64(peer.Lease)})
		m.Rtts = append(m.Rtts, &skeinv1.RttSample{Peer: id, RttUs: l.chance.Int64N(1e7) - 1e6})
		if len(streams) == 0 {
			continue
		}
		m.Reports = append(m.Reports, l.report(ids, streams))
		s := pick(l, streams)
		m.Confirmations = append(m.Confirmations, &skeinv1.Confirmation{Stream: s, Parent: id, Revision: l.chance.Uint64N(1 << 20)})
		if m.Digest == nil {
			m.Digest = &skeinv1.Digest{}
		}
		m.Digest.Edges = append(m.Digest.Edges, &skeinv1.DigestEdge{Stream: s, Parent: id})
		if n, ok := r.Node(region.StreamID(s), l.id()); ok {
			m.Confirmations = append(m.Confirmations, &skeinv1.Confirmation{Stream: s, Parent: string(n.Parent)})
		}
	}
	return m
}

func (l *liar) report(ids, streams []string) *skeinv1.PeerReport {
	return &skeinv1.PeerReport{
		Peer: pick(l, ids), Stream: pick(l, streams), Fault: skeinv1.PeerFault(1 + l.chance.IntN(7)), Detail: "so they say",
	}
}

func pick(l *liar, list []string) string { return list[l.chance.IntN(len(list))] }

func names(r *region.Region) (ids, streams []string) {
	for m := range r.Members() {
		ids = append(ids, string(m.ID))
	}
	for s := range r.Streams() {
		streams = append(streams, string(s.ID))
	}
	return ids, streams
}
