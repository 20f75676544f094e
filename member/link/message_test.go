package link

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Ids are as long as trust makes them; everything else is at its limit.
func TestTheLargestMessagesFit(t *testing.T) {
	stream := region.StreamID(strings.Repeat("s", region.MaxStreamName))
	path := slices.Repeat([]region.MemberID{trust.IDOf(make([]byte, 32))}, MaxPath)
	tips := slices.Repeat([]Tip{{SSRC: 1<<32 - 1, Index: 1<<48 - 1}}, maxTips)
	for _, m := range []Message{
		{Kind: Heartbeat},
		{Kind: Ping, ID: 1},
		{Kind: Pong, ID: 1},
		{Kind: Draw, ID: 1, Stream: stream, Layers: region.AllLayers, Grant: make([]byte, MaxGrant), Tips: tips},
		{Kind: DrawReply, ID: 1, Stream: stream, Fault: 1, Path: path, Tips: tips},
		{Kind: Drop, ID: 1, Stream: stream},
		{Kind: Dismiss, Stream: stream},
		{Kind: Nack, SSRC: 8, Base: 1<<48 - 1, Mask: 1<<64 - 1},
		{Kind: Keyframe, SSRC: 8},
		{Kind: Path, Stream: stream, Path: path},
		{Kind: Tips, Tips: tips},
		{Kind: Report, SSRC: 8, Report: make([]byte, MaxReport)},
	} {
		b := m.append(nil)
		got, err := parseMessage(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("kind %d, %d bytes: %+v, %v", m.Kind, len(b), got, err)
		}
	}
	if MaxGrant < trust.MaxGrant {
		t.Errorf("a grant may have %d bytes, a message takes %d", trust.MaxGrant, MaxGrant)
	}
}

// Whatever a peer sends is refused or means what its own encoding says.
func FuzzParseMessage(f *testing.F) {
	f.Add((&Message{Kind: Draw, ID: 1, Stream: "s", Grant: []byte("g"), Tips: []Tip{{SSRC: 8, Index: 9}}}).append(nil))
	f.Add((&Message{Kind: DrawReply, ID: 1, Stream: "s", Path: []region.MemberID{"a", "b"}}).append(nil))
	f.Add((&Message{Kind: Nack, SSRC: 8, Base: 1, Mask: 3}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b)
		if err == nil && !bytes.Equal(m.append(nil), b) {
			t.Errorf("%x means %+v", b, m)
		}
	})
}
