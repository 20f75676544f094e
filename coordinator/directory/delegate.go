package directory

import (
	"errors"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// A delegate hears memberlist.
type delegate struct{ *Directory }

// NodeMeta tells others of this coordinator.
func (d delegate) NodeMeta(limit int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	meta, err := proto.Marshal(&skeinv1.CoordinatorMeta{
		Grpc: d.self.GRPC, Groups: uint32(d.groups), MaxGroups: uint32(d.maxGroups),
		Site: d.site, Operator: d.operator, Retiring: d.retiring, Volunteer: d.volunteer,
	})
	if err != nil || len(meta) > limit {
		return nil
	}
	return meta
}

// NotifyMsg takes a descriptor, and passes it on if it is news.
func (d delegate) NotifyMsg(data []byte) {
	s := &skeinv1.SignedDescriptor{}
	if proto.Unmarshal(data, s) == nil { // which copies
		d.hear(s)
	}
}

func (d delegate) hear(s *skeinv1.SignedDescriptor) {
	e, err := d.book.take(s, time.Now())
	switch {
	case err == nil:
		d.pass(e)
	case !errors.Is(err, errOld):
		d.logger.Debug("a descriptor was refused", "err", err)
	}
}

// GetBroadcasts hands out what is to be passed on.
func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.queue.GetBroadcasts(overhead, limit)
}

// LocalState is all descriptors, for somebody this coordinator meets.
func (d delegate) LocalState(bool) []byte {
	state := &skeinv1.DirectoryState{}
	for _, e := range d.book.List(time.Now()) {
		state.Descriptors = append(state.Descriptors, e.Signed)
	}
	data, err := proto.Marshal(state)
	if err != nil {
		return nil
	}
	return data
}

// MergeRemoteState takes all that somebody else knows.
func (d delegate) MergeRemoteState(data []byte, _ bool) {
	state := &skeinv1.DirectoryState{}
	if proto.Unmarshal(data, state) != nil {
		return
	}
	for _, s := range state.Descriptors[:min(len(state.Descriptors), MaxRegions)] {
		d.hear(s)
	}
}

func (d delegate) NotifyJoin(n *memberlist.Node)   { d.peers.put(n) }
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.peers.put(n) }

// NotifyLeave forgets somebody, and how far it was.
func (d delegate) NotifyLeave(n *memberlist.Node) {
	d.peers.drop(n.Name)
	d.rtts.forget(region.MemberID(n.Name))
}

// peers are the coordinators that seem to be alive, as they were last announced.
// A memberlist.Node may only be read while memberlist announces it.
type peers struct {
	mu     sync.Mutex
	byName map[string]Coordinator
}

// put notes what a node says of itself; one that cannot be understood is left out.
func (p *peers) put(n *memberlist.Node) {
	c, err := decodeNode(n)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		delete(p.byName, n.Name)
		return
	}
	if p.byName == nil {
		p.byName = make(map[string]Coordinator)
	}
	p.byName[n.Name] = c
}

func (p *peers) drop(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byName, name)
}

func (p *peers) list() []Coordinator {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.byName))
}

func (d delegate) AckPayload() []byte { return nil }

func (d delegate) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, _ []byte) {
	d.rtts.observe(region.MemberID(n.Name), rtt)
}

func decodeNode(n *memberlist.Node) (Coordinator, error) {
	meta := &skeinv1.CoordinatorMeta{}
	if err := proto.Unmarshal(n.Meta, meta); err != nil {
		return Coordinator{}, err
	}
	id, err := skeinv1.ToMemberID(n.Name)
	return Coordinator{
		Host:   region.Host{ID: id, GRPC: meta.Grpc, Raft: net.JoinHostPort(n.Addr.String(), strconv.Itoa(int(n.Port)))},
		Groups: int(meta.Groups), MaxGroups: int(meta.MaxGroups),
		Site: meta.Site, Operator: meta.Operator, Retiring: meta.Retiring, Volunteer: meta.Volunteer,
	}, err
}

// news is a descriptor on its way; a newer one of the same region replaces it.
type news struct {
	name string
	data []byte
}

var _ memberlist.NamedBroadcast = (*news)(nil)

func (n *news) Name() string { return n.name }

func (n *news) Invalidates(other memberlist.Broadcast) bool {
	o, ok := other.(*news)
	return ok && o.name == n.name
}

func (n *news) Message() []byte { return n.data }
func (n *news) Finished()       {}

// rttSamples are remembered of each coordinator; the least counts, since what adds
// to a round trip is not distance.
const rttSamples = 8

// rtts are the round-trip times to other coordinators.
type rtts struct {
	mu      sync.Mutex
	samples map[region.MemberID][]time.Duration
}

func newRTTs() *rtts { return &rtts{samples: map[region.MemberID][]time.Duration{}} }

func (r *rtts) observe(id region.MemberID, rtt time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := append(r.samples[id], rtt)
	r.samples[id] = s[max(0, len(s)-rttSamples):]
}

func (r *rtts) of(id region.MemberID) (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.samples[id]
	if len(s) == 0 {
		return 0, false
	}
	return slices.Min(s), true
}

func (r *rtts) forget(id region.MemberID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.samples, id)
}
