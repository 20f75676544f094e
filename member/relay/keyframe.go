package relay

import "strings"

// KeyframeStarts tells whether an RTP payload begins a keyframe. For codecs it does
// not know the answer is false.
func KeyframeStarts(codec string, p []byte) bool {
	switch {
	case strings.EqualFold(codec, "VP8"):
		return vp8Keyframe(p)
	case strings.EqualFold(codec, "VP9"):
		// I P L F B E V Z: begins a frame (B), not predicted from another (P).
		return len(p) > 0 && p[0]&0x48 == 0x08
	case strings.EqualFold(codec, "H264"):
		return h264Keyframe(p)
	case strings.EqualFold(codec, "AV1"):
		return len(p) > 0 && p[0]&0x08 != 0 // N: first packet of a coded video sequence
	default:
		return false
	}
}

// vp8Keyframe reads the payload descriptor of RFC 7741: the start of partition
// 0, and a payload header whose first bit says key frame.
func vp8Keyframe(p []byte) bool {
	if len(p) < 2 || p[0]&0x17 != 0x10 { // S set, partition index 0
		return false
	}
	at := 1
	if p[0]&0x80 != 0 {
		flags := p[1]
		at = 2
		if flags&0x80 != 0 && len(p) > at {
			at += 1 + int(p[at]>>7)
		}
		at += int(flags>>6&1) + int((flags>>5|flags>>4)&1)
	}
	return at < len(p) && p[at]&1 == 0
}

// h264Keyframe finds an SPS or an IDR slice: alone, in an aggregation (STAP-A) or
// at the start of a fragment (FU-A).
func h264Keyframe(p []byte) bool {
	if len(p) < 2 {
		return false
	}
	switch p[0] & 0x1F {
	case 5, 7:
		return true
	case 24:
		return len(p) > 3 && (p[3]&0x1F == 7 || p[3]&0x1F == 5)
	case 28:
		return p[1]&0x80 != 0 && p[1]&0x1F == 5
	}
	return false
}
