package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthserver "google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

const (
	// maxMessage bounds a message from a peer, in bytes. The biggest genuine
	// one is a digest of thousands of streams.
	maxMessage = 1 << 20
	// maxStreams bounds the calls at a time on one connection; a member needs
	// one session and a few calls.
	maxStreams = 128
	// maxHeader bounds the headers of a call, in bytes.
	maxHeader = 16 << 10
	// handshakeTimeout bounds how long anybody may take to open a connection.
	handshakeTimeout = 10 * time.Second
	// closeTimeout bounds the goodbye to clients when the server closes.
	closeTimeout = 2 * time.Second
)

// A Server hosts replicas of region groups and answers for those it leads.
type Server struct {
	cfg      Config
	logger   *slog.Logger
	meters   *meters
	replicas []*replica // as in Config.Groups
	raft     *group.Listener
	listener *listener
	grpc     *grpc.Server
	health   *healthserver.Server

	// stopping ends when the server begins to close.
	stopping context.Context
	stop     context.CancelFunc
	// streams counts the goroutines of sessions, wg the server's own.
	streams, wg sync.WaitGroup
	closed      sync.Once
	closeErr    error
}

// Start opens the sockets, starts the replicas and serves until Close or
// Shutdown. It returns once the sockets are open, not once a leader is known;
// an address in use is an error that names the setting. ctx bounds starting
// only.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Network == nil {
		cfg.Network = systemNetwork{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, meters: newMeters()}
	s.logger = cfg.Logger.With("coordinator", string(cfg.Credentials.ID()))
	s.stopping, s.stop = context.WithCancel(context.Background())
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.wg.Go(func() {
		// Whoever closes the socket under the server, as test networks do, knows.
		if err := s.grpc.Serve(s.listener); err != nil && s.stopping.Err() == nil && !errors.Is(err, net.ErrClosed) {
			s.logger.Error("gRPC stopped serving", "err", err)
		}
	})
	s.wg.Go(func() { s.renewal(s.stopping) })
	for _, r := range s.replicas {
		r.start()
	}
	return s, nil
}

// open does what can fail.
func (s *Server) open(ctx context.Context) error {
	socket, err := s.cfg.Network.Listen(ctx, s.cfg.GRPC)
	if err != nil {
		return listenError(s.cfg.GRPC, "gRPC", "--grpc", err)
	}
	s.listener = &listener{Listener: socket, conns: map[*acceptedConn]bool{}}
	raft := group.DefaultListenerConfig()
	raft.Address, raft.Advertise = s.cfg.Raft, s.cfg.self(s.cfg.Groups[0]).Raft
	raft.Credentials, raft.Network, raft.Logger = s.cfg.Credentials, s.cfg.Network, s.logger
	if s.raft, err = group.Listen(ctx, raft); err != nil {
		return listenError(s.cfg.Raft, "Raft", "--raft", err)
	}
	for _, g := range s.cfg.Groups {
		if err := s.openGroup(g); err != nil {
			return err
		}
	}
	s.serve()
	return nil
}

// listenError says what to do about an address that cannot be listened on.
func listenError(address, what, flag string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listen for %s on %s: the port is in use: stop what uses it, or choose another with %s: %w",
			what, address, flag, err)
	}
	return fmt.Errorf("listen for %s on %s (%s): %w", what, address, flag, err)
}

func (s *Server) openGroup(g Group) error {
	cfg := group.DefaultConfig()
	cfg.Region, cfg.MaxMembers = g.Region, s.cfg.MaxMembers
	cfg.Node, cfg.Dir, cfg.Listener = s.ID(), s.cfg.DataDir, s.raft
	cfg.RaftMultiplier = s.cfg.RaftMultiplier
	cfg.Logger = s.logger
	meter := s.meters.of(g.Region)
	cfg.ObserveWrite = func(d time.Duration) { meter.fsync.Observe(d.Seconds()) }
	addresses := map[region.MemberID]string{}
	for _, p := range g.Peers {
		cfg.Voters = append(cfg.Voters, group.Peer{Node: p.ID, Address: p.Raft})
		addresses[p.ID] = p.Raft
	}
	cfg.Resolve = func(id region.MemberID) (string, bool) {
		address, ok := addresses[id]
		return address, ok
	}
	opened, err := group.Open(cfg)
	if err != nil {
		return fmt.Errorf("open the replica of region %s: %w", g.Region, err)
	}
	s.replicas = append(s.replicas, &replica{
		region: g.Region, self: s.ID(), cfg: &s.cfg, group: opened, peers: g.Peers,
		history: newHistory(s.cfg.EventHistory), meter: meter,
		logger: s.logger.With("region", string(g.Region)), streams: &s.streams,
	})
	return nil
}

// serve makes the gRPC server.
func (s *Server) serve() {
	gate := newGatekeeper(&s.cfg, s.meters)
	s.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(s.cfg.Credentials.ServerTLS())),
		grpc.UnaryInterceptor(gate.unary),
		grpc.StreamInterceptor(gate.stream),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 5 * time.Minute,
			MaxConnectionAge:  30 * time.Minute, MaxConnectionAgeGrace: 5 * time.Minute,
			Time: 20 * time.Second, Timeout: 10 * time.Second,
		}),
	)
	skeinv1.RegisterEnrolmentServer(s.grpc, &enrolment{server: s})
	skeinv1.RegisterMembershipServer(s.grpc, &membership{server: s})
	skeinv1.RegisterInspectionServer(s.grpc, &inspection{server: s})
	s.health = healthserver.NewServer()
	healthv1.RegisterHealthServer(s.grpc, s.health)
}

// ID is the coordinator's id, as in its certificate.
func (s *Server) ID() region.MemberID { return s.cfg.Credentials.ID() }

// GRPCAddr is the address gRPC listens on.
func (s *Server) GRPCAddr() net.Addr { return s.listener.Addr() }

// Leading reports whether this coordinator leads the group of a region and is
// ready to decide.
func (s *Server) Leading(id region.ID) bool {
	r, err := s.replica(string(id))
	return err == nil && r.leading.Load() != nil
}

// Region returns the latest structure this replica has applied, which the
// caller may keep; nil if it hosts no such region.
func (s *Server) Region(id region.ID) *region.Region {
	r, err := s.replica(string(id))
	if err != nil {
		return nil
	}
	return r.group.State().Region
}

// Follow reads what this replica applies to a region after a revision, in order
// and as far as it is still held; see group.Feed. The feed ends with Close.
func (s *Server) Follow(id region.ID, after region.Revision) (*group.Feed, error) {
	r, err := s.replica(string(id))
	if err != nil {
		return nil, err
	}
	return r.group.Subscribe(after), nil
}

// replica finds a region by name; an empty name stands for the only one.
func (s *Server) replica(name string) (*replica, error) {
	if name == "" && len(s.replicas) == 1 {
		return s.replicas[0], nil
	}
	names := make([]string, 0, len(s.replicas))
	for _, r := range s.replicas {
		if string(r.region) == name {
			return r, nil
		}
		names = append(names, string(r.region))
	}
	return nil, fmt.Errorf("region %.64q: %w: this coordinator hosts %s", name, region.ErrInvalid, strings.Join(names, ", "))
}

// authority returns the cluster's CA, or says who may have it.
func (s *Server) authority() (*trust.Authority, error) {
	if s.cfg.Authority != nil {
		return s.cfg.Authority, nil
	}
	var others []string
	for _, g := range s.cfg.Groups {
		for _, p := range g.Peers {
			if p.ID != s.ID() {
				others = append(others, p.GRPC)
			}
		}
	}
	return nil, status.Errorf(codes.Unavailable,
		"this coordinator does not hold the cluster's CA key and cannot enrol: ask one that does (%s)", strings.Join(others, ", "))
}

// Shutdown drains: leadership goes to a follower that has caught up, calls in
// flight are answered, then everything is closed. It is Close if ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.health.Shutdown()
	for _, r := range s.replicas {
		if err := r.transfer(ctx); err != nil {
			s.logger.Warn("leadership stays until the group elects another leader", "err", err)
		}
	}
	return s.Close()
}

// Close stops at once and waits for everything it started.
func (s *Server) Close() error {
	s.closed.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

// close goes from the outside in: nobody may come any more, then the sessions
// end with their leaderships, then the logs close, then their listener.
func (s *Server) close() error {
	s.stop()
	var errs []error
	for _, r := range s.replicas {
		if r.cancel != nil {
			r.cancel()
			r.wg.Wait()
		}
	}
	if s.grpc != nil {
		s.goodbye()
	}
	if s.listener != nil && s.grpc == nil {
		errs = append(errs, s.listener.Close())
	}
	s.wg.Wait()
	s.streams.Wait()
	for _, r := range s.replicas {
		errs = append(errs, r.group.Close())
	}
	if s.raft != nil {
		errs = append(errs, s.raft.Close())
	}
	return errors.Join(errs...)
}

// goodbye lets calls that are being answered end, but not for long.
func (s *Server) goodbye() {
	timer := time.AfterFunc(closeTimeout, func() {
		s.listener.hangUp()
		s.grpc.Stop()
	})
	defer timer.Stop()
	s.grpc.GracefulStop()
}
