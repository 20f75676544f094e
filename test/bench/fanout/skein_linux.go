package fanout

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// uplink of hub and source, kbit/s: more than any load needs.
const uplink = 1 << 31

// newTransport opens the transport of a new member with a certificate of ca.
func newTransport(ca *trust.Authority) (*link.Transport, link.Peer, error) {
	id, err := trust.NewIdentity()
	if err != nil {
		return nil, link.Peer{}, err
	}
	cred, err := ca.Issue(id, trust.RoleMember, time.Hour, time.Now())
	if err != nil {
		return nil, link.Peer{}, err
	}
	cfg := link.DefaultConfig()
	cfg.ID, cfg.Certificate, cfg.Listen = id.ID(), cred.LinkCertificate(), "127.0.0.1:0"
	t, err := link.Listen(context.Background(), cfg)
	if err != nil {
		return nil, link.Peer{}, err
	}
	return t, link.Peer{ID: id.ID(), Lease: 1, Endpoint: t.Endpoint()}, nil
}

// A relayServer is a hub that is a relay of Skein.
type relayServer struct {
	t *link.Transport
	r *relay.Relay
}

func newRelayServer(key ed25519.PublicKey) (server, *link.Peer, error) {
	ca, err := trust.NewAuthority(time.Now())
	if err != nil {
		return nil, nil, err
	}
	t, peer, err := newTransport(ca)
	if err != nil {
		return nil, nil, err
	}
	r, err := newRelay(t, peer.ID, key)
	if err != nil {
		_ = t.Close()
		return nil, nil, err
	}
	return &relayServer{t, r}, &peer, nil
}

func newRelay(t *link.Transport, self region.MemberID, key ed25519.PublicKey) (*relay.Relay, error) {
	cfg := relay.DefaultConfig()
	cfg.Self, cfg.Transport, cfg.Uplink = self, t, uplink
	cfg.OpenGrant = func(b []byte) (trust.Grant, error) { return trust.OpenGrant(key, b, time.Now()) }
	r, err := relay.New(cfg)
	if err != nil {
		return nil, err
	}
	t.SetLease(1)
	return r, nil
}

func (s *relayServer) order(o order) error {
	if o.Assign == nil {
		return nil
	}
	return s.r.Assign(*o.Assign)
}

func (s *relayServer) close() {
	_ = s.r.Close()
	_ = s.t.Close()
}

// A skein arm feeds a relay of Skein and counts behind links.
type skein struct {
	h        *process
	cfg      Config
	ca       *trust.Authority
	key      ed25519.PrivateKey
	to       link.Peer
	t        *link.Transport // of the origin
	self     link.Peer
	r        *relay.Relay
	sources  []*relay.Source
	numbers  []uint16
	packet   *rtp.Packet
	children []*child
}

// settling is how long links take to let go of what made them.
const settling = 8 * time.Second

// newSkein also returns the hub's memory per child whose link carries nothing, KiB.
func newSkein(ctx context.Context, cfg Config, c *counts) (a arm, idle float64, err error) {
	s := &skein{cfg: cfg, packet: &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96}, Payload: make([]byte, cfg.Packet-header)}}
	if s.ca, err = trust.NewAuthority(time.Now()); err != nil {
		return nil, 0, err
	}
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, 0, err
	}
	s.key = key
	var first answer
	if s.h, first, err = startHub(ctx, cfg, setup{Kind: relayHub, Key: pub}); err != nil {
		return nil, 0, err
	}
	s.to = *first.Peer
	if s.t, s.self, err = newTransport(s.ca); err != nil {
		return nil, 0, err
	}
	if s.r, err = newRelay(s.t, s.self.ID, pub); err != nil {
		return nil, 0, err
	}
	if err := s.r.Expect(s.to); err != nil {
		return nil, 0, err
	}
	before, err := s.h.ask(order{Rest: true})
	if err != nil {
		return nil, 0, err
	}
	for range cfg.Children {
		k, err := newChild(s.ca, c)
		if err != nil {
			return nil, 0, err
		}
		s.children = append(s.children, k)
	}
	if err := s.widen(1); err != nil {
		return nil, 0, err
	}
	time.Sleep(settling)
	after, err := s.h.ask(order{Rest: true})
	return s, float64(after.RSS-before.RSS) / float64(cfg.Children), err
}

func (s *skein) hub() *process { return s.h }

// widen publishes streams and makes the hub and all children draw them.
func (s *skein) widen(streams int) error {
	for i := len(s.sources); i < streams; i++ {
		st := region.Stream{
			ID: region.StreamID(fmt.Sprintf("bench/%d", i)), Origin: s.self.ID, Kind: region.Video,
			Layers: []region.Rate{region.Rate(s.cfg.Kbps)}, SSRC: uint32(i+1) * region.MaxLayers, Codec: "VP8",
		}
		src, err := s.r.Publish(st)
		if err != nil {
			return err
		}
		s.sources, s.numbers = append(s.sources, src), append(s.numbers, 0)
		a := relay.Assignment{
			Stream: st, Revision: 1, Layers: 1,
			Parent: relay.Upstream{Peer: s.self, Grant: s.grant(st.ID, s.self.ID, s.to.ID)},
		}
		for _, c := range s.children {
			a.Children = append(a.Children, c.peer)
		}
		if _, err := s.h.ask(order{Assign: &a}); err != nil {
			return err
		}
		for _, c := range s.children {
			if err := c.draw(s.to, st.ID, uint32(i+1), s.grant(st.ID, s.to.ID, c.peer.ID)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *skein) grant(id region.StreamID, parent, child region.MemberID) []byte {
	return trust.SignGrant(s.key, trust.Grant{
		Region: "bench", Stream: id, Child: child, Lease: 1, Parent: parent, Expires: time.Now().Add(time.Hour),
	})
}

func (s *skein) frame(stream int, timestamp uint32, n int) error {
	for i := range n {
		s.numbers[stream]++
		s.packet.SequenceNumber, s.packet.Timestamp, s.packet.Marker = s.numbers[stream], timestamp, i == n-1
		if err := s.sources[stream].WriteRTP(0, s.packet, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

func (s *skein) close() {
	_ = s.r.Close()
	_ = s.t.Close()
	for _, c := range s.children {
		_ = c.t.Close()
	}
	s.h.close()
}

// A child draws streams and counts. It is its transport's Handler.
type child struct {
	t       *link.Transport
	peer    link.Peer
	c       *counts
	mu      sync.Mutex
	replies map[uint32]chan link.Fault
}

func newChild(ca *trust.Authority, c *counts) (*child, error) {
	k := &child{c: c, replies: make(map[uint32]chan link.Fault)}
	var err error
	if k.t, k.peer, err = newTransport(ca); err != nil {
		return nil, err
	}
	k.t.Handle(k)
	k.t.SetLease(1)
	return k, nil
}

// draw asks the hub for a stream until it accepts.
func (k *child) draw(hub link.Peer, id region.StreamID, draw uint32, grant []byte) error {
	l, err := k.t.Expect(hub)
	if err != nil {
		return err
	}
	reply := make(chan link.Fault, 1)
	k.mu.Lock()
	k.replies[draw] = reply
	k.mu.Unlock()
	for range 500 {
		_ = l.Send(&link.Message{Kind: link.Draw, ID: draw, Stream: id, Layers: 1, Grant: grant})
		select {
		case f := <-reply:
			if f == 0 {
				l.Carry(link.Still, link.Tight)
				return nil
			}
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("draw %s: no answer", id)
}

// Wanted is for link.Handler, as are those that follow.
func (k *child) Wanted(uint32) bool { return true }

// Packet counts.
func (k *child) Packet(_ *link.Link, h link.Header, _ []byte) { k.c.note(h.Timestamp, 1) }

// Drained does nothing.
func (k *child) Drained() {}

func (k *child) Offended(*link.Link, link.Offence, int) {}

// Changed does nothing.
func (k *child) Changed(*link.Link) {}

// Message notes answers.
func (k *child) Message(_ *link.Link, m *link.Message) {
	if m.Kind != link.DrawReply {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case k.replies[m.ID] <- m.Fault:
	default:
	}
}
