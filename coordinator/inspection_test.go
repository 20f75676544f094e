package coordinator

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// A watcher reads the events of the leader.
type watcher struct {
	p      *participant
	stream skeinv1.Inspection_WatchClient
	last   uint64
}

func (p *participant) watch(after uint64) *watcher {
	p.c.t.Helper()
	p.leader()
	i := p.c.leader()
	p.at(i)
	stream, err := skeinv1.NewInspectionClient(p.conns[i]).Watch(p.c.t.Context(), &skeinv1.WatchRequest{Region: "r1", After: after})
	if err != nil {
		p.c.t.Fatal(err)
	}
	return &watcher{p: p, stream: stream}
}

// until reads on to an event of a kind about a member.
func (w *watcher) until(kind string, m region.MemberID) *skeinv1.Event {
	w.p.c.t.Helper()
	for {
		r, err := w.stream.Recv()
		if err != nil {
			w.p.c.t.Fatalf("watch for %s: %v", kind, err)
		}
		w.last = r.Revision
		for _, e := range r.Events {
			if e.Kind == kind && e.Member == string(m) {
				return e
			}
		}
	}
}

func TestAWatcherResumesWhereItWas(t *testing.T) {
	c := newCluster(t, 1, func(cfg *Config) { cfg.EventHistory = 8 })
	p := c.participant(1000)
	joined := p.join()
	w := p.watch(joined.Revision)
	p.publish("one")
	if e := w.until("stream.published", p.id()); e.Stream != "one" {
		t.Errorf("event: %v", e)
	}
	after := w.last
	p.publish("two")
	if e := p.watch(after).until("stream.published", p.id()); e.Stream != "two" {
		t.Errorf("resumed at: %v", e)
	}
	for range 10 {
		q := c.participant(0)
		q.join()
	}
	if _, err := p.watch(after).stream.Recv(); status.Code(err) != codes.OutOfRange {
		t.Errorf("after too long: %v", err)
	}
}

func TestWhatPeopleSee(t *testing.T) {
	c := newCluster(t, 1, nil)
	origin, child := c.participant(5000), c.participant(0)
	origin.join()
	origin.publish("cam")
	child.join()
	child.admit("cam")
	inspect := skeinv1.NewInspectionClient(origin.conns[0])
	state, err := inspect.Status(t.Context(), &skeinv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	g := state.Groups[0]
	if g.State != "leader" || g.Members != 2 || g.Streams != 1 || g.Health != "ok" || g.Admissions.Placed != 1 || len(g.StateHash) != 64 {
		t.Errorf("status: %v", g)
	}
	streams, err := inspect.Streams(t.Context(), &skeinv1.StreamsRequest{Region: "r1"})
	if err != nil || len(streams.Streams) != 1 || streams.Streams[0].Subscribers != 1 || streams.Streams[0].Depth != 1 {
		t.Errorf("streams: %v, %v", streams, err)
	}
	trees, err := inspect.Trees(t.Context(), &skeinv1.TreesRequest{Region: "r1", Stream: "cam"})
	if err != nil || len(trees.Trees) != 1 || len(trees.Trees[0].Nodes) != 2 {
		t.Errorf("trees: %v, %v", trees, err)
	}
	if _, err := inspect.Trees(t.Context(), &skeinv1.TreesRequest{Region: "r1", Stream: "no"}); status.Code(err) != codes.NotFound {
		t.Errorf("a stream that does not exist: %v", err)
	}
	if _, err := inspect.Members(t.Context(), &skeinv1.MembersRequest{Region: "r9"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a region that is not hosted here: %v", err)
	}

	web := httptest.NewServer(c.servers[0].Handler())
	defer web.Close()
	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": "ok",
		"/metrics": `skein_admissions_total{outcome="placed",region="r1"} 1`,
		"/state":   string(child.id()),
	} {
		if body := get(t, web.URL+path); !strings.Contains(body, want) {
			t.Errorf("%s does not hold %q:\n%.2000s", path, want, body)
		}
	}
	var view struct {
		Members []struct{ Member struct{ Id string } }
		Trees   []struct{ Nodes []struct{ Parent string } }
	}
	if err := json.Unmarshal([]byte(get(t, web.URL+"/state?region=r1")), &view); err != nil || len(view.Members) != 2 || len(view.Trees[0].Nodes) != 2 {
		t.Errorf("/state: %+v, %v", view, err)
	}

	resp, err := http.Get(web.URL + "/events?after=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data: ") && strings.Contains(lines.Text(), "edge.admitted") {
			return
		}
	}
	t.Error("/events ended without the admission")
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", url, resp.Status, err, body)
	}
	return string(body)
}
