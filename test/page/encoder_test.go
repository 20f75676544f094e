package page

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/cmd/skein/media"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// TestDoorShowsEncoders: what Debian's ffmpeg and GStreamer send as plain RTP is seen in
// a browser, through a relay.
func TestDoorShowsEncoders(t *testing.T) {
	for _, e := range []struct{ codec, command string }{
		{"H264", "ffmpeg -v error -re -f lavfi -i testsrc=size=320x240:rate=30 -c:v libx264 -profile:v baseline -pix_fmt yuv420p " +
			"-tune zerolatency -preset ultrafast -bf 0 -g 30 -b:v 500k -bsf:v dump_extra=freq=keyframe -f rtp rtp://HOST:PORT?pkt_size=1200"},
		{"VP9", "gst-launch-1.0 -q videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 ! " +
			"vp9enc deadline=1 cpu-used=8 keyframe-max-dist=30 ! rtpvp9pay mtu=1200 ! udpsink host=HOST port=PORT"},
	} {
		t.Run(e.codec, func(t *testing.T) {
			m := newMesh(t)
			origin := m.join(place)
			feed(t, origin, e.codec, e.command)
			m.relay(2*place, "stage/video")
			b, first := watch(t, m.door(m.join(0)))
			begin := b.picture()
			time.Sleep(2 * time.Second) // what is judged is what the browser plays meanwhile
			end := b.picture()
			t.Logf("first frame after %v, %d frames in 2 s", first, end.Decoded-begin.Decoded)
			if n := end.Decoded - begin.Decoded; n < 30 || end.Height != 240 || b.codec() != "video/"+e.codec {
				t.Errorf("%d frames in 2 s, %d high, %s", n, end.Height, b.codec())
			}
		})
	}
}

// feed publishes stage/video from an encoder, until the test ends.
func feed(t *testing.T, n *relay, codec, command string) {
	t.Helper()
	live := must(media.ListenLive(codec+"@127.0.0.1:0", 1000))
	host, port, _ := strings.Cut(live.Addr().String(), ":")
	words := strings.Fields(strings.NewReplacer("HOST", host, "PORT", port).Replace(command))
	if _, err := exec.LookPath(words[0]); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed; in CI it must be", words[0])
		}
		t.Skipf("%s is not installed", words[0])
	}
	out := must(n.Publish(t.Context(), member.Stream{Name: "stage/video", Kind: region.Video, Layers: []region.Rate{1000}, Codec: codec}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := live.Pump(t.Context(), func(p *rtp.Packet) error { return out.WriteRTP(p) })
		if err != nil && !errors.Is(err, region.ErrClosed) {
			t.Error(err)
		}
	}()
	encoder := exec.CommandContext(t.Context(), words[0], words[1:]...)
	encoder.Stderr = os.Stderr
	if err := encoder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = encoder.Wait() // it was killed
		<-done
		_ = live.Close() // it was only read
	})
}
