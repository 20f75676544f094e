package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/latency"
	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// A cluster is what a testnet needs before its first node starts: who may sign,
// who is who, and who lives where.
type cluster struct {
	dir       string
	authority *trust.Authority
	operator  *trust.Credentials
	token     string
	// helping is the token for coordinators that run beside members.
	helping string
	plan    addressPlan
	coords  []Spec
}

// The files of a data folder.
const (
	planFile     = "testnet.json"
	authorityDir = "ca"
	operatorDir  = "operator"
)

// newCluster makes a cluster in dir, or takes up the one that an earlier run
// has left there. Only if keep is set the keys are written.
func newCluster(ctx context.Context, dir string, cfg Config, keep bool, now time.Time) (*cluster, error) {
	c := &cluster{dir: dir}
	if err := c.make(ctx, cfg, keep, now); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *cluster) make(ctx context.Context, cfg Config, keep bool, now time.Time) error {
	var err error
	if c.authority, err = loadOrNewAuthority(filepath.Join(c.dir, authorityDir), keep, now); err != nil {
		return err
	}
	if c.plan, err = loadOrNewPlan(ctx, filepath.Join(c.dir, planFile), cfg.Coordinators); err != nil {
		return err
	}
	if c.token, err = c.authority.NewToken(trust.RoleMember, 24*time.Hour, 0, now); err != nil {
		return err
	}
	if c.helping, err = c.authority.NewToken(trust.RoleCoordinator, 24*time.Hour, 0, now); err != nil {
		return err
	}
	operator, err := trust.NewIdentity()
	if err != nil {
		return err
	}
	if c.operator, err = c.authority.Issue(operator, trust.RoleOperator, trust.CertificateTTL, now); err != nil {
		return err
	}
	if keep {
		if err := c.saveOperator(); err != nil {
			return err
		}
	}
	return c.specify(cfg, keep, now)
}

// close gives up the cluster's addresses.
func (c *cluster) close() { c.plan.release() }

// saveOperator leaves credentials for skein status and its like, those of this
// run in the place of an earlier one's.
func (c *cluster) saveOperator() error {
	dir := filepath.Join(c.dir, operatorDir)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := c.operator.Identity().Save(dir); err != nil {
		return err
	}
	return c.operator.Save(dir)
}

// specify writes the coordinators' specs.
func (c *cluster) specify(cfg Config, keep bool, now time.Time) error {
	regions := cfg.Regions
	var peers []coordinator.Peer
	for i, a := range c.plan.coords {
		name := fmt.Sprintf("coordinator-%d", i+1)
		dir := filepath.Join(c.dir, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		creds, err := c.issue(dir, keep, now)
		if err != nil {
			return err
		}
		peers = append(peers, coordinator.Peer{ID: creds.ID(), Raft: a.raft, GRPC: a.grpc})
		c.coords = append(c.coords, Spec{Name: name, IP: a.ip, Site: -1, Coordinator: &CoordinatorSpec{
			GRPC: a.grpc, Raft: a.raft, Dir: dir, AuthorityDir: filepath.Join(c.dir, authorityDir), Patience: patience(cfg),
			credentials: creds, authority: c.authority,
		}})
	}
	for i, id := range regionIDs(regions) {
		g := coordinator.Group{Region: id, Peers: peers}
		if regions > 1 || cfg.RegionMax > 0 {
			g.Peers = nil
			for k := range replicasOf(len(peers)) {
				g.Peers = append(g.Peers, peers[(i+k)%len(peers)])
			}
		}
		for k, s := range c.coords {
			if slices.ContainsFunc(g.Peers, func(p coordinator.Peer) bool { return p.ID == peers[k].ID }) {
				s.Coordinator.Groups = append(s.Coordinator.Groups, g)
			}
			s.Coordinator.Seeds, s.Coordinator.RegionMax, s.Coordinator.Hasty = peers, cfg.RegionMax, cfg.Auto > 0
		}
	}
	return nil
}

// patience is how much longer than usual coordinators wait for one another: those of a
// large testnet share the machine with members that may keep it busy for seconds, and if
// they took that for deaths, there would be elections without end.
func patience(cfg Config) int {
	const each, most = 100, 5
	streams := max(cfg.Streams, 1)
	if cfg.walk != nil {
		streams = max(streams, 2) // everybody's voice and whereabouts
	}
	return min(1+cfg.Members*streams/each, most)
}

// replicasOf is how many replicas each of several regions has on so many
// coordinators.
func replicasOf(coordinators int) int {
	if coordinators < 3 {
		return 1
	}
	return 3
}

// issue makes credentials for the coordinator whose folder is dir.
func (c *cluster) issue(dir string, keep bool, now time.Time) (*trust.Credentials, error) {
	id, err := trust.LoadIdentity(dir)
	fresh := errors.Is(err, fs.ErrNotExist)
	if fresh {
		id, err = trust.NewIdentity()
	}
	if err != nil {
		return nil, err
	}
	creds, err := c.authority.Issue(id, trust.RoleCoordinator, trust.CertificateTTL, now)
	if err != nil || !keep {
		return creds, err
	}
	if fresh {
		if err := id.Save(dir); err != nil {
			return nil, err
		}
	}
	return creds, creds.Save(dir)
}

func loadOrNewAuthority(dir string, keep bool, now time.Time) (*trust.Authority, error) {
	a, err := trust.LoadAuthority(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	if a, err = trust.NewAuthority(now); err != nil || !keep {
		return a, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return a, a.Save(dir)
}

// A savedPlan is an addressPlan on disk: Raft logs hold addresses, so a testnet
// must come back to those it had.
type savedPlan struct {
	Own          bool     `json:"own_addresses"`
	Coordinators []string `json:"coordinators"` // ip, gRPC and Raft address of each
}

func loadOrNewPlan(ctx context.Context, path string, coordinators int) (addressPlan, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newPlan(ctx, path, coordinators)
	}
	if err != nil {
		return addressPlan{}, err
	}
	var s savedPlan
	if err := json.Unmarshal(data, &s); err != nil || len(s.Coordinators)%3 != 0 {
		return addressPlan{}, fmt.Errorf("%s: %w: remove the folder to begin a new testnet", path, trust.ErrDamaged)
	}
	if n := len(s.Coordinators) / 3; n != coordinators {
		return addressPlan{}, fmt.Errorf("--data %s: %w: it holds a testnet of %d coordinators, not %d; give --coordinators %d or another folder",
			filepath.Dir(path), region.ErrInvalid, n, coordinators, n)
	}
	plan := addressPlan{own: s.Own}
	for i := 0; i < len(s.Coordinators); i += 3 {
		ip, err := netip.ParseAddr(s.Coordinators[i])
		if err != nil {
			return addressPlan{}, fmt.Errorf("%s: %w: %w", path, trust.ErrDamaged, err)
		}
		a := coordAddress{ip: ip, grpc: s.Coordinators[i+1], raft: s.Coordinators[i+2]}
		plan.coords = append(plan.coords, a)
	}
	return plan, plan.takeUp(ctx, filepath.Dir(path))
}

// takeUp claims the addresses of an earlier run, if they are free.
func (p *addressPlan) takeUp(ctx context.Context, dir string) error {
	var err error
	if p.own {
		p.claim, err = claimNet(ctx, p.coords[0].ip)
	}
	for _, a := range p.coords {
		if err != nil || !canListen(ctx, a.grpc) || !canListen(ctx, a.raft) {
			p.release()
			return fmt.Errorf("--data %s: its address %s is in use: another skein dev runs on this folder or has taken its addresses; end it, or give another folder", dir, a.grpc)
		}
	}
	return nil
}

func newPlan(ctx context.Context, path string, coordinators int) (addressPlan, error) {
	plan, err := planAddresses(ctx, coordinators)
	if err != nil {
		return addressPlan{}, err
	}
	s := savedPlan{Own: plan.own}
	for _, a := range plan.coords {
		s.Coordinators = append(s.Coordinators, a.ip.String(), a.grpc, a.raft)
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return addressPlan{}, err
	}
	return plan, os.WriteFile(path, data, 0o600)
}

// memberSpecs writes the specs of all members: the first ones publish a camera
// each, and everybody subscribes to the others' streams.
func (c *cluster) memberSpecs(cfg Config) []Spec {
	var out []Spec
	homes, clock := homesOf(cfg), new(latency.Clock)
	for i := range cfg.Members {
		m := &MemberSpec{
			Region:       homes[i],
			Coordinators: c.plan.grpc(), Token: c.token, Uplink: publisherUplink,
			LatencyFile: cfg.LatencyFile, Members: cfg.Members, Shift: cfg.Shift.File, Want: i,
			matrix: cfg.matrix, shifted: cfg.shifted, clock: clock,
		}
		if i >= cfg.Streams {
			m.Uplink = cfg.Uplinks[(i-cfg.Streams)%len(cfg.Uplinks)]
		}
		name := fmt.Sprintf("member-%d", i+1)
		if i >= cfg.Streams && i < cfg.Streams+cfg.Auto {
			m.Volunteer = &VolunteerSpec{Token: c.helping, Dir: filepath.Join(c.dir, name)}
		}
		if cfg.walk != nil {
			m.Uplink = walkerUplink
			m.Walk = &WalkSpec{Space: cfg.Space, Begin: cfg.walk.At(i, 0), Film: i%filmEvery == 0}
		}
		for camera := range cfg.Streams {
			for _, p := range cameraStreams(camera, cfg) {
				if camera == i {
					m.Publish = append(m.Publish, p)
				} else {
					m.Subscribe = append(m.Subscribe, p.Stream)
				}
			}
		}
		out = append(out, Spec{Name: name, IP: c.plan.member(i), Site: i, Member: m})
	}
	return out
}

func cameraStreams(camera int, cfg Config) []PatternSpec {
	return []PatternSpec{
		{Stream: region.StreamID(fmt.Sprintf("camera-%d/video", camera+1)), Kind: region.Video, Layers: cfg.Layers, Shape: cfg.shape()},
		{Stream: region.StreamID(fmt.Sprintf("camera-%d/audio", camera+1)), Kind: region.Audio, Layers: 1, Shape: cfg.shape()},
	}
}

func allStreams(cfg Config) (out []PatternSpec) {
	for i := range cfg.Streams {
		out = append(out, cameraStreams(i, cfg)...)
	}
	return out
}
