package door_test

import (
	"mime"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/skein-mesh/skein/member/door"
)

// A viewer who asks for what is not sent is offered what is, and may answer that.
func TestTheDoorMakesAnOfferOfItsOwn(t *testing.T) {
	m := newMesh(t)
	p := m.open(nil)
	publisher(t, p.url+"/whip/stage", 100)
	v := newClient(t)
	must(v.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}))
	asked := v.offer()
	for _, other := range []string{"VP8", "H264", "AV1", "VP9"} {
		if other != "H264" {
			asked = strings.ReplaceAll(asked, other+"/90000", "none/90000")
		}
	}
	ask(t, "POST", p.url+"/whep/nothing", asked, "Content-Type", sdpType).want(t, 409)
	ask(t, "POST", p.url+"/whep/stage", "hello", "Content-Type", sdpType).want(t, 400)
	r := ask(t, "POST", p.url+"/whep/stage", asked, "Content-Type", sdpType).want(t, 406)

	kind, params, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	last, err2 := http.ParseTime(params["valid-until"])
	if err != nil || err2 != nil || kind != sdpType || time.Until(last) < 10*time.Second {
		t.Errorf("Content-Type: %s", r.header.Get("Content-Type"))
	}
	if h := r.header; h.Get("Location") == "" || h.Get("ETag") == "" || !strings.Contains(h.Get("Accept-Patch"), sdpType) || len(h.Values("Link")) == 0 {
		t.Errorf("headers: %v", h)
	}
	for _, line := range []string{"a=sendonly", "a=rtcp-mux", "a=candidate:", "a=setup:actpass", "m=video"} {
		if !strings.Contains(r.body, line) {
			t.Errorf("the offer has no %s:\n%s", line, r.body)
		}
	}
	if strings.Contains(r.body, "m=audio") {
		t.Errorf("sound is offered that nobody sends:\n%s", r.body)
	}

	// Another client of the same viewer, which takes what is sent.
	v = newClient(t)
	if err := v.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: r.body}); err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(v.pc)
	if err := v.pc.SetLocalDescription(must(v.pc.CreateAnswer(nil))); err != nil {
		t.Fatal(err)
	}
	<-gathered
	local := strings.ReplaceAll(v.pc.LocalDescription().SDP, "a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n")
	v.url, v.etag = p.url+r.header.Get("Location"), r.header.Get("ETag")
	v.answered = r
	patch := func(kind, body, match string) reply {
		return ask(t, "PATCH", v.url, body, "Content-Type", kind, "If-Match", match)
	}
	patch(sdpType, "hello", v.etag).want(t, 400)
	patch(sdpType, local, `"stale"`).want(t, 412)
	patch(sdpType, strings.ReplaceAll(local, "VP8/90000", "none/90000"), v.etag).want(t, 422)
	patch(sdpType, strings.ReplaceAll(local, "m=video 9", "m=video 0"), v.etag).want(t, 422)
	patch(fragmentType, fragmentOf(local, "a=end-of-candidates\r\n"), v.etag).want(t, 422)
	if r := patch(sdpType, local, v.etag).want(t, 204); r.body != "" {
		t.Errorf("an answer is answered with %q", r.body)
	}
	<-v.up
	patch(sdpType, local, v.etag).want(t, 415) // once is enough
	patch(fragmentType, fragmentOf(local, "a=end-of-candidates\r\n"), v.etag).want(t, 204)
	flows := func(n int) {
		t.Helper()
		before := len(v.packets("video"))
		until(t, "it flows", func() bool { return len(v.packets("video")) > before+n })
	}
	flows(50)
	if faults := judge(v.packets("video")).faults; len(faults) > 0 {
		t.Error(faults)
	}
	restart(t, v, "")
	flows(50)
	ask(t, "DELETE", v.url, "").want(t, 200)
	ask(t, "DELETE", v.url, "").want(t, 404)

	// Who does not answer offers cannot fill the door with them.
	full := m.open(func(c *door.Config) { c.MaxSessions = 16 })
	for range 2 {
		ask(t, "POST", full.url+"/whep/stage", asked, "Content-Type", sdpType).want(t, 406)
	}
	ask(t, "POST", full.url+"/whep/stage", asked, "Content-Type", sdpType).want(t, 422)
}
