package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxReaders bounds the listeners of /events per node.
const maxReaders = 256

// A Config says what a node answers.
type Config struct {
	// Ready returns nil when the node can do its job, or what it waits for.
	Ready func() error
	// State returns what /state shows, fit for JSON.
	State func() any
	// Feed is what /events passes on.
	Feed *Feed
	// Metrics is what /metrics collects.
	Metrics prometheus.Gatherer
	// Page is what / shows; nil = a list of the paths.
	Page *Page
	// Door answers below /whip/, /whep/ and /door/; nil = nobody does.
	Door http.Handler
}

// Handler serves the paths named in the package comment.
func Handler(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := cfg.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		answer(w, "ok\n")
	})
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) {
		data, err := json.MarshalIndent(cfg.State(), "", "  ")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		answer(w, string(data)+"\n")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /events", bounded(make(chan struct{}, maxReaders), cfg.Feed.serve))
	more := ""
	if cfg.Door != nil {
		for _, path := range []string{"/whip/", "/whep/", "/door/"} {
			mux.Handle(path, cfg.Door)
		}
		more = "/door/    publish and watch with a browser; /whip/NAME and /whep/NAME for others\n"
	}
	if cfg.Page != nil {
		mux.Handle("/", cfg.Page.Handler())
		return mux
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, "skein\n\n/state    the node as JSON\n/events   what happens, as server-sent events\n/metrics  for Prometheus\n/healthz  the process works\n/readyz   it can do its job\n"+more)
	})
	return mux
}

// answer writes a body; a client that has gone away is no error of ours.
func answer(w http.ResponseWriter, body string) { _, _ = w.Write([]byte(body)) }

// serve sends events until the client goes away or falls behind.
func (f *Feed) serve(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64) // absent or foreign: from the start
	missed, messages := f.listen(after)
	defer f.leave(messages)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	c := http.NewResponseController(w)
	send := func(m message) bool {
		_, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", m.id, m.kind, m.data)
		return err == nil
	}
	for _, m := range missed {
		if !send(m) {
			return
		}
	}
	// Proxies and browsers cut connections on which nothing comes.
	alive := time.NewTicker(15 * time.Second)
	defer alive.Stop()
	for c.Flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case <-alive.C:
			answer(w, ": still here\n\n")
		case m, ok := <-messages:
			if !ok || !send(m) {
				return
			}
		}
	}
}

// A Server serves a handler at an address.
type Server struct {
	http *http.Server
	addr net.Addr
	done chan struct{}
}

// Serve listens at addr and serves h until Close. An address in use is an error.
func Serve(ctx context.Context, addr string, h http.Handler, log *slog.Logger) (*Server, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.Background())
	s := &Server{
		http: &http.Server{
			Handler:           h,
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    1 << 16,
			BaseContext:       func(net.Listener) context.Context { return life },
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
		addr: l.Addr(), done: make(chan struct{}),
	}
	s.http.RegisterOnShutdown(end)
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the page is not served any more", "error", err)
		}
	}()
	return s, nil
}

// Addr is the address listened on.
func (s *Server) Addr() net.Addr { return s.addr }

// URL is where a browser finds the server.
func (s *Server) URL() string { return "http://" + s.addr.String() + "/" }

// Close ends all connections, gives running answers a second, and waits.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		// What is still open now is cut off; that cannot fail in a way that
		// matters.
		_ = s.http.Close()
	}
	<-s.done
}
