package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

const (
	// accessHeader of a call holds "Bearer" and the access token (RFC 6750).
	accessHeader = "authorization"
	bearer       = "bearer "
	// maxAccesses bounds the members whose access is remembered.
	maxAccesses = 1 << 17
)

// needAccess are the calls that a member may make only with an access token.
// Whoever has none any more can still let go of what it has, and leave.
var needAccess = map[string]bool{
	skeinv1.Membership_Join_FullMethodName:       true,
	skeinv1.Membership_Publish_FullMethodName:    true,
	skeinv1.Membership_Locate_FullMethodName:     true,
	skeinv1.Membership_Admit_FullMethodName:      true,
	skeinv1.Membership_Admissions_FullMethodName: true,
	skeinv1.Membership_Session_FullMethodName:    true,
}

// accesses remembers what the applications have said of members: every call that
// needs it shows it, so that whoever leads knows before it is asked for anything.
type accesses struct {
	keys trust.AccessKeys
	now  func() time.Time
	// changed is told of members that may do something else than before.
	changed func(region.MemberID)

	mu   sync.Mutex
	held map[region.MemberID]access
}

// An access is what a member has shown last.
type access struct {
	trust.Access
	token string
}

func newAccesses(keys trust.AccessKeys, now func() time.Time, changed func(region.MemberID)) *accesses {
	return &accesses{keys: keys, now: now, changed: changed, held: map[region.MemberID]access{}}
}

// everything is the access of a coordinator that is a member as well.
var everything = trust.Access{
	Publish: []string{"*"}, Subscribe: []string{"*"}, Spaces: []string{"*"}, Names: []string{"*"},
}

// show judges the token that comes with a call. Members of other communities are
// judged by the agreement, and coordinators need none.
func (a *accesses) show(ctx context.Context, who caller, method string) error {
	if a == nil || !needAccess[method] || who.Community != "" {
		return nil
	}
	if who.Role == trust.RoleCoordinator {
		all := everything
		all.Expires = a.now().Add(trust.CertificateTTL)
		a.hold(who.ID, access{Access: all})
		return nil
	}
	token, err := tokenOf(ctx)
	if err != nil {
		return err
	}
	now := a.now()
	a.mu.Lock()
	held, ok := a.held[who.ID]
	a.mu.Unlock()
	if ok && held.token == token && now.Before(held.Expires) {
		return nil
	}
	said, err := a.keys.Open(token, now)
	if err != nil {
		return err
	}
	if said.Member != "" && said.Member != who.ID {
		return fmt.Errorf("%w: the access token is for member %s, the caller is %s", region.ErrForbidden, said.Member, who.ID)
	}
	a.hold(who.ID, access{said, token})
	if ok && !slices.Equal(said.Draws(), held.Draws()) {
		a.changed(who.ID)
	}
	return nil
}

func (a *accesses) hold(m region.MemberID, held access) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.held[m]; !ok && len(a.held) >= maxAccesses {
		a.forget(a.now())
	}
	a.held[m] = held
}

// tokenOf returns the access token that comes with a call.
func tokenOf(ctx context.Context) (string, error) {
	headers := metadata.ValueFromIncomingContext(ctx, accessHeader)
	if len(headers) != 1 || len(headers[0]) < len(bearer) || !strings.EqualFold(headers[0][:len(bearer)], bearer) {
		return "", fmt.Errorf("%w: this community asks for an access token of its application (skein member --access-file)", region.ErrUnauthenticated)
	}
	return headers[0][len(bearer):], nil
}

// forget drops those whose time is over or, if there are none, all: they show it
// again. mu is held.
func (a *accesses) forget(now time.Time) {
	for m, held := range a.held {
		if !now.Before(held.Expires) {
			delete(a.held, m)
		}
	}
	if len(a.held) >= maxAccesses {
		clear(a.held)
	}
}

// of returns what a member may do now.
func (a *accesses) of(m region.MemberID) trust.Access {
	a.mu.Lock()
	defer a.mu.Unlock()
	held := a.held[m]
	if !a.now().Before(held.Expires) {
		return trust.Access{}
	}
	return held.Access
}

// draws is Config.MayDraw.
func (a *accesses) draws(m region.MemberID) []region.StreamID { return a.of(m).Draws() }

// mayPublish says why a member may not publish a stream; nil if it may.
func (a *accesses) mayPublish(m region.MemberID, s region.StreamID) error {
	if a == nil || a.of(m).MayPublish(s) {
		return nil
	}
	return fmt.Errorf("stream %.64q: %w: the access token does not let member %s publish it", string(s), region.ErrForbidden, m)
}

// mayBeCalled says why a caller may not use a name; nil if it may.
func (a *accesses) mayBeCalled(who caller, name string) error {
	if a == nil || who.Community != "" || a.of(who.ID).MayBeCalled(name) {
		return nil
	}
	return fmt.Errorf("name %.64q: %w: the access token does not let member %s use it", name, region.ErrForbidden, who.ID)
}

// mayStand says whether a member, or somebody at its door, may stand in a space.
func (a *accesses) mayStand(m region.MemberID, s region.SpaceID, name string) bool {
	return a == nil || a.of(m).MayStand(s, name)
}

// permit tells a member its permits anew, if it has a session here.
func (s *Server) permit(m region.MemberID) {
	for _, r := range s.hosted() {
		if l := r.leading.Load(); l != nil {
			l.hub.renew(m)
		}
	}
}
