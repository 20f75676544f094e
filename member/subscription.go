package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// A Packet is a received packet with what Skein knows about it.
type Packet = relay.Packet

// A Subscription receives a stream. It is for one goroutine at a time; Close,
// Stats and RequestKeyframe may be called by any.
type Subscription struct {
	place *placement
	sink  *relay.Sink
}

// Subscribe finds a place in the tree of a stream and returns once the
// coordinators have admitted the member to it. While no member of the tree has
// room it tries again until ctx ends. region.ErrUnknownStream if there is no
// such stream; see Await.
func (n *Node) Subscribe(ctx context.Context, name region.StreamID) (*Subscription, error) {
	s, placed, err := n.subscribe(name)
	if err != nil {
		return nil, fmt.Errorf("member: subscribe to %.64q: %w", name, err)
	}
	select {
	case <-placed:
		return s, nil
	case <-s.place.over:
		err = s.place.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = s.Close()
	return nil, fmt.Errorf("member: subscribe to %.64q: %w", name, err)
}

// Await is Subscribe for a stream that need not exist yet: it waits for it
// until ctx ends.
func (n *Node) Await(ctx context.Context, name region.StreamID) (*Subscription, error) {
	pause := firstBackoff
	for {
		s, err := n.Subscribe(ctx, name)
		if !errors.Is(err, region.ErrUnknownStream) {
			return s, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
		pause = min(2*pause, lastBackoff)
	}
}

// subscribe opens a reader, and a placement unless there is one. The channel is
// closed when the placement has a place.
func (n *Node) subscribe(name region.StreamID) (*Subscription, <-chan struct{}, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, nil, region.ErrClosed
	}
	p := n.placements[name]
	switch {
	case n.publications[name] != nil:
		return nil, nil, fmt.Errorf("this node publishes it: %w", region.ErrInvalid)
	case p == nil && len(n.placements) >= MaxSubscriptions:
		return nil, nil, fmt.Errorf("%d streams: %w", MaxSubscriptions, region.ErrLimit)
	}
	if _, err := skeinv1.ToStreamID(string(name)); err != nil {
		return nil, nil, err
	}
	sink, err := n.relay.Subscribe(name)
	if err != nil {
		return nil, nil, err
	}
	if p == nil {
		p = newPlacement(n, name)
		n.placements[name] = p
		n.wg.Go(func() { p.run(n.ctx) })
	}
	s := &Subscription{place: p, sink: sink}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sinks[s] = true
	return s, p.placed, nil
}

// Stream returns the record the coordinators hold.
func (s *Subscription) Stream() region.Stream {
	return s.place.node.assigned.place(s.place.stream).stream
}

// Read waits for the next packet: in order, each once. A packet lost for good
// is left out; see Packet.Index. It returns io.EOF once the stream has ended or
// the Subscription is closed, and the error of ctx if that ends. The caller
// owns the packet.
func (s *Subscription) Read(ctx context.Context) (*Packet, error) {
	p, err := s.sink.ReadRTP(ctx)
	return p, endOf(err)
}

// ReadRTP is Read for those who need only RTP: publisher's SSRC, sequence number
// and timestamp.
func (s *Subscription) ReadRTP(ctx context.Context) (*rtp.Packet, error) {
	p, err := s.sink.ReadRTP(ctx)
	if err != nil {
		return nil, endOf(err)
	}
	return &p.Packet, nil
}

// ReadMessage is Read for data streams: it returns what was given to Send.
func (s *Subscription) ReadMessage(ctx context.Context) ([]byte, error) {
	m, err := s.sink.ReadMessage(ctx)
	return m, endOf(err)
}

func endOf(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, region.ErrClosed) {
		return io.EOF
	}
	return err
}

// RequestKeyframe asks the publisher for a keyframe of a layer; requests are
// merged on their way.
func (s *Subscription) RequestKeyframe(layer int) { s.sink.RequestKeyframe(layer) }

// Report returns the latest RTCP sender report of a layer, nil if none came.
func (s *Subscription) Report(layer int) []byte { return s.sink.Report(layer) }

// Stats says how the stream arrives at this node.
func (s *Subscription) Stats() StreamStats {
	id := s.place.stream
	for _, st := range s.place.node.Stats().Streams {
		if st.Stream == id {
			return st
		}
	}
	return StreamStats{Stream: id}
}

// Close ends the reading. With the last subscription to a stream its place is
// given back, in the background.
func (s *Subscription) Close() error {
	p := s.place
	p.mu.Lock()
	delete(p.sinks, s)
	p.mu.Unlock()
	p.ring()
	return s.sink.Close()
}
