package skeinv1

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	// maxTime is the last millisecond of the year 9999.
	maxTime = 253402300799999
	// maxEdits of one change: 256 decisions, each of which may end a stay.
	maxEdits = 1 << 16
)

// A checker judges the fields of one message and keeps the first complaint.
type checker struct{ err error }

func (c *checker) fail(field, format string, args ...any) {
	c.note(field, fmt.Errorf("%w: "+format, append([]any{region.ErrInvalid}, args...)...))
}

// note keeps an error of a field, if it is one.
func (c *checker) note(field string, err error) {
	if c.err == nil && err != nil {
		c.err = fmt.Errorf("%s: %w", field, err)
	}
}

// judge keeps what the model itself says of the whole.
func (c *checker) judge(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *checker) region(field, s string) region.ID {
	id, err := ToRegionID(s)
	c.note(field, err)
	return id
}

// regionOrNone accepts an empty id, too.
func (c *checker) regionOrNone(field, s string) region.ID {
	if s == "" {
		return ""
	}
	return c.region(field, s)
}

// sourceOrNone accepts an empty id, and that of a region of another community.
func (c *checker) sourceOrNone(field, s string) region.ID {
	id := region.ID(s)
	if len(id) > region.MaxName {
		c.fail(field, "want at most %d bytes, have %d", region.MaxName, len(id))
	}
	if community := id.Community(); community != "" {
		c.note(field, checkID(community))
		c.region(field, string(id.Local()))
		return id
	}
	return c.regionOrNone(field, s)
}

func (c *checker) member(field, s string) region.MemberID {
	id, err := ToMemberID(s)
	c.note(field, err)
	return id
}

// memberOrNone accepts an empty id, too.
func (c *checker) memberOrNone(field, s string) region.MemberID {
	if s == "" {
		return ""
	}
	return c.member(field, s)
}

func (c *checker) stream(field, s string) region.StreamID {
	id, err := ToStreamID(s)
	c.note(field, err)
	return id
}

func (c *checker) layers(field string, mask uint32) region.LayerMask {
	m, err := ToLayers(mask)
	c.note(field, err)
	return m
}

func (c *checker) rate(field string, kbps uint32) region.Rate {
	if kbps > uint32(region.MaxRate) {
		c.fail(field, "want at most %d kbit/s, have %d", region.MaxRate, kbps)
		return 0
	}
	return region.Rate(kbps)
}

func (c *checker) duration(field string, us int64) time.Duration {
	if most := region.MaxDelay.Microseconds(); us < 0 || us > most {
		c.fail(field, "want 0 to %d us, have %d", most, us)
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

func (c *checker) time(field string, ms int64) time.Time {
	if ms < 0 || ms > maxTime {
		c.fail(field, "want 0 to %d ms, have %d", int64(maxTime), ms)
		return time.Time{}
	}
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func (c *checker) count(field string, n uint32, least, most int) int {
	if n < uint32(least) || n > uint32(most) {
		c.fail(field, "want %d to %d, have %d", least, most, n)
		return 0
	}
	return int(n)
}

func (c *checker) hazard(field string, perSecond float64) float64 {
	if !(perSecond >= 0) || math.IsInf(perSecond, 0) {
		c.fail(field, "want a finite number that is not negative, have %v", perSecond)
		return 0
	}
	return perSecond
}

// address accepts what a datagram can be sent to, and not to many at once.
func (c *checker) address(field, s string) netip.AddrPort {
	addr, err := netip.ParseAddrPort(s)
	if err != nil {
		c.fail(field, "want ip:port, have %.64q", s)
		return netip.AddrPort{}
	}
	ip := addr.Addr().Unmap()
	broadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	if addr.Port() == 0 || ip.IsUnspecified() || ip.IsMulticast() || ip == broadcast || ip.Zone() != "" {
		c.fail(field, "want the address of one socket, have %.64q", s)
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip, addr.Port())
}

// within converts a message that is part of another one.
func within[W, R any](c *checker, field string, w W, to func(W) (R, error)) R {
	r, err := to(w)
	c.note(field, err)
	return r
}

// each converts a list of at most most elements; an empty one yields nil.
func each[W, R any](c *checker, field string, ws []W, most int, to func(W) (R, error)) []R {
	if len(ws) > most {
		c.fail(field, "want at most %d, have %d", most, len(ws))
		return nil
	}
	if len(ws) == 0 {
		return nil
	}
	rs := make([]R, len(ws))
	for i, w := range ws {
		r, err := to(w)
		if err != nil {
			c.note(fmt.Sprintf("%s[%d]", field, i), err)
			return nil
		}
		rs[i] = r
	}
	return rs
}

// done returns r, or nothing if there was a complaint.
func done[R any](c *checker, r R) (R, error) {
	if c.err != nil {
		var zero R
		return zero, c.err
	}
	return r, nil
}

// ToRegionID checks the name of a region: 1 to region.MaxName letters, digits,
// '.', '-' and '_', the first of them a letter or digit. It is safe as the name
// of a file.
func ToRegionID(s string) (region.ID, error) {
	return region.ID(s), checkID(s)
}

// ToMemberID checks the form of a member's id; see ToRegionID.
func ToMemberID(s string) (region.MemberID, error) {
	return region.MemberID(s), checkID(s)
}

func checkID(s string) error {
	if len(s) == 0 || len(s) > region.MaxName {
		return fmt.Errorf("%w: id: want 1 to %d bytes, have %d", region.ErrInvalid, region.MaxName, len(s))
	}
	for i, b := range []byte(s) {
		alnum := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
		if !alnum && (i == 0 || b != '.' && b != '-' && b != '_') {
			return fmt.Errorf("%w: id: want letters, digits, '.', '-', '_', have %q", region.ErrInvalid, s)
		}
	}
	return nil
}

// ToStreamID checks the name of a stream; see region.StreamID.
func ToStreamID(s string) (region.StreamID, error) {
	id := region.StreamID(s)
	if err := id.Validate(); err != nil {
		return "", err
	}
	return id, nil
}

// ToLayers checks a selection of layers; 0 stands for all of them.
func ToLayers(mask uint32) (region.LayerMask, error) {
	if mask > uint32(region.AllLayers) {
		return 0, fmt.Errorf("%w: layers: want a mask of at most %d layers, have %#x", region.ErrInvalid, region.MaxLayers, mask)
	}
	return region.LayerMask(mask), nil
}
