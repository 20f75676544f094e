package group

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/skein-mesh/skein/region"
)

// MaxGroups is how many groups one listener serves.
const MaxGroups = 64

// A ListenerConfig says how the replicas of this process meet others.
type ListenerConfig struct {
	// Address to listen on, host:port; port 0 picks one.
	Address string
	// Advertise is the address others reach it at; empty for the one bound.
	Advertise string
	// ServerTLS and ClientTLS authenticate both sides with certificates of the
	// cluster; the first must require one from clients.
	ServerTLS, ClientTLS *tls.Config
	// Identify tells the node that a verified peer is.
	Identify func(tls.ConnectionState) (region.MemberID, error)
	// HandshakeTimeout bounds TLS and header of a new connection.
	HandshakeTimeout time.Duration
	// Network opens sockets; nil is the real one.
	Network Network
	// Logger receives refused peers; nil discards.
	Logger *slog.Logger
}

// A Listener accepts the Raft connections of all groups of a process. It is safe
// for concurrent use.
type Listener struct{ cfg ListenerConfig }

// Listen opens the socket and serves it until Close.
func Listen(ctx context.Context, cfg ListenerConfig) (*Listener, error) { panic("") }

// Addr is the advertised address.
func (l *Listener) Addr() net.Addr { panic("") }

// Close stops accepting and ends all connections. Close the groups first.
func (l *Listener) Close() error { panic("") }
