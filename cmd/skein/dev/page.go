package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/cmd/skein/web"
)

// A page serves the testnet over HTTP. Its handlers read snapshots; none of them
// reaches into the testnet.
type page struct {
	client   *inspect.Client
	feed     *web.Feed
	server   *web.Server // nil if no page is wanted
	snapshot atomic.Pointer[Snapshot]
}

func newPage(ctx context.Context, addr string, client *inspect.Client, log *slog.Logger) (*page, error) {
	p := &page{client: client, feed: web.NewFeed()}
	if addr == "" {
		return p, nil
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{p})
	var err error
	p.server, err = web.Serve(ctx, addr, web.Handler(web.Config{
		Ready: func() error {
			if p.snapshot.Load() == nil {
				return errors.New("the members are joining")
			}
			return nil
		},
		State:   func() any { return p.snapshot.Load() },
		Feed:    p.feed,
		Metrics: registry,
		Page:    true,
	}), log)
	if err != nil {
		return nil, fmt.Errorf("--page: %w", err)
	}
	return p, nil
}

func (p *page) url() string {
	if p.server == nil {
		return "nowhere"
	}
	return p.server.URL()
}

func (p *page) publish(s *Snapshot) {
	p.snapshot.Store(s)
	p.feed.Publish("state", s)
}

// note tells of what the harness did.
func (p *page) note(kind, node, detail string) {
	p.feed.Publish("event", inspect.Event{Time: time.Now(), Kind: kind, Member: node, Detail: detail})
}

// follow passes on what happens in the region, until ctx ends.
func (p *page) follow(ctx context.Context) {
	// It ends with ctx only; what the region refuses to tell is not shown.
	_ = p.client.Watch(ctx, regionID, 0, func(e inspect.Event) error {
		p.feed.Publish("event", e)
		return nil
	})
}

func (p *page) close() {
	if p.server != nil {
		p.server.Close()
	}
}
