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

func (a *app) tree() *cobra.Command {
	return a.inspection("tree STREAM", "Draw the tree of a stream with its delays", "  skein tree camera-1/video", cobra.ExactArgs(1),
		func(ctx context.Context, c *inspect.Client, f *clientFlags, args []string) error {
			trees, err := c.Trees(ctx, f.regionID(), region.StreamID(args[0]))
			if err != nil {
				return err
			}
			if len(trees) != 1 {
				return fmt.Errorf("%q: %w", args[0], region.ErrUnknownStream)
			}
			members, err := c.Members(ctx, f.regionID())
			if err != nil {
				return err
			}
			return a.print(trees[0], func(w io.Writer) {
				// Errors come up when the table is flushed.
				_, _ = io.WriteString(w, drawTree(trees[0], members))
			})
		})
}

// drawTree draws a tree with one line per member: the delay from the root by
// what the coordinators know, its name, id, and its standbys.
func drawTree(t inspect.Tree, members []inspect.Member) string {
	known := make(map[string]inspect.Member, len(members))
	for _, m := range members {
		known[m.ID] = m
	}
	name := func(id string) string {
		if m := known[id]; m.Name != "" {
			return m.Name
		}
		return id
	}
	children := make(map[string][]inspect.Node)
	var root inspect.Node
	for _, n := range t.Nodes {
		if n.Parent == "" {
			root = n
			continue
		}
		children[n.Parent] = append(children[n.Parent], n)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s at revision %d, %d members\n", t.Stream, t.Revision, len(t.Nodes))
	var draw func(n inspect.Node, delay float64, indent, branch, below string)
	draw = func(n inspect.Node, delay float64, indent, branch, below string) {
		fmt.Fprintf(&b, "%s%s%s  %s", indent, branch, name(n.Member), millis(delay))
		if n.State == "reserved" {
			b.WriteString("  (on its way)")
		}
		if len(n.Standbys) > 0 {
			var names []string
			for _, s := range n.Standbys {
				names = append(names, name(s))
			}
			fmt.Fprintf(&b, "  standbys %s", strings.Join(names, " "))
		}
		b.WriteString("\n")
		forward := known[n.Member].ForwardMs
		if forward == 0 {
			forward = float64(region.DefaultForward) / float64(time.Millisecond)
		}
		for i, c := range children[n.Member] {
			branch, deeper := "├─ ", "│  "
			if i == len(children[n.Member])-1 {
				branch, deeper = "└─ ", "   "
			}
			draw(c, delay+forward+c.HopMs, indent+below, branch, deeper)
		}
	}
	draw(root, 0, "", "", "")
	return b.String()
}
