package world

import (
	"context"
	"fmt"
	"os"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// A seat is the machine of a coordinator; server is nil while none runs on it.
type seat struct {
	w      *world
	name   string
	host   *simnet.Host
	cfg    coordinator.Config
	disk   *disk
	server *coordinator.Server
	// skew is by how much its clock is ahead; it changes only while no server runs.
	skew time.Duration
	// unjudged is set on a machine that has lost its disk: the group that it begins
	// with nothing is not the one that the judge follows.
	unjudged bool
	reading  sync.WaitGroup // judges that have not read all of the server's feeds yet
}

func (w *world) seat(i int) *seat {
	host := w.net.Host(fmt.Sprintf("10.0.0.%d", i+1))
	s := &seat{w: w, name: fmt.Sprintf("c%d", i+1), host: host, cfg: coordinator.DefaultConfig()}
	s.cfg.Name = s.name
	s.cfg.Credentials, s.cfg.Authority = w.issue(trust.RoleCoordinator), w.ca
	s.cfg.DataDir = w.folder()
	s.cfg.GRPC, s.cfg.Raft = host.Addr().String()+":7400", host.Addr().String()+":7401"
	s.disk = &disk{seat: s}
	s.cfg.Network, s.cfg.Disk = host, s.disk.carry
	s.cfg.Now = func() time.Time { return time.Now().Add(s.skew) }
	s.cfg.Logger = w.journal.logger(s.name, w.fault)
	w.tune(&s.cfg)
	return s
}

// start runs a coordinator on what its folder holds.
func (s *seat) start() {
	s.w.t.Helper()
	s.host.PowerOn()
	if err := s.disk.replug(); err != nil {
		s.w.t.Fatalf("disk of %s: %v", s.name, err)
	}
	var server *coordinator.Server
	var err error
	// Profiles tell what a coordinator takes: go tool pprof -tagfocus seat=c1.
	pprof.Do(context.Background(), pprof.Labels("seat", s.name), func(ctx context.Context) {
		server, err = coordinator.Start(ctx, s.cfg)
	})
	if err != nil {
		s.w.t.Fatalf("%s does not start: %v", s.name, err)
	}
	s.w.note("%s starts", s.name)
	s.server = server
	for _, g := range s.cfg.Groups {
		if j := s.w.judges[g.Region]; j != nil && !s.unjudged {
			j.follow(s, must(server.Follow(g.Region, 0)))
		}
	}
}

// kill is what others see of kill -9: the sockets vanish first.
func (s *seat) kill() {
	if s.server == nil {
		return
	}
	s.w.note("%s is killed", s.name)
	s.host.Kill()
	s.stop()
}

// ruin is the end of a machine and its disk.
func (s *seat) ruin() {
	s.kill()
	s.w.note("%s has lost its disk", s.name)
	s.w.must(os.RemoveAll(s.cfg.DataDir))
	s.w.must(os.MkdirAll(s.cfg.DataDir, 0o700))
	s.unjudged = true
}

// powerOff is silence.
func (s *seat) powerOff() {
	if s.server == nil {
		return
	}
	s.w.note("%s loses power", s.name)
	s.stop()
}

func (s *seat) stop() {
	s.host.PowerOff()
	s.disk.cut()
	time.Sleep(time.Millisecond)
	if err := s.server.Close(); err != nil {
		s.w.note("%s closes: %v", s.name, err)
	}
	s.reading.Wait()
	s.server = nil
}

func (w *world) leader() *seat { return w.leaderOf(home) }

// leaderOf is who leads a region that the coordinators host; nil if nobody does.
func (w *world) leaderOf(id region.ID) *seat {
	for _, s := range w.coordinators {
		if s.server != nil && s.server.Leading(id) {
			return s
		}
	}
	return nil
}
