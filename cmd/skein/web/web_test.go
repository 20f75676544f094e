package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/skein-mesh/skein/cmd/skein/web"
)

func serve(t *testing.T, ready func() error) (*web.Server, *web.Feed) {
	t.Helper()
	feed := web.NewFeed()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "skein_test"}, func() float64 { return 7 }))
	s, err := web.Serve(t.Context(), "127.0.0.1:0", web.Handler(web.Config{
		Ready: ready, State: func() any { return map[string]int{"answer": 42} }, Feed: feed, Metrics: registry,
	}), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, feed
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func TestPaths(t *testing.T) {
	var ready atomic.Bool
	s, _ := serve(t, func() error {
		if ready.Load() {
			return nil
		}
		return errors.New("waiting for a leader")
	})
	for _, c := range []struct {
		path string
		code int
		body string
	}{
		{"healthz", 200, "ok"}, {"readyz", 503, "waiting for a leader"}, {"metrics", 200, "skein_test 7"},
		{"state", 200, `"answer": 42`}, {"", 200, "/events"}, {"nothing", 404, ""},
	} {
		if code, body := get(t, s.URL()+c.path); code != c.code || !strings.Contains(body, c.body) {
			t.Errorf("/%s: %d %q, want %d with %q", c.path, code, body, c.code, c.body)
		}
	}
	ready.Store(true)
	if code, _ := get(t, s.URL()+"readyz"); code != 200 {
		t.Errorf("/readyz of a ready node: %d", code)
	}
}

// events reads n events of a stream, "id kind data" each.
func events(t *testing.T, url, lastID string, n int) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var out []string
	var fields []string
	for sc := bufio.NewScanner(r.Body); len(out) < n && sc.Scan(); {
		if _, value, ok := strings.Cut(sc.Text(), ": "); ok {
			fields = append(fields, value)
			continue
		}
		out, fields = append(out, strings.Join(fields, " ")), nil
	}
	return out
}

func TestEventsAreRememberedAndResumed(t *testing.T) {
	s, feed := serve(t, func() error { return nil })
	feed.Publish("event", "one")
	feed.Publish("state", "not remembered")
	feed.Publish("event", json.RawMessage(`{"n":2}`))
	if got, want := strings.Join(events(t, s.URL()+"events", "", 2), "|"), `1 event "one"|3 event {"n":2}`; got != want {
		t.Errorf("from the start: %s, want %s", got, want)
	}
	if got, want := strings.Join(events(t, s.URL()+"events", "1", 1), "|"), `3 event {"n":2}`; got != want {
		t.Errorf("after 1: %s, want %s", got, want)
	}
}

func TestClosingEndsListeners(t *testing.T) {
	s, feed := serve(t, func() error { return nil })
	feed.Publish("event", 1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	s.Close()
	if _, err := io.ReadAll(r.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestAPortInUseIsAnError(t *testing.T) {
	s, _ := serve(t, func() error { return nil })
	_, err := web.Serve(t.Context(), s.Addr().String(), http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second server at %s: %v", s.Addr(), err)
	}
}
