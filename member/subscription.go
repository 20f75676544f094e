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

// A Packet is a received packet with what Skein knows about it. Audio that a browser
// publishes may repeat in each packet what the last one had; red.Unwrap takes that out.
type Packet = relay.Packet

// A Wish is what a subscriber wants of a stream; the zero Wish is all of it.
type Wish = relay.Wish

// A Subscription receives a stream. It is for one goroutine at a time; Close,
// Stats, Want and RequestKeyframe may be called by any.
type Subscription struct {
	node  *Node
	name  region.StreamID
	place *placement // nil if the stream is published here
	sink  *relay.Sink
}

// Subscribe finds a place in the tree of a stream and returns once the
// coordinators have admitted the member to it; at once if this node publishes the
// stream. A member that subscribes to ever other streams is fed by neighbours, over
// links that stand, where that can be. While no member of the tree has
// room it tries again until ctx ends. region.ErrUnknownStream if there is no
// such stream, region.ErrForbidden if the member may not draw it; see Await.
func (n *Node) Subscribe(ctx context.Context, name region.StreamID) (*Subscription, error) {
	s, placed, err := n.subscribe(name)
	if err != nil {
		return nil, fmt.Errorf("member: subscribe to %.64q: %w", name, err)
	}
	if s.place == nil {
		return s, nil
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
	p, own := n.placements[name], n.publications[name]
	switch {
	case own == nil && p == nil && len(n.placements) >= MaxSubscriptions:
		return nil, nil, fmt.Errorf("%d streams: %w", MaxSubscriptions, region.ErrLimit)
	case own == nil && n.withdrawn[name]:
		return nil, nil, fmt.Errorf("this node is ending it: %w", region.ErrUnknownStream)
	}
	if _, err := skeinv1.ToStreamID(string(name)); err != nil {
		return nil, nil, err
	}
	sink, err := n.relay.Subscribe(name)
	if err != nil {
		return nil, nil, err
	}
	s := &Subscription{node: n, name: name, sink: sink}
	if own != nil {
		if err := own.attach(s); err != nil {
			return nil, nil, errors.Join(err, sink.Close())
		}
		return s, nil, nil
	}
	if p == nil {
		p = newPlacement(n, n.residence, name)
		n.placements[name] = p
		n.wg.Go(func() { p.run(n.ctx) })
	}
	s.place = p
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sinks) == 0 {
		n.restless.changed(time.Now())
	}
	p.sinks[s] = true
	p.ring()
	return s, p.placed, nil
}

// Stream returns the record the coordinators hold, or that the neighbour has told which
// feeds the stream by itself.
func (s *Subscription) Stream() region.Stream {
	if s.place == nil {
		if p := s.node.publication(s.name); p != nil {
			return p.Stream()
		}
	}
	if st := s.node.assigned.place(s.name).stream; st.ID != "" {
		return st
	}
	return s.node.relay.Record(s.name)
}

// SetPlayout changes how long Read waits for a missing packet before it counts it
// as lost and goes on. Default 1 s; at most 2 s, which is how long packets are kept.
func (s *Subscription) SetPlayout(d time.Duration) { s.sink.SetPlayout(d) }

// Want changes what is wanted of the stream: which layers, how urgently, whether two
// parents are to send it, or nothing for a while. It does not wait: what is wanted less
// ends within seconds, what is wanted more comes after a round trip to whoever has it.
func (s *Subscription) Want(w Wish) { s.sink.Want(w) }

// SetVoices bounds how many of the streams that are wanted as voices (Wish.Voice) are
// sent to this node at a time, at most 255: the loudest, by what their packets say of
// their level (RFC 6464, header extension 1). 0, the default, is any number of those that
// are not silent. It does not wait.
func (n *Node) SetVoices(most int) { n.relay.SetVoices(most) }

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

// TryRTP is ReadRTP for those who look at it now and then, as a mixer does that plays
// what has come every few milliseconds: it does not wait, and returns nil if nothing is due.
func (s *Subscription) TryRTP() (*rtp.Packet, error) {
	p, err := s.sink.TryRTP()
	if p == nil || err != nil {
		return nil, endOf(err)
	}
	return &p.Packet, nil
}

// ReadMessage is Read for data streams: it returns what was given to Send. It reports
// region.ErrLost, once, where messages of a reliable stream are missing: nobody had them
// any more, or this reader was too slow; the next call goes on after them.
func (s *Subscription) ReadMessage(ctx context.Context) ([]byte, error) {
	m, err := s.sink.ReadMessage(ctx)
	return m, endOf(err)
}

// TryMessage is ReadMessage of a stream of Datagrams that does not wait: nil if no
// message is there.
func (s *Subscription) TryMessage() ([]byte, error) {
	m, err := s.sink.TryMessage()
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
	for _, st := range s.node.Stats().Streams {
		if st.Stream == s.name {
			return st
		}
	}
	return StreamStats{Stream: s.name}
}

// Close ends the reading. Some seconds after the last subscription to a stream its
// place is given back, in the background.
func (s *Subscription) Close() error {
	p := s.place
	if p == nil {
		return s.sink.Close()
	}
	p.mu.Lock()
	delete(p.sinks, s)
	p.mu.Unlock()
	p.ring()
	return s.sink.Close()
}
