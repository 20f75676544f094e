package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/region"
)

const (
	// roundPoll is how often a round is looked at until it has ended, roundLimit
	// for how long at most: a round has 16 moves, each with 2 s to be agreed to
	// and 5 to be confirmed.
	roundPoll  = 500 * time.Millisecond
	roundLimit = 2 * time.Minute
)

func (a *app) plan() *cobra.Command {
	var o inspect.PlanOptions
	var stream string
	cmd := a.inspection("plan", "Show how trees could become better, or have it done",
		"  skein plan\n  skein plan --stream camera-1/video -o json\n  skein plan --apply --check-revision 120", cobra.NoArgs,
		func(ctx context.Context, c *inspect.Client, f *clientFlags, _ []string) error {
			o.Stream = region.StreamID(stream)
			p, err := c.Plan(ctx, f.regionID(), o)
			if err != nil {
				return err
			}
			if p.Round == 0 {
				return a.print(p, func(w io.Writer) { planTable(w, p) })
			}
			r, err := awaitRound(ctx, c, f.regionID(), p.Round)
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) { roundTable(w, r) })
		})
	cmd.Long = `Show the moves that the leader would propose now, what each saves all members
together, what those it touches have against it, and the delay of streams
before and after. Nothing is changed unless --apply is given; then a round of
reorganisation begins, which plans anew as it goes, and its outcome is shown.`
	cmd.Flags().StringVar(&stream, "stream", "", "only the tree of this stream")
	cmd.Flags().BoolVar(&o.Apply, "apply", false, "carry it out, as far as those it touches agree")
	cmd.Flags().Uint64Var(&o.Revision, "check-revision", 0, "only if the region is still at this revision; 0 = whatever it is")
	return cmd
}

// awaitRound waits until a round has ended.
func awaitRound(ctx context.Context, c *inspect.Client, r region.ID, id uint64) (inspect.Round, error) {
	ctx, cancel := context.WithTimeout(ctx, roundLimit)
	defer cancel()
	for {
		rounds, err := c.Rounds(ctx, r)
		if err != nil {
			return inspect.Round{}, err
		}
		found := false
		for _, x := range rounds {
			if x.ID == id && x.Ended != nil {
				return x, nil
			}
			found = found || x.ID == id
		}
		if !found {
			return inspect.Round{}, fmt.Errorf("round %d: another leader has taken over; what was agreed to goes on: see skein events: %w", id, region.ErrNotLeader)
		}
		select {
		case <-ctx.Done():
			return inspect.Round{}, fmt.Errorf("round %d goes on: %w", id, context.Cause(ctx))
		case <-time.After(roundPoll):
		}
	}
}

func planTable(w io.Writer, p inspect.Plan) {
	if len(p.Moves) == 0 {
		row(w, fmt.Sprintf("revision %d: no move is worth its while", p.Revision))
		return
	}
	moveTable(w, p.Moves)
	row(w, "\nSTREAM", "AVERAGE NOW", "THEN", "WORST NOW", "THEN")
	for _, s := range p.Streams {
		row(w, s.Stream, millis(s.AverageBeforeMs), millis(s.AverageAfterMs), millis(s.WorstBeforeMs), millis(s.WorstAfterMs))
	}
	row(w, fmt.Sprintf("\nrevision %d: the cost of all trees, %s, could be %s", p.Revision, millis(p.CostBeforeMs), millis(p.CostAfterMs)))
}

func roundTable(w io.Writer, r inspect.Round) {
	moveTable(w, r.Moves)
	row(w, fmt.Sprintf("\nround %d: %s", r.ID, r.Outcome))
}

func moveTable(w io.Writer, moves []inspect.Move) {
	row(w, "MOVE", "GAIN", "KIND", "STREAM", "MEMBER", "FROM", "TO", "STATE", "OBJECTIONS")
	for i, m := range moves {
		for k, s := range m.Steps {
			if k > 0 {
				row(w, "", "", "", s.Stream, s.Member, s.From, s.To)
				continue
			}
			row(w, i+1, millis(m.GainMs), m.Kind, s.Stream, s.Member, s.From, s.To, m.State, objections(m))
		}
	}
}

func objections(m inspect.Move) string {
	var list []string
	for _, o := range m.Objections {
		list = append(list, strings.Join(strings.Fields(o.Member+": "+o.Reason+" "+o.About+" "+o.Detail), " "))
	}
	return strings.Join(list, "; ")
}

// gainText is empty where nothing is gained.
func gainText(ms float64) string {
	if ms == 0 {
		return ""
	}
	return millis(ms)
}
