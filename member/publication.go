package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// A Stream is what a member publishes.
type Stream struct {
	// Name of the stream, unique in the region: 1 to region.MaxStreamName bytes
	// of printable UTF-8 without spaces.
	Name region.StreamID
	Kind region.Kind
	// Layers holds the rate of each layer, kbit/s, from the lowest to the highest;
	// audio and data have one.
	Layers []region.Rate
	// Scalable: the layers of a video build upon one another (SVC); each is drawn with all
	// below it. Otherwise each is a picture of its own (simulcast).
	Scalable bool
	// Codec is the RTP encoding name, e.g. "VP8" or "opus". Of a data stream it is up to
	// the application, but for Datagrams.
	Codec string
}

// Datagrams as the Codec of a data stream makes its messages unreliable: each is
// delivered as soon as it has come, whole or not at all, in any order. Messages of other
// data streams are repaired and come in order, each once.
const Datagrams = relay.Datagrams

// MaxMessage bounds a message of a data stream, in bytes.
const MaxMessage = relay.MaxMessage

// A Publication is a stream this node publishes. Its methods may be called
// from any goroutine.
type Publication struct {
	node      *Node
	want      Stream
	keyframes chan int              // capacity MaxLayers
	wanted    chan region.LayerMask // capacity 1: the newest

	mu     sync.Mutex
	record region.Stream
	source *relay.Source
	closed bool
	// sinks are this node's own readers.
	sinks []*Subscription
}

// attach adds a reader on this node. It ends with the publication.
func (p *Publication) attach(s *Subscription) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("this node is ending it: %w", region.ErrUnknownStream)
	}
	p.sinks = slices.DeleteFunc(p.sinks, func(o *Subscription) bool { return o.sink.Closed() })
	p.sinks = append(p.sinks, s)
	return nil
}

// detach ends the readers on this node.
func (p *Publication) detach() {
	p.mu.Lock()
	sinks := p.sinks
	p.sinks = nil
	p.mu.Unlock()
	for _, s := range sinks {
		_ = s.sink.Close() // it has ended by itself before, or ends now
	}
}

// Publish starts a stream. It returns once the region knows it.
// region.ErrExists if somebody else has the name or this node is still ending it,
// region.ErrInvalid or region.ErrLimit if it cannot be.
func (n *Node) Publish(ctx context.Context, s Stream) (*Publication, error) {
	p := &Publication{node: n, want: s, keyframes: make(chan int, region.MaxLayers), wanted: make(chan region.LayerMask, 1)}
	n.mu.Lock()
	err := n.addPublication(p)
	n.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("member: publish %.64q: %w", s.Name, err)
	}
	if err := p.announce(ctx); err != nil {
		n.removePublication(p)
		return nil, fmt.Errorf("member: publish %.64q: %w", s.Name, err)
	}
	return p, nil
}

// addPublication is called with n.mu held.
func (n *Node) addPublication(p *Publication) error {
	switch {
	case n.closed:
		return region.ErrClosed
	case n.publications[p.want.Name] != nil:
		return fmt.Errorf("this node publishes it already: %w", region.ErrExists)
	case n.withdrawn[p.want.Name]:
		return fmt.Errorf("this node is ending it: %w", region.ErrExists)
	case len(n.publications) >= MaxPublications:
		return fmt.Errorf("%d streams: %w", MaxPublications, region.ErrLimit)
	}
	n.publications[p.want.Name] = p
	return nil
}

func (n *Node) removePublication(p *Publication) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.publications[p.want.Name] == p {
		delete(n.publications, p.want.Name)
	}
}

// withdraw takes a publication away whose name is free once withdrew is called: until
// then the coordinators may still hold this node for its origin.
func (n *Node) withdraw(p *Publication) (withdrew func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.publications[p.want.Name] != p {
		return func() {}
	}
	delete(n.publications, p.want.Name)
	n.withdrawn[p.want.Name] = true
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.withdrawn, p.want.Name)
	}
}

// announce tells the coordinators of the stream and opens its source; again
// after the node has joined anew.
func (p *Publication) announce(ctx context.Context) error {
	n := p.node
	if _, err := skeinv1.ToStreamID(string(p.want.Name)); err != nil {
		return err
	}
	request := &skeinv1.PublishRequest{
		RequestId: requestID(), Lease: uint64(n.Lease()),
		Stream: string(p.want.Name), Kind: skeinv1.FromKind(p.want.Kind), Codec: p.want.Codec, Scalable: p.want.Scalable,
	}
	for _, r := range p.want.Layers {
		request.LayerKbps = append(request.LayerKbps, uint32(r))
	}
	var response *skeinv1.PublishResponse
	err := n.call(ctx, func(ctx context.Context, c client, at *address) (err error) {
		request.Region = string(at.region)
		response, err = c.Publish(ctx, request)
		return err
	})
	if err != nil {
		return err
	}
	record, err := skeinv1.ToStream(response.GetStream())
	if err != nil {
		return fmt.Errorf("answer: stream: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return region.ErrClosed
	}
	if p.source != nil {
		if p.record.SSRC == record.SSRC {
			return nil
		}
		_ = p.source.Close()
	}
	if p.source, err = n.relay.Publish(record); err != nil {
		return err
	}
	p.record = record
	return nil
}

// Stream returns the record the coordinators hold.
func (p *Publication) Stream() region.Stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.record
}

func (p *Publication) current() (*relay.Source, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, region.ErrClosed
	}
	return p.source, nil
}

// WriteRTP sends a packet of layer 0, captured now. The SSRC is set to the
// stream's; all else reaches every subscriber as it is. It does not wait for
// anybody and does not keep packet. region.ErrInvalid if the packet cannot be
// sent (see link.MaxPacket), region.ErrClosed after Close.
func (p *Publication) WriteRTP(packet *rtp.Packet) error {
	return p.WriteLayer(0, packet, time.Time{})
}

// WriteLayer is WriteRTP for one of several layers, and for media captured
// earlier than now; a zero time means now.
func (p *Publication) WriteLayer(layer int, packet *rtp.Packet, captured time.Time) error {
	source, err := p.current()
	if err != nil {
		return err
	}
	return source.WriteRTP(layer, packet, captured)
}

// Write sends one RTP packet given as bytes; see WriteRTP.
func (p *Publication) Write(raw []byte) (int, error) {
	var packet rtp.Packet
	if err := packet.Unmarshal(raw); err != nil {
		return 0, fmt.Errorf("member: RTP packet: %w: %w", region.ErrInvalid, err)
	}
	if err := p.WriteRTP(&packet); err != nil {
		return 0, err
	}
	return len(raw), nil
}

// Send sends one message, at most MaxMessage bytes, of a data stream.
func (p *Publication) Send(message []byte) error {
	source, err := p.current()
	if err != nil {
		return err
	}
	return source.WriteMessage(message)
}

// sendAlong is Send of what may wait a little for what else goes to the same peers.
func (p *Publication) sendAlong(message []byte) error {
	source, err := p.current()
	if err != nil {
		return err
	}
	return source.WriteAlong(message)
}

// WriteReport sends an RTCP sender report of a layer along with the stream.
func (p *Publication) WriteReport(layer int, rtcp []byte) error {
	source, err := p.current()
	if err != nil {
		return err
	}
	return source.WriteReport(layer, rtcp)
}

// Keyframes delivers the layers of which a subscriber needs a keyframe, at most
// one per layer and 500 ms.
func (p *Publication) Keyframes() <-chan int { return p.keyframes }

func (p *Publication) wantKeyframe(layer int) {
	select {
	case p.keyframes <- layer:
	default:
	}
}

// LayersWanted delivers which layers anybody wants, whenever that changes; all are at
// first. Others need not be encoded: what is written of them goes nowhere. None is
// wanted while there are no subscribers.
func (p *Publication) LayersWanted() <-chan region.LayerMask { return p.wanted }

func (p *Publication) wantLayers(layers region.LayerMask) {
	select {
	case <-p.wanted: // an older word that nobody has heard
	default:
	}
	select {
	case p.wanted <- layers:
	default:
	}
}

// Close ends the stream for everybody. It blocks until the coordinators know,
// at most for two Config.CallTimeout, and reports if they do not.
func (p *Publication) Close() error {
	p.mu.Lock()
	source, closed := p.source, p.closed
	p.closed = true
	p.mu.Unlock()
	if closed {
		return nil
	}
	n := p.node
	defer n.withdraw(p)()
	p.detach()
	err := source.Close()
	ctx, cancel := context.WithTimeout(n.ctx, 2*n.cfg.CallTimeout)
	defer cancel()
	request := &skeinv1.UnpublishRequest{
		RequestId: requestID(), Lease: uint64(n.Lease()), Stream: string(p.want.Name),
	}
	told := n.call(ctx, func(ctx context.Context, c client, at *address) error {
		request.Region = string(at.region)
		_, err := c.Unpublish(ctx, request)
		return err
	})
	if errors.Is(told, region.ErrUnknownStream) || n.ctx.Err() != nil {
		told = nil
	}
	n.assigned.forget(p.want.Name)
	if err := errors.Join(told, err); err != nil {
		return fmt.Errorf("member: end %s: %w", p.want.Name, err)
	}
	return nil
}

// abandon ends a publication whose name somebody else has taken meanwhile.
func (p *Publication) abandon(cause error) {
	p.mu.Lock()
	source := p.source
	p.closed = true
	p.mu.Unlock()
	p.node.removePublication(p)
	p.detach()
	if source != nil {
		_ = source.Close()
	}
	p.node.events.put(Event{Kind: Ended, Stream: p.want.Name, Detail: cause.Error()})
}
