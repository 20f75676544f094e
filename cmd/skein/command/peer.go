package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/region"
)

const peerLong = `Communities that trust each other in part share streams without a common CA.

Each region agrees with the other community by itself, and what it has agreed on is
in its log; regions that have agreed on nothing are not there for the others. One
side lets its streams be drawn (--draw), the other says where to find them (--seeds);
for both ways, both say both. Streams are looked for in the other community if their
names begin with what it is called here and a slash: with a community west the stream
west/stage, which has that name there as well. Members of the other community draw
what is shared, as visitors and one or two for each of their regions; they may do
nothing else. 'skein peer remove' ends it within seconds.`

// peer is the parent of what is agreed on with other communities.
func (a *app) peer() *cobra.Command {
	cmd := &cobra.Command{
		Use: "peer", Short: "Share streams with communities that have a CA of their own", Long: peerLong,
		Example: `  skein peer list                                  # prints the hash to give to the other side
  skein peer add east --ca HASH --draw 'west/*'    # in west, which lets its streams be drawn
  skein peer add west --ca HASH --seeds 192.0.2.7:7400,192.0.2.8:7400   # in east, which draws them
  skein play west/stage --coordinators 10.0.0.1:7400`,
	}
	cmd.AddCommand(a.addPeer(), a.listPeers(), a.removePeer())
	return cmd
}

// A peerResult is what add and remove print.
type peerResult struct {
	Name    string   `json:"name"`
	Regions []string `json:"regions"`
}

func (a *app) addPeer() *cobra.Command {
	next := inspect.Agreement{Visitors: 16}
	all := false
	cmd := a.inspection("add NAME", "Agree on something with another community, or change what was agreed on",
		"  skein peer add east --ca HASH --draw 'west/*'\n  skein peer add west --ca HASH --seeds 192.0.2.7:7400 --all", cobra.ExactArgs(1),
		func(ctx context.Context, c *inspect.Client, f *clientFlags, args []string) error {
			if next.Name = args[0]; len(next.Draw) == 0 {
				next.Visitors = 0
			}
			return a.eachRegion(ctx, c, f, all, args[0], func(id region.ID) error {
				next.Region = string(id)
				return c.Agree(ctx, next)
			})
		})
	cmd.Long = peerLong + "\n\nOnly operators may. NAME is what the other community is called here."
	f := cmd.Flags()
	f.StringVar(&next.Community, "ca", "", "the hash of its CA, as 'skein peer list' prints it there")
	f.StringSliceVar(&next.Seeds, "seeds", nil, "gRPC addresses of some of its coordinators, to draw its streams; at most 16")
	f.StringSliceVar(&next.Draw, "draw", nil, "streams of this region that it may draw: names, or beginnings of names and a star; at most 16")
	f.Uint32Var(&next.Visitors, "visitors", next.Visitors, "how many of its members may draw streams from this region at a time")
	f.BoolVar(&all, "all", false, "do so in all regions that there are now, not in --region alone")
	return cmd
}

func (a *app) removePeer() *cobra.Command {
	all := false
	cmd := a.inspection("remove NAME", "End an agreement with another community",
		"  skein peer remove east\n  skein peer remove east --all", cobra.ExactArgs(1),
		func(ctx context.Context, c *inspect.Client, f *clientFlags, args []string) error {
			return a.eachRegion(ctx, c, f, all, args[0], func(id region.ID) error {
				err := c.Disagree(ctx, id, args[0])
				if all && errors.Is(err, region.ErrInvalid) {
					return errNone
				}
				return err
			})
		})
	cmd.Long = `End an agreement with another community. Its members lose their places within a
second, and streams that are drawn from there end. What the other side has agreed on
stays in its log until it removes that, too. Only operators may.`
	cmd.Flags().BoolVar(&all, "all", false, "do so in all regions that have one, not in --region alone")
	return cmd
}

func (a *app) listPeers() *cobra.Command {
	all := false
	cmd := a.inspection("list", "List what was agreed on with other communities",
		"  skein peer list\n  skein peer list --all -o json | jq .community", cobra.NoArgs,
		func(ctx context.Context, c *inspect.Client, f *clientFlags, _ []string) error {
			regions, err := regionsFor(ctx, c, f, all)
			if err != nil {
				return err
			}
			p := inspect.Peerings{Agreements: []inspect.Agreement{}}
			for _, id := range regions {
				if err := c.Agreements(ctx, id, &p); err != nil {
					return err
				}
			}
			slices.Sort(p.Known)
			p.Known = slices.Compact(p.Known)
			return a.print(p, func(w io.Writer) {
				row(w, "this community", p.Community)
				row(w, "")
				row(w, "REGION", "NAME", "COMMUNITY", "MAY DRAW", "VISITORS", "SEEDS")
				for _, x := range p.Agreements {
					row(w, x.Region, x.Name, x.Community, strings.Join(x.Draw, " "), x.Visitors, strings.Join(x.Seeds, " "))
				}
				for _, k := range p.Known {
					row(w, "known", k)
				}
			})
		})
	cmd.Long = "List what was agreed on with other communities, which of their regions were heard\nof, and the hash of this community's CA, which the other side needs. Only operators may."
	cmd.Flags().BoolVar(&all, "all", false, "of all regions, not of --region alone")
	return cmd
}

// regionsFor are those a command is about.
func regionsFor(ctx context.Context, c *inspect.Client, f *clientFlags, all bool) ([]region.ID, error) {
	if !all {
		return []region.ID{f.regionID()}, nil
	}
	list, err := c.Regions(ctx, "")
	var ids []region.ID
	for _, r := range list {
		if r.Into == "" {
			ids = append(ids, region.ID(r.ID))
		}
	}
	return ids, err
}

// errNone says of a region that there is nothing to do in it.
var errNone = errors.New("nothing to do")

// eachRegion does something in each region, and tells in which.
func (a *app) eachRegion(ctx context.Context, c *inspect.Client, f *clientFlags, all bool, name string, do func(region.ID) error) error {
	regions, err := regionsFor(ctx, c, f, all)
	if err != nil {
		return err
	}
	done := peerResult{Name: name, Regions: []string{}}
	for _, id := range regions {
		err := do(id)
		if errors.Is(err, errNone) {
			continue
		}
		if err != nil {
			if len(done.Regions) > 0 {
				return fmt.Errorf("region %s: %w (done in %s)", id, err, strings.Join(done.Regions, ", "))
			}
			return fmt.Errorf("region %s: %w", id, err)
		}
		done.Regions = append(done.Regions, string(id))
	}
	return a.print(done, func(w io.Writer) { row(w, done.Name, "region "+strings.Join(done.Regions, ", ")) })
}
