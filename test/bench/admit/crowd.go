package admit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// maxCrowd bounds a Crowd.
const maxCrowd = region.MaxMembers - 1

// A Crowd says who comes when.
type Crowd struct {
	// Members that arrive, 1 to region.MaxMembers - 1; the publisher is one more.
	Members int
	// Within is the time in which they arrive, evenly spread by chance.
	Within time.Duration
	// RegionMax is the most members of the region.
	RegionMax int
	// Coordinators of the region's group.
	Coordinators int
	// Kbps is the rate of the stream that all want.
	Kbps uint32
	// Uplinks of the members, by turns.
	Uplinks []region.Rate
	// Dir holds the logs, in a folder that is removed; empty = the system's
	// folder for temporary files.
	Dir  string
	Seed uint64
	// Patience is how long after Within answers are waited for. Who has none by
	// then has failed.
	Patience time.Duration
}

// DefaultCrowd is 2000 members within 5 seconds.
func DefaultCrowd() Crowd {
	return Crowd{
		Members: 2000, Within: 5 * time.Second, RegionMax: 4096, Coordinators: 3, Kbps: 1000,
		Uplinks: []region.Rate{0, 1000, 2000, 4000}, Seed: 1, Patience: time.Minute,
	}
}

func (c Crowd) validate() error {
	switch {
	case c.Members < 1 || c.Members > maxCrowd:
		return fmt.Errorf("%d members: %w: 1 to %d", c.Members, region.ErrInvalid, maxCrowd)
	case c.RegionMax < 1 || c.RegionMax > region.MaxMembers:
		return fmt.Errorf("a region of %d members: %w: 1 to %d", c.RegionMax, region.ErrInvalid, region.MaxMembers)
	case c.Within <= 0 || c.Patience <= 0 || c.Coordinators < 1 || c.Kbps == 0 || len(c.Uplinks) == 0:
		return fmt.Errorf("%w: start from DefaultCrowd", region.ErrInvalid)
	}
	return nil
}

// A CrowdReport is what became of a Crowd. Times count from a member's arrival to
// its answer, handshakes and retries included.
type CrowdReport struct {
	Members   int     `json:"members"`
	WithinS   float64 `json:"within_s"`
	RegionMax int     `json:"region_max"`
	Replicas  int     `json:"replicas"`
	// Asked came in time; Answered were given a place or refused one; Failed
	// were given neither.
	Asked    int `json:"asked"`
	Answered int `json:"answered"`
	Placed   int `json:"placed"`
	Refused  int `json:"refused"`
	Failed   int `json:"failed"`
	// FirstFailure is why one of those failed.
	FirstFailure string `json:"first_failure,omitempty"`
	// Lost are those that were given a stay or a place which some replica does
	// not know.
	Lost            int     `json:"lost"`
	Retries         int     `json:"retries"`
	AdmissionsPerS  float64 `json:"admissions_per_s"`
	P50MS           float64 `json:"p50_ms"`
	P90MS           float64 `json:"p90_ms"`
	P99MS           float64 `json:"p99_ms"`
	MaxMS           float64 `json:"max_ms"`
	TreeDepth       int     `json:"tree_depth"`
	InvariantBroken string  `json:"invariant_broken,omitempty"`
}

// RunCrowd starts a cluster, lets the crowd come, and reports. progress is told
// how many have been answered, from many goroutines; it may be nil.
func RunCrowd(ctx context.Context, c Crowd, progress func(done int)) (report *CrowdReport, err error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	defer spareGC()()
	cl, err := startCluster(ctx, c.Dir, c.Coordinators, c.RegionMax, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cl.close()) }()
	w, err := newWorld(cl, c)
	if err != nil {
		return nil, err
	}
	defer w.end()
	return w.run(ctx, progress)
}

// A crowdWorld is a crowd at the door of its cluster.
type crowdWorld struct {
	cfg     Crowd
	cluster *cluster
	origin  *member
	members []*member
	// arrive tells when each member comes, after the beginning.
	arrive []time.Duration
	// sessions are what listens and beats for members that were answered.
	sessions sync.WaitGroup
	hush     context.CancelFunc
}

const crowdStream = "show"

// newWorld makes the members with their keys, which they have before they come.
func newWorld(cl *cluster, c Crowd) (*crowdWorld, error) {
	w := &crowdWorld{cfg: c, cluster: cl, hush: func() {}}
	chance := rand.New(rand.NewPCG(c.Seed, 0))
	places := plane{}
	for i := range c.Members + 1 {
		creds, err := issue(cl.authority, trust.RoleMember)
		if err != nil {
			return nil, err
		}
		m := newMember(creds, c.Uplinks[i%len(c.Uplinks)], places, cl.leaderAddress)
		places[m.id()] = [2]float64{chance.Float64() * 100, chance.Float64() * 100}
		if i == 0 {
			m.uplink = 32 * region.Rate(c.Kbps)
			w.origin = m
			continue
		}
		w.members = append(w.members, m)
		w.arrive = append(w.arrive, time.Duration(chance.Float64()*float64(c.Within)))
	}
	return w, nil
}

// An answer is what one member got.
type answer struct {
	took   time.Duration
	at     time.Time
	parent string
	err    error
}

func (w *crowdWorld) run(ctx context.Context, progress func(int)) (*CrowdReport, error) {
	talk, hush := context.WithCancel(ctx)
	w.hush = hush
	if err := w.open(ctx, talk); err != nil {
		return nil, fmt.Errorf("the publisher: %w", err)
	}
	// When it is over, those who were not answered are reported as well.
	patience, cancel := context.WithTimeout(ctx, w.cfg.Within+w.cfg.Patience)
	defer cancel()
	answers := make([]answer, len(w.members))
	var done atomic.Int64
	var crowd sync.WaitGroup
	begun := time.Now()
	for i, m := range w.members {
		crowd.Go(func() {
			select {
			case <-time.After(w.arrive[i] - time.Since(begun)):
			case <-patience.Done():
			}
			came := begun.Add(w.arrive[i])
			parent, err := w.enter(patience, talk, m, i+1)
			answers[i] = answer{took: time.Since(came), at: time.Now(), parent: parent, err: err}
			if n := int(done.Add(1)); progress != nil {
				progress(n)
			}
		})
	}
	crowd.Wait()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	return w.report(ctx, begun, answers)
}

// open has the publisher join and announce the stream.
func (w *crowdWorld) open(ctx, talk context.Context) error {
	if err := w.origin.join(ctx, 0); err != nil {
		return err
	}
	if err := w.origin.publish(ctx, crowdStream, w.cfg.Kbps); err != nil {
		return err
	}
	w.sessions.Go(func() { w.origin.attend(talk) })
	return nil
}

// enter is what a member does when it comes.
func (w *crowdWorld) enter(ctx, talk context.Context, m *member, number int) (parent string, err error) {
	if err := m.join(ctx, number); err != nil {
		return "", fmt.Errorf("join: %w", err)
	}
	w.sessions.Go(func() { m.attend(talk) })
	if parent, err = m.find(ctx, crowdStream, 0); err != nil {
		return "", err
	}
	m.confirm(talk, crowdStream, parent)
	return parent, nil
}

// end lets everybody go and waits until they are gone.
func (w *crowdWorld) end() {
	w.hush()
	w.sessions.Wait()
	for _, m := range w.members {
		m.hangUp()
	}
	w.origin.hangUp()
}

// report looks for everything that was acknowledged on every replica.
func (w *crowdWorld) report(ctx context.Context, begun time.Time, answers []answer) (*CrowdReport, error) {
	r := &CrowdReport{
		Members: len(w.members), WithinS: w.cfg.Within.Seconds(), RegionMax: w.cfg.RegionMax,
		Replicas: w.cfg.Coordinators, Asked: len(answers),
	}
	replicas, err := w.cluster.settled(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		r.InvariantBroken = err.Error()
	}
	var took []time.Duration
	last := begun
	for i, a := range answers {
		m := w.members[i]
		r.Retries += int(m.retries.Load())
		switch {
		case a.err == nil:
			r.Placed++
		case errors.Is(a.err, errRefused):
			r.Refused++
		default:
			r.Failed++
			if r.FirstFailure == "" {
				r.FirstFailure = a.err.Error()
			}
			continue
		}
		took = append(took, a.took)
		if a.at.After(last) {
			last = a.at
		}
		if slices.ContainsFunc(replicas, func(r *region.Region) bool { return !held(r, m, a) }) {
			r.Lost++
		}
	}
	r.Answered = r.Placed + r.Refused
	r.AdmissionsPerS = float64(r.Placed) / last.Sub(begun).Seconds()
	slices.Sort(took)
	r.P50MS, r.P90MS, r.P99MS, r.MaxMS = quantile(took, 0.5), quantile(took, 0.9), quantile(took, 0.99), quantile(took, 1)
	r.TreeDepth = depth(replicas[0])
	return r, nil
}

// held says whether a structure holds what a member was told.
func held(r *region.Region, m *member, a answer) bool {
	stay, ok := r.Member(m.id())
	if !ok || uint64(stay.Lease) != m.lease {
		return false
	}
	n, ok := r.Node(crowdStream, m.id())
	return a.err != nil || ok && n.Parent != ""
}

// depth is the length of the longest path in the tree.
func depth(r *region.Region) int {
	deepest := 0
	for n := range r.Nodes(crowdStream) {
		d := 0
		for parent := n.Parent; parent != ""; d++ {
			up, _ := r.Node(crowdStream, parent)
			parent = up.Parent
		}
		deepest = max(deepest, d)
	}
	return deepest
}

// quantile of sorted durations in ms; 0 if there are none.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(q*float64(len(sorted)-1))].Microseconds()) / 1000
}
