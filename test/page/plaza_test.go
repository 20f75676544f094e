package page

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// enter opens the plaza as somebody who shows the fake camera.
func enter(t *testing.T, door, name string, x float64, l look) *tab {
	t.Helper()
	b := open(t, fmt.Sprintf("%s/door/plaza.html?space=plaza&name=%s&x=%g&source=camera", door, name, x), l, fakes...)
	b.await("document.getElementById('go') !== null && globalThis.world !== undefined")
	b.do(click("#go"))
	b.await("document.getElementById('state').textContent === 'inside'")
	return b
}

// pictured says whether a tab shows the video of somebody, by a frame that has come.
func pictured(name string) string {
	return fmt.Sprintf("[...plays.values()].some(p => p.stream === 'plaza/%s/video' && p.first > 0)", name)
}

// TestPlaza: two browsers walk towards each other, through the doors of two members.
// The video of either appears within a second of the other's coming near, and goes when they part.
func TestPlaza(t *testing.T) {
	m := newMesh(t)
	a := enter(t, m.door(m.join(4*place)), "ann", 0, desk)
	b := enter(t, m.door(m.join(4*place)), "bob", 60, phone)
	time.Sleep(4 * time.Second) // both publish, and know of each other
	if read[bool](a, pictured("bob")) || read[bool](b, pictured("ann")) {
		t.Fatal("they see each other at 60 m")
	}
	// Each tab notes when it came within two thirds of its radius of somebody.
	for _, tab := range []*tab{a, b} {
		tab.do(script(`globalThis.near = 0, globalThis.seen = 0,
			setInterval(() => {
				const o = world.around[0];
				if (o && world.me && Math.hypot(o.x - world.me.x, o.y - world.me.y) <= 20) near ||= performance.now();
				const p = [...plays.values()].find(p => p.root && p.first);
				if (p) seen ||= p.first;
			}, 10)`))
	}
	b.do(script("walkTo(12, 0)"))
	a.await(pictured("bob"))
	b.await(pictured("ann"))
	for _, tab := range []*tab{a, b} {
		tab.await("near > 0 && seen > 0")
		took := time.Duration(read[float64](tab, "seen - near") * float64(time.Millisecond))
		t.Logf("seen %v after coming near", took.Round(time.Millisecond))
		if took > time.Second {
			t.Errorf("seen only %v after coming near", took)
		}
	}
	time.Sleep(2 * time.Second)
	a.screenshot("plaza")
	b.screenshot("plaza-phone")
	b.do(script("walkTo(60, 0)"))
	a.await("!" + pictured("bob"))
	b.await("!" + pictured("ann"))
	if d := read[float64](a, "world.around[0]?.distance ?? 99"); d < 20 {
		t.Errorf("gone at %.1f m", d)
	}
	a.await("plays.size === 0")
}

func click(selector string) chromedp.Action[chromedp.Void] { return chromedp.Click(selector) }

func script(js string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](js + ", undefined")
}
