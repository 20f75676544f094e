package page

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// skein builds the binary once for all tests and returns its path.
var skein = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "skein-page-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "skein")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/skein")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := skein(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin)) // a temporary folder
	}
	os.Exit(code)
}

// start runs skein with args until the test ends and returns what it prints.
func start(t *testing.T, args ...string) io.Reader {
	t.Helper()
	bin, err := skein()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait() // how it ends is not what is tested
	})
	return out
}

// ask runs skein with args and decodes the JSON it prints.
func ask[T any](t *testing.T, args ...string) T {
	t.Helper()
	bin, err := skein()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, append(args, "-o", "json")...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("skein %s: %v", strings.Join(args, " "), err)
	}
	var v T
	if err := json.Unmarshal(out, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// develop runs skein dev and returns a tab that shows all its members.
func develop(t *testing.T, args ...string) *tab {
	t.Helper()
	out := start(t, append([]string{"dev", "--page", "127.0.0.1:0"}, args...)...)
	lines := bufio.NewScanner(out)
	url := ""
	for lines.Scan() && !strings.Contains(lines.Text(), "receive all streams") {
		if u := regexp.MustCompile(`page at (\S+)`).FindStringSubmatch(lines.Text()); u != nil {
			url = u[1]
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	b := open(t, url, desk)
	b.await("globalThis.skein?.shown?.members.filter((m) => m.alive).length === 12")
	return b
}

// choose shows a member's details.
func (b *tab) choose(name string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{
		const find = document.getElementById('find');
		find.value = %q;
		find.dispatchEvent(new Event('input'));
	}`, name)))
	b.await(fmt.Sprintf("document.querySelector('#detail h2').textContent.startsWith(%q)", name))
}

func TestAKillIsShownWithinASecond(t *testing.T) {
	b := develop(t)
	b.choose("member-5")
	took := read[float64](b, `new Promise((done, fail) => {
		const button = [...document.querySelectorAll('#detail .actions button')].find((b) => b.textContent === 'kill');
		if (!button) return fail('no button to kill it');
		const from = performance.now();
		button.click();
		const look = () => {
			const dead = !skein.shown.members.find((m) => m.name === 'member-5').alive;
			const told = [...document.querySelectorAll('#events li')].some((e) => e.textContent.includes('dev.killed'));
			if (dead && told && document.querySelector('#figure-members').textContent === '11 of 12') done(performance.now() - from);
			else if (performance.now() - from > 10000) fail('not shown');
			else requestAnimationFrame(look);
		};
		look();
	})`)
	t.Logf("shown after %.0f ms", took)
	if took > 1000 {
		t.Errorf("a kill was shown after %.0f ms, want 1000 at most", took)
	}
	b.screenshot("dev-killed")
}

// Every node is a process of its own, which alone can be paused.
func TestOrdersAreCarriedOut(t *testing.T) {
	b := develop(t, "--processes")
	b.do(chromedp.Evaluate[chromedp.Void](`globalThis.member = (name) => skein.shown.members.find((m) => m.name === name)`))

	// A member whose parents are to be kept apart from it finds another parent.
	const settled = "skein.shown.members.find((m) => m.streams.length === 2 && m.streams.every((s) => s.parent !== '' && s.standbys.length > 0))"
	b.await(settled + " !== undefined")
	pair := read[[2]string](b, fmt.Sprintf("(() => { const m = %s; return [m.name, m.streams.find((s) => s.stream.endsWith('video')).parent]; })()", settled))
	child, parent := pair[0], pair[1]
	b.choose(child)
	pick := func(order string) {
		b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{
			const select = document.querySelector('.pair select');
			select.value = %q;
			select.dispatchEvent(new Event('change'));
		}`, parent)))
		if got := read[string](b, "document.querySelector('.pair button').textContent"); got != order {
			t.Errorf("the button says %q, want %q", got, order)
		}
		b.do(chromedp.Click(".pair button"))
	}
	pick("block")
	b.await(fmt.Sprintf("member(%q).blocked?.[0] === %q", child, parent))
	b.await(fmt.Sprintf("member(%q).streams.every((s) => s.parent !== '' && s.parent !== %q)", child, parent))
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf("globalThis.before = member(%q).streams.map((s) => s.packets_received)", child)))
	b.await(fmt.Sprintf("member(%q).streams.every((s, i) => s.packets_received > before[i])", child))
	b.screenshot("dev-blocked")
	pick("unblock")
	b.await(fmt.Sprintf("!member(%q).blocked", child))

	// While a member stands still, all others go on and so does the page.
	b.await("[...document.querySelectorAll('#detail .actions button')].some((e) => e.textContent === 'pause')")
	b.do(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll('#detail .actions button')].find((e) => e.textContent === 'pause').click()`))
	b.await(fmt.Sprintf("member(%q).alive && !member(%q).connected", child, child))
	b.await("[...document.querySelectorAll('#events li')].some((e) => e.textContent.includes('dev.paused'))")
	b.await(fmt.Sprintf("member(%q).connected", child))
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf("globalThis.before = member(%q).streams.map((s) => s.packets_received)", child)))
	b.await(fmt.Sprintf("member(%q).streams.every((s, i) => s.packets_received > before[i])", child))

	b.do(chromedp.Click("#plan"))
	b.await("[...document.querySelectorAll('#events li')].some((e) => e.textContent.includes('dev.planned'))")
	b.screenshot("dev-planned")

	// What is drained says good-bye, and can be started again.
	b.do(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll('#detail .actions button')].find((e) => e.textContent === 'drain').click()`))
	b.await("document.querySelector('#figure-members').textContent === '11 of 12'")
	b.await("[...document.querySelectorAll('#detail .actions button')].some((e) => e.textContent === 'start')")
	b.do(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll('#detail .actions button')].find((e) => e.textContent === 'start').click()`))
	b.await("document.querySelector('#figure-members').textContent === '12'")
}

func TestFiguresAreThoseOfStatus(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	var grpc, http []string
	for i := range 3 {
		// Loopback addresses of their own, so that the default ports are free.
		host := fmt.Sprintf("127.79.%d.%d", os.Getpid()%250, i+1)
		grpc, http = append(grpc, host+":7400"), append(http, host+":7480")
	}
	token := filepath.Join(t.TempDir(), "token")
	ask[struct{}](t, "init", "--dir", dir, "--coordinators", strings.Join(grpc, ","), "--member-token", token)
	for i := range 3 {
		start(t, "coordinator", "--config", filepath.Join(dir, fmt.Sprintf("coordinator-%d", i+1), "skein.yaml"), "--http", http[i])
	}
	ask[any](t, "health", "--http", http[0], "--wait", "20s")
	join := []string{"--coordinators", strings.Join(grpc, ","), "--token-file", token, "--media", "127.0.0.1:0", "--gossip", "127.0.0.1:0"}
	start(t, append([]string{"publish", "pattern", "--stream", "camera-1", "--name", "publisher"}, join...)...)
	for i := range 3 {
		start(t, append([]string{"member", "--http", "", "--name", fmt.Sprint("member-", i+1), "--subscribe", "camera-1/video"}, join...)...)
	}
	b := open(t, "http://"+http[0]+"/", desk)
	b.await("globalThis.skein?.shown?.members.filter((m) => m.streams.some((s) => s.packets_received > 0)).length === 3")

	asked := []string{"--coordinators", strings.Join(grpc, ","), "--credentials", filepath.Join(dir, "operator")}
	status := ask[[]inspect.Coordinator](t, append([]string{"status"}, asked...)...)
	members := ask[[]inspect.Member](t, append([]string{"members"}, asked...)...)
	var all inspect.Admissions
	leader := ""
	for _, c := range status {
		all = all.Plus(c.Groups[0].Admissions)
		if c.Groups[0].State == "leader" {
			leader = c.Address
			b.await(fmt.Sprintf("document.getElementById('group').textContent === 'term %d, revision %d'", c.Groups[0].Term, c.Groups[0].Revision))
		}
	}
	for id, want := range map[string]string{
		"figure-members":    fmt.Sprint(len(members)),
		"figure-streams":    fmt.Sprint(status[0].Groups[0].Streams),
		"figure-leader":     leader,
		"figure-admissions": fmt.Sprint(all.Accepted),
		"figure-broken":     "0",
	} {
		if got := b.text(id); got != want {
			t.Errorf("%s is %q on the page, and %q in status", id, got, want)
		}
	}
	for _, m := range members {
		uplink := read[uint32](b, fmt.Sprintf("skein.shown.members.find((m) => m.id === %q)?.uplink_kbps ?? 1", m.ID))
		if uplink != m.UplinkKbps {
			t.Errorf("the uplink of %s is %d on the page, and %d in members", m.Name, uplink, m.UplinkKbps)
		}
	}
	b.screenshot("coordinator")
}
