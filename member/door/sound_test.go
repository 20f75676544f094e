package door_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const captureURI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"

// redundantly makes a client prefer redundant audio.
func redundantly(e *webrtc.MediaEngine) error {
	return e.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: redundant, PayloadType: 63}, webrtc.RTPCodecTypeAudio)
}

var redundant = webrtc.RTPCodecCapability{MimeType: "audio/red", ClockRate: 48000, Channels: 2, SDPFmtpLine: "111/111"}

// timely makes a client want to know when its audio was captured.
func timely(e *webrtc.MediaEngine) error {
	return e.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: captureURI}, webrtc.RTPCodecTypeAudio)
}

// speak publishes audio that repeats in each packet what the last one had.
func speak(t *testing.T, endpoint string) {
	t.Helper()
	c := newClientOf(t, onLoopback, redundantly)
	track := must(webrtc.NewTrackLocalStaticRTP(redundant, "audio", "skein"))
	must(c.pc.AddTrack(track))
	c.post(endpoint, "")
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := uint16(1); ; n++ {
			select {
			case <-t.Context().Done():
				return
			case <-tick.C:
			}
			payload := []byte{0x80 | 111, 3840 >> 6, 3840 & 63 << 2, 2, 111}
			payload = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(payload, n-1), n)
			// The track is bound later, and unbound at the end.
			_ = track.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: n, Timestamp: uint32(n) * 960}, Payload: payload})
		}
	}()
}

// Redundant audio crosses the mesh for those who know it, and reaches all others as plain
// audio. Who wants to know is told when each packet was captured.
func TestRedundantSound(t *testing.T) {
	m := newMesh(t)
	in, out := m.open(nil), m.open(nil)
	began := time.Now()
	speak(t, in.url+"/whip/stage")
	able := newClientOf(t, onLoopback, redundantly, timely).watch(out.url+"/whep/stage", webrtc.RTPCodecTypeAudio)
	plain := viewer(t, out.url+"/whep/stage", webrtc.RTPCodecTypeAudio)
	for _, v := range []*client{able, plain} {
		until(t, "50 packets arrive", func() bool { return len(v.packets("audio")) >= 50 })
	}
	captureID := uint8(0)
	for _, e := range able.pc.GetTransceivers()[0].Receiver().GetParameters().HeaderExtensions {
		if e.URI == captureURI {
			captureID = uint8(e.ID)
		}
	}
	for _, p := range able.packets("audio") {
		if p.PayloadType != 63 || len(p.Payload) != 9 || !slices.Equal(p.Payload[:5], []byte{0x80 | 111, 60, 0, 2, 111}) {
			t.Fatalf("type %d: %x", p.PayloadType, p.Payload)
		}
		const since1900 = 2208988800
		ntp := p.GetExtension(captureID)
		if len(ntp) != 8 {
			t.Fatalf("capture time %x", ntp)
		}
		at := time.Unix(int64(binary.BigEndian.Uint32(ntp))-since1900, int64(uint64(binary.BigEndian.Uint32(ntp[4:]))*1e9>>32))
		if at.Before(began.Add(-time.Millisecond)) || at.After(time.Now()) {
			t.Fatalf("captured at %v", at)
		}
	}
	for i, p := range plain.packets("audio") {
		if p.PayloadType != 111 || len(p.Payload) != 2 || len(p.GetExtension(captureID)) != 0 {
			t.Fatalf("type %d: %x", p.PayloadType, p.Payload)
		}
		if before := plain.packets("audio"); i > 0 && binary.BigEndian.Uint16(p.Payload)-binary.BigEndian.Uint16(before[i-1].Payload) != p.SequenceNumber-before[i-1].SequenceNumber {
			t.Fatalf("packet %d: %x after %x", i, p.Payload, before[i-1].Payload)
		}
	}
}
