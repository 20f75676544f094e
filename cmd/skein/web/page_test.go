package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/cmd/skein/web"
)

// show serves a page.
func show(t *testing.T, orders *web.Orders) (*web.Page, string) {
	t.Helper()
	p := web.NewPage(orders)
	s := httptest.NewServer(p.Handler())
	t.Cleanup(s.Close)
	return p, s.URL + "/"
}

// at is a snapshot of a time, in seconds, that can be told from others.
func at(seconds int) *inspect.Snapshot {
	return &inspect.Snapshot{Time: time.Unix(int64(seconds), 0), Admissions: inspect.Admissions{Accepted: uint64(seconds)}}
}

func TestAPageTakesNewcomersAlong(t *testing.T) {
	p, url := show(t, nil)
	if code, _ := get(t, url+"page/state"); code != http.StatusServiceUnavailable {
		t.Errorf("the state of nothing: %d", code)
	}
	p.Show(at(1))
	p.Note(inspect.Event{Kind: "member.joined"})
	p.Show(at(2))
	got := events(t, url+"page/events", "", 2)
	if !strings.Contains(got[0], "member.joined") || !strings.Contains(got[1], `"accepted":2`) {
		t.Errorf("a newcomer is told %q, want the event and the last state", got)
	}
}

func TestTenMinutesAreKept(t *testing.T) {
	p, url := show(t, nil)
	for s := range 1000 {
		p.Show(at(s))
	}
	_, body := get(t, url+"page/history")
	var moments []struct {
		AtMs       int64 `json:"at_ms"`
		Admissions inspect.Admissions
	}
	if err := json.Unmarshal([]byte(body), &moments); err != nil {
		t.Fatal(err)
	}
	if len(moments) != 601 || moments[0].AtMs != 399_000 || moments[0].Admissions.Accepted != 399 {
		t.Fatalf("%d moments from %+v on, want 601 from 399 s on", len(moments), moments[0])
	}
	for ms, want := range map[int]string{500_000: `"accepted":500,`, 500_999: `"accepted":500,`, 2_000_000: `"accepted":999,`} {
		if code, body := get(t, fmt.Sprintf("%spage/moment?at=%d", url, ms)); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("at %d ms: %d %s, want %s", ms, code, body, want)
		}
	}
	for query, want := range map[string]int{"?at=1000": http.StatusGone, "": http.StatusBadRequest, "?at=noon": http.StatusBadRequest} {
		if code, _ := get(t, url+"page/moment"+query); code != want {
			t.Errorf("moment%s: %d, want %d", query, code, want)
		}
	}
}

func TestMomentsThatAreTooNearAreNotKept(t *testing.T) {
	p, url := show(t, nil)
	for i := range 20 {
		p.Show(&inspect.Snapshot{Time: time.Unix(0, int64(i)*int64(100*time.Millisecond))})
	}
	if _, body := get(t, url+"page/history"); strings.Count(body, "at_ms") != 3 {
		t.Errorf("of two seconds it keeps %s", body)
	}
}

func TestOrders(t *testing.T) {
	var done []web.Order
	_, url := show(t, &web.Orders{Token: "secret", Known: []string{"kill"}, Do: func(_ context.Context, o web.Order) error {
		if o.Node == "nobody" {
			return errors.New("no node is called nobody")
		}
		done = append(done, o)
		return nil
	}})
	if _, body := get(t, url+"page/orders"); body != "[\"kill\"]\n" {
		t.Errorf("what may be ordered: %s", body)
	}
	for _, c := range []struct {
		token, body string
		code        int
	}{
		{"", `{"do":"kill","node":"a"}`, http.StatusUnauthorized},
		{"Bearer wrong", `{"do":"kill","node":"a"}`, http.StatusUnauthorized},
		{"Bearer secret", `kill a`, http.StatusBadRequest},
		{"Bearer secret", `{"do":"kill","node":"a","really":true}`, http.StatusBadRequest},
		{"Bearer secret", `{"node":"` + strings.Repeat("a", 5000) + `"}`, http.StatusBadRequest},
		{"Bearer secret", `{"do":"kill","node":"nobody"}`, http.StatusConflict},
		{"Bearer secret", `{"do":"kill","node":"a"}`, http.StatusNoContent},
	} {
		if code := order(t, url, c.token, c.body); code != c.code {
			t.Errorf("%q with token %q: %d, want %d", c.body[:10], c.token, code, c.code)
		}
	}
	if len(done) != 1 || done[0] != (web.Order{Do: "kill", Node: "a"}) {
		t.Errorf("carried out: %v", done)
	}
}

func TestWhereNothingMayBeOrdered(t *testing.T) {
	_, url := show(t, nil)
	if _, body := get(t, url+"page/orders"); body != "[]\n" {
		t.Errorf("what may be ordered: %s", body)
	}
	if code := order(t, url, "Bearer ", `{"do":"kill","node":"a"}`); code != http.StatusForbidden {
		t.Errorf("an order: %d", code)
	}
}

func order(t *testing.T, url, token, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"page/orders", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", token)
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	return r.StatusCode
}

func TestThePageLoadsNothingFromElsewhere(t *testing.T) {
	_, url := show(t, nil)
	for _, f := range []string{"", "app.js", "map.js", "panel.js", "style.css"} {
		code, body := get(t, url+f)
		if code != http.StatusOK {
			t.Errorf("/%s: %d", f, code)
		}
		if strings.Contains(body, "//cdn") || strings.Contains(body, "https://") {
			t.Errorf("/%s refers to another host", f)
		}
	}
}

func TestThePaceOfGossipIsThatOfAllMembers(t *testing.T) {
	p := web.NewPage(nil)
	show := func(second int, told map[string]uint64) float64 {
		s := at(second)
		for id, n := range told {
			s.Members = append(s.Members, inspect.MemberState{ID: id, GossipEvents: n})
		}
		p.Show(s)
		return p.Latest().GossipEventsPerS
	}
	for second, c := range []struct {
		told map[string]uint64
		want float64
	}{
		{map[string]uint64{"a": 100, "b": 7}, 0}, // what was before is not counted
		{map[string]uint64{"a": 103, "b": 8}, 4},
		{map[string]uint64{"a": 103}, 2},                // who leaves takes nothing along
		{map[string]uint64{"a": 104, "c": 50}, 5.0 / 3}, // nor does a newcomer bring any
		{map[string]uint64{"a": 2, "c": 53}, 2},         // a began anew
	} {
		if got := show(second, c.told); got != c.want {
			t.Errorf("after %d s: %v events per second, want %v", second, got, c.want)
		}
	}
	if got := show(60, map[string]uint64{"a": 2, "c": 53}); got != 0 {
		t.Errorf("a minute later: %v events per second", got)
	}
}
