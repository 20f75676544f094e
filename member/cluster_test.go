package member_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world"
	"github.com/skein-mesh/skein/test/world/simnet"
)

const (
	oneWay = 10 * time.Millisecond
	// patience is how long, in virtual time, anything may take.
	patience = 2 * time.Minute
)

// A cluster is real coordinators and members on a network made of events, in
// virtual time.
type cluster struct {
	t     *testing.T
	net   *simnet.Net
	ca    *trust.Authority
	coord []*coord
	hosts int
}

// A coord is a coordinator's machine; server is nil while it is down.
type coord struct {
	host   *simnet.Host
	cfg    coordinator.Config
	server *coordinator.Server
}

// inCluster runs a story in a bubble, with a cluster of so many coordinators.
func inCluster(t *testing.T, coordinators int, story func(*testing.T, *cluster)) {
	world.Bubble(t, 30*time.Second, func(t *testing.T) {
		n := simnet.New(1)
		n.Profile(func(src, dst netip.Addr) simnet.Link { return simnet.Link{Latency: oneWay} })
		c := &cluster{t: t, net: n}
		t.Cleanup(func() {
			for _, co := range c.coord {
				co.kill(t)
			}
			time.Sleep(2 * time.Minute) // raft, memberlist and gRPC do not wait for all of theirs
			n.Close()
		})
		c.ca = must(trust.NewAuthority(time.Now()))
		c.found(coordinators)
		story(t, c)
	})
}

// found starts the coordinators and waits for a leader.
func (c *cluster) found(count int) {
	var peers []coordinator.Peer
	for i := range count {
		host := c.net.Host(fmt.Sprintf("10.0.0.%d", i+1))
		cfg := coordinator.DefaultConfig()
		cfg.Credentials = c.issue(trust.RoleCoordinator)
		cfg.Authority = c.ca
		cfg.DataDir = filepath.Join(c.t.TempDir(), "data")
		cfg.GRPC, cfg.Raft = host.Addr().String()+":7400", host.Addr().String()+":7401"
		cfg.Network = host
		c.coord = append(c.coord, &coord{host: host, cfg: cfg})
		peers = append(peers, coordinator.Peer{ID: cfg.Credentials.ID(), Raft: cfg.Raft, GRPC: cfg.GRPC})
	}
	for _, co := range c.coord {
		co.cfg.Groups = []coordinator.Group{{Region: "r1", Peers: peers}}
		co.start(c.t)
	}
	c.until("somebody leads", func() bool { return c.leader() != nil })
}

func (co *coord) start(t *testing.T) {
	t.Helper()
	server, err := coordinator.Start(context.Background(), co.cfg)
	if err != nil {
		t.Fatal(err)
	}
	co.server = server
}

// kill is a crash: the sockets vanish first, then the rest.
func (co *coord) kill(t *testing.T) {
	if co.server == nil {
		return
	}
	co.host.Kill()
	time.Sleep(time.Millisecond)
	if err := co.server.Close(); err != nil {
		t.Log("closing a killed coordinator:", err)
	}
	co.server = nil
}

func (c *cluster) leader() *coord {
	for _, co := range c.coord {
		if co.server != nil && co.server.Leading("r1") {
			return co
		}
	}
	return nil
}

// region is the structure as the leader has it.
func (c *cluster) region() *region.Region {
	c.until("somebody leads", func() bool { return c.leader() != nil })
	return c.leader().server.Region("r1")
}

func (c *cluster) addresses() []string {
	var list []string
	for _, co := range c.coord {
		list = append(list, co.cfg.GRPC)
	}
	return list
}

func (c *cluster) issue(role trust.Role) *trust.Credentials {
	return must(c.ca.Issue(must(trust.NewIdentity()), role, trust.CertificateTTL, time.Now()))
}

// A participant is a member on a machine of its own.
type participant struct {
	*member.Node
	host *simnet.Host
}

// config is that of a member on a new machine.
func (c *cluster) config(uplink region.Rate) (member.Config, *simnet.Host) {
	c.hosts++
	host := c.net.Host(fmt.Sprintf("10.1.%d.%d", c.hosts/250, c.hosts%250+1))
	cfg := member.DefaultConfig()
	cfg.Coordinators = c.addresses()
	cfg.Name = fmt.Sprintf("m%d", c.hosts)
	cfg.Uplink = uplink
	cfg.Network = host
	cfg.Media, cfg.Gossip = host.Addr().String()+":7500", host.Addr().String()+":7402"
	return cfg, host
}

// join brings a member in, with credentials of its own.
func (c *cluster) join(uplink region.Rate) *participant {
	c.t.Helper()
	cfg, host := c.config(uplink)
	cfg.Credentials = c.issue(trust.RoleMember)
	return c.enter(cfg, host)
}

func (c *cluster) enter(cfg member.Config, host *simnet.Host) *participant {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	node, err := member.Join(ctx, cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := node.Close(); err != nil {
			c.t.Error(err)
		}
	})
	return &participant{node, host}
}

// isolate cuts a host off from all members, or heals that.
func (c *cluster) isolate(h *simnet.Host, cut bool) {
	if !cut {
		c.net.Partition(nil)
		return
	}
	members := netip.MustParsePrefix("10.1.0.0/16")
	c.net.Partition(func(src, dst netip.Addr) bool {
		return src == h.Addr() && members.Contains(dst) || dst == h.Addr() && members.Contains(src)
	})
}

// until waits for a condition, never for a fixed time.
func (c *cluster) until(what string, holds func() bool) {
	c.t.Helper()
	for began := time.Now(); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > patience {
			c.t.Fatalf("not in %v: %s", patience, what)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
