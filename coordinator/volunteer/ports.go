package volunteer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/proto/trust"
)

const (
	// knockTimeout bounds a handshake, knocksMost how many are answered at a time.
	knockTimeout = 5 * time.Second
	knocksMost   = 16
)

// ports are those of the coordinator while that does not run. Who knocks there is shown
// the coordinator's certificate, which proves that the node can be reached.
type ports struct {
	ctx       context.Context
	cancel    context.CancelFunc
	listeners []net.Listener
	slots     chan struct{}
	wg        sync.WaitGroup
}

func openPorts(ctx context.Context, cfg *coordinator.Config) (*ports, error) {
	p := &ports{slots: make(chan struct{}, knocksMost)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for _, address := range []string{cfg.GRPC, cfg.Raft} {
		l, err := cfg.Network.Listen(ctx, address)
		if err != nil {
			p.close()
			return nil, fmt.Errorf("listen on %s, for others to find out whether a coordinator could be reached there: %w", address, err)
		}
		p.listeners = append(p.listeners, l)
		p.wg.Go(func() { p.accept(l, cfg.Credentials.ServerTLS(trust.RoleCoordinator)) })
	}
	return p, nil
}

func (p *ports) accept(l net.Listener, t *tls.Config) {
	for {
		conn, err := l.Accept()
		if err != nil {
			if p.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			select {
			case <-p.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond): // out of file descriptors, say
				continue
			}
		}
		select {
		case p.slots <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		p.wg.Go(func() {
			defer func() { <-p.slots }()
			ctx, cancel := context.WithTimeout(p.ctx, knockTimeout)
			defer cancel()
			// Whether it succeeds is for the other side to judge.
			_ = tls.Server(conn, t).HandshakeContext(ctx)
			conn.Close()
		})
	}
}

// close closes the ports and waits until nobody uses them.
func (p *ports) close() {
	p.cancel()
	for _, l := range p.listeners {
		_ = l.Close() // it only listened
	}
	p.wg.Wait()
}
