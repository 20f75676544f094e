package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/skein-mesh/skein/proto/trust"
)

// window is how much of a stream, or of all of a connection, may be under way, in
// bytes. To choose one itself gRPC would measure the way with every call: a ping and
// its answer in either direction, for messages that fit any window.
const window = 1 << 20

// dial prepares a connection to the coordinator at addr. It does not wait.
func (g *coordinators) dial(addr string) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(&watchedTLS{TransportCredentials: credentials.NewTLS(g.tls), group: g, addr: addr}),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := g.network.Dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			return countedConn{conn, &g.bytes}, nil
		}),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.3, MaxDelay: lastBackoff},
			MinConnectTimeout: g.timeout,
		}),
		// A coordinator that vanishes without closing must be given up before the
		// lease, 10 s and as many of grace, runs out. 10 s is the least gRPC takes.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 4 * time.Second}),
	}
	if g.access != nil {
		options = append(options, grpc.WithPerRPCCredentials(bearer(g.access)))
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, options...)
	if err != nil {
		return nil, fmt.Errorf("member: coordinator %s: %w", addr, err)
	}
	return conn, nil
}

// A bearer shows the member's access token with every call.
type bearer func(context.Context) (string, error)

func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := b(ctx)
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "access token: %v", err)
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }

// A countedConn counts what goes through it, either way.
type countedConn struct {
	net.Conn
	bytes *atomic.Uint64
}

func (c countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.bytes.Add(uint64(n))
	return n, err
}

func (c countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.bytes.Add(uint64(n))
	return n, err
}

// watchedTLS remembers whom it had to distrust. gRPC would turn that into
// "unavailable", which looks as if it could pass.
type watchedTLS struct {
	credentials.TransportCredentials
	group *coordinators
	addr  string
}

func (w *watchedTLS) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := w.TransportCredentials.ClientHandshake(ctx, authority, raw)
	w.group.mu.Lock()
	defer w.group.mu.Unlock()
	if errors.Is(err, trust.ErrPeer) || errors.Is(err, trust.ErrTokenForeign) {
		w.group.distrusted[w.addr] = err
	} else if err == nil {
		delete(w.group.distrusted, w.addr)
	}
	return conn, info, err
}

func (w *watchedTLS) Clone() credentials.TransportCredentials {
	return &watchedTLS{TransportCredentials: w.TransportCredentials.Clone(), group: w.group, addr: w.addr}
}
