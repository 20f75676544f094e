package member

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// A residence is a stay in a region with all that goes with it: the one at home,
// or that of a visit.
type residence struct {
	group     *coordinators
	stay      atomic.Pointer[stay]
	connected atomic.Bool
	heard     atomic.Int64 // when a coordinator was, last; milliseconds since 1970
	out       *outbox
	assigned  *assignments
	rtts      *rttBook
	shelter   shelter
	// placements is guarded by Node.mu.
	placements map[region.StreamID]*placement
	// settles says that the stay follows its region when that is divided or merged;
	// those of visits end, and home says where to go instead.
	settles bool
	// arriving is told, before the stay is in another region, in which.
	arriving func(region.ID)
	// accounted is closed when the coordinators have told of all roles.
	accounted chan struct{}
	account   sync.Once

	moving sync.Mutex
	at     atomic.Pointer[address]
	// again begins another stay after the coordinators have forgotten the last one.
	again func(context.Context) error
}

// An address is the region of a residence. It is not modified.
type address struct {
	region region.ID
	// era counts the regions there have been.
	era uint64
	// since is when the residence moved there; zero for the first one.
	since time.Time
	// left is closed when the residence is in another region.
	left chan struct{}
}

// newRegion is how long a region that the residence moved to may be unknown to some of
// its coordinators: the member was told of it by the first one.
const newRegion = 5 * time.Second

func newResidence(id region.ID, group *coordinators) *residence {
	r := &residence{
		group: group, out: newOutbox(), rtts: newRTTBook(), placements: make(map[region.StreamID]*placement),
		accounted: make(chan struct{}),
	}
	r.at.Store(&address{region: id, left: make(chan struct{})})
	return r
}

// region is where the residence is at present.
func (r *residence) region() region.ID { return r.at.Load().region }

// relocate follows a region that was divided or merged: the stay goes on, under the
// same lease, in another region, whose log numbers its revisions by itself. To do so
// again changes nothing.
func (r *residence) relocate(from *address, to region.Descriptor) {
	r.moving.Lock()
	defer r.moving.Unlock()
	if r.at.Load() != from || from.region == to.Region {
		return
	}
	var hosts []string
	for _, h := range to.Replicas {
		hosts = append(hosts, h.GRPC)
	}
	r.group.prefer(hosts)
	next := &address{region: to.Region, era: from.era + 1, since: time.Now(), left: make(chan struct{})}
	r.assigned.migrate(next.era)
	r.at.Store(next)
	if r.arriving != nil {
		r.arriving(to.Region)
	}
	close(from.left)
}

// elsewhere is where a region's members are at home now, if that is what err says.
func elsewhere(err error) (to region.Descriptor, ok bool) {
	e, ok := errors.AsType[*region.ElsewhereError](err)
	if !ok || !errors.Is(e, region.ErrElsewhere) || len(e.Now) < 2 {
		return region.Descriptor{}, false
	}
	return e.Now[1], true
}

// call is coordinators.call for what concerns the region, wherever that is by then.
func (r *residence) call(ctx context.Context, f func(context.Context, client, *address) error) error {
	for {
		at := r.at.Load()
		err := r.group.call(ctx, func(ctx context.Context, c client) error { return f(ctx, c, at) })
		to, moved := elsewhere(err)
		switch {
		case moved && r.settles:
			r.relocate(at, to)
		case errors.Is(err, region.ErrInvalid) && time.Since(at.since) < newRegion && ctx.Err() == nil:
			r.group.setLeader("") // the next one may know it
			select {
			case <-time.After(firstBackoff):
			case <-ctx.Done():
			}
		default:
			return err
		}
	}
}

// lease numbers the present stay; 0 before the first one.
func (r *residence) lease() region.Lease {
	if st := r.stay.Load(); st != nil {
		return st.lease
	}
	return 0
}

// enter asks for a stay, or for the continuation of one. On success the present
// stay is the new one.
func (r *residence) enter(ctx context.Context, request *skeinv1.JoinRequest) (*skeinv1.JoinResponse, error) {
	var answer *skeinv1.JoinResponse
	var in region.ID
	err := r.call(ctx, func(ctx context.Context, c client, at *address) (err error) {
		in, request.Region = at.region, string(at.region)
		answer, err = c.Join(ctx, request)
		if before := r.stay.Load(); err == nil && before != nil && before.region == in && region.Generation(answer.GetGeneration()) < before.generation {
			return fmt.Errorf("region %s was formed anew elsewhere, it is generation %d here: %w", in, answer.GetGeneration(), region.ErrGeneration)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(answer.GetGrantKey()) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("answer: grant key of %d bytes: %w", len(answer.GetGrantKey()), region.ErrInvalid)
	}
	next := &stay{
		began:  time.Now(),
		region: in, lease: region.Lease(answer.GetLease()), generation: region.Generation(answer.GetGeneration()),
		grantKey: answer.GetGrantKey(), ttl: time.Duration(answer.GetLeaseTtlMs()) * time.Millisecond,
	}
	if next.ttl <= 0 || next.ttl > time.Hour {
		return nil, fmt.Errorf("answer: lease of %v: %w", next.ttl, region.ErrInvalid)
	}
	if next.servers, err = toICEServers(answer.GetIceServers()); err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	next.follow(r.stay.Load())
	r.stay.Store(next)
	r.shelter.told(answer.GetPass(), answer.GetRefuges())
	r.group.learn(answer.GetCoordinators())
	return answer, nil
}
