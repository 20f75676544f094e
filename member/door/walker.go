package door

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// A walker is somebody at the door who stands in a space: a page says where it walks,
// hears who is around and what is of interest there, and watches that by WHEP.

const (
	// lookEvery is how often a page is told who is around.
	lookEvery = 100 * time.Millisecond
	// unwatched is how long a walker stays whose page does not listen.
	unwatched = 5 * time.Second
	// steps of a walker per second, and how many at once.
	stepRate, stepBurst = 40, 80
)

// walkerRule is what walkers are interested in: within 10 m in full, 20 m in a small
// picture, 30 m by ear.
var walkerRule = member.Nearest{Radius: 30, Max: 12}

type walker struct {
	door     *Door
	id       string
	space    string
	presence *member.Presence
	steps    *rate.Limiter
	pages    atomic.Int32 // that listen

	mu      sync.Mutex
	streams map[region.StreamID]member.Encounter // of interest now
}

// A step is what a page says of its walker.
type step struct {
	Space  string  `json:"space,omitempty"` // at first
	Name   string  `json:"name,omitempty"`  // at first
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	Facing float64 `json:"facing"`
	Level  float64 `json:"level"`
	// Carry are the names under which the page publishes through this door.
	Carry []string `json:"carry,omitempty"`
}

func (s step) place() region.Place { return region.Place{X: s.X, Y: s.Y, Facing: s.Facing} }

// A look is what a page hears.
type look struct {
	Radius  float64       `json:"radius"`
	Around  []bystander   `json:"around"`
	Streams []encountered `json:"streams"`
}

type bystander struct {
	Who      region.PresenceID `json:"who"`
	X        float64           `json:"x"`
	Y        float64           `json:"y"`
	Facing   float64           `json:"facing"`
	Distance float64           `json:"distance"`
	Detail   string            `json:"detail,omitempty"` // if it is of interest
}

type encountered struct {
	Stream region.StreamID   `json:"stream"`
	Who    region.PresenceID `json:"who"`
	Kind   string            `json:"kind"`
	Detail string            `json:"detail"`
	// Playable says that a browser knows the codec.
	Playable bool `json:"playable"`
}

// serveWalkers lets a walker in.
func (d *Door) serveWalkers(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodOptions:
		w.WriteHeader(http.StatusOK)
		return
	case http.MethodPost:
	default:
		w.Header().Set("Allow", "OPTIONS, POST")
		refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("%s is not for this address", r.Method))
		return
	}
	s, ok := readStep(w, r)
	if !ok || !d.allowed(w, r, Watch, s.Space) {
		return
	}
	x, err := d.letIn(r.Context(), s)
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	w.Header().Set("Location", "/door/walkers/"+x.id)
	w.WriteHeader(http.StatusCreated)
}

func readStep(w http.ResponseWriter, r *http.Request) (s step, ok bool) {
	text, ok := body(w, r, "application/json")
	if !ok {
		return s, false
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("the body is no step: %w", err))
		return s, false
	}
	return s, true
}

func (d *Door) letIn(ctx context.Context, s step) (*walker, error) {
	id, err := d.reserve()
	if err != nil {
		return nil, err
	}
	defer d.drop(id)
	ctx, cancel := context.WithTimeoutCause(ctx, negotiationTimeout, errors.New("the mesh did not answer in time"))
	defer cancel()
	p, err := d.cfg.Node.EnterAs(ctx, cmp.Or(s.Name, id[:8]), region.Space{ID: region.SpaceID(s.Space)}, s.place())
	if err != nil {
		return nil, err
	}
	if err := p.Interest(walkerRule); err != nil {
		return nil, errors.Join(err, p.Leave())
	}
	x := &walker{
		door: d, id: id, space: s.Space, presence: p, steps: rate.NewLimiter(stepRate, stepBurst),
		streams: make(map[region.StreamID]member.Encounter),
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errors.Join(errFull, p.Leave())
	}
	d.walkers[id] = x
	d.wait.Go(x.attend)
	d.wait.Go(x.linger)
	return x, nil
}

// attend keeps what is of interest. What comes is watched by the page itself, so the
// encounters' own subscriptions are not read.
func (x *walker) attend() {
	for e := range x.presence.Encounters() {
		x.mu.Lock()
		if e.Kind == member.Went {
			delete(x.streams, e.Stream)
		} else {
			x.streams[e.Stream] = e
		}
		x.mu.Unlock()
	}
}

// linger waits until nobody looks any more, and takes the walker out.
func (x *walker) linger() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for alone := time.Now(); time.Since(alone) < unwatched; {
		select {
		case now := <-ticker.C:
			if x.pages.Load() > 0 {
				alone = now
			}
		case <-x.door.ctx.Done():
			alone = time.Time{}
		}
	}
	x.door.mu.Lock()
	delete(x.door.walkers, x.id)
	x.door.mu.Unlock()
	if err := x.presence.Leave(); err != nil {
		x.door.cfg.Logger.Debug("a walker did not leave", "err", err)
	}
}

// serveWalker moves a walker (PUT), tells its page who is around (GET, as events), or
// takes it out (DELETE).
func (d *Door) serveWalker(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return
	}
	d.mu.Lock()
	x := d.walkers[r.PathValue("id")]
	d.mu.Unlock()
	if x == nil {
		refuse(w, http.StatusNotFound, errors.New("there is no such walker, or it has left"))
		return
	}
	if !d.allowed(w, r, Watch, x.space) {
		return
	}
	switch r.Method {
	case http.MethodPut:
		x.serveStep(w, r)
	case http.MethodGet:
		x.serveLooks(w, r)
	case http.MethodDelete:
		d.mu.Lock()
		delete(d.walkers, x.id)
		d.mu.Unlock()
		if err := x.presence.Leave(); err != nil {
			refuse(w, http.StatusServiceUnavailable, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "OPTIONS, GET, PUT, DELETE")
		refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("%s is not for this address", r.Method))
	}
}

func (x *walker) serveStep(w http.ResponseWriter, r *http.Request) {
	if !x.steps.Allow() {
		refuse(w, http.StatusTooManyRequests, fmt.Errorf("at most %d steps per second", stepRate))
		return
	}
	s, ok := readStep(w, r)
	if !ok {
		return
	}
	err := x.presence.Move(s.place())
	if err == nil {
		err = x.carry(s.Carry)
	}
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	x.presence.Speak(s.Level)
	w.WriteHeader(http.StatusNoContent)
}

// carry has the walker carry what is published through this door under some names.
func (x *walker) carry(names []string) error {
	var own []region.Carried
	for _, name := range names {
		if x.door.publisher(name) == nil {
			continue // not yet
		}
		own = append(own,
			region.Carried{Stream: region.StreamID(name + "/audio"), Kind: region.Audio},
			region.Carried{Stream: region.StreamID(name + "/video"), Kind: region.Video})
	}
	return x.presence.Carry(own...)
}
