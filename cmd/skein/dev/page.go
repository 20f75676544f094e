package dev

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/cmd/skein/web"
)

// A page serves the testnet over HTTP. Its handlers read snapshots; what people
// order there is carried out by the goroutine in Run.
type page struct {
	*web.Page
	server *web.Server // nil if no page is wanted
	token  string
	wishes chan wish
	door   atomic.Pointer[http.Handler] // nil until it is open
}

// A wish is an order that waits to be carried out.
type wish struct {
	web.Order
	done chan error
}

func newPage(ctx context.Context, cfg Config) (*page, error) {
	p := &page{token: rand.Text(), wishes: make(chan wish)}
	p.Page = web.NewPage(&web.Orders{Token: p.token, Known: knownOrders(cfg), Do: p.order})
	if cfg.Page == "" {
		return p, nil
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{p.Page})
	var err error
	p.server, err = web.Serve(ctx, cfg.Page, web.Handler(web.Config{
		Ready: func() error {
			if p.Latest() == nil {
				return errors.New("the members are joining")
			}
			return nil
		},
		State:   func() any { return p.Latest() },
		Feed:    p.Feed(),
		Metrics: registry,
		Page:    p.Page,
		Door:    http.HandlerFunc(p.serveDoor),
	}), cfg.Logger)
	if err != nil {
		return nil, fmt.Errorf("--page: %w", err)
	}
	return p, nil
}

// url is where people find the page; the part after # lets them order, and no
// browser sends it to anybody.
func (p *page) url() string {
	if p.server == nil {
		return "nowhere"
	}
	return p.server.URL() + "#token=" + p.token
}

// note tells of what the harness did.
func (p *page) note(kind, node, detail string) {
	p.Note(inspect.Event{Time: time.Now(), Kind: kind, Member: node, Detail: detail})
}

// order hands an order to the goroutine in Run and waits until it is done.
func (p *page) order(ctx context.Context, o web.Order) error {
	w := wish{o, make(chan error, 1)}
	for to := p.wishes; ; to = nil {
		select {
		case to <- w:
		case err := <-w.done:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *page) close() {
	if p.server != nil {
		p.server.Close()
	}
}
