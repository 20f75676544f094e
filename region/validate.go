package region

import (
	"fmt"
	"math/bits"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxRate bounds every uplink and every layer, in kbit/s, so that sums over the
// layers of a stream fit a Rate.
const MaxRate Rate = 100_000_000

// MaxDelay bounds every measured duration.
const MaxDelay = time.Hour

func invalid(field, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", field, ErrInvalid, fmt.Sprintf(format, args...))
}

// Validate checks the form of m: names, rates, addresses.
func (m Member) Validate() error {
	switch {
	case len(m.ID) == 0 || len(m.ID) > MaxName:
		return invalid("member id", "want 1 to %d bytes, have %d", MaxName, len(m.ID))
	case !printable(string(m.ID), false):
		return invalid("member id", "want printable UTF-8 without spaces, have %q", m.ID)
	case len(m.Name) > MaxName:
		return invalid("member name", "want at most %d bytes, have %d", MaxName, len(m.Name))
	case !printable(m.Name, true):
		return invalid("member name", "want printable UTF-8, have %q", m.Name)
	case m.Uplink > MaxRate:
		return invalid("uplink", "want at most %d kbit/s, have %d", MaxRate, m.Uplink)
	case m.Leaf > m.Uplink:
		return invalid("leaf budget", "want at most the uplink of %d kbit/s, have %d", m.Uplink, m.Leaf)
	case m.Forward < 0 || m.Forward > MaxDelay:
		return invalid("forwarding time", "want 0 to %v, have %v", MaxDelay, m.Forward)
	case len(m.Home) > MaxName, m.Home != "" && m.Uplink > 0:
		return invalid("member home", "a visitor of at most %d bytes relays nothing, have %q with %d kbit/s", MaxName, m.Home, m.Uplink)
	case len(m.Endpoint.Media) > MaxAddresses:
		return invalid("media addresses", "want at most %d, have %d", MaxAddresses, len(m.Endpoint.Media))
	}
	return nil
}

// Validate checks the form of a stream's name.
func (s StreamID) Validate() error {
	switch {
	case len(s) == 0 || len(s) > MaxStreamName:
		return invalid("stream name", "want 1 to %d bytes, have %d", MaxStreamName, len(s))
	case !printable(string(s), false):
		return invalid("stream name", "want printable UTF-8 without spaces, have %q", string(s))
	}
	return nil
}

// Validate checks the form of s: name, kind, layers, SSRC.
func (s Stream) Validate() error {
	if err := s.ID.Validate(); err != nil {
		return err
	}
	switch {
	case s.Kind < Video || s.Kind > Data:
		return invalid("stream kind", "want video, audio or data, have %d", s.Kind)
	case len(s.Layers) == 0 || len(s.Layers) > MaxLayers:
		return invalid("stream layers", "want 1 to %d, have %d", MaxLayers, len(s.Layers))
	case s.Kind != Video && len(s.Layers) != 1:
		return invalid("stream layers", "audio and data have exactly one, have %d", len(s.Layers))
	case s.Scalable && s.Kind != Video:
		return invalid("stream layers", "only a video is scalable")
	case len(s.From) > MaxName:
		return invalid("stream source", "a region of %d bytes, at most %d", len(s.From), MaxName)
	case len(s.Standby) > MaxName, s.Standby != "" && s.From == "":
		return invalid("stream standby gateway", "%q of a stream from region %q", s.Standby, s.From)
	case s.SSRC%MaxLayers != 0:
		return invalid("stream SSRC", "want a multiple of %d, have %d", MaxLayers, s.SSRC)
	case len(s.Codec) > MaxName:
		return invalid("stream codec", "want at most %d bytes, have %d", MaxName, len(s.Codec))
	case !printable(s.Codec, true):
		return invalid("stream codec", "want printable UTF-8, have %q", s.Codec)
	}
	for i, rate := range s.Layers {
		if rate == 0 || rate > MaxRate {
			return invalid("stream layers", "layer %d: want 1 to %d kbit/s, have %d", i, MaxRate, rate)
		}
	}
	return nil
}

// selects brings a mask to the layers that s has; 0 stands for all of them.
func (s Stream) selects(mask LayerMask) (LayerMask, error) {
	if mask == 0 {
		return s.all(), nil
	}
	if mask &= s.all(); mask == 0 {
		return 0, invalid("layers", "none of the %d of stream %s is selected", len(s.Layers), s.ID)
	}
	return s.Supported(mask), nil
}

// Supported adds to a mask what its layers build upon.
func (s Stream) Supported(mask LayerMask) LayerMask {
	if s.Scalable {
		return 1<<bits.Len16(uint16(mask)) - 1
	}
	return mask
}

func (n Node) validate(s Stream) error {
	switch {
	case n.Layers == 0 || n.Layers&^s.all() != 0:
		return invalid("node layers", "want a selection of %d layers, have %b (%d bits)",
			len(s.Layers), n.Layers, bits.OnesCount16(uint16(n.Layers)))
	case n.Hop < 0 || n.Hop > MaxDelay || n.OldHop < 0 || n.OldHop > MaxDelay:
		return invalid("node hop", "want 0 to %v, have %v (old %v)", MaxDelay, n.Hop, n.OldHop)
	case n.State != Reserved && n.State != Standing:
		return invalid("node state", "want reserved or standing, have %d", n.State)
	case (n.State == Reserved) == n.Deadline.IsZero():
		return invalid("node deadline", "a reservation has one, a standing edge has none")
	case n.State == Standing && (n.Old != "" || n.OldHop != 0), n.Old == "" && n.Heir != "":
		return invalid("node old parent", "only a node that moves has one")
	case n.Old == n.Parent && n.Parent != "", n.Heir == n.Member:
		return invalid("node old parent", "want another one than the parent")
	case len(n.Standbys) > MaxStandbys:
		return invalid("node standbys", "want at most %d, have %d", MaxStandbys, len(n.Standbys))
	}
	for i, s := range n.Standbys {
		if slices.Contains(n.Standbys[:i], s) {
			return invalid("node standbys", "%s is named twice", s)
		}
	}
	return nil
}

func printable(s string, spaces bool) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, c := range s {
		if !unicode.IsPrint(c) || !spaces && c == ' ' {
			return false
		}
	}
	return true
}

// exact and instant bring values to the resolution of the log.
func exact(d time.Duration) time.Duration { return d.Truncate(time.Microsecond) }

func instant(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMilli(t.UnixMilli()).UTC()
}
