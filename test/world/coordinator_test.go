package world

import (
	"context"
	"fmt"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// A seat is the machine of a coordinator; server is nil while none runs on it.
type seat struct {
	w      *world
	name   string
	host   *simnet.Host
	cfg    coordinator.Config
	server *coordinator.Server
	read   chan struct{} // closed when the judge has read all of the server's feed
}

func (w *world) seat(i int) *seat {
	host := w.net.Host(fmt.Sprintf("10.0.0.%d", i+1))
	s := &seat{w: w, name: fmt.Sprintf("c%d", i+1), host: host, cfg: coordinator.DefaultConfig()}
	s.cfg.Name = s.name
	s.cfg.Credentials, s.cfg.Authority = w.issue(trust.RoleCoordinator), w.ca
	s.cfg.DataDir = w.folder()
	s.cfg.GRPC, s.cfg.Raft = host.Addr().String()+":7400", host.Addr().String()+":7401"
	s.cfg.Network = host
	s.cfg.Logger = w.journal.logger(s.name)
	w.tune(&s.cfg)
	return s
}

// start runs a coordinator on what its folder holds.
func (s *seat) start() {
	s.w.t.Helper()
	s.host.PowerOn()
	server, err := coordinator.Start(context.Background(), s.cfg)
	if err != nil {
		s.w.t.Fatalf("%s does not start: %v", s.name, err)
	}
	s.w.note("%s starts", s.name)
	s.server, s.read = server, make(chan struct{})
	s.w.judge.follow(s, must(server.Follow(home, 0)))
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
	time.Sleep(time.Millisecond)
	if err := s.server.Close(); err != nil {
		s.w.note("%s closes: %v", s.name, err)
	}
	<-s.read
	s.server = nil
}

func (w *world) leader() *seat {
	for _, s := range w.coordinators {
		if s.server != nil && s.server.Leading(home) {
			return s
		}
	}
	return nil
}
