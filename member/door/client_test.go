package door_test

import (
	"encoding/binary"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// A client is a WebRTC client that speaks WHIP or WHEP.
type client struct {
	t        *testing.T
	pc       *webrtc.PeerConnection
	url      string // of the session
	etag     string
	up       chan struct{}
	answered reply

	mu  sync.Mutex
	got map[string][]*rtp.Packet // by kind
}

func newClient(t *testing.T) *client {
	t.Helper()
	return newClientOf(t, onLoopback)
}

func onLoopback(e *webrtc.SettingEngine) {
	e.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() && ip.To4() != nil })
}

// newClientAt is newClient at an address.
func newClientAt(t *testing.T, addr string) *client {
	t.Helper()
	socket := must(net.ListenPacket("udp", addr))
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: socket})
	t.Cleanup(func() { mux.Close() })
	return newClientOf(t, func(e *webrtc.SettingEngine) { e.SetICEUDPMux(mux) })
}

// newClientOf also takes what is to be known beside the default codecs, and is preferred
// to them.
func newClientOf(t *testing.T, set func(*webrtc.SettingEngine), know ...func(*webrtc.MediaEngine) error) *client {
	t.Helper()
	engine := &webrtc.MediaEngine{}
	for _, k := range know {
		if err := k(engine); err != nil {
			t.Fatal(err)
		}
	}
	registry := &interceptor.Registry{}
	if err := engine.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	if err := webrtc.RegisterDefaultInterceptors(engine, registry); err != nil {
		t.Fatal(err)
	}
	if err := webrtc.ConfigureSimulcastExtensionHeaders(engine); err != nil {
		t.Fatal(err)
	}
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	set(&settings)
	api := webrtc.NewAPI(webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings))
	c := &client{t: t, pc: must(api.NewPeerConnection(webrtc.Configuration{})), up: make(chan struct{}), got: make(map[string][]*rtp.Packet)}
	t.Cleanup(func() { c.pc.Close() })
	var once sync.Once
	c.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(c.up) })
		}
	})
	c.pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.got[track.Kind().String()] = append(c.got[track.Kind().String()], p)
			c.mu.Unlock()
		}
	})
	return c
}

// offer makes an offer with all candidates.
func (c *client) offer() string {
	c.t.Helper()
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(must(c.pc.CreateOffer(nil))); err != nil {
		c.t.Fatal(err)
	}
	<-gathered
	// What browsers say and pion does not.
	return strings.ReplaceAll(c.pc.LocalDescription().SDP, "a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n")
}

// post brings an offer to an endpoint and takes the answer.
func (c *client) post(endpoint, token string) {
	c.t.Helper()
	c.accept(endpoint, ask(c.t, "POST", endpoint, c.offer(), "Content-Type", "application/sdp", "Authorization", "Bearer "+token))
}

func (c *client) accept(endpoint string, r reply) {
	c.t.Helper()
	r.want(c.t, 201)
	base, _, _ := strings.Cut(strings.TrimPrefix(endpoint, "http://"), "/")
	c.url, c.etag, c.answered = "http://"+base+r.header.Get("Location"), r.header.Get("ETag"), r
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: r.body}); err != nil {
		c.t.Fatal(err)
	}
}

// packets are those that have come, of one kind.
func (c *client) packets(kind string) []*rtp.Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got[kind])
}

// viewer watches a name; kinds are its m-lines.
func viewer(t *testing.T, endpoint string, kinds ...webrtc.RTPCodecType) *client {
	t.Helper()
	return newClient(t).watch(endpoint, kinds...)
}

func (c *client) watch(endpoint string, kinds ...webrtc.RTPCodecType) *client {
	c.t.Helper()
	for _, k := range kinds {
		must(c.pc.AddTransceiverFromKind(k, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}))
	}
	c.post(endpoint, "")
	return c
}

// A source is a track of a publisher: 50 frames per second, each of two packets
// whose payload is numbered; a keyframe whenever it is asked for.
type source struct {
	track *webrtc.TrackLocalStaticRTP
	size  int // bytes of a frame's second packet
	key   atomic.Bool
	sent  atomic.Uint32 // frames
	keys  atomic.Uint32 // keyframes
	mute  atomic.Bool
	// sender and rid are set with simulcast, where packets say which layer they are of.
	sender *webrtc.RTPSender
	rid    string
}

// counterAt is where the payload of a frame's first packet has its number.
const counterAt = 8

// video starts a VP8 track; rid is empty without simulcast.
func video(c *client, rid string, size int) *source {
	c.t.Helper()
	var options []func(*webrtc.TrackLocalStaticRTP)
	if rid != "" {
		options = append(options, webrtc.WithRTPStreamID(rid))
	}
	s := &source{size: size, rid: rid, track: must(webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}, "video", "skein", options...))}
	s.key.Store(true)
	return s
}

// heed answers requests for keyframes of a sender with one layer.
func (s *source) heed(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			if _, ok := p.(*rtcp.PictureLossIndication); ok {
				s.key.Store(true)
			}
		}
	}
}

// run sends frames until the test ends. first is where its numbers begin.
func (s *source) run(c *client, first uint16) {
	done := c.t.Context().Done()
	seq, picture := first, first&0x7FFF
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		if s.mute.Load() {
			continue
		}
		// X, I with a picture number of 15 bits, L: the index of the base layer.
		head := []byte{0x90, 0xC0, 0x80 | byte(picture>>8), byte(picture), byte(picture), 1, 0, 0, 0, 0, 0, 0}
		if s.key.Swap(false) {
			head[5] = 0
			s.keys.Add(1)
		}
		binary.BigEndian.PutUint32(head[counterAt:], s.sent.Add(1))
		rest := append([]byte{0x80, 0xC0, 0x80 | byte(picture>>8), byte(picture), byte(picture)}, make([]byte, s.size)...)
		for i, payload := range [][]byte{head, rest} {
			p := &rtp.Packet{Header: rtp.Header{
				Version: 2, SequenceNumber: seq, Timestamp: uint32(first)<<16 + s.sent.Load()*1800, Marker: i == 1,
			}, Payload: payload}
			seq++
			s.name(p)
			// The track is bound later, and unbound at the end.
			_ = s.track.WriteRTP(p)
		}
		picture = (picture + 1) & 0x7FFF
	}
}

// name puts what a packet of a simulcast belongs to into its header.
func (s *source) name(p *rtp.Packet) {
	if s.rid == "" {
		return
	}
	for _, e := range s.sender.GetParameters().HeaderExtensions {
		switch e.URI {
		case sdp.SDESMidURI:
			_ = p.SetExtension(uint8(e.ID), []byte("0")) // ids fit
		case sdp.SDESRTPStreamIDURI:
			_ = p.SetExtension(uint8(e.ID), []byte(s.rid))
		}
	}
}

// simulcaster publishes layers of video, whose frames have that many bytes.
func simulcaster(t *testing.T, endpoint string, sizes map[string]int) (*client, map[string]*source) {
	t.Helper()
	c := newClient(t)
	sources := make(map[string]*source)
	var sender *webrtc.RTPSender
	for _, rid := range slices.Sorted(maps.Keys(sizes)) {
		s := video(c, rid, sizes[rid])
		sources[rid] = s
		if sender == nil {
			sender = must(c.pc.AddTrack(s.track))
		} else if err := sender.AddEncoding(s.track); err != nil {
			t.Fatal(err)
		}
		s.sender = sender
	}
	c.post(endpoint, "")
	for rid, s := range sources {
		go func() {
			for {
				packets, _, err := sender.ReadSimulcastRTCP(rid)
				if err != nil {
					return
				}
				for _, p := range packets {
					if _, ok := p.(*rtcp.PictureLossIndication); ok {
						s.key.Store(true)
					}
				}
			}
		}()
		go s.run(c, 100)
	}
	return c, sources
}

// publisher publishes one layer of video.
func publisher(t *testing.T, endpoint string, first uint16) (*client, *source) {
	t.Helper()
	c := newClient(t)
	s := video(c, "", 600)
	sender := must(c.pc.AddTrack(s.track))
	go s.heed(sender)
	c.post(endpoint, "")
	go s.run(c, first)
	return c, s
}
