package turn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/logging"
	pion "github.com/pion/turn/v5"

	"github.com/skein-mesh/skein/region"
)

// realm of the credentials; it says nothing.
const realm = "skein"

// A Config says where a server listens and whom it serves. Start from
// DefaultConfig and set Advertise and Secret.
type Config struct {
	// Listen is the ip:port of the UDP socket. Default "0.0.0.0:3478"; "[::]:3478"
	// for IPv6 and IPv4.
	Listen string
	// Advertise lists the IP addresses, one per family, at which allocations are
	// reached. Required.
	Advertise []netip.Addr
	// Secret returns what the Credentials of a user were made with; nil if nobody
	// of that name is served. Required.
	Secret func(user string) []byte
	// Private lets allocations reach loopback, link-local and private addresses.
	// Default: only public ones, or else everybody with credentials could reach the
	// coordinator's own network.
	Private bool
	// MaxAllocations bounds allocations, MaxPerUser those of one user. Default
	// 1024 and 4.
	MaxAllocations, MaxPerUser int
	// Logger gets what a person who runs the coordinator should know. Default:
	// discard.
	Logger *slog.Logger
}

// DefaultConfig returns the defaults named above.
func DefaultConfig() Config {
	return Config{
		Listen: "0.0.0.0:3478", MaxAllocations: 1024, MaxPerUser: 4,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// A Server answers STUN and TURN on one UDP socket until Close.
type Server struct {
	cfg  Config
	conn net.PacketConn
	pion *pion.Server

	mu    sync.Mutex // guards what follows
	users map[string]int
	total int
}

// Serve opens the socket and serves. ctx bounds the opening only.
func Serve(ctx context.Context, cfg Config) (*Server, error) {
	if len(cfg.Advertise) == 0 || cfg.Secret == nil {
		return nil, fmt.Errorf("turn: Config lacks Advertise or Secret: %w", region.ErrInvalid)
	}
	conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("turn: %w", err)
	}
	s := &Server{cfg: cfg, conn: conn, users: make(map[string]int)}
	s.pion, err = pion.NewServer(pion.ServerConfig{
		Realm:         realm,
		AuthHandler:   s.authenticate,
		QuotaHandler:  func(user, _ string, _ net.Addr) bool { return s.room(user) },
		LoggerFactory: &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled},
		EventHandler: pion.EventHandler{
			OnAllocationCreated: func(_, _ net.Addr, _, user, _ string, _ net.Addr, _ int) { s.count(user, 1) },
			OnAllocationDeleted: func(_, _ net.Addr, _, user, _ string) { s.count(user, -1) },
		},
		PacketConnConfigs: []pion.PacketConnConfig{{
			PacketConn: conn, RelayAddressGenerator: &relays{cfg.Advertise},
			PermissionHandler: func(_ net.Addr, peer net.IP) bool { return s.reachable(peer) },
		}},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("turn: %w", err), conn.Close())
	}
	return s, nil
}

// Addr is the address listened on.
func (s *Server) Addr() netip.AddrPort { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Allocations counts the allocations there are.
func (s *Server) Allocations() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Close ends all allocations and closes the socket.
func (s *Server) Close() error {
	if err := s.pion.Close(); err != nil {
		return fmt.Errorf("turn: close: %w", err)
	}
	return nil
}

func (s *Server) authenticate(a *pion.RequestAttributes) (string, []byte, bool) {
	user, ok := userOf(a.Username, time.Now())
	if !ok {
		return "", nil, false
	}
	secret := s.cfg.Secret(user)
	if secret == nil {
		return "", nil, false
	}
	return user, pion.GenerateAuthKey(a.Username, a.Realm, passwordOf(secret, a.Username)), true
}

// room tells whether a user may have one more allocation.
func (s *Server) room(user string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := s.total < s.cfg.MaxAllocations && s.users[user] < s.cfg.MaxPerUser
	if !free {
		s.cfg.Logger.Warn("no allocation", "user", user, "has", s.users[user], "of", s.total)
	}
	return free
}

func (s *Server) count(user string, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total += by
	if s.users[user] += by; s.users[user] <= 0 {
		delete(s.users, user)
	}
}

// reachable tells whether an allocation may send to a peer.
func (s *Server) reachable(peer net.IP) bool {
	ip, ok := netip.AddrFromSlice(peer)
	ip = ip.Unmap()
	if !ok || ip.IsUnspecified() || ip.IsMulticast() {
		return false
	}
	return s.cfg.Private || !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && !ip.IsPrivate()
}

// relays opens the sockets of allocations.
type relays struct{ ips []netip.Addr }

func (r *relays) Validate() error { return nil }

func (r *relays) AllocatePacketConn(c pion.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	for _, ip := range r.ips {
		if ip.Is4() != (c.Network == "udp4" || c.Network == "udp") {
			continue
		}
		conn, err := net.ListenPacket(c.Network, net.JoinHostPort("", fmt.Sprint(c.RequestedPort)))
		if err != nil {
			return nil, nil, err
		}
		port := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		return conn, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, port)), nil
	}
	return nil, nil, fmt.Errorf("turn: no address to relay %s at: %w", c.Network, region.ErrInvalid)
}

var errUDP = errors.New("turn: relays UDP only")

func (r *relays) AllocateListener(pion.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	return nil, nil, errUDP
}

func (r *relays) AllocateConn(pion.AllocateConnConfig) (net.Conn, error) { return nil, errUDP }
