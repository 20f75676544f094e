package world

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// journalLength is how many of the last events a failure prints.
const journalLength = 600

// A journal keeps the last events of a world: the script, what the nodes log and
// what the audience sees. It may be used from any goroutine.
type journal struct {
	began time.Time

	mu     sync.Mutex
	lines  []string // a ring
	next   int
	closed bool
}

func newJournal() *journal { return &journal{began: time.Now(), lines: make([]string, journalLength)} }

func (j *journal) note(format string, args ...any) {
	line := fmt.Sprintf("%9.3f ", time.Since(j.began).Seconds()) + fmt.Sprintf(format, args...)
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closed {
		j.lines[j.next%journalLength] = line
		j.next++
	}
}

// close leaves out what the end of a world brings about.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var b strings.Builder
	for i := max(0, j.next-journalLength); i < j.next; i++ {
		b.WriteString(j.lines[i%journalLength] + "\n")
	}
	return b.String()
}

// alarms are messages of a defect in the node that logs them.
var alarms = []string{
	"a decision would have broken an invariant",
	"an entry was refused by the log",
}

// logger writes what a node logs into the journal.
func (j *journal) logger(name string, alarm func(string, ...any)) *slog.Logger {
	return slog.New(&recorder{journal: j, name: name, alarm: alarm})
}

// A recorder is a slog.Handler.
type recorder struct {
	journal *journal
	name    string
	// alarm is told what no node should ever have to log.
	alarm func(format string, args ...any)
}

func (r *recorder) Enabled(_ context.Context, level slog.Level) bool { return level >= logLevel }

func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	if strings.Contains(record.Message, "memberlist") && record.Level < slog.LevelWarn {
		return nil
	}
	var b strings.Builder
	record.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	r.journal.note("%s: %s%s", r.name, record.Message, b.String())
	if slices.Contains(alarms, record.Message) {
		r.alarm("%s says: %s%s", r.name, record.Message, b.String())
	}
	return nil
}

func (r *recorder) WithAttrs([]slog.Attr) slog.Handler { return r }

func (r *recorder) WithGroup(string) slog.Handler { return r }
