package dev

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

const (
	// tableRows bounds the members in the live table: what a screen holds.
	tableRows = 40
	// tableEvents is how many of the last lines are shown below it.
	tableEvents = 8
	// lineInterval is how often the state is printed where nothing can be
	// redrawn.
	lineInterval = 5 * time.Second
)

// A display shows the run to a person: a live table on a terminal, lines
// elsewhere. It is owned by the goroutine in Run.
type display struct {
	out      io.Writer
	terminal bool
	events   []string
	last     time.Time
}

func newDisplay(cfg Config) *display {
	out := cfg.Progress
	if out == nil {
		out = io.Discard
	}
	return &display{out: out, terminal: cfg.Terminal}
}

// line reports what the harness does. What cannot be shown is lost: a broken
// terminal must not end the run.
func (d *display) line(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	d.remember(s)
	_, _ = fmt.Fprintln(d.out, s)
}

// remember keeps a line for the table; without a table it is not shown.
func (d *display) remember(s string) {
	d.events = append(d.events, s)
	if len(d.events) > tableEvents {
		d.events = d.events[1:]
	}
}

// table shows the state.
func (d *display) table(s *inspect.Snapshot) {
	switch {
	case d.terminal:
		const home, clearBelow = "\x1b[H\x1b[2J", "\x1b[J"
		_, _ = io.WriteString(d.out, home+table(s)+strings.Join(d.events, "\n")+"\n"+clearBelow)
	case s.Time.Sub(d.last) >= lineInterval:
		d.last = s.Time
		_, _ = fmt.Fprintln(d.out, line(s))
	}
}

// table is the state as a person reads it: one line per member, with the parent
// of the first stream and the worst figures of all.
func table(s *inspect.Snapshot) string {
	var b strings.Builder
	for _, c := range s.Coordinators {
		role := "follower"
		switch {
		case !c.Alive:
			role = "dead"
		case c.Leader:
			role = "LEADER"
		}
		fmt.Fprintf(&b, "%s %s   ", c.Name, role)
	}
	fmt.Fprintf(&b, "\n%s\n\n", line(s))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	// A strings.Builder does not fail.
	_, _ = fmt.Fprintln(w, "MEMBER\tUPLINK\tSENDING\tCHILDREN\tPARENT\tSTANDBYS\tDELAY p50\tp99\tRECEIVED\tLOST\tLONGEST GAP")
	names := names(s)
	for i, m := range s.Members {
		if i == tableRows {
			_, _ = fmt.Fprintf(w, "... and %d more\n", len(s.Members)-tableRows)
			break
		}
		_, _ = fmt.Fprintln(w, memberRow(m, names))
	}
	_ = w.Flush()
	return b.String() + "\n"
}

func memberRow(m inspect.MemberState, names map[string]string) string {
	parent := ""
	switch {
	case !m.Alive:
		return fmt.Sprintf("%s\t%d\t\t\tkilled\t\t\t\t\t\t", m.Name, m.UplinkKbps)
	case len(m.Streams) == 0:
		parent = "(publishes)"
	default:
		parent = names[m.Streams[0].Parent]
	}
	var sum inspect.StreamState
	for _, r := range m.Streams {
		sum.Received += r.Received
		sum.Lost += r.Lost
		sum.DelayMsP50 = max(sum.DelayMsP50, r.DelayMsP50)
		sum.DelayMsP99 = max(sum.DelayMsP99, r.DelayMsP99)
		sum.GapMsMax = max(sum.GapMsMax, r.GapMsMax)
		sum.Standbys = r.Standbys
	}
	return fmt.Sprintf("%s\t%d\t%d\t%d\t%s\t%d\t%.1f\t%.1f\t%d\t%d\t%.0f", m.Name, m.UplinkKbps, m.SendingKbps,
		m.Children, parent, len(sum.Standbys), sum.DelayMsP50, sum.DelayMsP99, sum.Received, sum.Lost, sum.GapMsMax)
}
