package media

import (
	"encoding/binary"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/rtp/codecs/av1/obu"
	"github.com/pion/rtp/codecs/vp9"
)

// A codec is what this package must know of a video codec.
type codec struct {
	name      string // RTP encoding name
	fourCC    string // in IVF
	payloader func() rtp.Payloader
	// depacketizer strips the RTP payload header; stateful within a frame.
	depacketizer func() rtp.Depacketizer
	// head reports whether a packet certainly is the first of its frame.
	head func(payload []byte) bool
	// prefix is put before every frame of a file: what the payload format
	// leaves out.
	prefix []byte
	// keyframe reports whether a frame can be decoded on its own, and its size
	// where the frame tells (0 otherwise).
	keyframe func(frame []byte) (key bool, width, height uint16)
}

// videoCodecs lists the video codecs that IVF files carry.
func videoCodecs() []codec {
	return []codec{
		{
			name: "VP8", fourCC: "VP80",
			payloader:    func() rtp.Payloader { return &codecs.VP8Payloader{EnablePictureID: true} },
			depacketizer: func() rtp.Depacketizer { return &codecs.VP8Packet{} },
			head:         func(b []byte) bool { return len(b) > 0 && b[0]&0x17 == 0x10 }, // S set, partition 0
			keyframe:     vp8Keyframe,
		},
		{
			name: "VP9", fourCC: "VP90",
			payloader:    func() rtp.Payloader { return &codecs.VP9Payloader{InitialPictureIDFn: func() uint16 { return 0 }} },
			depacketizer: func() rtp.Depacketizer { return &codecs.VP9Packet{} },
			head:         func(b []byte) bool { return len(b) > 0 && b[0]&0x08 != 0 }, // B
			keyframe:     vp9Keyframe,
		},
		{
			name: "AV1", fourCC: "AV01",
			payloader:    func() rtp.Payloader { return &codecs.AV1Payloader{} },
			depacketizer: func() rtp.Depacketizer { return &codecs.AV1Depacketizer{} },
			head:         func(b []byte) bool { return len(b) > 0 && b[0]&0x08 != 0 }, // N
			prefix:       []byte{byte(obu.OBUTemporalDelimiter)<<3 | 1<<1, 0},         // with size field: 0 bytes
			keyframe:     av1Keyframe,
		},
	}
}

// vp8Keyframe reads the frame tag and, in a keyframe, the start code and size
// (RFC 6386, 9.1).
func vp8Keyframe(b []byte) (bool, uint16, uint16) {
	if len(b) < 10 || b[0]&1 != 0 {
		return false, 0, 0
	}
	return true, binary.LittleEndian.Uint16(b[6:]) & 0x3fff, binary.LittleEndian.Uint16(b[8:]) & 0x3fff
}

func vp9Keyframe(b []byte) (bool, uint16, uint16) {
	var h vp9.Header
	if h.Unmarshal(b) != nil || h.NonKeyFrame || h.ShowExistingFrame {
		return false, 0, 0
	}
	return true, h.Width(), h.Height()
}

// av1Keyframe looks for a sequence header, which AV1 sends before what starts a
// coded video sequence. Its size is left to the decoder.
func av1Keyframe(b []byte) (bool, uint16, uint16) {
	for len(b) > 0 {
		h, err := obu.ParseOBUHeader(b)
		if err != nil {
			return false, 0, 0
		}
		if h.Type == obu.OBUSequenceHeader {
			return true, 0, 0
		}
		if !h.HasSizeField {
			return false, 0, 0
		}
		size, n, err := obu.ReadLeb128(b[h.Size():])
		next := h.Size() + int(n) + int(size)
		if err != nil || next <= 0 || next > len(b) {
			return false, 0, 0
		}
		b = b[next:]
	}
	return false, 0, 0
}
