package door_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/member/door"
)

const (
	sdpType      = "application/sdp"
	fragmentType = "application/trickle-ice-sdpfrag"
)

// locked is a door with tokens and a TURN server.
func locked(c *door.Config) {
	c.Authorize = door.Tokens("pen", "eye")
	c.ICEServers = func() []member.ICEServer {
		return []member.ICEServer{
			{URL: "stun:192.0.2.1:3478"},
			{URL: "turn:192.0.2.1:3478?transport=udp", Username: "u", Credential: `p"q`},
		}
	}
}

func TestTokens(t *testing.T) {
	m := newMesh(t)
	p := m.open(locked)
	offer := newOffer(t)
	for _, c := range []struct {
		path, token string
		status      int
	}{
		{"/whip/stage", "", 401},
		{"/whip/stage", "Bearer eye", 403},
		{"/whip/stage", "Basic pen", 401},
		{"/whep/stage", "", 401},
		{"/whep/stage", "Bearer wrong", 403},
		{"/whep/stage", "Bearer eye", 409},
		{"/whep/stage", "bearer pen", 409},
		{"/door/streams", "", 401},
	} {
		method := "POST"
		if c.path == "/door/streams" {
			method = "GET"
		}
		body := offer
		if strings.HasPrefix(c.path, "/whep") {
			body = strings.ReplaceAll(offer, "a=sendonly", "a=recvonly")
		}
		r := ask(t, method, p.url+c.path, body, "Content-Type", sdpType, "Authorization", c.token)
		if r.status != c.status {
			t.Errorf("%s %s with %q: %d, want %d: %s", method, c.path, c.token, r.status, c.status, r.body)
		}
		if c.status == 401 && !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: 401 without WWW-Authenticate", c.path)
		}
		if c.status == 409 && r.header.Get("Retry-After") == "" {
			t.Errorf("%s: 409 without Retry-After", c.path)
		}
		var problem struct{ Title, Detail string }
		if json.Unmarshal([]byte(r.body), &problem) != nil || problem.Detail == "" || r.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: the error is no problem document: %s", c.path, r.body)
		}
	}
	r := ask(t, "OPTIONS", p.url+"/whip/stage", "").want(t, 200)
	if r.header.Get("Accept-Post") != sdpType || r.header.Get("Access-Control-Allow-Origin") != "*" || r.header.Get("Link") != "" ||
		!strings.Contains(r.header.Get("Access-Control-Allow-Headers"), "If-Match") {
		t.Errorf("the preflight says %v", r.header)
	}
	ask(t, "GET", p.url+"/whip/stage", "").want(t, 200)
	if r := ask(t, "HEAD", p.url+"/whep/stage", "").want(t, 200); r.header.Get("Content-Type") != sdpType {
		t.Errorf("HEAD says %v", r.header)
	}
	ask(t, "PUT", p.url+"/whip/stage", "").want(t, 405)
}

// newOffer is the offer of a publisher of video.
func newOffer(t *testing.T) string {
	t.Helper()
	c := newClient(t)
	must(c.pc.AddTransceiverFromTrack(video(c, "", 1).track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}))
	return c.offer()
}

// Offers that are not what the door does are refused whole.
func TestOffersRefused(t *testing.T) {
	m := newMesh(t)
	p := m.open(nil)
	good := newOffer(t)
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the offer has no %q:\n%s", old, good)
		}
		return strings.ReplaceAll(good, old, new)
	}
	media := good[strings.Index(good, "m="):]
	for name, c := range map[string]struct {
		body, kind string
		status     int
	}{
		"not SDP":        {"hello", sdpType, 400},
		"empty":          {"", sdpType, 422},
		"another type":   {good, "text/plain", 415},
		"too large":      {good + strings.Repeat("a=x\r\n", 20_000), sdpType, 413},
		"receives":       {swap("a=sendonly", "a=recvonly"), sdpType, 422},
		"inactive":       {swap("a=sendonly", "a=inactive"), sdpType, 422},
		"no mux":         {strings.ReplaceAll(swap("a=rtcp-mux\r\n", ""), "a=rtcp-mux-only\r\n", ""), sdpType, 422},
		"no fingerprint": {swap("a=fingerprint:", "a=finger:"), sdpType, 422},
		"no credentials": {swap("a=ice-pwd:", "a=pwd:"), sdpType, 422},
		"holds":          {swap("a=setup:actpass", "a=setup:holdconn"), sdpType, 422},
		"two videos":     {good + media, sdpType, 422},
		"data":           {good + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", sdpType, 422},
		"no codec":       {swap("VP8/90000", "VP0/90000"), sdpType, 201}, // there are others
		"bad name":       {good, sdpType, 422},
		"bad rate":       {good, sdpType, 400},
	} {
		path := map[string]string{"bad name": "/whip/a%20b", "bad rate": "/whip/stage?video=0"}[name]
		if path == "" {
			path = "/whip/stage"
		}
		r := ask(t, "POST", p.url+path, c.body, "Content-Type", c.kind)
		if r.status != c.status {
			t.Errorf("%s: %d, want %d: %s", name, r.status, c.status, r.body)
		}
		if r.status == 201 {
			ask(t, "DELETE", p.url+r.header.Get("Location"), "").want(t, 200)
		}
	}
	if s := p.door.Stats(); s != (door.Stats{}) {
		t.Errorf("refused offers left %+v", s)
	}
}

// A session lives by its URL: candidates, restarts, and its end.
func TestSession(t *testing.T) {
	m := newMesh(t)
	p := m.open(locked)
	c := newClient(t)
	s := video(c, "", 100)
	go s.heed(must(c.pc.AddTrack(s.track)))
	c.post(p.url+"/whip/stage", "pen")
	<-c.up
	go s.run(c, 1)
	h := c.answered.header
	if e := h.Get("ETag"); !strings.HasPrefix(e, `"`) || !strings.HasSuffix(e, `"`) || len(e) < 10 {
		t.Errorf("ETag: %s", e)
	}
	if l := h.Values("Link"); len(l) != 2 || l[1] != `<turn:192.0.2.1:3478?transport=udp>; rel="ice-server"; username="u"; credential="p\"q"; credential-type="password"` {
		t.Errorf("Link: %q", l)
	}
	if h.Get("Accept-Patch") != fragmentType || h.Get("Content-Type") != sdpType {
		t.Errorf("headers: %v", h)
	}
	if !strings.Contains(c.answered.body, "a=recvonly") || !strings.Contains(c.answered.body, "b=AS:2500") {
		t.Errorf("the answer:\n%s", c.answered.body)
	}
	patch := func(match, body string) reply {
		args := []string{"Content-Type", fragmentType, "Authorization", "Bearer pen"}
		if match != "" {
			args = append(args, "If-Match", match)
		}
		return ask(t, "PATCH", c.url, body, args...)
	}
	local := c.pc.LocalDescription().SDP
	more := fragmentOf(local, "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\na=candidate:2 1 tcp 1 127.0.0.1 9 typ host tcptype active\r\na=candidate:3 1 sctp 1 x y z\r\na=end-of-candidates\r\n")
	patch("", more).want(t, 428)
	patch(`"stale"`, more).want(t, 412)
	patch(c.etag, "hello").want(t, 400)
	patch(c.etag, "a=ice-ufrag:abcd\r\n").want(t, 400)
	patch(c.etag, "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n").want(t, 422)
	if r := patch(c.etag, more).want(t, 204); r.body != "" || r.header.Get("ETag") != "" {
		t.Errorf("a trickle is answered with %q, ETag %s", r.body, r.header.Get("ETag"))
	}
	patch("*", more).want(t, 422) // the same credentials are no restart
	ask(t, "PATCH", c.url, more, "Content-Type", fragmentType, "If-Match", c.etag).want(t, 401)
	ask(t, "PATCH", c.url, more, "Content-Type", sdpType, "If-Match", c.etag, "Authorization", "Bearer pen").want(t, 415)

	v := newClient(t)
	must(v.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}))
	v.post(p.url+"/whep/stage", "eye")
	until(t, "it flows", func() bool { return len(v.packets("video")) > 20 })
	restart(t, c, "pen")
	restart(t, v, "eye")
	before := len(v.packets("video"))
	until(t, "it flows on", func() bool { return len(v.packets("video")) > before+50 })
	// Without a path for a moment packets are lost, but not for good.
	until(t, "what was lost is repaired", func() bool { return len(judge(once(v.packets("video"))).faults) == 0 })
	patch(c.etag, more).want(t, 412)

	ask(t, "DELETE", c.url, "", "If-Match", `"any"`, "Authorization", "Bearer pen").want(t, 200)
	ask(t, "DELETE", c.url, "", "Authorization", "Bearer pen").want(t, 404)
	until(t, "the client hears of it", func() bool { return c.pc.ConnectionState() != webrtc.PeerConnectionStateConnected })
}

// restart restarts ICE of a client.
func restart(t *testing.T, c *client, token string) {
	t.Helper()
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(must(c.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true}))); err != nil {
		t.Fatal(err)
	}
	<-gathered
	r := ask(t, "PATCH", c.url, fragmentOf(c.pc.LocalDescription().SDP, ""), "Content-Type", fragmentType, "If-Match", "*", "Authorization", "Bearer "+token).want(t, 200)
	if tag := r.header.Get("ETag"); tag == "" || tag == c.etag || r.header.Get("Content-Type") != fragmentType {
		t.Errorf("a restart is answered with %v", r.header)
	}
	var grafted []string
	fresh := map[string]string{}
	for _, l := range strings.Split(r.body, "\r\n") {
		for _, key := range []string{"a=ice-ufrag:", "a=ice-pwd:"} {
			if strings.HasPrefix(l, key) {
				fresh[key] = l
			}
		}
	}
	for _, l := range strings.Split(c.answered.body, "\r\n") {
		for key, v := range fresh {
			if strings.HasPrefix(l, key) {
				l = v
			}
		}
		grafted = append(grafted, l)
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: strings.Join(grafted, "\r\n")}); err != nil {
		t.Fatal(err)
	}
}

// fragmentOf makes a fragment of a description; its own candidates if there are no
// others.
func fragmentOf(sdp, candidates string) string {
	var b strings.Builder
	seen := map[string]bool{}
	for _, l := range strings.Split(sdp, "\r\n") {
		for _, key := range []string{"a=ice-ufrag:", "a=ice-pwd:", "m=", "a=mid:"} {
			if strings.HasPrefix(l, key) && !seen[key] {
				seen[key] = true
				b.WriteString(l + "\r\n")
			}
		}
		if candidates == "" && strings.HasPrefix(l, "a=candidate:") {
			b.WriteString(l + "\r\n")
		}
	}
	return b.String() + candidates
}

// A door that is full, or flooded, says so and recovers.
func TestDoorIsBounded(t *testing.T) {
	m := newMesh(t)
	p := m.open(func(c *door.Config) { c.MaxSessions = 1 })
	first := ask(t, "POST", p.url+"/whip/one", newOffer(t), "Content-Type", sdpType).want(t, 201)
	if r := ask(t, "POST", p.url+"/whip/two", newOffer(t), "Content-Type", sdpType).want(t, 503); r.header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	session := p.url + first.header.Get("Location")
	limited := false
	for range 100 {
		limited = limited || ask(t, "PATCH", session, "", "Content-Type", fragmentType, "If-Match", "*").status == http.StatusTooManyRequests
	}
	if !limited {
		t.Error("a session takes a hundred changes at once")
	}
	until(t, "the session can be ended", func() bool { return ask(t, "DELETE", session, "").status == 200 })
	ask(t, "POST", p.url+"/whip/two", newOffer(t), "Content-Type", sdpType).want(t, 201)
	if _, err := door.New(door.Config{}); err == nil || errors.Is(err, door.ErrForbidden) {
		t.Errorf("a door without a node: %v", err)
	}
}

// What coordinators serve, clients of the door are told of, with credentials that
// are good.
func TestCoordinatorsServeTURN(t *testing.T) {
	m := newMesh(t)
	p := m.open(nil)
	r := ask(t, "POST", p.url+"/whip/stage", newOffer(t), "Content-Type", sdpType).want(t, 201)
	links := r.header.Values("Link")
	if len(links) != 2 || !strings.HasPrefix(links[0], "<stun:127.0.0.1:") {
		t.Fatalf("Link: %q", links)
	}
	servers := p.node.ICEServers()
	c := webrtc.ICEServer{URLs: []string{servers[1].URL}, Username: servers[1].Username, Credential: servers[1].Credential}
	pc := must(webrtc.NewPeerConnection(webrtc.Configuration{ICEServers: []webrtc.ICEServer{c}, ICETransportPolicy: webrtc.ICETransportPolicyRelay}))
	defer pc.Close()
	must(pc.CreateDataChannel("any", nil))
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(must(pc.CreateOffer(nil))); err != nil {
		t.Fatal(err)
	}
	<-gathered
	if !strings.Contains(pc.LocalDescription().SDP, "typ relay") {
		t.Errorf("no allocation:\n%s", pc.LocalDescription().SDP)
	}
}
