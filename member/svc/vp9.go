package svc

// A part is what a packet's codec says of it; see Place.
type part struct {
	spatial, temporal       int
	begins, ends, key, open bool // open: as Place.Up
}

// vp9 reads a payload descriptor (RFC 9628).
func vp9(p []byte) (t part) {
	if len(p) == 0 {
		return t
	}
	// I P L F B E V Z: P is predicted from another picture, B and E begin and end a frame.
	flags := p[0]
	t.begins, t.ends = flags&0x08 != 0, flags&0x04 != 0
	at := 1
	if flags&0x80 != 0 && len(p) > at {
		at += 1 + int(p[at]>>7)
	}
	if flags&0x20 != 0 && len(p) > at { // TID U SID D
		t.temporal, t.open, t.spatial = int(p[at]>>5), p[at]&0x10 != 0, int(p[at]>>1&7)
	}
	t.key = flags&0x40 == 0 && t.spatial == 0
	return t
}
