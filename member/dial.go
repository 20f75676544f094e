package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/skein-mesh/skein/proto/trust"
)

// dial prepares a connection to the coordinator at addr. It does not wait.
func (g *coordinators) dial(addr string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(&watchedTLS{TransportCredentials: credentials.NewTLS(g.tls), group: g, addr: addr}),
		grpc.WithContextDialer(g.network.Dial),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.3, MaxDelay: lastBackoff},
			MinConnectTimeout: g.timeout,
		}),
		// A coordinator that vanishes without closing must be given up before the
		// lease, 10 s and as many of grace, runs out. 10 s is the least gRPC takes.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 4 * time.Second}),
	)
	if err != nil {
		return nil, fmt.Errorf("member: coordinator %s: %w", addr, err)
	}
	return conn, nil
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
