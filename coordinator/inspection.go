package coordinator

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// bookmarkEvery is how often a watcher is told the revision when nothing
// happens.
const bookmarkEvery = 15 * time.Second

// inspection serves skein.v1.Inspection from what this replica has applied.
type inspection struct {
	skeinv1.UnimplementedInspectionServer
	server *Server
}

func (i *inspection) Status(context.Context, *skeinv1.StatusRequest) (*skeinv1.StatusResponse, error) {
	resp := &skeinv1.StatusResponse{Coordinator: string(i.server.ID()), Version: version()}
	for _, r := range i.server.hosted() {
		resp.Groups = append(resp.Groups, r.status())
	}
	return resp, nil
}

// status describes the replica. The hash is that of the structure and of all
// else that the group has agreed on.
func (r *replica) status() *skeinv1.GroupStatus {
	s, state := r.group.Status(), r.group.State()
	hash := state.Hash()
	var volunteers []*skeinv1.VolunteerStatus
	if l := r.leading.Load(); l != nil {
		volunteers = l.volunteerStatus()
	}
	return &skeinv1.GroupStatus{
		Region:        string(r.region),
		Generation:    uint64(state.Region.Generation()),
		Revision:      uint64(state.Region.Revision()),
		State:         s.Role,
		Leader:        string(s.Leader),
		Term:          s.Term,
		CommitIndex:   s.Commit,
		AppliedIndex:  s.Applied,
		LastContactMs: s.LastContact.Milliseconds(),
		Members:       uint32(state.Region.MemberCount()),
		Streams:       uint32(state.Region.StreamCount()),
		Coordinators:  r.coordinators(),
		Admissions:    r.counts.message(),
		StateHash:     hex.EncodeToString(hash[:]),
		Health:        health(s),
		CommitP50Us:   s.CommitTime.P50.Microseconds(),
		CommitP99Us:   s.CommitTime.P99.Microseconds(),
		DiskP99Us:     s.Disk.P99.Microseconds(),
		Volunteers:    volunteers,
	}
}

func health(s group.Status) string {
	if len(s.Problems) == 0 {
		return "ok"
	}
	return strings.Join(s.Problems, "; ")
}

func (i *inspection) Members(_ context.Context, req *skeinv1.MembersRequest) (*skeinv1.MembersResponse, error) {
	r, err := i.server.replica(req.Region)
	if err != nil {
		return nil, err
	}
	structure := r.group.State().Region
	resp := &skeinv1.MembersResponse{Revision: uint64(structure.Revision())}
	l := r.leading.Load()
	now := r.cfg.Now()
	var nearest map[region.MemberID][]*skeinv1.RttSample
	if l != nil {
		nearest = l.rtts.nearest()
	}
	for m := range structure.Members() {
		status := &skeinv1.MemberStatus{Member: skeinv1.FromMember(m), LastHeardMs: -1, Nearest: nearest[m.ID]}
		for id := range structure.Places(m.ID) {
			status.Streams++
			status.Children += uint32(len(structure.Children(id, m.ID)))
		}
		if l != nil {
			l.report(m, status, now)
		}
		resp.Members = append(resp.Members, status)
	}
	return resp, nil
}

// report adds what only the leader knows of a member.
func (l *leadership) report(m region.Member, status *skeinv1.MemberStatus, now time.Time) {
	if at, ok := l.leases.last(m.ID); ok {
		status.LastHeardMs = now.Sub(at).Milliseconds()
	}
	status.Rumours = uint32(l.leases.rumoured(stay{m.ID, m.Lease}))
	status.PositionMs = l.rtts.position(m.ID)
	s := l.hub.session(m.ID)
	if s == nil {
		return
	}
	status.Leaf = s.leaf.Load()
	if h := s.health.Load(); h != nil {
		status.SendingKbps, status.Health = h.SendingKbps, h.Streams
		status.Peers, status.GossipEvents = h.Peers, h.GossipEvents
	}
}

func (i *inspection) Streams(_ context.Context, req *skeinv1.StreamsRequest) (*skeinv1.StreamsResponse, error) {
	r, err := i.server.replica(req.Region)
	if err != nil {
		return nil, err
	}
	structure := r.group.State().Region
	resp := &skeinv1.StreamsResponse{Revision: uint64(structure.Revision())}
	for s := range structure.Streams() {
		resp.Streams = append(resp.Streams, describeStream(structure, s))
	}
	return resp, nil
}

func describeStream(r *region.Region, s region.Stream) *skeinv1.StreamStatus {
	status := &skeinv1.StreamStatus{Stream: skeinv1.FromStream(s)}
	depths := map[region.MemberID]uint32{}
	var delays []time.Duration
	for n := range r.Nodes(s.ID) {
		if n.Parent == "" {
			continue
		}
		depths[n.Member] = depths[n.Parent] + 1
		status.Depth = max(status.Depth, depths[n.Member])
		delay, _ := r.Delay(s.ID, n.Member)
		delays = append(delays, delay)
	}
	status.Subscribers = uint32(len(delays))
	if len(delays) > 0 {
		slices.Sort(delays)
		status.DelayP50Us = delays[len(delays)/2].Microseconds()
		status.DelayMaxUs = delays[len(delays)-1].Microseconds()
	}
	return status
}

func (i *inspection) Trees(_ context.Context, req *skeinv1.TreesRequest) (*skeinv1.TreesResponse, error) {
	r, err := i.server.replica(req.Region)
	if err != nil {
		return nil, err
	}
	structure := r.group.State().Region
	resp := &skeinv1.TreesResponse{Revision: uint64(structure.Revision())}
	if req.Stream != "" {
		id, err := skeinv1.ToStreamID(req.Stream)
		if err != nil {
			return nil, err
		}
		s, ok := structure.Stream(id)
		if !ok {
			return nil, fmt.Errorf("stream %q: %w", id, region.ErrUnknownStream)
		}
		resp.Trees = append(resp.Trees, treeOf(structure, s))
		return resp, nil
	}
	for s := range structure.Streams() {
		resp.Trees = append(resp.Trees, treeOf(structure, s))
	}
	return resp, nil
}

func treeOf(r *region.Region, s region.Stream) *skeinv1.Tree {
	return skeinv1.FromTree(region.Tree{Stream: s, Nodes: slices.Collect(r.Nodes(s.ID))})
}

// Watch sends what happened after a revision, then what happens. A watcher that
// cannot be given every event is told OUT_OF_RANGE: it reads the state anew.
func (i *inspection) Watch(req *skeinv1.WatchRequest, stream grpc.ServerStreamingServer[skeinv1.WatchResponse]) error {
	r, err := i.server.replica(req.Region)
	if err != nil {
		return err
	}
	place, err := r.history.from(region.Revision(req.After))
	for err == nil {
		var records []record
		var revision region.Revision
		records, revision, err = r.await(stream.Context(), i.server.stopping, place)
		if err != nil {
			break
		}
		if len(records) == 0 {
			err = stream.Send(&skeinv1.WatchResponse{Revision: uint64(revision), TimeMs: time.Now().UnixMilli()})
		}
		for _, w := range watchResponses(records) {
			if err = stream.Send(w); err != nil {
				break
			}
		}
	}
	if behind, ok := errors.AsType[*behindError](err); ok {
		return status.Error(codes.OutOfRange, behind.Error())
	}
	return err
}

// await ends when the replica or the server stops, too, which lets clients go
// elsewhere.
func (r *replica) await(ctx, stopping context.Context, p *position) ([]record, region.Revision, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, end := range []context.Context{stopping, r.life} {
		stop := context.AfterFunc(end, func() { cancel(region.ErrClosed) })
		defer stop()
	}
	return p.next(ctx, bookmarkEvery)
}

// watchResponses groups records by revision: the events of one are never split.
func watchResponses(records []record) []*skeinv1.WatchResponse {
	var list []*skeinv1.WatchResponse
	for _, r := range records {
		if len(r.events) == 0 {
			continue
		}
		if n := len(list); n > 0 && list[n-1].Revision == uint64(r.revision) {
			list[n-1].Events = append(list[n-1].Events, r.events...)
			continue
		}
		list = append(list, &skeinv1.WatchResponse{
			Revision: uint64(r.revision), TimeMs: r.time.UnixMilli(), Events: slices.Clone(r.events),
		})
	}
	return list
}

// version is the version of the module, or of the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "devel"
}
