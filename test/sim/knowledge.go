package sim

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/hashicorp/serf/coordinate"

	"github.com/skein-mesh/skein/region"
)

// memberID names member i; numberOf is its reverse.
func memberID(i int) region.MemberID { return region.MemberID(fmt.Sprintf("m%04d", i)) }

func numberOf(id region.MemberID) int {
	i, err := strconv.Atoi(string(id[1:]))
	if err != nil {
		panic("no simulated member: " + id)
	}
	return i
}

func duration(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// Omniscience knows all RTTs of a world.
type Omniscience struct{ World *World }

// RTT implements region.RTT.
func (o Omniscience) RTT(a, b region.MemberID) (time.Duration, bool) {
	return duration(o.World.RTT[numberOf(a)][numberOf(b)]), true
}

// Measurements know the RTTs that somebody measured and guess the others by
// Vivaldi coordinates of 5 dimensions and a height. They stand for the leader's
// matrix together with what the members keep themselves.
type Measurements struct {
	world   *World
	rng     *rand.Rand
	known   [][]bool
	clients []*coordinate.Client
	at      []*coordinate.Coordinate
	present []int
}

// NewMeasurements returns the knowledge about a world in which nobody has
// measured anything.
func NewMeasurements(w *World, rng *rand.Rand) (*Measurements, error) {
	n := w.Size()
	m := &Measurements{world: w, rng: rng, known: make([][]bool, n),
		clients: make([]*coordinate.Client, n), at: make([]*coordinate.Coordinate, n)}
	config := coordinate.DefaultConfig()
	config.Dimensionality = 5
	for i := range n {
		client, err := coordinate.NewClient(config)
		if err != nil {
			return nil, fmt.Errorf("coordinates: %w", err)
		}
		m.known[i], m.clients[i], m.at[i] = make([]bool, n), client, client.GetCoordinate()
	}
	return m, nil
}

// RTT implements region.RTT.
func (m *Measurements) RTT(a, b region.MemberID) (time.Duration, bool) {
	i, j := numberOf(a), numberOf(b)
	if m.known[i][j] {
		return duration(m.world.RTT[i][j]), true
	}
	return m.at[i].DistanceTo(m.at[j]), false
}

// Probe measures the RTT from i to j.
func (m *Measurements) Probe(i, j int) {
	m.known[i][j], m.known[j][i] = true, true
	c, err := m.clients[i].Update(string(memberID(j)), m.at[j], duration(m.world.RTT[i][j]))
	if err == nil {
		m.at[i] = c
	}
}

// Enter lets member i take part in gossip. It has probed a few members by then,
// which gives it a first idea of where it is.
func (m *Measurements) Enter(i, probes int) {
	for range 3 {
		for k := range min(probes, len(m.present)) {
			m.Probe(i, m.present[(i+k*(len(m.present)/max(probes, 1)+1))%len(m.present)])
		}
	}
	m.present = append(m.present, i)
}

// Gossip lets the present members probe one another for that many seconds, each
// one random other per second.
func (m *Measurements) Gossip(seconds int) {
	if len(m.present) < 2 {
		return
	}
	for range seconds {
		for _, i := range m.present {
			if j := m.present[m.rng.IntN(len(m.present))]; j != i {
				m.Probe(i, j)
			}
		}
	}
}
