package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What Debian's ffmpeg and GStreamer send as RTP arrives as pictures and sound.
func TestEncoders(t *testing.T) {
	c := newCluster(t, 1)
	for _, e := range []struct {
		name, program string
		args          string
	}{
		{"ffmpeg", "ffmpeg", "-v error -re -f lavfi -i testsrc=size=320x240:rate=30 -re -f lavfi -i sine=frequency=440 " +
			"-map 0:v -c:v libvpx -deadline realtime -b:v 500k -g 30 -f rtp rtp://%s?pkt_size=1200 " +
			"-map 1:a -c:a libopus -b:a 64k -f rtp rtp://%s?pkt_size=1200"},
		{"gstreamer", "gst-launch-1.0", "-q videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 ! " +
			"vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay mtu=1200 picture-id-mode=15-bit ! udpsink host=%s port=%s " +
			"audiotestsrc is-live=true ! opusenc ! rtpopuspay mtu=1200 ! udpsink host=%s port=%s"},
	} {
		t.Run(e.name, func(t *testing.T) {
			need(t, e.program)
			video, audio := freeUDP(t), freeUDP(t)
			launch(t, c.member(t, "publish", "rtp", "--stream", e.name, "--video", "VP8@"+video, "--audio", "opus@"+audio)...)
			at := []any{video, audio}
			if e.name == "gstreamer" {
				at = nil
				for _, a := range []string{video, audio} {
					host, port, _ := net.SplitHostPort(a)
					at = append(at, host, port)
				}
			}
			encoder := exec.CommandContext(t.Context(), e.program, strings.Fields(fmt.Sprintf(e.args, at...))...)
			encoder.Stderr = os.Stderr
			if err := encoder.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = encoder.Process.Kill()
				_ = encoder.Wait()
			})
			for kind, file := range map[string]string{"video": "out.ivf", "audio": "out.ogg"} {
				path := filepath.Join(t.TempDir(), file)
				must(t, c.member(t, "play", e.name+"/"+kind, path, "--for", "3s")...)
				if n := len(frames(t, path)); n < 45 {
					t.Errorf("%d frames of %s in 3 s", n, kind)
				}
			}
		})
	}
}

// need skips a test that lacks a program; in CI it is installed.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed; in CI it must be", program)
		}
		t.Skipf("%s is not installed", program)
	}
}

// freeUDP is a UDP address on loopback that was free a moment ago.
func freeUDP(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().String()
}
