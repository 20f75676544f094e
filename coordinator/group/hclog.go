package group

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/hashicorp/go-hclog"
)

// raftLogger carries the library's words into ours, one level lower: what is
// news to it is seldom news to an operator.
func raftLogger(log *slog.Logger) hclog.Logger {
	level := hclog.Warn
	if log.Enabled(context.Background(), slog.LevelDebug) {
		level = hclog.Debug
	}
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Output: io.Discard, Level: hclog.Off})
	l.RegisterSink(&hclogSink{log: log, level: level})
	return l
}

type hclogSink struct {
	log   *slog.Logger
	level hclog.Level
}

// Accept is part of hclog.SinkAdapter.
func (s *hclogSink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	if level < s.level {
		return
	}
	to := slog.LevelDebug
	switch level {
	case hclog.Error:
		to = slog.LevelWarn
	case hclog.Warn:
		to = slog.LevelInfo
	}
	plain := make([]any, len(args))
	for i, a := range args {
		if err, ok := a.(error); ok && errors.Is(err, net.ErrClosed) {
			to = slog.LevelDebug // what a replica that stops says of its connections
		}
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			a = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
		plain[i] = a
	}
	s.log.Log(context.Background(), to, "raft: "+msg, plain...)
}
