package page

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// fakes are flags for a browser whose camera and microphone are made up, and which
// works at full speed though nobody looks.
var fakes = []chromedp.ExecAllocatorOption{
	chromedp.Flag("use-fake-device-for-media-stream", "fps=30"),
	chromedp.Flag("use-fake-ui-for-media-stream", true),
	chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
	chromedp.Flag("mute-audio", true),
	chromedp.Flag("disable-background-timer-throttling", true),
	chromedp.Flag("disable-renderer-backgrounding", true),
	chromedp.Flag("disable-backgrounding-occluded-windows", true),
}

// place is the rate of the programme that the tests publish: an uplink of n places
// feeds n children.
const place = 1000 + 96

var programme = []region.StreamID{"stage/video", "stage/audio"}

// publish opens the page of a door and publishes stage from the fake camera.
func publish(t *testing.T, door, query string) *tab {
	t.Helper()
	b := open(t, door+"/door/publish.html?name=stage"+query, desk, fakes...)
	b.do(chromedp.Evaluate[chromedp.Void]("document.getElementById('size').value = '480', document.getElementById('rate').innerHTML = '<option value=1000>1 Mbit/s</option>', undefined"))
	b.do(chromedp.Click("#go"))
	b.await("document.getElementById('state').textContent === 'on air'")
	return b
}

// watch opens the page of a door that shows stage, and returns how long the first
// frame took.
func watch(t *testing.T, door string) (*tab, time.Duration) {
	t.Helper()
	b := open(t, door+"/door/watch.html?name=stage", desk, fakes...)
	b.await("globalThis.tiles?.get('stage')?.first > 0")
	return b, time.Duration(read[float64](b, "tiles.get('stage').first") * float64(time.Millisecond))
}

// A picture is what a browser says of the picture it receives.
type picture struct {
	Time    float64 `json:"timestamp"` // ms
	Decoded int     `json:"framesDecoded"`
	Freezes int     `json:"freezeCount"`
	Frozen  float64 `json:"totalFreezesDuration"` // s
	Lost    int     `json:"packetsLost"`
	Height  int     `json:"frameHeight"`
}

func (b *tab) picture() picture {
	b.t.Helper()
	return read[picture](b, `(async () => {
		for (const s of (await tiles.get('stage').pc.getStats()).values())
			if (s.type === 'inbound-rtp' && s.kind === 'video') return s;
	})()`)
}

// codec is how the picture comes.
func (b *tab) codec() string {
	b.t.Helper()
	return read[string](b, `(async () => {
		const stats = await tiles.get('stage').pc.getStats();
		for (const s of stats.values()) if (s.type === 'inbound-rtp' && s.kind === 'video') return stats.get(s.codecId).mimeType;
		return 'nothing';
	})()`)
}

// lost is how many packets the mesh did not deliver to a viewer's door in time.
func lost(n *relay) (count uint64) {
	for _, s := range n.Stats().Streams {
		count += s.Lost
	}
	return count
}

// tale is what has happened to a member since it was asked last, and the longest
// gap in any of its streams so far.
func tale(n *relay) string {
	var b strings.Builder
	for _, s := range n.Stats().Streams {
		fmt.Fprintf(&b, "%s gap at most %v; ", s.Stream, s.GapMax)
	}
	for {
		select {
		case e := <-n.Events():
			fmt.Fprintf(&b, "%s %s %s %s %s; ", e.Time.Format("05.000"), e.Kind, e.Stream, e.Peer, e.Detail)
		default:
			return b.String()
		}
	}
}

// path lists the members through which a stream reaches n, nearest first.
func path(n *relay, all []*relay, stream region.StreamID) (list []*relay) {
	for at := n; at != nil && len(list) < len(all); {
		var next *relay
		for _, st := range at.Stats().Streams {
			for _, o := range all {
				if st.Stream == stream && st.Parent == o.ID() {
					next = o
				}
			}
		}
		if next != nil {
			list = append(list, next)
		}
		at = next
	}
	return list
}

// TestDoorThroughRelays: a camera published in one browser is seen in another one,
// through three relays; its sound comes redundantly, as it was published, and the page
// tells how long all that takes.
func TestDoorThroughRelays(t *testing.T) {
	m := newMesh(t)
	origin := m.join(place)
	all := []*relay{origin}
	p := publish(t, m.door(origin), "&layers=0&codec=VP8&red=1")
	for range 3 {
		all = append(all, m.relay(place, programme...))
	}
	viewer := m.join(0)
	b, first := watch(t, m.door(viewer))
	if hops := path(viewer, all, "stage/video"); len(hops) != 4 {
		t.Errorf("the picture comes over %d members, want 3 relays and the origin", len(hops))
	}
	t.Logf("first frame after %v", first)
	b.await("/ fps, .* ms$/.test(document.querySelector('.figures').textContent)")
	// Copies of what it has got already are what a browser counts as discarded.
	b.await(`tiles.get('stage').pc.getStats().then((all) => [...all.values()].some((s) => s.type === 'inbound-rtp' && s.kind === 'audio' && s.packetsDiscarded > 20))`)
	b.screenshot("door-watch")
	p.await("document.getElementById('figures').textContent.includes('fps')")
	p.screenshot("door-publish")
	if v := b.picture(); v.Decoded == 0 || v.Height == 0 {
		t.Errorf("nothing is seen: %+v", v)
	}
}

// TestDoorCodecs: whatever a browser encodes, another one sees and hears through a relay,
// also if it comes late.
func TestDoorCodecs(t *testing.T) {
	for _, codec := range []string{"VP8", "VP9", "AV1", "H264"} {
		t.Run(codec, func(t *testing.T) {
			m := newMesh(t)
			origin := m.join(place)
			publish(t, m.door(origin), "&layers=0&codec="+codec)
			m.relay(2*place, programme...)
			b, first := watch(t, m.door(m.join(0)))
			begin := b.picture()
			time.Sleep(2 * time.Second) // what is judged is what the browser plays meanwhile
			end := b.picture()
			t.Logf("first frame after %v, %d frames in 2 s", first, end.Decoded-begin.Decoded)
			if got := b.codec(); got != "video/"+codec {
				t.Errorf("the picture comes as %s", got)
			}
			if n := end.Decoded - begin.Decoded; n < 30 {
				t.Errorf("%d frames in 2 s", n)
			}
		})
	}
}

// TestDoorLayers: a browser encodes of its layers what somebody watches, and the lowest.
func TestDoorLayers(t *testing.T) {
	m := newMesh(t)
	p := publish(t, m.door(m.join(20_000)), "&codec=VP8")
	const active = `pc.getSenders().map((s) => s.getParameters().encodings).find((e) => e.length === 3).filter((e) => e.active).map((e) => e.rid).join('')`
	p.await(active + " === 'q'")
	b, first := watch(t, m.door(m.join(0)))
	t.Logf("first frame after %v", first)
	p.await(active + ".length > 1")
	b.do(chromedp.Navigate("about:blank"))
	p.await(active + " === 'q'")
}

// TestDoorScalable: of one encoding with several layers a viewer gets, through a relay, the
// large picture, and the small one as soon as the way to its member is narrow.
func TestDoorScalable(t *testing.T) {
	m := newMesh(t)
	publish(t, m.door(m.join(place)), "&scalability=L2T2_KEY&codec=VP9")
	narrow := &way{}
	m.relayOn(&wire{way: narrow}, place, programme...)
	b, first := watch(t, m.door(m.join(0)))
	height := func(want int) picture {
		return b.awaitPicture(fmt.Sprintf("it is %d high", want), func(p picture) bool { return p.Height == want })
	}
	large := height(480)
	narrow.rate.Store(450_000 / 8)
	began := time.Now()
	small := height(240)
	fell := time.Since(began)
	time.Sleep(2 * time.Second) // what is judged is what the browser plays meanwhile
	end := b.picture()
	t.Logf("first frame after %v; the small picture after %v, %d freezes of %.2f s; then %.1f frames per second",
		first, fell, end.Freezes-large.Freezes, end.Frozen-large.Frozen, end.since(small))
	if fps := end.since(small); fps < 15 || end.Height != 240 || b.codec() != "video/VP9" {
		t.Errorf("%.1f frames per second, %d high, as %s", fps, end.Height, b.codec())
	}
}

// TestDoorScalableInTime: of AV1 in three temporal layers a viewer gets all frames, and fewer
// as soon as the way to its member is narrow.
func TestDoorScalableInTime(t *testing.T) {
	m := newMesh(t)
	publish(t, m.door(m.join(place)), "&codec=AV1")
	narrow := &way{}
	m.relayOn(&wire{way: narrow}, place, programme...)
	viewer := m.join(0)
	b, first := watch(t, m.door(viewer))
	comes := func(layers region.LayerMask) {
		b.awaitPicture(fmt.Sprintf("layers %03b come", layers), func(picture) bool {
			i := slices.IndexFunc(viewer.Stats().Streams, func(s member.StreamStats) bool { return s.Stream == "stage/video" })
			return i >= 0 && viewer.Stats().Streams[i].Layers == layers
		})
	}
	comes(0b111)
	before := b.picture()
	b.awaitPicture("30 frames a second or nearly", func(p picture) bool {
		if p.Time-before.Time < 2000 {
			return false
		}
		fps := p.since(before)
		before = p
		return fps > 24
	})
	narrow.rate.Store(350_000 / 8)
	b.awaitPicture("there are fewer", func(p picture) bool {
		if p.Time-before.Time < 2000 {
			return false
		}
		fps := p.since(before)
		before = p
		return fps > 4 && fps < 20
	})
	t.Logf("first frame after %v; %+v", first, before)
	if b.codec() != "video/AV1" {
		t.Errorf("the picture comes as %s", b.codec())
	}
}

// since is how many frames per second were decoded since then.
func (p picture) since(then picture) float64 {
	return float64(p.Decoded-then.Decoded) / (p.Time - then.Time) * 1000
}

// awaitPicture waits until a picture is as it should be.
func (b *tab) awaitPicture(what string, holds func(picture) bool) picture {
	b.t.Helper()
	for began := time.Now(); time.Since(began) < 15*time.Second; time.Sleep(50 * time.Millisecond) {
		if p := b.picture(); holds(p) {
			return p
		}
	}
	b.t.Fatalf("not in 15 s: %s: %+v", what, b.picture())
	return picture{}
}

// TestDoorScalableLayers: a browser encodes of the layers of one encoding what somebody
// watches, and the lowest.
func TestDoorScalableLayers(t *testing.T) {
	m := newMesh(t)
	p := publish(t, m.door(m.join(20_000)), "&codec=VP9")
	const mode = `pc.getSenders().map((s) => s.getParameters().encodings?.[0]).find((e) => e?.scalabilityMode)`
	p.await(mode + ".scalabilityMode === 'L1T1'")
	b, first := watch(t, m.door(m.join(0)))
	t.Logf("first frame after %v", first)
	p.await(mode + ".scalabilityMode === 'L3T3_KEY'")
	b.awaitPicture("it is large", func(p picture) bool { return p.Height == 480 })
	b.do(chromedp.Navigate("about:blank"))
	p.await(mode + ".scalabilityMode === 'L1T1'")
}

// TestDoorPages: the pages are fit for a phone and the dark, and for all sources.
func TestDoorPages(t *testing.T) {
	m := newMesh(t)
	url := m.door(m.join(20_000))
	index := open(t, url+"/door/", phone)
	index.await("document.getElementById('count').textContent.includes('Nothing')")
	index.screenshot("door-index-phone")
	card := open(t, url+"/door/publish.html?name=card&source=card", night, fakes...)
	card.do(chromedp.Click("#go"))
	card.await("document.getElementById('state').textContent === 'on air'")
	camera := open(t, url+"/door/publish.html?name=plaza/camera", phone, fakes...)
	camera.do(chromedp.Click("#go"))
	camera.await("document.getElementById('state').textContent === 'on air'")
	camera.screenshot("door-publish-phone")
	card.screenshot("door-publish-dark")
	grid := open(t, url+"/door/watch.html", phone, fakes...)
	for _, name := range []string{"card", "plaza/camera"} {
		grid.await(fmt.Sprintf("globalThis.tiles?.get('%s')?.first > 0", name))
	}
	grid.await("[...document.querySelectorAll('.figures')].every((f) => f.textContent.includes('fps'))")
	grid.screenshot("door-watch-phone")
	if wide := read[bool](grid, "document.documentElement.scrollWidth > innerWidth"); wide {
		t.Error("the grid is wider than the phone")
	}
	card.do(chromedp.Click("#go"))
	card.await("document.getElementById('state').textContent === 'ready'")
	grid.await("!tiles.has('card')")
}

// TestDoorHoldsThePicture: 20 relays leave in good order and 5 are killed under a
// viewer within a minute or so.
func TestDoorHoldsThePicture(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute and wants the machine to itself")
	}
	m := newMesh(t)
	origin := m.join(place)
	p := publish(t, m.door(origin), "&layers=0&codec=VP8")
	all := []*relay{origin}
	for range 7 { // with room for those whose parent is lost
		all = append(all, m.relay(2*place, programme...))
	}
	viewer := m.join(0)
	b, first := watch(t, m.door(viewer))
	t.Logf("first frame after %v, over %d members", first, len(path(viewer, all, "stage/video")))
	time.Sleep(3 * time.Second) // the encoder begins with a small picture
	machine := watchMachine(t)
	begin := b.picture()
	for round := range 25 {
		hops := path(viewer, all, "stage/video")
		if len(hops) < 2 {
			t.Fatalf("round %d: the viewer hangs at %d members", round, len(hops))
		}
		before, killed, given := b.picture(), round%5 == 4, lost(viewer)
		machine.since()
		began := time.Now()
		if killed {
			hops[0].wire.cut()
			go hops[0].Close()
		} else {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if err := hops[0].Leave(ctx); err != nil {
				t.Errorf("round %d: leave: %v", round, err)
			}
			cancel()
		}
		all = append(all, m.relay(2*place, programme...))
		time.Sleep(1500 * time.Millisecond) // what is judged is what the browser plays meanwhile
		now := b.picture()
		freezes, frozen := now.Freezes-before.Freezes, now.Frozen-before.Frozen
		story, excuse := tale(viewer), machine.since()
		switch {
		case killed && (freezes > 1 || frozen > 0.25+excuse.Seconds()):
			t.Errorf("round %d: a killed relay cost %d freezes of %.2f s, on a machine late by %v; %d packets were not repaired; %s at %s", round, freezes, frozen, excuse, lost(viewer)-given, story, began.Format("05.000"))
		case !killed && freezes > 0:
			t.Errorf("round %d: a planned move cost %d freezes of %.2f s; %d packets were not repaired; %s at %s", round, freezes, frozen, lost(viewer)-given, story, began.Format("05.000"))
		}
	}
	end := b.picture()
	fps := float64(end.Decoded-begin.Decoded) / (end.Time - begin.Time) * 1000
	t.Logf("%.1f frames per second over %.0f s, %d freezes of %.2f s, %d packets lost", fps, (end.Time-begin.Time)/1000,
		end.Freezes-begin.Freezes, end.Frozen-begin.Frozen, end.Lost-begin.Lost)
	if fps < 28 {
		t.Errorf("%.1f frames per second, want those of the camera, 30", fps)
	}
	b.screenshot("door-held")
	p.await("document.getElementById('state').textContent === 'on air'")
}
