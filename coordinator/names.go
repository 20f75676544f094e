package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// registerEvery is how often a leader looks whether the owners of its streams'
	// names should be told, refreshEvery is when it tells them anyway.
	registerEvery = 500 * time.Millisecond
	refreshEvery  = 10 * time.Second
	// nameTTL is how long an owner believes what it was told; maxNameTTL bounds
	// what others may ask for.
	nameTTL    = 3 * refreshEvery
	maxNameTTL = 10 * nameTTL
	// maxNames bounds the names an owner holds, registerMost those of one message.
	maxNames     = 1 << 16
	registerMost = region.MaxStreams
)

// names is what a leader holds of the names that its region owns: where the
// streams of that name are published. It is soft state: those who publish say so
// again and again, so a new owner knows after refreshEvery what the old one did.
type names struct {
	mu   sync.Mutex
	held map[region.StreamID]registration
}

type registration struct {
	home  region.ID
	until time.Time
}

func newNames() *names { return &names{held: map[region.StreamID]registration{}} }

// put writes down that home publishes a stream. Where two regions do, the one that
// was first keeps the name for as long as it says so.
func (n *names) put(id region.StreamID, home region.ID, now time.Time, ttl time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	held, known := n.held[id]
	if known && held.home != home && now.Before(held.until) || !known && len(n.held) >= maxNames {
		return
	}
	n.held[id] = registration{home, now.Add(ttl)}
}

// drop forgets a stream that home does not publish any more.
func (n *names) drop(id region.StreamID, home region.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held[id].home == home {
		delete(n.held, id)
	}
}

func (n *names) home(id region.StreamID, now time.Time) region.ID {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r, ok := n.held[id]; ok && now.Before(r.until) {
		return r.home
	}
	return ""
}

func (n *names) sweep(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, r := range n.held {
		if !now.Before(r.until) {
			delete(n.held, id)
		}
	}
}

// register tells the owners of names which streams are published here, for as long
// as the office lasts: when something has changed, and every refreshEvery.
func (l *leadership) register(ctx context.Context) {
	ticker := time.NewTicker(registerEvery)
	defer ticker.Stop()
	told := map[region.StreamID]region.ID{} // the owner that knows
	var refreshed time.Time
	for {
		now := time.Now()
		if now.Sub(refreshed) >= refreshEvery {
			refreshed = now
			clear(told)
		}
		told = l.tellOwners(ctx, told)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// tellOwners tells what the owners do not know yet and returns what they know.
func (l *leadership) tellOwners(ctx context.Context, told map[region.StreamID]region.ID) map[region.StreamID]region.ID {
	regions := l.replica.server.living()
	if len(regions) < 2 {
		return told
	}
	news := map[region.ID]*skeinv1.RegisterRequest{}
	of := func(owner region.ID) *skeinv1.RegisterRequest {
		if news[owner] == nil {
			news[owner] = &skeinv1.RegisterRequest{Owner: string(owner), Home: string(l.replica.region), TtlMs: nameTTL.Milliseconds()}
		}
		return news[owner]
	}
	knows := map[region.StreamID]region.ID{}
	for s := range l.hub.current().Streams() {
		if s.From != "" {
			continue
		}
		owner := region.Owner(string(s.ID), regions)
		knows[s.ID] = owner
		if told[s.ID] != owner {
			m := of(owner)
			m.Streams = append(m.Streams, string(s.ID))
		}
	}
	for id, owner := range told {
		if _, still := knows[id]; !still {
			m := of(owner)
			m.Ended = append(m.Ended, string(id))
		}
	}
	for owner, m := range news {
		slices.Sort(m.Ended)
		if err := l.replica.server.tellOwner(ctx, m); err != nil && ctx.Err() == nil {
			l.replica.logger.Debug("the owner of names is not told", "owner", owner, "err", err)
			for id, o := range knows {
				if o == owner {
					delete(knows, id) // tell it again
				}
			}
		}
	}
	return knows
}

func (s *Server) tellOwner(ctx context.Context, m *skeinv1.RegisterRequest) error {
	return s.consult(ctx, region.ID(m.Owner),
		func(l *leadership) error { return l.registered(m, time.Now()) },
		func(ctx context.Context, c skeinv1.DirectoryClient) error {
			_, err := c.Register(ctx, m)
			return err
		})
}

// registered takes what another region's leader says of its streams.
func (l *leadership) registered(m *skeinv1.RegisterRequest, now time.Time) error {
	home, err := skeinv1.ToRegionID(m.Home)
	if err != nil {
		return fmt.Errorf("home: %w", err)
	}
	if len(m.Streams) > registerMost || len(m.Ended) > registerMost {
		return fmt.Errorf("streams: %w: want at most %d, have %d and %d", region.ErrInvalid, registerMost, len(m.Streams), len(m.Ended))
	}
	ttl := min(time.Duration(m.TtlMs)*time.Millisecond, maxNameTTL)
	for _, name := range m.Streams {
		id, err := skeinv1.ToStreamID(name)
		if err != nil {
			return fmt.Errorf("streams: %w", err)
		}
		l.names.put(id, home, now, ttl)
	}
	for _, name := range m.Ended {
		l.names.drop(region.StreamID(name), home)
	}
	return nil
}

// Register serves the owner's side.
func (a *atlas) Register(_ context.Context, m *skeinv1.RegisterRequest) (*skeinv1.RegisterResponse, error) {
	l, err := a.leader(m.Owner)
	if err == nil {
		err = l.registered(m, time.Now())
	}
	return &skeinv1.RegisterResponse{}, err
}

// Resolve serves both who owns a name and who publishes the stream.
func (a *atlas) Resolve(_ context.Context, req *skeinv1.ResolveRequest) (*skeinv1.ResolveResponse, error) {
	id, err := skeinv1.ToStreamID(req.Stream)
	if err != nil {
		return nil, err
	}
	l, err := a.leader(req.Region)
	if err != nil {
		return nil, err
	}
	return l.told(id, req.Community, time.Now())
}

func (a *atlas) leader(name string) (*leadership, error) {
	if _, err := skeinv1.ToRegionID(name); err != nil {
		return nil, err
	}
	return a.server.leader(name)
}

// resolved is what this region knows of a stream.
func (l *leadership) resolved(id region.StreamID, now time.Time) *skeinv1.ResolveResponse {
	s, ok := l.hub.current().Stream(id)
	if ok && s.From == "" {
		return l.published(s)
	}
	home := l.names.home(id, now)
	if ok {
		home = cmp.Or(home, s.From)
	} else if taken := l.takenBy(id); taken != "" {
		home = taken
	}
	return &skeinv1.ResolveResponse{Home: string(home), Drawn: ok}
}
