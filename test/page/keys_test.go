package page

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/skein-mesh/skein/cmd/skein/web"
)

// Everything that can be clicked can be reached with the Tab key alone.
func TestTheKeyboardReachesEverything(t *testing.T) {
	orders := &web.Orders{Token: "t", Known: []string{"kill", "drain", "pause", "start", "block", "unblock", "plan"}}
	p, w, url := serveWith(t, 12, orders)
	b := open(t, url+"/#token=t", desk)
	p.Show(w.next(w.begin))
	b.await(drawn)
	b.do(chromedp.Focus("#map"), chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowDown))
	b.await("document.querySelectorAll('#detail .actions button').length === 4") // kill, drain, pause, block
	b.do(chromedp.Evaluate[chromedp.Void](`{
		globalThis.wanted = new Set([...document.querySelectorAll('button, select, input, summary, canvas, #rounds')]
			.filter((e) => !e.disabled && e.checkVisibility({ visibilityProperty: true })));
		document.addEventListener('focusin', (e) => wanted.delete(e.target));
		document.activeElement.blur();
	}`))
	all := read[int](b, "wanted.size")
	if all < 14 {
		t.Errorf("only %d things can be clicked", all)
	}
	for range 2 * all {
		b.do(chromedp.KeyEvent(kb.Tab))
	}
	if left := read[string](b, "[...wanted].map((e) => e.id || e.textContent).join(', ')"); left != "" {
		t.Errorf("out of the keyboard's reach, of %d: %s", all, left)
	}
}
