package testnet

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// Limits within which the stream must flow again to all members that run.
const (
	upLimit     = 60 * time.Second // from nothing
	killLimit   = 30 * time.Second // members report every few seconds only
	wholeLimit  = 60 * time.Second // all stopped and started
	cutTime     = 20 * time.Second
	askInterval = time.Second
)

var streams = []string{"camera-1/audio", "camera-1/video"}

// A flow is what a member has received of a stream.
type flow struct{ member, stream string }

// flows waits until every stream has been seen to flow to every one of members.
func (l *lab) flows(members []string, limit time.Duration) {
	l.t.Helper()
	begun := time.Now()
	last, flowing := map[flow]uint64{}, map[flow]bool{}
	for {
		seen, err := ask[[]inspect.Member](l, "members")
		for _, m := range seen {
			for _, h := range m.Health {
				f := flow{m.Name, h.Stream}
				if before, ok := last[f]; ok && h.Received > before {
					flowing[f] = true
				}
				last[f] = h.Received
			}
		}
		var missing []string
		for _, m := range members {
			for _, s := range streams {
				if !flowing[flow{m, s}] {
					missing = append(missing, m+" "+s)
				}
			}
		}
		if len(missing) == 0 {
			l.t.Logf("all streams flow to %d members after %.1f s", len(members), time.Since(begun).Seconds())
			return
		}
		if time.Since(begun) > limit {
			l.explain(missing)
			l.t.Fatalf("after %v no flow to %s (%v)", limit, strings.Join(missing, ", "), err)
		}
		time.Sleep(askInterval)
	}
}

// explain logs what members without a stream, and the coordinators, say of it.
func (l *lab) explain(missing []string) {
	l.t.Helper()
	for _, m := range missing {
		member, _, _ := strings.Cut(m, " ")
		state, err := fetch(l.t, "http://"+l.address(member)+"/state")
		l.t.Logf("%s: %s %v", m, state, err)
	}
	for _, s := range streams {
		tree, err := ask[inspect.Tree](l, "tree", s)
		l.t.Logf("%s: %+v %v", s, tree, err)
	}
}

// A promise is what coordinators have acknowledged: stays and places.
type promise struct {
	revision uint64
	leases   map[string]uint64          // by member's id
	places   map[string]map[string]bool // by stream, the members in its tree
	names    map[string]string
}

func (l *lab) promised() promise {
	l.t.Helper()
	p := promise{leases: map[string]uint64{}, places: map[string]map[string]bool{}, names: map[string]string{}}
	seen, err := ask[[]inspect.Member](l, "members")
	if err != nil {
		l.t.Fatal(err)
	}
	for _, m := range seen {
		p.leases[m.ID], p.names[m.ID] = m.Lease, m.Name
	}
	for _, s := range streams {
		tree, err := ask[inspect.Tree](l, "tree", s)
		if err != nil {
			l.t.Fatal(err)
		}
		p.revision = max(p.revision, tree.Revision)
		p.places[s] = map[string]bool{}
		for _, n := range tree.Nodes {
			p.places[s][n.Member] = true
		}
	}
	return p
}

// keeps checks that nothing of what was promised before is lost, but for members
// that were stopped meanwhile.
func (l *lab) keeps(before promise, stopped ...string) {
	l.t.Helper()
	after := l.promised()
	if after.revision < before.revision {
		l.t.Errorf("the revision fell from %d to %d", before.revision, after.revision)
	}
	for id, lease := range before.leases {
		name := before.names[id]
		if slices.Contains(stopped, name) {
			continue
		}
		if after.leases[id] != lease {
			l.t.Errorf("%s had lease %d and has %d", name, lease, after.leases[id])
		}
		for _, s := range streams {
			if before.places[s][id] && !after.places[s][id] {
				l.t.Errorf("%s has lost its place in %s", name, s)
			}
		}
	}
}

// relay is the member that feeds most others.
func (l *lab) relay() string {
	l.t.Helper()
	seen, err := ask[[]inspect.Member](l, "members")
	if err != nil {
		l.t.Fatal(err)
	}
	best := inspect.Member{}
	for _, m := range seen {
		if m.Name != "publisher" && m.Children >= best.Children {
			best = m
		}
	}
	return best.Name
}

func without(list []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == one })
}

func TestATestnetInContainers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	l := newLab(t)
	l.buildImage()
	l.composed("up", "-d", "--no-build")
	l.flows(members, upLimit)
	network := l.project + "_mesh"

	step := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			outer := l.t
			l.t = t
			defer func() { l.t = outer }()
			f(t)
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	step("every node tells its metrics", func(t *testing.T) {
		for _, s := range slices.Concat(coordinators, members, []string{"publisher"}) {
			scrape(t, l.address(s))
		}
	})
	step("the leader is killed", func(t *testing.T) {
		before, leader := l.promised(), l.leader()
		l.docker("kill", l.container(leader))
		l.flows(members, killLimit)
		if now := l.leader(); now == "" || now == leader {
			t.Errorf("%q leads after %s was killed", now, leader)
		}
		l.keeps(before)
		l.docker("start", l.container(leader))
		l.allAnswer(killLimit)
	})
	step("a relay is killed", func(*testing.T) {
		before, relay := l.promised(), l.relay()
		l.docker("kill", l.container(relay))
		l.flows(without(members, relay), killLimit)
		l.keeps(before, relay)
		l.docker("start", l.container(relay))
		l.flows(members, killLimit)
	})
	step("a coordinator is cut off for 20 s", func(*testing.T) {
		before, cut := l.promised(), l.leader()
		l.docker("network", "disconnect", network, l.container(cut))
		back := time.After(cutTime)
		l.flows(members, killLimit)
		<-back
		l.docker("network", "connect", "--alias", cut, network, l.container(cut))
		l.allAnswer(killLimit)
		l.flows(members, killLimit)
		l.keeps(before)
	})
	step("everything is restarted one by one", func(*testing.T) {
		before := l.promised()
		for _, s := range slices.Concat(coordinators, []string{"publisher"}, members) {
			l.docker("restart", "-t", "10", l.container(s))
			if slices.Contains(coordinators, s) {
				l.allAnswer(killLimit)
			}
			l.flows(members, killLimit)
		}
		l.keeps(before, append(members, "publisher")...)
	})
	step("the whole is stopped and started", func(*testing.T) {
		before := l.promised()
		l.composed("stop", "-t", "10")
		l.composed("start")
		l.flows(members, wholeLimit)
		l.keeps(before, append(members, "publisher")...)
	})
}

// allAnswer waits until all coordinators answer and know what their leader knows.
func (l *lab) allAnswer(limit time.Duration) {
	l.t.Helper()
	end := time.Now().Add(limit)
	for {
		status, err := ask[[]inspect.Coordinator](l, "status")
		led, revisions := false, map[uint64]bool{}
		for _, c := range status {
			for _, g := range c.Groups {
				led = led || g.State == "leader"
				revisions[g.Revision] = true
			}
			if c.Error != "" {
				revisions[0] = true
			}
		}
		if err == nil && led && len(revisions) == 1 && !revisions[0] {
			return
		}
		if time.Now().After(end) {
			l.t.Fatalf("after %v the coordinators say %+v, %v", limit, status, err)
		}
		time.Sleep(askInterval)
	}
}

func fetch(t *testing.T, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	return string(text), err
}

// scrape checks the names and types of a node's metrics.
func scrape(t *testing.T, address string) {
	t.Helper()
	text, err := fetch(t, "http://"+address+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s: %s", address, p.Metric, p.Text)
	}
}

// TestTheDashboardKnowsTheMetrics holds the dashboard against what nodes tell.
func TestTheDashboardKnowsTheMetrics(t *testing.T) {
	dashboard, err := os.ReadFile(filepath.Join(root, "deploy", "grafana", "dashboards", "skein.json"))
	if err != nil {
		t.Fatal(err)
	}
	var known strings.Builder
	for _, f := range []string{"coordinator/meter.go", "cmd/skein/command/memberstate.go"} {
		source, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			t.Fatal(err)
		}
		known.Write(source)
	}
	names := regexp.MustCompile(`skein_[a-z_]+`).FindAllString(string(dashboard), -1)
	if len(names) == 0 {
		t.Fatal("the dashboard shows nothing")
	}
	for _, n := range names {
		n = strings.TrimPrefix(strings.TrimSuffix(n, "_bucket"), "skein_member_")
		if !strings.Contains(known.String(), `"`+n+`"`) {
			t.Errorf("the dashboard asks for %s, which no node tells", n)
		}
	}
}
