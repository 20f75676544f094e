package web

import (
	"context"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// static holds the page: plain HTML, CSS and JavaScript modules.
//
//go:embed static
var static embed.FS

// maxOrder bounds the body of an order, in bytes.
const maxOrder = 4 << 10

// Orders are what a testnet lets people do to it from the page.
type Orders struct {
	// Token must come with every order, as bearer token.
	Token string
	// Known lists what may be ordered, as the page shows it.
	Known []string
	// Do carries an order out. It returns when it is done.
	Do func(context.Context, Order) error
}

// An Order is a wish of somebody who looks at the page.
type Order struct {
	Do   string `json:"do"`
	Node string `json:"node"`           // name or id; empty for what is about no node
	Peer string `json:"peer,omitempty"` // the other one, for what is about a pair
}

// A Page shows a region as it lives. Whoever made it feeds it with Show and
// Note, or lets it Follow a region. It may be used by any goroutine.
type Page struct {
	orders  *Orders // nil if nothing may be ordered
	feed    *Feed
	history history
	pool    pool
	latest  atomic.Pointer[inspect.Snapshot]
	readers chan struct{}
}

// NewPage returns a page; orders may be nil.
func NewPage(orders *Orders) *Page {
	return &Page{orders: orders, feed: NewFeed(), readers: make(chan struct{}, maxReaders)}
}

// Show makes s the present, after it has added the pace of gossip. The page keeps
// it and nobody may change it.
func (p *Page) Show(s *inspect.Snapshot) {
	s.GossipEventsPerS = p.pool.pace(s)
	p.latest.Store(s)
	p.history.add(s)
	p.feed.Publish("state", s)
}

// Note passes an event on.
func (p *Page) Note(e inspect.Event) { p.feed.Publish("event", e) }

// Watched reports whether anybody looks at the page.
func (p *Page) Watched() bool { return p.feed.heard() }

// Feed is what listeners to the page are told.
func (p *Page) Feed() *Feed { return p.feed }

// Latest is what the page shows now; nil if nothing yet.
func (p *Page) Latest() *inspect.Snapshot { return p.latest.Load() }

// Handler serves the page at / and its data below /page/:
//
//	state    the present, as JSON
//	events   snapshots (event: state) and events (event: event) as they come
//	history  which moments of the last ten minutes are held
//	moment   ?at=MS: the snapshot of that time, or the last one before it
//	orders   GET: what may be ordered; POST: an Order
func (p *Page) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", files())
	mux.HandleFunc("GET /page/state", func(w http.ResponseWriter, _ *http.Request) {
		if s := p.latest.Load(); s != nil {
			answerJSON(w, s)
			return
		}
		http.Error(w, "nothing is known yet", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("GET /page/events", bounded(p.readers, p.feed.serve))
	mux.HandleFunc("GET /page/history", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, p.history.moments()) })
	mux.HandleFunc("GET /page/moment", p.serveMoment)
	mux.HandleFunc("GET /page/orders", func(w http.ResponseWriter, _ *http.Request) {
		known := []string{}
		if p.orders != nil {
			known = p.orders.Known
		}
		answerJSON(w, known)
	})
	mux.HandleFunc("POST /page/orders", p.serveOrder)
	return mux
}

func (p *Page) serveMoment(w http.ResponseWriter, r *http.Request) {
	at, err := strconv.ParseInt(r.FormValue("at"), 10, 64)
	if err != nil {
		http.Error(w, "at: want a Unix time in milliseconds", http.StatusBadRequest)
		return
	}
	data, ok := p.history.moment(time.UnixMilli(at))
	if !ok {
		http.Error(w, "that moment is not held any more", http.StatusGone)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write(data) // a failing write means that the reader is gone
}

func (p *Page) serveOrder(w http.ResponseWriter, r *http.Request) {
	if p.orders == nil {
		http.Error(w, "nothing may be ordered here: only a testnet of skein dev takes orders", http.StatusForbidden)
		return
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if subtle.ConstantTimeCompare([]byte(token), []byte(p.orders.Token)) != 1 {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "the token is missing or wrong: open the page by the address that skein dev prints", http.StatusUnauthorized)
		return
	}
	var o Order
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		http.Error(w, fmt.Sprintf("not an order: %v", err), http.StatusBadRequest)
		return
	}
	if err := p.orders.Do(r.Context(), o); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// files serves the embedded files. The page loads nothing from elsewhere, and
// may not.
func files() http.Handler {
	root, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the embedded folder has that name
	}
	server := http.FileServerFS(root)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		server.ServeHTTP(w, r)
	})
}

// bounded lets as many requests in at a time as slots holds.
func bounded(slots chan struct{}, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next(w, r)
		default:
			w.Header().Set("Retry-After", "5")
			http.Error(w, "too many listeners", http.StatusServiceUnavailable)
		}
	}
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // a failing write means that the reader is gone
}
