package page

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/cmd/skein/web"
)

// serve shows a generated region on a page; its clock is the test's.
func serve(t *testing.T, members int) (*web.Page, *world, string) {
	t.Helper()
	return serveWith(t, members, nil)
}

// serveWith takes orders, too.
func serveWith(t *testing.T, members int, orders *web.Orders) (*web.Page, *world, string) {
	t.Helper()
	p, w := web.NewPage(orders), newWorld(members)
	for i := range 60 {
		p.Show(w.next(w.begin.Add(time.Duration(i-60) * time.Second)))
	}
	s := httptest.NewServer(p.Handler())
	t.Cleanup(s.CloseClientConnections) // before Close, which waits for them
	t.Cleanup(s.Close)
	return p, w, s.URL
}

const drawn = "globalThis.skein?.shown !== null && globalThis.skein?.map.frames > 5"

func TestItCanBeLookedAt(t *testing.T) {
	for _, members := range []int{12, 100, 500} {
		for _, l := range []look{desk, night, phone} {
			t.Run(fmt.Sprintf("%d %s", members, l.name), func(t *testing.T) {
				p, w, url := serve(t, members)
				b := open(t, url, l)
				p.Note(inspect.Event{Time: w.begin, Revision: 7, Kind: "edge.admitted", Member: w.members[3].ID, Stream: "camera-1/video", Parent: w.members[0].ID, Detail: "new"})
				p.Show(w.next(w.begin))
				b.await(drawn)
				b.await(fmt.Sprintf("document.getElementById('figure-members').textContent === '%d'", members))
				b.await("document.getElementById('events').childElementCount > 0")
				b.do(chromedp.Focus("#map"), chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowDown))
				b.await("document.querySelector('#detail dd').textContent.startsWith('aaaa')")
				b.await("document.querySelectorAll('#rounds summary').length === 3")
				if got := b.text("rounds"); !strings.Contains(got, "objected: member-3 (overloaded), member-6 (cannot reach)") || !strings.Contains(got, "saves 25.0 ms of 940") {
					t.Errorf("the rounds say %q", got)
				}
				if got := b.text("events"); !strings.Contains(got, "edge.admitted member-4 camera-1/video from member-1") {
					t.Errorf("the events say %q", got)
				}
				if got := b.text("pool"); !strings.Contains(got, "suspect: member-4") {
					t.Errorf("of gossip the page says %q", got)
				}
				if l.phone {
					b.do(chromedp.Evaluate[chromedp.Void]("scrollTo(0, 0)"))
				}
				b.screenshot(fmt.Sprintf("page-%d-%s", members, l.name))
				b.do(chromedp.Evaluate[chromedp.Void]("document.getElementById('rounds').scrollIntoView({ block: 'center' })"))
				b.screenshot(fmt.Sprintf("page-%d-%s-panel", members, l.name))
				if wide := read[float64](b, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
					t.Errorf("%v px of the page are cut off at the right", wide)
				}
			})
		}
	}
}

func TestItDrawsFastEnough(t *testing.T) {
	const members, least = 100, 30
	p, w, url := serve(t, members)
	b := open(t, url, desk)
	p.Show(w.next(w.begin))
	b.await(drawn)
	best := 0.0
	for range 3 { // a busy machine may spoil one of them
		rate := read[float64](b, `new Promise((done) => {
			const frames = skein.map.frames, from = performance.now();
			setTimeout(() => done((skein.map.frames - frames) * 1000 / (performance.now() - from)), 2000);
		})`)
		if best = max(best, rate); best >= least {
			break
		}
	}
	t.Logf("%.0f frames per second with %d members", best, members)
	if best < least {
		t.Errorf("%.0f frames per second with %d members, want %d", best, members, least)
	}
}

func TestItReplays(t *testing.T) {
	p, w, url := serve(t, 12)
	b := open(t, url, desk)
	dead := w.members[5].ID
	w.members[5].Alive = false
	p.Show(w.next(w.begin))
	p.Note(inspect.Event{Time: w.begin, Kind: "member.lost", Member: dead})
	b.await("document.getElementById('figure-members').textContent === '11 of 12'")
	b.await("document.getElementById('events').childElementCount === 1")
	set := func(seconds int) {
		b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{
			const s = document.getElementById('slider');
			s.value = Number(s.max) - %d;
			s.dispatchEvent(new Event('input'));
		}`, seconds)))
	}
	set(40)
	b.await("document.getElementById('figure-members').textContent === '12'")
	b.await("document.getElementById('events').childElementCount === 0")
	if when := b.text("when"); when != "40 s ago" && when != "41 s ago" {
		t.Errorf("the time on show is %q", when)
	}
	b.do(chromedp.Click("#live"))
	b.await("document.getElementById('figure-members').textContent === '11 of 12'")
	b.await("document.getElementById('events').childElementCount === 1")
}

func TestNothingJumps(t *testing.T) {
	p, w, url := serve(t, 100)
	b := open(t, url, desk)
	p.Show(w.next(w.begin))
	b.await(drawn)
	b.do(chromedp.Evaluate[chromedp.Void](`{
		skein.shift = 0;
		new PerformanceObserver((list) => {
			for (const e of list.getEntries()) {
				if (e.hadRecentInput) continue;
				skein.shift += e.value;
				skein.shifted = e.sources.map((s) => s.node?.id || s.node?.nodeName).join(' ');
			}
		}).observe({ type: 'layout-shift' });
	}`))
	b.do(chromedp.Focus("#map"))
	for i := range 5 {
		b.do(chromedp.KeyEvent(kb.ArrowDown))
		p.Show(w.next(w.begin.Add(time.Duration(i+1) * time.Second)))
		b.await(fmt.Sprintf("skein.past.moments.length > %d", 60+i))
	}
	if shift := read[float64](b, "skein.shift"); shift > 0 {
		t.Errorf("the layout shifted by %.4f: %s", shift, read[string](b, "skein.shifted"))
	}
}
