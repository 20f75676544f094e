package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// A Region is a region as the directory knows it.
type Region struct {
	ID         string    `json:"region"`
	Generation uint64    `json:"generation"`
	Members    int       `json:"members"`
	MaxMembers int       `json:"max_members"`
	Streams    int       `json:"streams"`
	UplinkKbps uint64    `json:"uplink_kbps"`
	FreeKbps   uint64    `json:"free_kbps"`
	Replicas   []Replica `json:"replicas,omitempty"`
	Probes     []string  `json:"probes,omitempty"`
	Parent     string    `json:"parent,omitempty"`
	Into       string    `json:"into,omitempty"`
	Issued     time.Time `json:"issued"`
	HeardMs    int64     `json:"heard_ms"`
	// RTTMs is from the coordinator that answered to the nearest of the region's;
	// negative if not known.
	RTTMs float64 `json:"rtt_ms"`
}

// A Replica is a coordinator of a region.
type Replica struct {
	ID   string `json:"id"`
	GRPC string `json:"grpc"`
	Raft string `json:"raft"`
}

// Regions asks one coordinator for all regions, or for one, by id.
func (c *Client) Regions(ctx context.Context, id region.ID) ([]Region, error) {
	var tried []string
	for i, conn := range c.conns {
		callCtx, cancel := context.WithTimeout(ctx, callTimeout)
		resp, err := skeinv1.NewDirectoryClient(conn).Regions(callCtx, &skeinv1.RegionsRequest{Region: string(id)})
		cancel()
		if err == nil {
			return regionsFrom(resp)
		}
		if err = skeinv1.FromStatus(err); final(err) {
			return nil, err
		}
		tried = append(tried, fmt.Sprintf("%s: %v", c.addrs[i], err))
	}
	return nil, c.witness.unreachable(fmt.Errorf("coordinators %w (%s)", region.ErrUnreachable, strings.Join(tried, "; ")))
}

// A Recovery is how far it is to form a region anew.
type Recovery struct {
	Region string `json:"region"`
	// Founder is the coordinator that forms it.
	Founder string `json:"founder"`
	// Members that have said what they hold.
	Members uint32 `json:"members"`
	// Generation to come.
	Generation uint64 `json:"generation"`
}

// Recover has a lost region formed anew; the caller must be an operator. It is to be
// repeated until Regions tells of the new generation. region.ErrExists if the
// region is not lost.
func (c *Client) Recover(ctx context.Context, id region.ID) (Recovery, error) {
	var tried []string
	for i, conn := range c.conns {
		callCtx, cancel := context.WithTimeout(ctx, recoverTimeout)
		resp, err := skeinv1.NewDirectoryClient(conn).Recover(callCtx, &skeinv1.RecoverRequest{Region: string(id)})
		cancel()
		if err == nil {
			return Recovery{string(id), resp.GetFounder().GetId(), resp.GetHeard(), resp.GetGeneration()}, nil
		}
		if err = skeinv1.FromStatus(err); final(err) {
			return Recovery{}, err
		}
		tried = append(tried, fmt.Sprintf("%s: %v", c.addrs[i], err))
	}
	return Recovery{}, c.witness.unreachable(fmt.Errorf("coordinators %w (%s)", region.ErrUnreachable, strings.Join(tried, "; ")))
}

// recoverTimeout bounds one call of Recover, which looks for the old replicas.
const recoverTimeout = 5 * time.Second

func regionsFrom(resp *skeinv1.RegionsResponse) ([]Region, error) {
	out := make([]Region, 0, len(resp.GetRegions()))
	for _, e := range resp.GetRegions() {
		d, err := skeinv1.OpenDescriptor(e.GetSigned())
		if err != nil {
			return nil, err
		}
		r := Region{
			ID: string(d.Region), Generation: uint64(d.Generation), Members: d.Members, MaxMembers: d.MaxMembers, Streams: d.Streams,
			UplinkKbps: d.Uplink, FreeKbps: d.Free, Parent: string(d.Parent), Into: string(d.Into), Issued: d.Issued,
			HeardMs: e.GetHeardMs(), RTTMs: float64(e.GetRttUs()) / 1000,
		}
		for _, h := range d.Replicas {
			r.Replicas = append(r.Replicas, Replica{string(h.ID), h.GRPC, h.Raft})
		}
		for _, p := range d.Probes {
			r.Probes = append(r.Probes, p.String())
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Region) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// moveTimeout bounds moving a boundary: first trees are made ready for it.
const moveTimeout = 90 * time.Second

// A BoundaryMove is what became of a region's boundary.
type BoundaryMove struct {
	// Other is the region that was split off, or the one that took it in.
	Other string `json:"other"`
	// Generation is that of the region.
	Generation uint64 `json:"generation"`
}

// Split has a region divided; the caller must be an operator.
func (c *Client) Split(ctx context.Context, id region.ID) (BoundaryMove, error) {
	return c.moveBoundary(ctx, &skeinv1.BoundaryRequest{
		Region: string(id), Order: &skeinv1.BoundaryRequest_Split{Split: &skeinv1.SplitOrder{}},
	})
}

// Merge has a region taken in by another one, or, if that is empty, by the nearest one
// with room; the caller must be an operator.
func (c *Client) Merge(ctx context.Context, id, into region.ID) (BoundaryMove, error) {
	return c.moveBoundary(ctx, &skeinv1.BoundaryRequest{
		Region: string(id), Order: &skeinv1.BoundaryRequest_Merge{Merge: &skeinv1.MergeOrder{Into: string(into)}},
	})
}

func (c *Client) moveBoundary(ctx context.Context, m *skeinv1.BoundaryRequest) (BoundaryMove, error) {
	var answer *skeinv1.BoundaryResponse
	err := c.within(ctx, moveTimeout, func(ctx context.Context, i skeinv1.InspectionClient) (err error) {
		answer, err = i.Boundary(ctx, m)
		return err
	})
	return BoundaryMove{Other: answer.GetOther(), Generation: answer.GetGeneration()}, err
}

// A Relocation is a replica that has been moved.
type Relocation struct {
	Region string `json:"region"`
	From   string `json:"from"`
	To     string `json:"to"`
	// Replicas are the ids of the group's coordinators from now on.
	Replicas []string `json:"replicas"`
}

// relocatePause is the pause while a group changes its leader.
const relocatePause = 500 * time.Millisecond

// Relocate has a replica of a region moved to another coordinator; both are named by id
// or gRPC address, and either may be empty: then the place that serves best is taken. It
// blocks until that is done, at most 90 s. The caller must be an operator.
func (c *Client) Relocate(ctx context.Context, id region.ID, from, to string) (Relocation, error) {
	ctx, cancel := context.WithTimeout(ctx, moveTimeout)
	defer cancel()
	for {
		var answer *skeinv1.MoveReplicaResponse
		var refusal error // by the leader; from others it is that they do not lead
		handedOver := false
		err := c.within(ctx, moveTimeout, func(ctx context.Context, i skeinv1.InspectionClient) (err error) {
			answer, err = i.MoveReplica(ctx, &skeinv1.MoveReplicaRequest{Region: string(id), From: from, To: to})
			told := skeinv1.FromStatus(err)
			handedOver = handedOver || errors.Is(told, region.ErrNotLeader)
			if errors.Is(told, region.ErrOverloaded) {
				refusal = told
			}
			return err
		})
		if err == nil {
			done := Relocation{Region: string(id), From: answer.GetFrom(), To: answer.GetTo()}
			for _, p := range answer.GetCoordinators() {
				done.Replicas = append(done.Replicas, p.GetId())
			}
			return done, nil
		}
		if err = cmp.Or(refusal, err); final(err) || !handedOver || refusal != nil {
			return Relocation{}, err
		}
		select {
		case <-ctx.Done():
			return Relocation{}, err
		case <-time.After(relocatePause):
		}
	}
}
