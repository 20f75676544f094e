package door

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/member/svc"
)

var epoch = time.Unix(1_700_000_000, 0)

// Layers of one publisher, captured at the same times, are cut into one another; so
// is what another publisher sends.
func TestSplice(t *testing.T) {
	s := splice{codec: byName("VP8")}
	frame := func(ssrc uint32, seq uint16, ts uint32, picture uint16, marker bool, at time.Duration) *rtp.Packet {
		p := &rtp.Packet{Header: rtp.Header{SSRC: ssrc, SequenceNumber: seq, Timestamp: ts, Marker: marker}, Payload: []byte{0x90, 0xC0, 0, 0, byte(picture), 0}}
		binary.BigEndian.PutUint16(p.Payload[2:], 0x8000|picture)
		s.write(p, epoch.Add(at), epoch.Add(at+50*time.Millisecond))
		return p
	}
	const tick = 3000 // at 30 frames per second
	first := frame(8, 65535, math.MaxUint32-tick+1, 0x7FFF, true, 0)
	second := frame(8, 0, 0, 0, false, 33*time.Millisecond+333*time.Microsecond)
	if second.SequenceNumber != first.SequenceNumber+1 || second.Timestamp-first.Timestamp != tick {
		t.Errorf("one source does not go on as it is: %v, %v", first, second)
	}
	// The second frame was cut off; the other layer has the same picture.
	layer := frame(9, 100, 5000, 77, true, 33*time.Millisecond+333*time.Microsecond)
	if layer.SequenceNumber != second.SequenceNumber+2 {
		t.Errorf("the cut shows as a step of %d, want 2", layer.SequenceNumber-second.SequenceNumber)
	}
	if d := layer.Timestamp - second.Timestamp; d != 90 {
		t.Errorf("the same moment %d ticks later, want 90", d)
	}
	if p := describe("VP8", layer); p.id != 1 || p.tl0 != 1 {
		t.Errorf("picture %d, base %d, want 1 and 1", p.id, p.tl0)
	}
	after := frame(9, 101, 5000+tick, 78, true, 66*time.Millisecond+666*time.Microsecond)
	if after.SequenceNumber != layer.SequenceNumber+1 || after.Timestamp-layer.Timestamp != tick {
		t.Errorf("the new layer does not go on: %v", after)
	}
	// A publisher whose clock is an hour off, 2 s later by the clock here.
	other := &rtp.Packet{Header: rtp.Header{SSRC: 800, SequenceNumber: 9, Timestamp: 9}, Payload: []byte{0x10, 0}}
	s.write(other, epoch.Add(time.Hour), epoch.Add(2*time.Second+116*time.Millisecond+666*time.Microsecond))
	if d := int(other.Timestamp - after.Timestamp); d != 180_000 {
		t.Errorf("two seconds are %d ticks, want 180000", d)
	}
}

func TestChooser(t *testing.T) {
	c, now := chooser{}, epoch
	rates := []int{200_000, 700_000, 2_000_000}
	run := func(seconds int, s condition) (seen []int) {
		for range seconds * 5 {
			now = now.Add(200 * time.Millisecond)
			if l := c.choose(now, s); len(seen) == 0 || seen[len(seen)-1] != l {
				seen = append(seen, l)
			}
		}
		return seen
	}
	if got := run(1, condition{rates: rates, estimate: 1_000_000}); !slices.Equal(got, []int{1}) {
		t.Fatalf("begins with %v, want what the estimate carries", got)
	}
	if got := run(10, condition{rates: rates, estimate: 3_000_000}); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("a good path: %v, want the top", got)
	}
	if got := run(2, condition{rates: rates, estimate: 500_000}); got[len(got)-1] != 0 {
		t.Errorf("a bottleneck of 500 kbit/s: %v, want the smallest within 2 s", got)
	}
	failures := 0
	for range 60 { // each trial fails
		if got := run(1, condition{rates: rates, estimate: 500_000, loss: map[bool]float64{true: 0.3}[c.layer > 0]}); slices.Contains(got, 1) {
			failures++
		}
	}
	if failures > 14 {
		t.Errorf("a path that does not carry more was tried in %d seconds of 60", failures)
	}
	if got := run(3, condition{rates: []int{200_000, 0, 0}, estimate: 3_000_000}); got[len(got)-1] != 0 {
		t.Errorf("layers that do not flow: %v", got)
	}
}

func TestClocks(t *testing.T) {
	shared := &publisherClock{}
	sound, picture := &trackClock{shared: shared, rate: 48000}, &trackClock{shared: shared, rate: 90000}
	if at := sound.captured(5, nil, epoch); !at.Equal(epoch) {
		t.Errorf("before any report: %v, want the arrival", at)
	}
	remote := epoch.Add(-time.Hour)
	sound.report(toNTP(remote), 1000)
	picture.report(toNTP(remote.Add(time.Second)), 500)
	if back := fromNTP(toNTP(remote)); back.Sub(remote).Abs() > time.Microsecond {
		t.Errorf("NTP and back: %v", back.Sub(remote))
	}
	// Both captured half a second after the first report, 20 and 70 ms on the way.
	a := sound.captured(1000+24000, nil, epoch.Add(520*time.Millisecond))
	v := picture.captured(math.MaxUint32-44499, nil, epoch.Add(570*time.Millisecond))
	if a.Sub(v).Abs() > time.Millisecond {
		t.Errorf("what belongs together is %v apart", a.Sub(v))
	}
	// A packet that says itself when it was captured knows better than reports, by
	// whatever clock: here one that is three seconds and a half ahead.
	stamp := binary.BigEndian.AppendUint64(appendCapture(nil, remote.Add(4500*time.Millisecond)), 7<<31)
	p := picture.captured(90500+9000, stamp, epoch.Add(1020*time.Millisecond))
	picture.report(toNTP(remote.Add(-time.Minute)), 99500)
	next := picture.captured(90500+18000, nil, epoch.Add(1200*time.Millisecond))
	if p.Sub(a) < 499*time.Millisecond || p.Sub(a) > 501*time.Millisecond || next.Sub(p) != 100*time.Millisecond {
		t.Errorf("half a second later and a tenth after that are %v and %v", p.Sub(a), next.Sub(p))
	}
}

// What a publisher loses is asked for at once, and again until it comes, but ever more
// seldom.
func TestMissing(t *testing.T) {
	m, now := missing{}, epoch
	take := func(seq uint16, after time.Duration, want ...uint16) {
		t.Helper()
		now = now.Add(after)
		if got := m.take(seq, now); !slices.Equal(got, want) {
			t.Errorf("packet %d: %v are asked for, want %v", seq, got, want)
		}
	}
	take(65534, 0)
	take(65533, 0) // was before the first
	take(1, 0, 65535, 0)
	take(2, 20*time.Millisecond)
	take(0, 10*time.Millisecond) // an answer after 30 ms
	take(3, 20*time.Millisecond, 65535)
	take(4, 40*time.Millisecond)
	take(5, 60*time.Millisecond, 65535)
	take(65535, 10*time.Millisecond)
	take(65535, 10*time.Millisecond) // twice
	take(8, time.Second, 6, 7)
	take(9, 2*time.Second)  // it is too late for them
	take(4000, time.Second) // a new beginning
	take(4001, time.Second)
	for seq := range uint16(6000) {
		m.take(5000+3*seq, now)
		if len(m.list) > maxMissing {
			t.Fatalf("%d are missed at a time", len(m.list))
		}
	}
}

func TestAscending(t *testing.T) {
	for in, want := range map[string]string{
		"f h q": "q h f", "q h f": "q h f", "high low": "low high", "0 1 2": "2 1 0", "b a": "b a", "m l": "l m",
	} {
		if got := strings.Join(ascending(strings.Fields(in)), " "); got != want {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
}

func FuzzFragment(f *testing.F) {
	f.Add("a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n")
	o := &offer{text: "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=ice-ufrag:x\r\n"}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseFragment(text)
		if err != nil {
			return
		}
		if len(got.candidates) > maxCandidates || (got.ufrag == "") != (got.pwd == "") {
			t.Errorf("accepted: %+v", got)
		}
		if lines := strings.Count(o.withCredentials(got), "\r\n"); lines > 4+maxCandidates {
			t.Errorf("a fragment adds lines: %d", lines)
		}
		answerTo(text)
	})
}

// Whatever a client says of itself, in an offer or in its answer to one of the door's.
func FuzzOffer(f *testing.F) {
	base := "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\n" +
		"a=mid:0\r\na=setup:actpass\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 00\r\na=rtcp-mux\r\na=sendonly\r\n" +
		"a=rtpmap:96 VP8/90000\r\na=rid:q send\r\na=rid:f send\r\na=simulcast:send q;~f\r\n"
	f.Add(base)
	f.Add(strings.Replace(base, "VP8/90000", "H264/90000\r\na=fmtp:96 packetization-mode=1", 1))
	f.Add(strings.NewReplacer("actpass", "active", "sendonly", "recvonly").Replace(base)) // an answer
	f.Add(strings.NewReplacer("actpass", "active", "sendonly", "recvonly", "video 9", "video 0").Replace(base))
	f.Fuzz(func(t *testing.T, text string) {
		for _, action := range []Action{Publish, Watch} {
			o, err := parseOffer(text, action)
			if err != nil {
				continue
			}
			if o.audio == nil && o.video == nil || o.ufrag == "" {
				t.Errorf("accepted: %+v", o)
			}
			limitRate(text, nil)
		}
		if o, err := parseAnswer(text); err == nil && (o.audio == nil && o.video == nil || o.ufrag == "") {
			t.Errorf("accepted as an answer: %+v", o)
		}
	})
}

func FuzzDescriptor(f *testing.F) {
	f.Add([]byte{0x90, 0xC0, 0x80, 1, 2, 0})
	f.Add([]byte{0xA8, 0x81, 2, 3, 4})
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, codec := range []string{"VP8", "VP9", "H264", "AV1"} {
			b := slices.Clone(p)
			whole := &rtp.Packet{Payload: b}
			_ = whole.SetExtension(svc.DescriptorID, b) // what is too long for one stays away
			d := describe(codec, whole)
			d.write(d.id, d.tl0)
			relay.KeyframeStarts(codec, b)
			if !slices.Equal(b, p) {
				t.Errorf("%s: writing what was read changes %x to %x", codec, p, b)
			}
		}
	})
}
