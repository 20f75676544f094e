package testnet

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// Limits within which the stream must flow again to all members that run.
const (
	upLimit     = 60 * time.Second // from nothing
	killLimit   = 30 * time.Second // members report every few seconds only
	wholeLimit  = 60 * time.Second // all stopped and started
	cutTime     = 20 * time.Second
	askInterval = time.Second
	// gapLimit is the longest silence at a child whose parent was killed. What the
	// machine stood still meanwhile is added, since it is nobody's silence.
	gapLimit = 400 * time.Millisecond
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
	step("every node tells its metrics, and the dashboard knows them", func(t *testing.T) {
		told := map[string]bool{}
		for _, s := range slices.Concat(coordinators, members, []string{"publisher"}) {
			scrape(t, l.address(s), told)
		}
		dashboardKnows(t, told)
	})
	step("Prometheus answers what the dashboard asks", func(*testing.T) { l.observe() })
	step("the leader is killed", func(t *testing.T) {
		before, leader, books := l.promised(), l.leader(), l.keepBooks()
		l.docker("kill", l.container(leader))
		l.flows(members, killLimit)
		if now := l.leader(); now == "" || now == leader {
			t.Errorf("%q leads after %s was killed", now, leader)
		}
		l.keeps(before)
		l.docker("start", l.container(leader))
		l.allAnswer(killLimit)
		books.unharmed(members)
	})
	step("a relay is killed", func(*testing.T) {
		before, relay, books := l.promised(), l.relay(), l.keepBooks()
		l.docker("kill", l.container(relay))
		l.flows(without(members, relay), killLimit)
		l.keeps(before, relay)
		books.unharmed(without(members, relay))
		l.docker("start", l.container(relay))
		l.flows(members, killLimit)
	})
	step("a coordinator is cut off for 20 s", func(*testing.T) {
		before, cut, books := l.promised(), l.leader(), l.keepBooks()
		l.docker("network", "disconnect", network, l.container(cut))
		back := time.After(cutTime)
		l.flows(members, killLimit)
		<-back
		l.docker("network", "connect", "--alias", cut, network, l.container(cut))
		l.allAnswer(killLimit)
		l.flows(members, killLimit)
		l.keeps(before)
		books.unharmed(members)
	})
	step("everything is restarted one by one", func(*testing.T) {
		before, books := l.promised(), l.keepBooks()
		for _, s := range coordinators {
			l.docker("restart", "-t", "10", l.container(s))
			l.allAnswer(killLimit)
			l.flows(members, killLimit)
		}
		l.keeps(before)
		books.unharmed(members)
		everybody := slices.Concat([]string{"publisher"}, members)
		for _, s := range everybody {
			l.docker("restart", "-t", "10", l.container(s))
			l.flows(members, killLimit)
		}
		l.keeps(before, everybody...)
	})
	step("the whole is stopped and started", func(*testing.T) {
		before := l.promised()
		l.composed("stop", "-t", "10")
		l.composed("start")
		l.flows(members, wholeLimit)
		l.keeps(before, slices.Concat([]string{"publisher"}, members)...)
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
