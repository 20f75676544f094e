package e2e

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/cmd/skein/media"
)

// Files that are published through real coordinators and played elsewhere come
// out frame for frame.
func TestFilesComeOutAsTheyWentIn(t *testing.T) {
	c := newCluster(t, 1)
	video, voice := vp8File(t), opusFile(t)
	for _, in := range []string{video, voice} {
		name := filepath.Base(in)
		out := filepath.Join(t.TempDir(), "out-"+name)
		player := launch(t, c.member(t, "play", name, out, "-o", "json")...)
		// The player waits for the stream; the publisher waits for the player.
		publisher := launch(t, c.member(t, "publish", in, "--stream", name, "--delay", "3s")...)
		eventually(t, "a subscriber of "+name, func() bool {
			for _, s := range decode[[]inspect.Stream](t, must(t, c.operator("streams", "-o", "json")...)) {
				if s.Name == name && s.Subscribers == 1 {
					return true
				}
			}
			return false
		})
		tree := must(t, c.operator("tree", name)...)
		if strings.Count(tree, "\n") != 3 || !strings.Contains(tree, "└─ ") {
			t.Errorf("the tree of a publisher and a subscriber:\n%s", tree)
		}
		<-publisher.done
		<-player.done
		if p, q := publisher.cmd.ProcessState.ExitCode(), player.cmd.ProcessState.ExitCode(); p != 0 || q != 0 {
			t.Fatalf("publish ends with %d, play with %d\n%s\n%s", p, q, publisher.log, player.log)
		}
		if want, got := frames(t, in), frames(t, out); len(want) != len(got) {
			t.Errorf("%s: %d frames, want %d", name, len(got), len(want))
		} else {
			for i := range want {
				if !bytes.Equal(want[i], got[i]) {
					t.Errorf("%s: frame %d differs", name, i)
				}
			}
		}
	}
}

// Several files are the layers of one stream; who plays it gets the one asked for.
func TestFilesAreLayers(t *testing.T) {
	c := newCluster(t, 1)
	large, small := vp8FileOf(t, "large.ivf", 4000), vp8FileOf(t, "small.ivf", 700)
	outs := map[string]string{"1": filepath.Join(t.TempDir(), "1.ivf"), "0.5": filepath.Join(t.TempDir(), "2.ivf")}
	var players []*process
	for size, out := range outs {
		players = append(players, launch(t, c.member(t, "play", "movie", out, "--size", size)...))
	}
	publisher := launch(t, c.member(t, "publish", large, small, "--stream", "movie", "--delay", "4s")...)
	<-publisher.done
	for _, p := range players {
		<-p.done
	}
	for size, in := range map[string]string{"1": large, "0.5": small} {
		want, got := frames(t, in), frames(t, outs[size])
		if !slices.EqualFunc(want, got, bytes.Equal) {
			t.Errorf("at size %s %d frames came, want %d of %s", size, len(got), len(want), filepath.Base(in))
		}
	}
}

// frames reads all payloads of a media file.
func frames(t *testing.T, path string) [][]byte {
	t.Helper()
	f, err := media.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out [][]byte
	for {
		frame, err := f.Next()
		if err != nil {
			return out
		}
		var all []byte
		for _, p := range frame.Packets {
			all = append(all, p.Payload...)
		}
		out = append(out, all)
	}
}

// vp8File writes two seconds of frames that look like VP8 to a packetizer.
func vp8File(t *testing.T) string {
	t.Helper()
	return vp8FileOf(t, "movie.ivf", 4000)
}

// vp8FileOf is vp8File with frames of up to 200 bytes more than most.
func vp8FileOf(t *testing.T, name string, most int) string {
	t.Helper()
	rnd := rand.New(rand.NewPCG(5, 6))
	le := binary.LittleEndian
	b := append([]byte("DKIF"), 0, 0, 32, 0)
	b = append(b, "VP80"...)
	b = append(b, 64, 1, 240, 0)
	b = le.AppendUint32(b, 30)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, 60)
	for i := range 60 {
		frame := []byte{0x31, 0, 0}
		if i%30 == 0 {
			frame = []byte{0x10, 2, 0, 0x9d, 1, 0x2a, 64, 1, 240, 0}
		}
		for range 200 + rnd.IntN(most) {
			frame = append(frame, byte(rnd.Uint32()))
		}
		b = le.AppendUint32(b, uint32(len(frame)))
		b = le.AppendUint64(b, uint64(i))
		b = append(b, frame...)
	}
	return file(t, name, b)
}

// opusFile records two seconds of packets that look like Opus.
func opusFile(t *testing.T) string {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, 8))
	var b bytes.Buffer
	r, err := media.NewRecorder(&b, "opus")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		payload := []byte{0xfc} // 20 ms, stereo
		for range 20 + rnd.IntN(200) {
			payload = append(payload, byte(rnd.Uint32()))
		}
		p := &rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(i), Timestamp: uint32(i * 960)}, Payload: payload}
		if err := r.WriteRTP(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return file(t, "voice.ogg", b.Bytes())
}

func file(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
