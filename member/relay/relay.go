package relay

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

const (
	maxEvents = 1024
	// maxInbox is how many control messages wait for the keeper; those beyond
	// are lost, as any datagram may be.
	maxInbox = 1024
)

// An Upstream is somebody to draw from, with the grant that entitles to it.
type Upstream struct {
	Peer  link.Peer
	Grant []byte
}

// An Assignment is what this member is to do for one stream. It is state, not an
// event: a later revision replaces an earlier one, and repeating it is harmless.
type Assignment struct {
	Stream   region.Stream
	Revision region.Revision
	// Anew: revisions begin again with this one, whatever was held before.
	Anew bool
	// Layers to draw.
	Layers region.LayerMask
	// Parent has an empty Peer.ID for the origin.
	Parent Upstream
	// Standbys in the order in which they are to be tried.
	Standbys []Upstream
	// Children will draw from this member; Dependents have it as a standby. Both
	// are expected on the transport.
	Children, Dependents []link.Peer
}

// A Relay forwards the streams of one member. Its methods may be called by any
// goroutine; only Close waits.
type Relay struct {
	cfg    Config
	start  time.Time
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wait   sync.WaitGroup
	writer *writer
	keeper *keeper
	events chan Event

	uplink   atomic.Uint32
	voices   atomic.Int32 // how many are wanted at a time; 0: any number
	raised   atomic.Bool  // somebody has begun to speak since the keeper looked
	leaving  atomic.Bool
	assigned atomic.Int64 // when the last assignment came, milliseconds since 1970
	meter    meter
	// forwarding is of the writer.
	forwarding forwarding
	kicked     chan struct{} // wakes the keeper
	stirred    queue
	everything atomic.Bool // the keeper is to look at all streams
	inbox      chan letter
	// Of the socket's goroutine: packets came since the last Drained, and they
	// should be sent now.
	unsent, urgent bool

	// Read without locking, replaced whole under mu.
	bySSRC atomic.Pointer[map[uint32]*stream] // by the SSRC of layer 0
	list   atomic.Pointer[[]*stream]          // by ID

	mu          sync.Mutex // guards what follows
	streams     map[region.StreamID]*stream
	assignments map[region.StreamID]*Assignment // for the keeper; nil: unassigned
	pins        map[region.MemberID]link.Peer   // for the keeper
	quests      map[region.StreamID]*quest      // for the keeper
	lost        uint64                          // events

	permits atomic.Pointer[[]Permit]
	offers  sync.Map // *offer by region.MemberID
}

// a letter is a control message on its way to the keeper; without a message it
// says that a packet of the stream strayed over the link, or what its peer does.
type letter struct {
	from    *link.Link
	message *link.Message
	stream  *stream
	offence *Offended
}

// New starts a relay. Close it before its transport.
func New(cfg Config) (*Relay, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	r := &Relay{
		cfg: cfg, start: time.Now(),
		events: make(chan Event, maxEvents), kicked: make(chan struct{}, 1), inbox: make(chan letter, maxInbox),
		streams:     make(map[region.StreamID]*stream),
		assignments: make(map[region.StreamID]*Assignment),
		pins:        make(map[region.MemberID]link.Peer),
		quests:      make(map[region.StreamID]*quest),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.uplink.Store(uint32(cfg.Uplink))
	r.publish()
	r.writer = newWriter(r)
	r.keeper = newKeeper(r)
	cfg.Transport.Handle((*receiver)(r))
	r.wait.Go(r.writer.run)
	r.wait.Go(r.keeper.run)
	return r, nil
}

// Assign sets what to do for a stream. It reports region.ErrInvalid or
// region.ErrLimit; an older revision than the one held is ignored, unless
// revisions begin anew.
func (r *Relay) Assign(a Assignment) error {
	if err := a.validate(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.open(a.Stream); err != nil {
		return err
	}
	if old := r.assignments[a.Stream.ID]; old == nil || old.Revision <= a.Revision || a.Anew {
		r.assignments[a.Stream.ID] = &a
	}
	r.assigned.Store(time.Now().UnixMilli())
	r.kick()
	return nil
}

// Heard says that the coordinators are there, though they had nothing to assign: a
// grant that they have not renewed counts as ended.
func (r *Relay) Heard() { r.assigned.Store(time.Now().UnixMilli()) }

func (a *Assignment) validate() error {
	s := &a.Stream
	switch {
	case s.ID == "" || len(s.ID) > region.MaxStreamName:
		return fmt.Errorf("%w: stream name of %d bytes", region.ErrInvalid, len(s.ID))
	case len(s.Layers) == 0 || len(s.Layers) > region.MaxLayers || s.SSRC%region.MaxLayers != 0:
		return fmt.Errorf("%w: stream %s: %d layers, SSRC %d", region.ErrInvalid, s.ID, len(s.Layers), s.SSRC)
	case len(a.Standbys) > region.MaxStandbys:
		return fmt.Errorf("%w: stream %s: %d standbys, at most %d", region.ErrLimit, s.ID, len(a.Standbys), region.MaxStandbys)
	}
	for _, u := range append(slices.Clone(a.Standbys), a.Parent) {
		if len(u.Grant) > link.MaxGrant {
			return fmt.Errorf("%w: stream %s: grant of %d bytes", region.ErrInvalid, s.ID, len(u.Grant))
		}
	}
	return nil
}

// Unassign ends the member's place in the tree of a stream: it is not drawn any
// more, children are cut. Sinks stay open and wait for another assignment.
func (r *Relay) Unassign(id region.StreamID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.streams[id] != nil {
		r.assignments[id] = nil
		r.kick()
	}
}

// Expect keeps a link to p ready although no assignment names it (yet), until
// an assignment did and is over, at least for 30 s.
func (r *Relay) Expect(p link.Peer) error {
	if _, err := r.cfg.Transport.Expect(p); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pins[p.ID] = p
	r.kick()
	return nil
}

// SetUplink changes what this member is willing to send. It cuts no child.
func (r *Relay) SetUplink(uplink region.Rate) { r.uplink.Store(uint32(uplink)) }

// Leave makes the relay refuse new children from now on.
func (r *Relay) Leave() { r.leaving.Store(true) }

// open returns a stream, new if need be, and brings what is known of it up to
// date. r.mu is held.
func (r *Relay) open(info region.Stream) (*stream, error) {
	s := r.streams[info.ID]
	news := s == nil
	if s == nil {
		if len(r.streams) >= region.MaxStreams {
			return nil, fmt.Errorf("stream %s: %w: %d streams", info.ID, region.ErrLimit, region.MaxStreams)
		}
		s = &stream{r: r, id: info.ID}
		s.children.Store(&[]*child{})
		s.feeds.Store(&[]*feed{})
		s.stats.Stream = region.Stream{ID: info.ID}
		r.streams[info.ID] = s
	}
	s.mu.Lock()
	if len(info.Layers) > 0 {
		if s.info.SSRC != info.SSRC { // published anew: another stream of the same name
			news = true
			s.layers = [region.MaxLayers]*layer{}
			s.reports = [region.MaxLayers][]byte{}
			for _, k := range s.sinks {
				k.restart()
			}
		}
		s.info = info
		s.budget.Store(int64(info.Rate(region.AllLayers)))
		s.stats.Stream = info
	}
	s.mu.Unlock()
	if news {
		r.publish()
	}
	return s, nil
}

// release forgets a stream nobody uses any more. r.mu is held.
func (r *Relay) release(s *stream) {
	s.mu.Lock()
	used := len(s.sinks) > 0 || s.local || s.stats.Revision != 0 || s.info.Origin == r.cfg.Self
	s.mu.Unlock()
	if !used && r.assignments[s.id] == nil && r.streams[s.id] == s {
		delete(r.streams, s.id)
		delete(r.assignments, s.id)
		r.publish()
	}
}

// publish makes the streams visible to the goroutines that do not lock. r.mu is
// held, or r is new.
func (r *Relay) publish() {
	bySSRC := make(map[uint32]*stream, len(r.streams))
	for _, s := range r.streams {
		if len(s.info.Layers) > 0 {
			bySSRC[s.info.SSRC] = s
		}
	}
	list := slices.SortedFunc(maps.Values(r.streams), func(a, b *stream) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	r.bySSRC.Store(&bySSRC)
	r.list.Store(&list)
}

// bySource returns the stream of an SSRC, nil if there is none.
func (r *Relay) bySource(ssrc uint32) *stream {
	return (*r.bySSRC.Load())[ssrc&^(region.MaxLayers-1)]
}

// Events delivers what the session has to know. At most 1024 wait for the
// reader; beyond that the oldest are dropped and counted in Stats.
func (r *Relay) Events() <-chan Event { return r.events }

// emit is called by the keeper only.
func (r *Relay) emit(e Event) {
	for {
		select {
		case r.events <- e:
			return
		default:
		}
		select {
		case <-r.events:
			r.mu.Lock()
			r.lost++
			r.mu.Unlock()
		default:
		}
	}
}

// Close ends all streams, tells parents and children, and waits for what the
// relay started.
func (r *Relay) Close() error {
	r.cancel()
	r.wait.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.streams {
		s.mu.Lock()
		for _, k := range s.sinks {
			k.end()
		}
		s.mu.Unlock()
	}
	return nil
}

// now is the time since the relay began, in nanoseconds.
func (r *Relay) now() int64 { return int64(time.Since(r.start)) }

// wall is now as microseconds since 1970.
func (r *Relay) wall(now int64) int64 { return r.start.UnixMicro() + now/1000 }

func (r *Relay) since(then, now int64) time.Duration { return time.Duration(now - then) }

// kick wakes the keeper to look at everything.
func (r *Relay) kick() {
	r.everything.Store(true)
	r.rouse()
}

func (r *Relay) rouse() {
	select {
	case r.kicked <- struct{}{}:
	default:
	}
}
