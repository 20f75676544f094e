package group

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// MaxGroups is how many groups one listener serves.
const MaxGroups = 64

const (
	// maxHandshakes bounds the connections that have not said yet what they want.
	maxHandshakes = 256
	// maxChannels are open besides the groups.
	maxChannels = 4
	// maxConns bounds the accepted connections of one group; a peer needs three.
	maxConns = 64
)

// A ListenerConfig says how the replicas of this process meet others. Start from
// DefaultListenerConfig.
type ListenerConfig struct {
	// Address to listen on, host:port; port 0 picks one.
	Address string
	// Advertise is the address others reach it at; empty for the one bound.
	Advertise string
	// Credentials of this node. Both sides of a connection must be coordinators
	// of one cluster.
	Credentials *trust.Credentials
	// HandshakeTimeout bounds TLS and header of a new connection.
	HandshakeTimeout time.Duration
	// Network opens sockets; nil is the real one.
	Network Network
	// Logger receives the peers that were refused; nil discards.
	Logger *slog.Logger
}

// DefaultListenerConfig leaves Address and Credentials to be set.
func DefaultListenerConfig() ListenerConfig {
	return ListenerConfig{HandshakeTimeout: 5 * time.Second}
}

// A Listener accepts the Raft connections of all groups of a process. It is safe
// for concurrent use.
type Listener struct {
	cfg  ListenerConfig
	log  *slog.Logger
	ln   net.Listener
	tls  *tls.Config
	wg   sync.WaitGroup
	done chan struct{}
	// slots are taken by connections during their handshake.
	slots chan struct{}

	mu     sync.Mutex
	layers map[region.ID]*layer
	young  map[net.Conn]bool // in their handshake
	closed bool
}

// Listen opens the socket and serves it until Close.
func Listen(ctx context.Context, cfg ListenerConfig) (*Listener, error) {
	if cfg.Credentials == nil || cfg.Address == "" || cfg.HandshakeTimeout <= 0 {
		return nil, fmt.Errorf("raft listener: Address, Credentials and HandshakeTimeout must be set: %w", region.ErrInvalid)
	}
	if cfg.Network == nil {
		cfg.Network = realNetwork{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	ln, err := cfg.Network.Listen(ctx, cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("raft listener: %w", err)
	}
	if cfg.Advertise == "" {
		cfg.Advertise = ln.Addr().String()
	}
	l := &Listener{
		cfg: cfg, log: cfg.Logger, ln: ln,
		tls:    cfg.Credentials.ServerTLS(trust.RoleCoordinator),
		done:   make(chan struct{}),
		slots:  make(chan struct{}, maxHandshakes),
		layers: map[region.ID]*layer{},
		young:  map[net.Conn]bool{},
	}
	l.wg.Go(l.accept)
	return l, nil
}

// Addr is the advertised address, host:port.
func (l *Listener) Addr() string { return l.cfg.Advertise }

// Close stops accepting and waits for its goroutines. Close the groups first.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	for conn := range l.young {
		conn.Close()
	}
	l.mu.Unlock()
	close(l.done)
	err := l.ln.Close()
	l.wg.Wait()
	return err
}

func (l *Listener) accept() {
	for {
		conn, err := l.ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			select {
			case <-l.done:
				return
			case <-time.After(100 * time.Millisecond): // out of file descriptors, say
				continue
			}
		}
		select {
		case l.slots <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		if !l.begin(conn) {
			conn.Close()
			return
		}
		l.wg.Go(func() {
			defer func() { <-l.slots }()
			l.welcome(conn)
			l.end(conn)
		})
	}
}

// begin and end enclose a handshake, so that Close can cut it short.
func (l *Listener) begin(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.young[conn] = true
	return true
}

func (l *Listener) end(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.young, conn)
}

// welcome finds out who calls and for which group, and hands the connection on.
func (l *Listener) welcome(raw net.Conn) {
	conn := tls.Server(raw, l.tls)
	if err := raw.SetDeadline(time.Now().Add(l.cfg.HandshakeTimeout)); err != nil {
		conn.Close()
		return
	}
	id, peer, err := l.greet(conn)
	if err != nil {
		l.log.Debug("raft connection refused", "from", raw.RemoteAddr(), "err", err)
		conn.Close()
		return
	}
	layer, verdict := l.judge(id, peer)
	if verdict != welcome {
		l.log.Info("raft peer refused", "region", id, "peer", peer, "from", raw.RemoteAddr(), "why", verdict)
	}
	if _, err := conn.Write([]byte{byte(verdict)}); err != nil || verdict != welcome {
		conn.Close()
		return
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return
	}
	layer.deliver(conn)
}

// greet does the handshake and reads the header.
func (l *Listener) greet(conn *tls.Conn) (region.ID, region.MemberID, error) {
	if err := conn.Handshake(); err != nil {
		return "", "", err
	}
	peer, err := trust.PeerIdentity(conn.ConnectionState())
	if err != nil {
		return "", "", err
	}
	id, err := readHeader(conn)
	return id, peer.ID, err
}

func (l *Listener) judge(id region.ID, peer region.MemberID) (*layer, verdict) {
	l.mu.Lock()
	layer := l.layers[id]
	l.mu.Unlock()
	switch {
	case layer == nil:
		return nil, noSuchGroup
	case !layer.allowed(peer):
		return nil, notConfigured
	}
	return layer, welcome
}

// open makes the stream layer of a group.
func (l *Listener) open(id region.ID, allowed func(region.MemberID) bool) (*layer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, fmt.Errorf("raft listener: %w", region.ErrClosed)
	case l.layers[id] != nil:
		return nil, fmt.Errorf("group %s runs in this process already: %w", id, region.ErrExists)
	case len(l.layers) >= MaxGroups+maxChannels:
		return nil, fmt.Errorf("%d groups on one listener: %w", MaxGroups, region.ErrLimit)
	}
	layer := newLayer(l, id, allowed)
	l.layers[id] = layer
	return layer, nil
}

func (l *Listener) forget(layer *layer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.layers[layer.id] == layer {
		delete(l.layers, layer.id)
	}
}
