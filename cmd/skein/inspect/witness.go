package inspect

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/credentials"

	"github.com/skein-mesh/skein/proto/trust"
)

// A witness remembers why a coordinator was not trusted: gRPC tells a caller no
// more than that the connection failed.
type witness struct {
	credentials.TransportCredentials
	distrust *atomic.Pointer[error]
}

func newWitness(c credentials.TransportCredentials) witness {
	return witness{c, new(atomic.Pointer[error])}
}

// ClientHandshake is that of the credentials, watched.
func (w witness) ClientHandshake(ctx context.Context, authority string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := w.TransportCredentials.ClientHandshake(ctx, authority, c)
	if errors.Is(err, trust.ErrPeer) {
		w.distrust.Store(&err)
	}
	return conn, info, err
}

// Clone shares what is remembered.
func (w witness) Clone() credentials.TransportCredentials {
	return witness{w.TransportCredentials.Clone(), w.distrust}
}

// unreachable says why no coordinator answers: because the others are not
// trusted, or for the reasons given.
func (w witness) unreachable(otherwise error) error {
	if err := w.distrust.Load(); err != nil {
		return *err
	}
	return otherwise
}
