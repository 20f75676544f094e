package inspect

import (
	"context"
	"time"

	"github.com/skein-mesh/skein/region"
)

// silence is how long a member may say nothing before it is shown as cut off:
// members speak every third of their lease.
const silence = 5 * time.Second

// latestRounds bounds the rounds of a Snapshot.
const latestRounds = 8

// A Snapshot is a region at one time, as the page shows it.
type Snapshot struct {
	Time   time.Time `json:"time"`
	Region string    `json:"region"`
	// Seconds since a testnet stood.
	Seconds      float64            `json:"seconds,omitempty"`
	Coordinators []CoordinatorState `json:"coordinators"`
	Members      []MemberState      `json:"members"`
	// Admissions by outcome, over all coordinators.
	Admissions Admissions `json:"admissions"`
	Broken     uint64     `json:"invariants_broken"`
	// Rounds are the leader's latest rounds of reorganisation, oldest first;
	// eight at most.
	Rounds []Round `json:"rounds"`
	// GossipEventsPerS is what gossip tells members of one another, all together.
	GossipEventsPerS float64 `json:"gossip_events_per_s"`
}

// A CoordinatorState is a coordinator in a Snapshot.
type CoordinatorState struct {
	Name    string `json:"name,omitempty"`
	ID      string `json:"id"`
	Address string `json:"address"`
	Alive   bool   `json:"alive"` // it answers
	Leader  bool   `json:"leader"`
	// Error says why it does not answer.
	Error string `json:"error,omitempty"`
	// Group is its replica; zero if it does not answer.
	Group Group `json:"group"`
}

// A MemberState is a member in a Snapshot.
type MemberState struct {
	Name        string   `json:"name"`
	ID          string   `json:"id"`
	Alive       bool     `json:"alive"`
	Connected   bool     `json:"connected"`
	UplinkKbps  uint32   `json:"uplink_kbps"`
	SendingKbps uint32   `json:"sending_kbps"`
	Children    int      `json:"children"`
	Publishes   []string `json:"publishes,omitempty"`
	// PositionMs is empty while too little is known; distances between
	// positions are round-trip times in ms.
	PositionMs []float32  `json:"position_ms,omitempty"`
	Nearest    []Distance `json:"nearest,omitempty"`
	Peers      uint32     `json:"peers"` // alive by gossip
	// GossipEvents counts what gossip has told it of others.
	GossipEvents uint64 `json:"gossip_events"`
	// Suspect says that the coordinators doubt that it lives: gossip holds it for
	// dead, or they have not heard it lately.
	Suspect bool `json:"suspect,omitempty"`
	// Blocked are the members that a testnet keeps apart from it.
	Blocked []string      `json:"blocked,omitempty"`
	Streams []StreamState `json:"streams"`
}

// A StreamState is how a stream arrives at a member.
type StreamState struct {
	Stream   string   `json:"stream"`
	Parent   string   `json:"parent"`
	Standbys []string `json:"standbys"`
	Children int      `json:"children"`
	// Layers that come at present, from 1, the lowest.
	Layers     []int   `json:"layers"`
	Received   uint64  `json:"packets_received"`
	Lost       uint64  `json:"packets_lost"`
	Duplicates uint64  `json:"duplicates_delivered"`
	DelayMsP50 float64 `json:"delay_ms_p50"`
	DelayMsP99 float64 `json:"delay_ms_p99"`
	GapMsMax   float64 `json:"gap_ms_max"`
	Failure    string  `json:"failure,omitempty"`
}

// Snapshot asks all coordinators for their state and the leader for the region.
// On error the snapshot still says which coordinators do not answer, and why.
func (c *Client) Snapshot(ctx context.Context, r region.ID) (*Snapshot, error) {
	var members []Member
	var trees []Tree
	status, err := c.Status(ctx)
	if err == nil {
		members, err = c.Members(ctx, r)
	}
	if err == nil {
		trees, err = c.Trees(ctx, r, "")
	}
	s := NewSnapshot(time.Now(), r, status, members, trees)
	if err == nil {
		s.AddRounds(ctx, c)
	}
	return s, err
}

// NewSnapshot brings together what coordinators have answered.
func NewSnapshot(now time.Time, r region.ID, status []Coordinator, members []Member, trees []Tree) *Snapshot {
	s := &Snapshot{Time: now, Region: string(r), Coordinators: []CoordinatorState{}, Members: []MemberState{}, Rounds: []Round{}}
	s.addCoordinators(status)
	s.addMembers(members, trees)
	return s
}

// AddRounds asks for the rounds of reorganisation. Who leads no more has none.
func (s *Snapshot) AddRounds(ctx context.Context, c *Client) {
	if rounds, err := c.Rounds(ctx, region.ID(s.Region)); err == nil {
		s.Rounds = rounds[max(0, len(rounds)-latestRounds):]
	}
}

// addCoordinators takes in what coordinators say of themselves.
func (s *Snapshot) addCoordinators(status []Coordinator) {
	for _, c := range status {
		state := CoordinatorState{ID: c.ID, Address: c.Address, Alive: c.Error == "", Error: c.Error}
		for _, g := range c.Groups {
			if g.Region != s.Region {
				continue
			}
			state.Group, state.Leader = g, g.State == "leader"
			s.Admissions = s.Admissions.Plus(g.Admissions)
		}
		s.Coordinators = append(s.Coordinators, state)
	}
}

// addMembers brings together who there is, who hangs where, and how it arrives.
func (s *Snapshot) addMembers(members []Member, trees []Tree) {
	index := make(map[string]int, len(members))
	for i, m := range members {
		index[m.ID] = i
		s.Members = append(s.Members, MemberState{
			Name: m.Name, ID: m.ID, Alive: true,
			Connected: m.LastHeardMs >= 0 && m.LastHeardMs < silence.Milliseconds(), Suspect: m.Suspect(),
			UplinkKbps: m.UplinkKbps, SendingKbps: m.SendingKbps, Children: int(m.Children),
			PositionMs: m.PositionMs, Nearest: m.Nearest, Peers: m.Peers, GossipEvents: m.GossipEvents,
			Streams: []StreamState{},
		})
	}
	for _, t := range trees {
		children := make(map[string]int, len(t.Nodes))
		for _, n := range t.Nodes {
			children[n.Parent]++
		}
		for _, n := range t.Nodes {
			i, ok := index[n.Member]
			if !ok {
				continue // it came between two answers
			}
			m := &s.Members[i]
			if n.Parent == "" {
				m.Publishes = append(m.Publishes, t.Stream)
				continue
			}
			m.Streams = append(m.Streams, placeOf(t.Stream, n, members[i].Health, children[n.Member]))
		}
	}
}

// Suspect reports whether the leader doubts that the member lives: others say so,
// or it was heard once, but not lately.
func (m Member) Suspect() bool {
	return m.Rumours > 0 || m.LastHeardMs >= silence.Milliseconds()
}

func placeOf(stream string, n Node, health []Health, children int) StreamState {
	p := StreamState{Stream: stream, Parent: n.Parent, Standbys: n.Standbys, Children: children, Layers: []int{}}
	for _, h := range health {
		if h.Stream == stream {
			p.Received, p.Lost, p.Duplicates = h.Received, h.Lost, h.Duplicates
			p.DelayMsP50, p.DelayMsP99, p.GapMsMax = h.DelayP50Ms, h.DelayP99Ms, h.GapMaxMs
			p.Layers = h.Layers
		}
	}
	return p
}

// Plus is the sum of two counts.
func (a Admissions) Plus(b Admissions) Admissions {
	return Admissions{
		Accepted:      a.Accepted + b.Accepted,
		RefusedStale:  a.RefusedStale + b.RefusedStale,
		RefusedFull:   a.RefusedFull + b.RefusedFull,
		RefusedByPeer: a.RefusedByPeer + b.RefusedByPeer,
	}
}
