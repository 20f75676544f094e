package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/cmd/skein/media"
	"github.com/skein-mesh/skein/coordinator/volunteer"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// A memberNode is a member in this process.
type memberNode struct {
	spec  Spec
	log   *slog.Logger
	hush  hush
	cable *cable

	// life ends publishers and readers.
	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup

	shift shifting

	mu      sync.Mutex
	node    *member.Node
	sources []*publisher
	sinks   []*subscriber
	walker  *walker
	helper  *volunteer.Volunteer // nil: it does not coordinate
}

func newMemberNode(spec Spec, log *slog.Logger) *memberNode {
	life, end := context.WithCancel(context.Background())
	log, hush := newHush(log.With("node", spec.Name))
	cable := newCable(spec.IP)
	cable.refused = spec.Member.Refuse
	return &memberNode{spec: spec, log: log, hush: hush, cable: cable, life: life, end: end}
}

func (m *memberNode) start(ctx context.Context) error {
	cfg, err := m.config()
	if err != nil {
		return err
	}
	n, err := member.Join(ctx, cfg)
	if err != nil {
		return fmt.Errorf("%s joins: %w", m.spec.Name, err)
	}
	m.mu.Lock()
	m.node = n
	m.mu.Unlock()
	m.running.Go(func() { m.narrate(n.Events()) })
	if m.spec.Member.Volunteer != nil {
		if err := m.volunteer(ctx, n); err != nil {
			return err
		}
	}
	for _, p := range m.spec.Member.Publish {
		if err := m.publish(ctx, n, p); err != nil {
			return fmt.Errorf("%s publishes %s: %w", m.spec.Name, p.Stream, err)
		}
	}
	if err := m.subscribeAll(ctx, n); err != nil {
		return err
	}
	if m.spec.Member.Walk != nil {
		if err := m.walk(ctx, n); err != nil {
			return fmt.Errorf("%s enters %s: %w", m.spec.Name, m.spec.Member.Walk.Space, err)
		}
	}
	return nil
}

func (m *memberNode) config() (member.Config, error) {
	var err error
	if m.shift.before, m.shift.after, err = m.spec.Member.matrices(); err != nil {
		return member.Config{}, err
	}
	cfg := member.DefaultConfig()
	cfg.Coordinators = m.spec.Member.Coordinators
	cfg.Token = m.spec.Member.Token
	cfg.Region = m.spec.Member.Region
	cfg.Name = m.spec.Name
	cfg.Uplink = m.spec.Member.Uplink
	cfg.Media = at(m.spec.IP, 0)
	cfg.Gossip = at(m.spec.IP, 0)
	cfg.Network = distant(m.cable, &m.shift, m.spec.Site, m.spec.Member.clock)
	cfg.Logger = m.log
	return cfg, nil
}

func (m *memberNode) publish(ctx context.Context, n *member.Node, p PatternSpec) error {
	layers := []*media.Pattern{media.NewPattern(p.Kind, p.Shape)}
	if p.Kind == region.Video {
		layers = media.NewPatternLayers(p.Layers, p.Shape)
	}
	stream := member.Stream{Name: p.Stream, Kind: p.Kind, Codec: layers[0].Track().Codec}
	for _, l := range layers {
		stream.Layers = append(stream.Layers, l.Track().Rate)
	}
	out, err := n.Publish(ctx, stream)
	if err != nil {
		return err
	}
	src := &publisher{stream: p.Stream}
	m.mu.Lock()
	m.sources = append(m.sources, src)
	m.mu.Unlock()
	for i, l := range layers {
		// Packets of all layers have the same numbers: those of one tell of all.
		count := i == len(layers)-1
		m.running.Go(func() {
			src.run(m.life, l, count, func(p *rtp.Packet) error { return out.WriteLayer(i, p, time.Time{}) })
		})
	}
	return nil
}

// subscribeAll draws all streams at the same time, as an application would: each takes some
// round trips to coordinators and to members.
func (m *memberNode) subscribeAll(ctx context.Context, n *member.Node) error {
	errs := make([]error, len(m.spec.Member.Subscribe))
	var wg sync.WaitGroup
	for i, s := range m.spec.Member.Subscribe {
		wg.Go(func() {
			if err := m.subscribe(ctx, n, s); err != nil {
				errs[i] = fmt.Errorf("%s subscribes to %s: %w", m.spec.Name, s, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (m *memberNode) subscribe(ctx context.Context, n *member.Node, name region.StreamID) error {
	in, err := n.Await(ctx, name)
	if err != nil {
		return err
	}
	sink := &subscriber{stream: name}
	if n := len(in.Stream().Layers); n > 1 {
		sink.layer = n - 1 - m.spec.Member.Want%n
		in.Want(member.Wish{Layers: 1<<sink.layer | 1})
	}
	m.mu.Lock()
	m.sinks = append(m.sinks, sink)
	m.mu.Unlock()
	m.running.Go(func() { sink.run(m.life, in.Read) })
	return nil
}

// narrate passes on what happens to the node, for people who look at the log.
func (m *memberNode) narrate(events <-chan member.Event) {
	for e := range events {
		m.log.Debug("member event", "kind", e.Kind.String(), "stream", e.Stream, "peer", e.Peer, "detail", e.Detail)
	}
}

func (m *memberNode) report(_ context.Context, q Query) (Report, error) {
	m.mu.Lock()
	n, sources, sinks := m.node, m.sources, m.sinks
	m.mu.Unlock()
	if n == nil {
		return Report{}, fmt.Errorf("%s: %w: it has not joined", m.spec.Name, region.ErrClosed)
	}
	stats := n.Stats()
	r := Report{ID: stats.ID, Uplink: stats.Uplink, Sending: stats.Sending, Connected: stats.Connected, Peers: stats.Peers, GossipEvents: stats.GossipEvents, Control: stats.Control}
	if !q.Shift.IsZero() {
		m.shift.at.Store(&q.Shift)
	}
	for _, s := range sources {
		sent := s.report(q)
		for _, st := range stats.Streams {
			if st.Stream == sent.Stream {
				sent.Children = len(st.Children)
			}
		}
		r.Sent = append(r.Sent, sent)
	}
	for _, s := range sinks {
		got := s.report(q)
		for _, st := range stats.Streams {
			if st.Stream == got.Stream {
				got.Parent, got.Standbys, got.Children = st.Parent, st.Standbys, len(st.Children)
			}
		}
		r.Received = append(r.Received, got)
	}
	return r, nil
}

func (m *memberNode) refuse(_ context.Context, from []netip.Addr) error { return m.cable.refuse(from) }

func (m *memberNode) kill() {
	m.hush.silence()
	m.cable.unplug()
	m.end()
}

func (m *memberNode) stop(ctx context.Context) {
	m.end()
	m.mu.Lock()
	n, helper := m.node, m.helper
	m.mu.Unlock()
	if helper != nil {
		// Nobody is left for whom to hand over what it hosts.
		if err := helper.Close(); err != nil {
			m.log.Debug("did not close cleanly", "error", err)
		}
	}
	if n != nil {
		leave := n.Leave
		if m.cable.isCut() || ctx.Err() != nil {
			leave = func(context.Context) error { return n.Close() }
		}
		if err := leave(ctx); err != nil {
			m.log.Debug("left without a good-bye", "error", err)
		}
	}
	m.running.Wait()
}

// A publisher sends a test pattern and remembers when.
type publisher struct {
	stream region.StreamID

	mu    sync.Mutex
	sent  uint64
	marks [1024]sentMark // ring of the last frames; at 50/s 20 s
	next  int
	err   error
}

// A sentMark says that packets had been sent at a time.
type sentMark struct {
	at      time.Time
	packets uint64
}

func (p *publisher) run(ctx context.Context, pattern *media.Pattern, count bool, write func(*rtp.Packet) error) {
	err := media.Pace(ctx, pattern, func(packet *rtp.Packet) error {
		now := time.Now()
		media.Stamp(packet.Payload, now)
		if err := write(packet); err != nil {
			return err
		}
		if !count {
			return nil
		}
		p.mu.Lock()
		p.sent++
		p.marks[p.next%len(p.marks)] = sentMark{now, p.sent}
		p.next++
		p.mu.Unlock()
		return nil
	})
	p.mu.Lock()
	p.err = errors.Join(p.err, err)
	p.mu.Unlock()
}

func (p *publisher) report(q Query) SentReport {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := SentReport{Stream: p.stream, Packets: p.sent}
	for _, m := range p.marks {
		if m.packets > r.Before && !m.at.After(q.SentBefore) {
			r.Before = m.packets
		}
	}
	return r
}

// A subscriber reads a stream and accounts for it.
type subscriber struct {
	stream region.StreamID
	layer  int

	mu    sync.Mutex
	tally Tally // of the lowest layer, which every link carries
	upper Tally // of layer, if that is another
	err   error
}

func (s *subscriber) run(ctx context.Context, read func(context.Context) (*member.Packet, error)) {
	for {
		packet, err := read(ctx)
		if err != nil {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
			return
		}
		now := time.Now()
		if mark, ok := media.ParseMark(packet.Payload); ok {
			s.mu.Lock()
			if packet.Layer == 0 {
				s.tally.Add(mark.Counter, mark.Made, now)
			} else {
				s.upper.Add(mark.Counter, mark.Made, now)
			}
			s.mu.Unlock()
		}
	}
}

func (s *subscriber) report(q Query) ReceivedReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.tally
	end, judged := q.Ends[s.stream]
	if !judged {
		end = t.next
	}
	r := ReceivedReport{
		Stream: s.stream, Layer: s.layer, Received: t.Received, Duplicates: t.Duplicates, Disordered: t.Disordered,
		DelayMean: t.recent.mean(),
		Lost:      t.Lost(end), DelayP50: t.Delays.Quantile(0.5), DelayP99: t.Delays.Quantile(0.99),
	}
	if s.layer > 0 {
		r.LayerReceived, r.LayerMissing = s.upper.Received, s.upper.Lost(end)
		r.Duplicates += s.upper.Duplicates
	}
	if judged && t.Received == 0 {
		r.Lost = end // it never got anything: all that was sent is missing
	}
	now := time.Now()
	r.GapSoFar = t.Gap(t.start, now, now)
	for _, i := range q.Gaps {
		r.Gaps = append(r.Gaps, t.Gap(i.From, i.To, now))
	}
	if q.Delays {
		r.Delays = t.Delays.clone()
	}
	if s.err != nil {
		r.Failure = s.err.Error()
	}
	return r
}
