package admit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

const (
	regionID = region.ID("crowd")
	// electTimeout bounds the wait for the first leader, settleTimeout that for
	// followers to apply what the leader has.
	electTimeout  = 20 * time.Second
	settleTimeout = 20 * time.Second
	// readBuffer keeps thousands of connections in one process small, in bytes.
	readBuffer = 4 << 10
	// window is as in package member.
	window = 1 << 20
	// lookEvery is how often either is looked at.
	lookEvery = 10 * time.Millisecond
)

// errParted: replicas applied the same entries, and not to the same effect.
var errParted = errors.New("replicas have parted")

// A cluster is the coordinators of one region, in this process.
type cluster struct {
	authority *trust.Authority
	servers   []*coordinator.Server
	addresses map[region.MemberID]string
	// release removes the data folder.
	release func() error
}

// startCluster starts n coordinators and waits until one of them leads.
func startCluster(ctx context.Context, dir string, n, regionMax int, change func(*coordinator.Config)) (*cluster, error) {
	c := &cluster{addresses: map[region.MemberID]string{}}
	if err := c.start(ctx, dir, n, regionMax, change); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *cluster) start(ctx context.Context, dir string, n, regionMax int, change func(*coordinator.Config)) error {
	var err error
	if c.authority, err = trust.NewAuthority(time.Now()); err != nil {
		return err
	}
	// A folder of its own under dir: on the disk that is to be measured.
	data, err := os.MkdirTemp(dir, "skein-bench-")
	if err != nil {
		return err
	}
	c.release = func() error { return os.RemoveAll(data) }
	ports, err := freePorts(2 * n)
	if err != nil {
		return err
	}
	configs := make([]coordinator.Config, n)
	group := coordinator.Group{Region: regionID}
	for i := range configs {
		cfg := coordinator.DefaultConfig()
		cfg.Name = fmt.Sprintf("coordinator-%d", i+1)
		cfg.DataDir = filepath.Join(data, cfg.Name)
		if err := os.Mkdir(cfg.DataDir, 0o700); err != nil {
			return err
		}
		if cfg.Credentials, err = issue(c.authority, trust.RoleCoordinator); err != nil {
			return err
		}
		cfg.Authority, cfg.MaxMembers = c.authority, regionMax
		cfg.Boundary.SplitAt = 0 // one region is measured, however large it grows
		cfg.GRPC, cfg.Raft = ports[2*i], ports[2*i+1]
		if change != nil {
			change(&cfg)
		}
		c.addresses[cfg.Credentials.ID()] = cfg.GRPC
		group.Peers = append(group.Peers, coordinator.Peer{ID: cfg.Credentials.ID(), Raft: cfg.Raft, GRPC: cfg.GRPC})
		configs[i] = cfg
	}
	for _, cfg := range configs {
		cfg.Groups = []coordinator.Group{group}
		s, err := coordinator.Start(ctx, cfg)
		if err != nil {
			return err
		}
		c.servers = append(c.servers, s)
	}
	return c.until(ctx, electTimeout, "no coordinator leads", func() bool { return c.leader() != nil })
}

// leader returns the coordinator that leads; nil if none does.
func (c *cluster) leader() *coordinator.Server {
	for _, s := range c.servers {
		if s.Leading(regionID) {
			return s
		}
	}
	return nil
}

// leaderAddress is where to ask. While nobody leads it is where was asked last, so
// that an election does not cost everybody two handshakes, or else any address.
func (c *cluster) leaderAddress(last string) string {
	if s := c.leader(); s != nil {
		return c.addresses[s.ID()]
	}
	if last != "" {
		return last
	}
	return c.addresses[c.servers[0].ID()]
}

// settled waits until all replicas have applied what the furthest of them has now,
// and returns the structures they hold then, also with an error. They may go on changing: trees are
// tended, and followers lag. Those of the same revision must be equal.
func (c *cluster) settled(ctx context.Context) ([]*region.Region, error) {
	var want region.Revision
	for _, s := range c.servers {
		want = max(want, s.Region(regionID).Revision())
	}
	list := make([]*region.Region, len(c.servers))
	err := c.until(ctx, settleTimeout, "a replica lags behind the others", func() bool {
		for i, s := range c.servers {
			list[i] = s.Region(regionID)
		}
		return !slices.ContainsFunc(list, func(r *region.Region) bool { return r.Revision() < want })
	})
	if err != nil {
		return list, err
	}
	hashes := map[region.Revision][32]byte{}
	for _, r := range list {
		if err := r.Check(); err != nil {
			return list, err
		}
		hash := r.Hash()
		if other, ok := hashes[r.Revision()]; ok && other != hash {
			return list, fmt.Errorf("%w: they hold different structures at revision %d", errParted, r.Revision())
		}
		hashes[r.Revision()] = hash
	}
	return list, nil
}

func (c *cluster) until(ctx context.Context, limit time.Duration, failure string, holds func() bool) error {
	for end := time.Now().Add(limit); !holds(); {
		if time.Now().After(end) {
			return fmt.Errorf("%s after %v: %w", failure, limit, context.DeadlineExceeded)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lookEvery):
		}
	}
	return nil
}

// close stops everything and removes the data.
func (c *cluster) close() error {
	var errs []error
	for _, s := range c.servers {
		errs = append(errs, s.Close())
	}
	if c.release != nil {
		errs = append(errs, c.release())
	}
	return errors.Join(errs...)
}

// dial connects to a coordinator as a member.
func dial(address string, creds *trust.Credentials) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(creds.ClientTLS())),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithReadBufferSize(readBuffer),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window))
}

// spareGC collects garbage more rarely until the function it returns is called:
// all coordinators and members share one process here, which would else spend a
// sixth of the machine on it.
func spareGC() (undo func()) {
	percent := debug.SetGCPercent(1000)
	limit := debug.SetMemoryLimit(4 << 30)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// processor is the time that this process has spent on processors.
func processor() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// issue makes the credentials of a new node.
func issue(a *trust.Authority, role trust.Role) (*trust.Credentials, error) {
	id, err := trust.NewIdentity()
	if err != nil {
		return nil, err
	}
	return a.Issue(id, role, trust.CertificateTTL, time.Now())
}

// freePorts finds addresses on loopback that nobody listens on.
func freePorts(n int) ([]string, error) {
	var list []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // all are held until all are found
		list = append(list, l.Addr().String())
	}
	return list, nil
}
