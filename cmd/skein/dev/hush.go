package dev

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// A hush silences the log of a node once it is killed: a dead process would not
// complain of its broken sockets either.
type hush struct {
	slog.Handler
	dead *atomic.Bool
}

func newHush(log *slog.Logger) (*slog.Logger, hush) {
	h := hush{log.Handler(), new(atomic.Bool)}
	return slog.New(h), h
}

func (h hush) silence() { h.dead.Store(true) }

func (h hush) Enabled(ctx context.Context, l slog.Level) bool {
	return !h.dead.Load() && h.Handler.Enabled(ctx, l)
}

func (h hush) WithAttrs(a []slog.Attr) slog.Handler { return hush{h.Handler.WithAttrs(a), h.dead} }

func (h hush) WithGroup(name string) slog.Handler { return hush{h.Handler.WithGroup(name), h.dead} }
