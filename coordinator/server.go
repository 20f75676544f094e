package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthserver "google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/skein-mesh/skein/coordinator/directory"
	"github.com/skein-mesh/skein/coordinator/group"
	"github.com/skein-mesh/skein/coordinator/turn"
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
	// window is how much of a connection may be under way, in bytes; see package
	// member.
	window = 1 << 20
	// readBuffer is what a connection reads at a time, in bytes.
	readBuffer = 4 << 10
	// handshakeTimeout bounds how long anybody may take to open a connection.
	handshakeTimeout = 10 * time.Second
	// closeTimeout bounds the goodbye to clients when the server closes.
	closeTimeout = 2 * time.Second
)

// A Server hosts replicas of region groups and answers for those it leads.
type Server struct {
	cfg       Config
	logger    *slog.Logger
	meters    *meters
	raft      *group.Listener
	roster    *roster // guarded by hosting
	directory *directory.Directory
	listener  *listener
	grpc      *grpc.Server
	turn      *turn.Server // nil if none is wanted
	accesses  *accesses    // nil if members need none
	health    *healthserver.Server

	others switchboard
	abroad abroad
	lost   gatherings
	// retiring is set by Retire.
	retiring atomic.Bool
	// births is told when children may have been born.
	births chan struct{}
	// hosting serialises what starts and stops replicas.
	hosting sync.Mutex
	mu      sync.Mutex
	// replicas is guarded by mu; the slice is replaced whole. See hosted.
	replicas []*replica
	moves    []BoundaryMove // guarded by mu

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
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Network == nil {
		cfg.Network = SystemNetwork{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{meters: newMeters(), births: make(chan struct{}, 1)}
	if cfg.Access != nil {
		s.accesses = newAccesses(cfg.Access, cfg.Now, s.permit)
		cfg.MayDraw = s.accesses.draws
	}
	s.cfg = cfg
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
	for _, r := range s.hosted() {
		r.start()
	}
	s.wg.Go(func() { s.nursery(s.stopping) })
	s.wg.Go(func() { s.reform(s.stopping) })
	s.wg.Go(func() { s.fence(s.stopping) })
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
	raft.Address, raft.Advertise = s.cfg.Raft, s.cfg.advertised().Raft
	raft.Credentials, raft.Network, raft.Logger = s.cfg.Credentials, s.cfg.Network, s.logger
	if s.raft, err = group.Listen(ctx, raft); err != nil {
		return listenError(s.cfg.Raft, "Raft", "--raft", err)
	}
	if s.roster, err = openRoster(s.cfg.DataDir, s.cfg.Groups); err != nil {
		return err
	}
	if err := s.openTURN(ctx); err != nil {
		return err
	}
	if err := s.openDirectory(ctx); err != nil {
		return err
	}
	for _, g := range s.roster.groups() {
		if err := s.openGroup(g, beginning{}); err != nil {
			return err
		}
	}
	s.directory.SetGroups(len(s.hosted()))
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

// serve makes the gRPC server.
func (s *Server) serve() {
	gate := newGatekeeper(&s.cfg, s.meters, s.trusts, s.accesses)
	s.grpc = grpc.NewServer(
		grpc.Creds(&pacedCredentials{credentials.NewTLS(s.cfg.Credentials.OpenTLS()), newTurns()}),
		grpc.UnaryInterceptor(gate.unary),
		grpc.StreamInterceptor(gate.stream),
		grpc.MaxRecvMsgSize(maxMessage),
		// Thousands of sessions are idle nearly always: none keeps buffers.
		grpc.ReadBufferSize(readBuffer),
		grpc.StaticStreamWindowSize(window),
		grpc.StaticConnWindowSize(window),
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
	skeinv1.RegisterDirectoryServer(s.grpc, &atlas{server: s})
	skeinv1.RegisterPeeringServer(s.grpc, &embassy{server: s})
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

// Planning is the time that this coordinator has spent on planning better trees for
// a region.
func (s *Server) Planning(id region.ID) time.Duration {
	r, err := s.replica(string(id))
	if err != nil {
		return 0
	}
	return time.Duration(r.planned.Load())
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
	for _, r := range s.hosted() {
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
	s.hosting.Lock() // whatever wants to start after this finds the server stopping
	list := s.hosted()
	s.hosting.Unlock()
	var errs []error
	for _, r := range list {
		r.stop()
	}
	if s.grpc != nil {
		s.goodbye()
	}
	if s.listener != nil && s.grpc == nil {
		errs = append(errs, s.listener.Close())
	}
	s.wg.Wait()
	s.streams.Wait()
	for _, r := range list {
		errs = append(errs, r.group.Close())
	}
	s.others.close()
	if s.directory != nil {
		errs = append(errs, s.directory.Close())
	}
	if s.turn != nil {
		errs = append(errs, s.turn.Close())
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
