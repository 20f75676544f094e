package link

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Ids are as long as trust makes them; everything else is at its limit.
func TestTheLargestMessagesFit(t *testing.T) {
	stream := region.StreamID(strings.Repeat("s", region.MaxStreamName))
	path := slices.Repeat([]region.MemberID{trust.IDOf(make([]byte, 32))}, MaxPath)
	tips := slices.Repeat([]Tip{{SSRC: 1<<32 - 1, Index: 1<<48 - 1}}, maxTips)
	record := region.Stream{
		ID: stream, Origin: path[0], Kind: region.Video, Layers: slices.Repeat([]region.Rate{region.MaxRate}, region.MaxLayers),
		SSRC: 8, Codec: strings.Repeat("c", region.MaxName), Scalable: true,
	}
	for _, m := range []Message{
		{Kind: Heartbeat},
		{Kind: Bye},
		{Kind: Voices, Most: 255, Floor: 127},
		{Kind: Ping, ID: 1, RTT: time.Second, Loss: 1},
		{Kind: Pong, ID: 1},
		{Kind: Draw, ID: 1, Stream: stream, Layers: region.AllLayers, Priority: 255, Extra: true, Voice: true, Failed: path[0], Grant: make([]byte, MaxGrant), Tips: tips},
		{Kind: DrawReply, ID: 1, Stream: stream, Fault: 1, Path: path, Tips: tips},
		{Kind: DrawReply, ID: 1, Stream: stream, Tips: tips, Record: &record},
		{Kind: Believe, Question: true, Free: region.MaxRate, Beliefs: slices.Repeat([]Belief{{1<<32 - 1, true, time.Hour}}, MaxBeliefs)},
		{Kind: Have, Free: region.MaxRate, Marks: slices.Repeat([]uint32{1<<32 - 1}, MaxHave)},
		{Kind: Drop, ID: 1, Stream: stream},
		{Kind: Dismiss, Stream: stream},
		{Kind: Nack, SSRC: 8, Base: 1<<48 - 1, Mask: 1<<64 - 1},
		{Kind: Keyframe, SSRC: 8},
		{Kind: Path, Stream: stream, Layers: region.AllLayers, Path: path},
		{Kind: Tips, Tips: tips},
		{Kind: Report, SSRC: 8, Report: make([]byte, MaxReport)},
		{Kind: Feedback, Samples: slices.Repeat([]arrival{{1<<32 - 1, 1<<48 - 1, 1, volume{2, 3}}}, maxSamples)},
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

// However many beliefs there are, each goes into one message, and every message fits.
func TestBeliefsAreBundled(t *testing.T) {
	var list []Belief
	for i := range 300 {
		list = append(list, Belief{Mark: uint32(i), Yours: i%2 == 0, Delay: time.Duration(i) * time.Millisecond})
	}
	var back []Belief
	for _, bundle := range Bundles(list) {
		got, err := parseMessage((&Message{Kind: Believe, Beliefs: bundle}).append(nil))
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, got.Beliefs...)
	}
	if !reflect.DeepEqual(back, list) {
		t.Error("some got lost on the way")
	}
	if Bundles(nil) != nil {
		t.Error("nothing makes a message")
	}
}

// Whatever a peer sends is refused or means what its own encoding says.
func FuzzParseMessage(f *testing.F) {
	f.Add((&Message{Kind: Draw, ID: 1, Stream: "s", Grant: []byte("g"), Tips: []Tip{{SSRC: 8, Index: 9}}}).append(nil))
	f.Add((&Message{Kind: DrawReply, ID: 1, Stream: "s", Path: []region.MemberID{"a", "b"}}).append(nil))
	f.Add((&Message{Kind: DrawReply, Stream: "s", Record: &region.Stream{ID: "s", Kind: region.Audio, Layers: []region.Rate{40}, SSRC: 8}}).append(nil))
	f.Add((&Message{Kind: Believe, Question: true, Beliefs: []Belief{{MarkOf("s"), true, time.Second}}}).append(nil))
	f.Add((&Message{Kind: Have, Free: 9, Marks: []uint32{MarkOf("s")}}).append(nil))
	f.Add((&Message{Kind: Nack, SSRC: 8, Base: 1, Mask: 3}).append(nil))
	f.Add((&Message{Kind: Feedback, Samples: []arrival{{SSRC: 8, Index: 8}}}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b)
		if err == nil && !bytes.Equal(m.append(nil), b) {
			t.Errorf("%x means %+v", b, m)
		}
	})
}
