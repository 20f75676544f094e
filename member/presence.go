package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/member/interest"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
)

// Whom somebody in a space is interested in; see package interest.
type (
	// Rule is one of the others here.
	Rule     = interest.Rule
	Nearest  = interest.Nearest
	Everyone = interest.Everyone
	Named    = interest.Named
	Asking   = interest.Asking
	Func     = interest.Func
)

const (
	// placeEvery is how often a Presence looks around, and tells others along a data
	// stream where it stands if it has moved; else every restEvery.
	placeEvery = 100 * time.Millisecond
	restEvery  = time.Second
	// roughEvery is how often the coordinators are told of another place at most,
	// in another cell every cellEvery, and the part of a cell's edge that counts.
	roughEvery = time.Second
	cellEvery  = 250 * time.Millisecond
	roughly    = 1.0 / 16
	// placeRate is what whereabouts take, kbit/s.
	placeRate region.Rate = 8
)

// A Presence is somebody who stands in a space: the node itself, or somebody at its
// door. Its methods may be called from any goroutine. It ends with Leave or with
// the node.
type Presence struct {
	node   *Node
	who    region.PresenceID
	space  region.Space
	places *Publication
	cancel context.CancelFunc
	over   chan struct{}
	// encounters is written by the loop alone.
	encounters chan Encounter
	company    *company
	contacts   map[region.MemberID]*contact // guarded by mu
	// carried is what it was said to carry; nil: all the node publishes.
	carried atomic.Pointer[[]region.Carried]

	mu      sync.Mutex
	at      region.Place
	level   float64
	regards region.PresenceID
	crowd   *interest.Crowd
	planner *interest.Planner
	// told is what the coordinators were told last, and when.
	told   region.Presence
	toldAt time.Time
	cell   region.Cell
	stale  bool // more than the place has changed
}

// Enter puts the node into a space, at a place: it begins to tell others there
// what it publishes and where it stands, and to look out for them; see
// Presence.Interest. A node is in one space at a time: it leaves the last one. It
// blocks until the region knows the stream that tells its whereabouts.
func (n *Node) Enter(ctx context.Context, space region.Space, at region.Place) (*Presence, error) {
	return n.enterAs(ctx, "", space, at)
}

// EnterAs is Enter for somebody at the node's door: a browser, or a character that
// the application plays. The name is one of the node's own, letters and digits. Such a one
// carries no streams but those it is given, see Presence.Carry.
func (n *Node) EnterAs(ctx context.Context, name string, space region.Space, at region.Place) (*Presence, error) {
	if name == "" {
		return nil, fmt.Errorf("member: enter: name: %w: it is empty", region.ErrInvalid)
	}
	return n.enterAs(ctx, name, space, at)
}

func (n *Node) enterAs(ctx context.Context, name string, space region.Space, at region.Place) (*Presence, error) {
	p, err := n.newPresence(name, space.WithDefaults(), at)
	if err == nil {
		err = n.mayStand(ctx, space.ID, name)
	}
	if err == nil {
		err = p.publish(ctx)
	}
	if err == nil {
		err = n.addPresence(p)
	}
	if err != nil {
		return nil, fmt.Errorf("member: enter %.64q: %w", space.ID, err)
	}
	return p, nil
}

// mayStand says why the node's access token does not let it, or somebody at its door,
// stand in a space. The coordinators leave out who stands there nevertheless.
func (n *Node) mayStand(ctx context.Context, space region.SpaceID, name string) error {
	if n.cfg.Access == nil {
		return nil
	}
	token, err := n.cfg.Access(ctx)
	if err != nil {
		return fmt.Errorf("access token: %w", err)
	}
	access, err := trust.PeekAccess(token)
	if err == nil && !access.MayStand(space, name) {
		err = fmt.Errorf("the access token does not let it in as %.64q: %w", name, region.ErrForbidden)
	}
	return err
}

func (n *Node) newPresence(name string, space region.Space, at region.Place) (*Presence, error) {
	p := &Presence{
		node: n, who: region.NewPresenceID(n.id, name), space: space, at: at,
		over: make(chan struct{}), encounters: make(chan Encounter, MaxEncounters), stale: true,
		cell: region.CellOf(at, space.Edge), contacts: make(map[region.MemberID]*contact),
	}
	if name != "" {
		p.carried.Store(new([]region.Carried))
	}
	if err := p.presence().Check(); err != nil {
		return nil, err
	}
	if _, err := skeinv1.ToPresence(n.id, skeinv1.FromPresence(p.presence())); err != nil {
		return nil, err // the name
	}
	p.crowd = interest.NewCrowd(p.who)
	p.planner = interest.NewPlanner(p.crowd)
	p.company = newCompany(p)
	return p, nil
}

// publish opens the stream of whereabouts. One of the same name that has not been
// closed yet belongs to an earlier presence and goes first.
func (p *Presence) publish(ctx context.Context) (err error) {
	n, name := p.node, p.who.Name()
	n.mu.Lock()
	old := n.presences[name]
	n.mu.Unlock()
	if old != nil {
		if name != "" {
			return fmt.Errorf("%.64q stands in a space already: %w", name, region.ErrExists)
		}
		_ = old.Leave() // the new one says all that matters
	}
	p.places, err = n.Publish(ctx, Stream{
		Name: region.Whereabouts(p.space.ID, p.who), Kind: region.Data,
		Layers: []region.Rate{placeRate}, Codec: Datagrams,
	})
	return err
}

func (n *Node) addPresence(p *Presence) error {
	ctx, cancel := context.WithCancel(n.ctx)
	p.cancel = cancel
	n.mu.Lock()
	name := p.who.Name()
	var err error
	switch {
	case n.closed:
		err = region.ErrClosed
	case n.presences[name] != nil:
		err = fmt.Errorf("%.64q stands in a space already: %w", name, region.ErrExists)
	case len(n.presences) >= region.MaxPresences:
		err = fmt.Errorf("%d of one node: %w", region.MaxPresences, region.ErrLimit)
	default:
		n.presences[name] = p
		n.relay.ExpectLeaves(n.cfg.Uplink / companyShare)
		n.wg.Go(func() { p.run(ctx) })
	}
	n.mu.Unlock()
	if err != nil {
		cancel()
		return errors.Join(err, p.places.Close())
	}
	return nil
}

// own is the node's own presence; region.ErrInvalid if it is in no space.
func (n *Node) own() (*Presence, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.presences[""]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("member: %w: the node is in no space, call Enter first", region.ErrInvalid)
}

// Move is Presence.Move of the node itself.
func (n *Node) Move(to region.Place) error {
	p, err := n.own()
	if err != nil {
		return err
	}
	return p.Move(to)
}

// Interest is Presence.Interest of the node itself.
func (n *Node) Interest(rules ...Rule) error {
	p, err := n.own()
	if err != nil {
		return err
	}
	return p.Interest(rules...)
}

// ID names it: the node's id, or that, a slash and its name.
func (p *Presence) ID() region.PresenceID { return p.who }

// Space is where it is.
func (p *Presence) Space() region.Space { return p.space }

// Place is where it stands.
func (p *Presence) Place() region.Place {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// Move says where it stands now. It may be called as often as the application
// draws: others are told ten times a second at most, along a data stream, and the
// coordinators when it is in another cell or has gone a few metres, once a second.
// region.ErrInvalid if there is no such place.
func (p *Presence) Move(to region.Place) error {
	if err := to.Check(); err != nil {
		return fmt.Errorf("member: move: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = to
	return nil
}

// Speak says how loud it is, from 0 to 1: in a crowd the loud are heard.
func (p *Presence) Speak(level float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.level = level
}

// Look says at whom it looks; empty: at nobody. Who is looked at takes notice.
func (p *Presence) Look(at region.PresenceID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.regards = at
}

// Interest says whose streams it wants from now on, by rules that count together.
// region.ErrInvalid or region.ErrLimit if they cannot be, or reach too far for the
// cells of the space; then it is as it was.
func (p *Presence) Interest(rules ...Rule) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.planner.Set(p.space, rules); err != nil {
		return fmt.Errorf("member: %w", err)
	}
	p.stale = true
	return nil
}

// Carry says which of the node's streams are its own, at most region.MaxCarried:
// those around it may want them. The node itself carries all that others of its presences do
// not, unless it was told which.
func (p *Presence) Carry(streams ...region.Carried) error {
	if len(streams) > region.MaxCarried {
		return fmt.Errorf("member: carry: %d streams, at most %d: %w", len(streams), region.MaxCarried, region.ErrLimit)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if own := p.carried.Load(); own != nil && slices.Equal(*own, streams) {
		return nil
	}
	own := slices.Clone(streams)
	p.carried.Store(&own)
	p.stale = true
	return nil
}

// Leave takes it out of the space: its subscriptions end, Encounters is closed. It
// blocks as Publication.Close does.
func (p *Presence) Leave() error {
	n := p.node
	n.mu.Lock()
	if n.presences[p.who.Name()] == p {
		delete(n.presences, p.who.Name())
		if len(n.presences) == 0 {
			n.relay.ExpectLeaves(0)
		}
		n.out.stand(p.who.Name(), nil)
	}
	n.mu.Unlock()
	p.cancel()
	<-p.over
	return p.places.Close()
}

// presence is what the coordinators are told. mu is held.
func (p *Presence) presence() region.Presence {
	s := region.Presence{Bystander: region.Bystander{Who: p.who, Place: p.at}, Space: p.space}
	if own := p.carried.Load(); own != nil {
		s.Carried = *own
	} else {
		s.Carried = p.node.carriedByNobodyElse(p)
	}
	if p.places != nil {
		s.Places = p.places.want.Name
	}
	if p.planner != nil {
		s.Radius = p.planner.Outlook()
	}
	return s
}
