package member

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/member/gossip"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// NearestRegion as Config.Region lets a member live in the nearest region with room, by
// the round-trip times to a few members of each.
const NearestRegion region.ID = "nearest"

// nobody is the distance of a region that nobody lives in yet: it is chosen if no
// other has room.
const nobody = time.Duration(math.MaxInt64)

// settle joins the region that was asked for or, if that is NearestRegion, the nearest
// one that takes the member in.
func (n *Node) settle(ctx context.Context, socket *gossip.Socket) (*skeinv1.JoinResponse, error) {
	if n.cfg.Region != NearestRegion {
		return n.join(ctx, 0, socket)
	}
	regions, err := n.byDistance(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range regions {
		n.at.Store(&address{region: d.Region, left: make(chan struct{})})
		addresses := make([]string, 0, len(d.Replicas))
		for _, h := range d.Replicas {
			addresses = append(addresses, h.GRPC)
		}
		n.group.prefer(addresses)
		answer, err := n.join(ctx, 0, socket)
		if !errors.Is(err, region.ErrLimit) {
			return answer, err
		}
	}
	return nil, fmt.Errorf("none of %d regions has room: %w", len(regions), region.ErrLimit)
}

// regions lists those that are not over.
func (n *Node) regions(ctx context.Context) ([]region.Descriptor, error) {
	var answer *skeinv1.RegionsResponse
	err := n.group.call(ctx, func(ctx context.Context, c client) (err error) {
		answer, err = c.Regions(ctx, &skeinv1.RegionsRequest{})
		return err
	})
	if err != nil {
		return nil, err
	}
	var list []region.Descriptor
	for _, e := range answer.GetRegions() {
		d, err := skeinv1.OpenDescriptor(e.GetSigned())
		if err != nil {
			return nil, fmt.Errorf("answer: %w", err)
		}
		if !d.Over() {
			list = append(list, d)
		}
	}
	return list, nil
}

// byDistance lists the regions that have room, the nearest first.
func (n *Node) byDistance(ctx context.Context) ([]region.Descriptor, error) {
	list, err := n.regions(ctx)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(d region.Descriptor) bool { return d.Room() == 0 })
	if len(list) == 0 {
		return nil, fmt.Errorf("no region has room: %w", region.ErrLimit)
	}
	distances := n.distances(ctx, list)
	slices.SortStableFunc(list, func(a, b region.Descriptor) int {
		return cmp.Or(cmp.Compare(distances[a.Region], distances[b.Region]), cmp.Compare(b.Room(), a.Room()), cmp.Compare(a.Region, b.Region))
	})
	return list, nil
}

// distances measures how far regions are, all at once, for at most
// Config.ProbeTimeout: the mean over the members whose addresses they give. One
// that does not answer counts as that far.
func (n *Node) distances(ctx context.Context, list []region.Descriptor) map[region.ID]time.Duration {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ProbeTimeout)
	defer cancel()
	var wg sync.WaitGroup
	rtts := make([][region.MaxProbes]time.Duration, len(list))
	for i, d := range list {
		for k, address := range d.Probes {
			wg.Go(func() {
				rtt, err := n.transport.Probe(ctx, address)
				if err != nil {
					rtt = n.cfg.ProbeTimeout
				}
				rtts[i][k] = rtt
			})
		}
	}
	wg.Wait()
	out := make(map[region.ID]time.Duration, len(list))
	for i, d := range list {
		if len(d.Probes) == 0 {
			out[d.Region] = nobody
			continue
		}
		var sum time.Duration
		for _, rtt := range rtts[i][:len(d.Probes)] {
			sum += rtt
		}
		out[d.Region] = sum / time.Duration(len(d.Probes))
	}
	return out
}

const (
	// A region is clearly nearer if it is at most nearerShare as far as the own one, and
	// by nearerLeast, nearerLooks times in a row.
	nearerShare = 0.7
	nearerLeast = 10 * time.Millisecond
	nearerLooks = 3
	// maxLooked bounds the regions that one look measures, the own one included.
	maxLooked = 10
)

// lookAround finds out, again and again until ctx ends, whether another region is
// clearly nearer than the own one. To live there is up to the coordinators.
func (n *Node) lookAround(ctx context.Context) {
	streak, last := 0, region.ID("")
	for {
		timer := time.NewTimer(n.cfg.LookAround/2 + rand.N(n.cfg.LookAround))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		nearer, err := n.nearer(ctx)
		if err != nil {
			n.log.Debug("regions not measured", "err", err)
			continue
		}
		if nearer != last || nearer == "" {
			streak, last = 0, nearer
		}
		if streak++; nearer == "" || streak < nearerLooks {
			nearer = ""
		}
		n.longing.Store(&nearer)
	}
}

// nearer is the region that is clearly nearer than the own one by this look; empty if
// none is.
func (n *Node) nearer(ctx context.Context) (region.ID, error) {
	list, err := n.regions(ctx)
	if err != nil {
		return "", err
	}
	home := n.residence.region()
	i := slices.IndexFunc(list, func(d region.Descriptor) bool { return d.Region == home })
	if i < 0 || len(list[i].Probes) == 0 {
		return "", nil
	}
	own := list[i]
	list = slices.DeleteFunc(list, func(d region.Descriptor) bool {
		return d.Region == home || d.Room() == 0 || len(d.Probes) == 0
	})
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	list = append(list[:min(len(list), maxLooked-1)], own)
	distances := n.distances(ctx, list)
	best := slices.MinFunc(list, func(a, b region.Descriptor) int { return cmp.Compare(distances[a.Region], distances[b.Region]) })
	here, there := distances[home], distances[best.Region]
	if float64(there) > nearerShare*float64(here) || here-there < nearerLeast {
		return "", nil
	}
	return best.Region, nil
}
