package media_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/cmd/skein/media"
	"github.com/skein-mesh/skein/member/red"
	"github.com/skein-mesh/skein/region"
)

// Frames of each codec that are valid as far as packetizers look.
var (
	vp8Key    = []byte{0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 64, 1, 240, 0} // 320x240
	vp8Delta  = []byte{0x31, 0x00, 0x00}
	vp9Key    = []byte{0x82, 0x49, 0x83, 0x42, 0x00, 0x77, 0xf0, 0x32, 0x34, 0x30} // 1920x804
	vp9Delta  = []byte{0x86, 0x00, 0x40, 0x92}
	av1SeqHdr = []byte{0x0a, 0x03, 0x00, 0x00, 0x24}
)

func random(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// av1Frame is a temporal unit as encoders write it: delimiter, sequence header
// in keyframes, one frame OBU with its size.
func av1Frame(rnd *rand.Rand, key bool, n int) []byte {
	b := []byte{0x12, 0x00}
	if key {
		b = append(b, av1SeqHdr...)
	}
	b = append(b, 0x32)
	b = binary.AppendUvarint(b, uint64(n)) // leb128
	return append(b, random(rnd, n)...)
}

// frames makes n frames of a codec, small and large, a keyframe first and every 10.
func frames(fourCC string, n int) [][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	out := make([][]byte, n)
	for i := range out {
		key, size := i%10 == 0, 1+rnd.IntN(6000)
		switch fourCC {
		case "VP80":
			out[i] = append(bytes.Clone(pick(key, vp8Key, vp8Delta)), random(rnd, size)...)
		case "VP90":
			out[i] = append(bytes.Clone(pick(key, vp9Key, vp9Delta)), random(rnd, size)...)
		case "AV01":
			out[i] = av1Frame(rnd, key, size)
		}
	}
	return out
}

func pick(key bool, a, b []byte) []byte {
	if key {
		return a
	}
	return b
}

// ivf writes an IVF file of 25 frames per second.
func ivf(fourCC string, frames [][]byte) []byte {
	b := append([]byte("DKIF"), 0, 0, 32, 0)
	b = append(b, fourCC...)
	b = append(b, 64, 1, 240, 0)
	b = binary.LittleEndian.AppendUint32(b, 25)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(frames)))
	for i, f := range frames {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f)))
		b = binary.LittleEndian.AppendUint64(b, uint64(i))
		b = append(b, f...)
	}
	return b
}

type frame struct {
	data    []byte
	seconds float64
}

func parseIVF(t *testing.T, b []byte) (fourCC string, width, height uint16, count uint32, out []frame) {
	t.Helper()
	if len(b) < 32 || string(b[:4]) != "DKIF" {
		t.Fatalf("no IVF file: % x", b[:min(len(b), 32)])
	}
	le := binary.LittleEndian
	rate, scale := le.Uint32(b[16:]), le.Uint32(b[20:])
	for rest := b[32:]; len(rest) > 0; {
		n := le.Uint32(rest)
		out = append(out, frame{rest[12 : 12+n], float64(le.Uint64(rest[4:])) * float64(scale) / float64(rate)})
		rest = rest[12+n:]
	}
	return string(b[8:12]), le.Uint16(b[12:]), le.Uint16(b[14:]), le.Uint32(b[24:]), out
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func packets(t *testing.T, path string) (media.Track, []*rtp.Packet) {
	t.Helper()
	src, err := media.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var out []*rtp.Packet
	for {
		f, err := src.Next()
		if errors.Is(err, io.EOF) {
			return src.Track(), out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f.Packets...)
	}
}

// record writes packets into a file and returns it.
func record(t *testing.T, codec string, ps []*rtp.Packet) ([]byte, media.RecordStats) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := media.NewRecorder(f, codec)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		if err := r.WriteRTP(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return data, r.Stats()
}

func TestVideoComesOutFrameForFrame(t *testing.T) {
	for fourCC, codec := range map[string]string{"VP80": "VP8", "VP90": "VP9", "AV01": "AV1"} {
		t.Run(codec, func(t *testing.T) {
			in := frames(fourCC, 45)
			track, ps := packets(t, write(t, "in.ivf", ivf(fourCC, in)))
			if track.Codec != codec || track.Kind != region.Video || track.Rate < 100 {
				t.Errorf("track is %+v", track)
			}
			for i, p := range ps {
				if len(p.Payload) > media.MTU || p.SequenceNumber != uint16(i) {
					t.Fatalf("packet %d: %d bytes, number %d", i, len(p.Payload), p.SequenceNumber)
				}
				p.Timestamp += 1<<32 - 90_000 // wraps around after a second
			}
			data, stats := record(t, codec, ps)
			got, width, height, count, out := parseIVF(t, data)
			if got != fourCC || int(count) != len(in) || stats != (media.RecordStats{Frames: uint64(len(in))}) {
				t.Errorf("%s, %d frames in the header, %+v", got, count, stats)
			}
			if codec == "VP8" && (width != 320 || height != 240) {
				t.Errorf("size %dx%d", width, height)
			}
			if len(out) != len(in) {
				t.Fatalf("%d frames, want %d", len(out), len(in))
			}
			for i := range in {
				if want := float64(i) / 25; !bytes.Equal(out[i].data, in[i]) || out[i].seconds < want-1e-4 || out[i].seconds > want+1e-4 {
					t.Errorf("frame %d at %.4f s differs from the input at %.4f s", i, out[i].seconds, want)
				}
			}
		})
	}
}

func TestALostPacketCostsItsFrameOnly(t *testing.T) {
	for fourCC, codec := range map[string]string{"VP80": "VP8", "VP90": "VP9"} {
		in := frames(fourCC, 30)
		_, ps := packets(t, write(t, "in.ivf", ivf(fourCC, in)))
		var kept []*rtp.Packet
		lost := map[uint32]bool{}
		for _, p := range ps {
			if p.SequenceNumber%17 == 11 && p.Timestamp > 0 {
				lost[p.Timestamp] = true
				continue
			}
			kept = append(kept, p)
		}
		data, stats := record(t, codec, kept)
		_, _, _, _, out := parseIVF(t, data)
		if len(out) != len(in)-len(lost) || len(lost) == 0 {
			t.Errorf("%s: %d frames (%+v), want %d without the %d that lost a packet", codec, len(out), stats, len(in)-len(lost), len(lost))
		}
		for _, f := range out {
			if i := int(f.seconds*25 + 0.5); !bytes.Equal(f.data, in[i]) {
				t.Errorf("%s: frame %d is damaged", codec, i)
			}
		}
	}
}

func TestARecordingBeginsAtAKeyframe(t *testing.T) {
	for fourCC, codec := range map[string]string{"VP80": "VP8", "VP90": "VP9", "AV01": "AV1"} {
		in := frames(fourCC, 25)
		_, ps := packets(t, write(t, "in.ivf", ivf(fourCC, in)))
		data, stats := record(t, codec, ps[2:])
		_, _, _, _, out := parseIVF(t, data)
		if len(out) != 15 || !bytes.Equal(out[0].data, in[10]) || out[0].seconds != 0 {
			t.Errorf("%s: %d frames from the middle of a group, want the 15 from the next keyframe on (%+v)", codec, len(out), stats)
		}
	}
}

func TestOpusComesOutPacketForPacket(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var in [][]byte
	for i := range 120 {
		size := 1 + rnd.IntN(300)
		if i == 7 {
			size = 255 - 1 // a packet of 255 bytes needs an empty last segment
		}
		in = append(in, append([]byte{0xfc}, random(rnd, size)...)) // 20 ms, stereo
	}
	var ps []*rtp.Packet
	for i, p := range in {
		packet := &rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(i), Timestamp: uint32(i)*960 - 5000, SSRC: 7}, Payload: p}
		if i > 50 { // from here on each repeats the one before
			packet.PayloadType = red.PayloadType
			packet.Payload = slices.Concat([]byte{0x80 | 111, 15, byte(len(in[i-1]) >> 8), byte(len(in[i-1])), 111}, in[i-1], p)
		}
		ps = append(ps, packet)
	}
	first, _ := record(t, "opus", ps)
	// What was recorded is read again, and also with many packets per page.
	for name, file := range map[string][]byte{"recorded": first, "repaged": repage(first, 40)} {
		track, got := packets(t, write(t, "in.ogg", file))
		if track.Codec != "opus" || track.Kind != region.Audio {
			t.Errorf("%s: track is %+v", name, track)
		}
		if len(got) != len(in) {
			t.Fatalf("%s: %d packets, want %d", name, len(got), len(in))
		}
		for i := range in {
			if !bytes.Equal(got[i].Payload, in[i]) || got[i].Timestamp != uint32(i)*960 {
				t.Errorf("%s: packet %d differs from the input", name, i)
			}
		}
		again, _ := record(t, "opus", got)
		if len(again) != len(first) {
			t.Errorf("%s: recorded again it has %d bytes, want %d", name, len(again), len(first))
		}
	}
}

// repage puts n packets on each page after the two header pages, letting
// packets run over the end of pages.
func repage(file []byte, n int) []byte {
	var head, lacing, body []byte
	for i, rest := 0, file; len(rest) > 0; i++ {
		segs := rest[27 : 27+int(rest[26])]
		size := 0
		for _, l := range segs {
			size += int(l)
		}
		end := 27 + len(segs) + size
		if i < 2 {
			head = append(head, rest[:end]...)
		} else {
			lacing, body = append(lacing, segs...), append(body, rest[27+len(segs):end]...)
		}
		rest = rest[end:]
	}
	out := head
	for number := uint32(2); len(lacing) > 0; number++ {
		segs := lacing[:min(n, len(lacing))]
		size := 0
		for _, l := range segs {
			size += int(l)
		}
		page := append([]byte("OggS"), 0, 0)
		page = binary.LittleEndian.AppendUint64(page, 0)
		page = append(page, file[14:18]...)
		page = binary.LittleEndian.AppendUint32(page, number)
		page = append(page, 0, 0, 0, 0, byte(len(segs)))
		page = append(append(page, segs...), body[:size]...)
		binary.LittleEndian.PutUint32(page[22:], crc(page))
		out = append(out, page...)
		lacing, body = lacing[len(segs):], body[size:]
	}
	return out
}

// crc is Ogg's checksum, bit by bit as RFC 3533 describes it.
func crc(b []byte) uint32 {
	var r uint32
	for _, c := range b {
		for bit := 7; bit >= 0; bit-- {
			top := r>>31 ^ uint32(c>>bit)&1
			r <<= 1
			if top != 0 {
				r ^= 0x04c11db7
			}
		}
	}
	return r
}

func TestBrokenFilesAreRefused(t *testing.T) {
	good := ivf("VP80", frames("VP80", 3))
	badBase := bytes.Clone(good)
	copy(badBase[16:24], make([]byte, 8))
	huge := append(bytes.Clone(good[:32]), 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0)
	for name, data := range map[string][]byte{
		"empty":        nil,
		"text":         []byte("#!/bin/sh\necho no media\n"),
		"cut header":   good[:20],
		"cut frame":    good[:len(good)-1],
		"H.264 in IVF": ivf("H264", frames("VP80", 1)),
		"no time base": badBase,
		"huge frame":   huge,
		"vp9 rubbish":  ivf("VP90", [][]byte{{0, 0, 0}}),
		"ogg rubbish":  append([]byte("OggS"), make([]byte, 40)...),
	} {
		if _, err := media.Open(write(t, "in", data)); !errors.Is(err, media.ErrFormat) {
			t.Errorf("%s: error is %v, want ErrFormat", name, err)
		}
	}
	if _, err := media.Open(filepath.Join(t.TempDir(), "missing.ivf")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := media.NewRecorder(io.Discard, "H264"); !errors.Is(err, region.ErrInvalid) {
		t.Errorf("recorder for H264: %v", err)
	}
}

func TestPatternCountsEveryPacket(t *testing.T) {
	for _, kind := range []region.Kind{region.Video, region.Audio} {
		src := media.NewPattern(kind, media.Large)
		next := uint64(0)
		for range 200 {
			f, err := src.Next()
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range f.Packets {
				now := time.Unix(int64(next), 5)
				media.Stamp(p.Payload, now)
				m, ok := media.ParseMark(p.Payload)
				if !ok || m.Counter != next || !m.Made.Equal(now) || p.SequenceNumber != uint16(next) {
					t.Fatalf("packet %d says %+v", next, m)
				}
				next++
			}
		}
		if _, ok := media.ParseMark([]byte("something else that is long enough")); ok {
			t.Error("a foreign payload passes for a pattern")
		}
	}
}

func TestPaceKeepsTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := write(t, "in.ivf", ivf("VP80", frames("VP80", 26)))
		src, err := media.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		start := time.Now()
		err = media.Pace(t.Context(), src, func(p *rtp.Packet) error {
			if want, got := time.Duration(p.Timestamp)*time.Second/90_000, time.Since(start); got != want {
				t.Errorf("packet due after %v was sent after %v", want, got)
			}
			return nil
		})
		if err != nil || time.Since(start) != time.Second {
			t.Errorf("ended after %v with %v", time.Since(start), err)
		}
	})
}
