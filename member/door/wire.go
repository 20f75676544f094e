package door

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/skein-mesh/skein/member/red"
)

const (
	// kept is how many packets an outlet can send again: more than a second of a
	// picture of 8 Mbit/s.
	kept = 1024
	// resends is how often one packet is sent again at most: for 2 s, if a viewer asks
	// every 100 ms while its path is being renewed.
	resends = 20
)

// A wire is an m-line as it was negotiated: how packets are sent, and sent again.
type wire struct {
	first  webrtc.RTPCodecParameters
	ssrc   uint32
	writer webrtc.TrackLocalWriter
	types  map[string]uint8 // payload type by codec
	red    uint8            // that of redundant audio; 0: the viewer does not know it
	repair map[uint8]uint8  // payload type of retransmissions by that of the media
	rtx    uint32           // SSRC of retransmissions, 0: none
	ids    map[uint8]uint8  // the mesh's id of an extension -> the viewer's
	// captureID is the extension that tells when a packet was captured; 0: none.
	captureID uint8

	mu             sync.Mutex // guards what follows
	ring           [kept]sent
	resent         uint16 // sequence number of retransmissions
	packets, bytes uint32
}

// A sent packet; its payload is not changed any more.
type sent struct {
	header  rtp.Header
	payload []byte
	times   int
}

func newWire(t webrtc.TrackLocalContext, media string) (*wire, error) {
	w := &wire{
		ssrc: uint32(t.SSRC()), rtx: uint32(t.SSRCRetransmission()), writer: t.WriteStream(),
		types: make(map[string]uint8), repair: make(map[uint8]uint8), ids: make(map[uint8]uint8),
	}
	for _, c := range t.CodecParameters() {
		name := nameOf(c.MimeType)
		switch known := byName(name); {
		case strings.EqualFold(c.MimeType, webrtc.MimeTypeRTX):
			var apt uint8
			if _, err := fmt.Sscanf(c.SDPFmtpLine, "apt=%d", &apt); err == nil {
				w.repair[apt] = uint8(c.PayloadType)
			}
		case strings.EqualFold(name, redName):
			w.red = uint8(c.PayloadType)
		case known != nil && known.media == media && w.types[known.name] == 0:
			w.types[known.name] = uint8(c.PayloadType)
			if w.first.PayloadType == 0 {
				w.first = c
			}
		}
	}
	if len(w.types) == 0 {
		return nil, webrtc.ErrUnsupportedCodec
	}
	for _, e := range t.HeaderExtensions() {
		if id, ok := travelling[e.URI]; ok {
			w.ids[id] = uint8(e.ID)
		}
		if e.URI == captureURI {
			w.captureID = uint8(e.ID)
		}
	}
	return w, nil
}

// carries tells whether a codec was negotiated.
func (w *wire) carries(codec string) bool { return w.types[codec] != 0 }

// send sends a packet that has its final numbers. It keeps the payload.
func (w *wire) send(p *rtp.Packet, codec string, captured time.Time) {
	translate(&p.Header, w.ids)
	if w.captureID != 0 {
		// A packet with other extensions that are too many for it goes without.
		_ = p.SetExtension(w.captureID, appendCapture(nil, captured))
	}
	kind := w.types[codec]
	if p.PayloadType == red.PayloadType && w.red != 0 && red.Retype(p.Payload, kind) {
		kind = w.red
	} else if !red.Unwrap(p) {
		return // nobody could play it
	}
	p.SSRC, p.PayloadType, p.CSRC = w.ssrc, kind, nil
	p.Padding, p.PaddingSize = false, 0
	w.mu.Lock()
	w.ring[p.SequenceNumber%kept] = sent{header: p.Header.Clone(), payload: p.Payload}
	w.packets++
	w.bytes += uint32(len(p.Payload))
	w.mu.Unlock()
	// A connection that is ending refuses; that is the session's affair.
	_, _ = w.writer.WriteRTP(&p.Header, p.Payload)
}

// resend answers a viewer that misses a packet. It returns true, to go on.
func (w *wire) resend(seq uint16) bool {
	w.mu.Lock()
	slot := &w.ring[seq%kept]
	if slot.payload == nil || slot.header.SequenceNumber != seq || slot.times == resends {
		w.mu.Unlock()
		return true
	}
	h, payload := slot.header.Clone(), slot.payload
	if repair, ok := w.repair[h.PayloadType]; ok && w.rtx != 0 { // RFC 4588
		payload = slices.Concat(binary.BigEndian.AppendUint16(nil, seq), payload)
		h.PayloadType, h.SSRC, h.SequenceNumber = repair, w.rtx, w.resent
		w.resent++
	}
	w.mu.Unlock()
	// Without a path, as during a restart of ICE, nothing is sent, and that is no error.
	if n, err := w.writer.WriteRTP(&h, payload); err == nil && n > 0 {
		w.mu.Lock()
		slot.times++
		w.mu.Unlock()
	}
	return true
}

// counts are what sender reports say.
func (w *wire) counts() (packets, octets uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.packets, w.bytes
}
