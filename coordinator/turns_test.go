package coordinator

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/credentials"
)

// A greeter is a handshake of three messages that counts how many are computing.
type greeter struct {
	credentials.TransportCredentials
	computing, most *atomic.Int32
	compute         func()
}

func (g *greeter) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	message := make([]byte, 1)
	for range 3 {
		if _, err := io.ReadFull(raw, message); err != nil {
			return nil, nil, err
		}
		now := g.computing.Add(1)
		if now > g.most.Load() {
			g.most.Store(now)
		}
		g.compute()
		g.computing.Add(-1)
	}
	return raw, nil, nil
}

// Of a crowd of handshakes only as many compute at a time as there are turns; those
// that wait for their peers hold none, and who is through needs none any more.
func TestHandshakesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const crowd = 20
		var computing, most atomic.Int32
		proceed := make(chan struct{})
		g := &greeter{computing: &computing, most: &most, compute: func() { <-proceed }}
		paced := &pacedCredentials{g, make(turns, 2)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var done atomic.Int32
		open := func() net.Conn {
			client, server := net.Pipe()
			go func() {
				<-ctx.Done()
				_ = client.Close()
			}()
			go func() {
				conn, _, err := paced.ServerHandshake(server)
				if err != nil {
					return
				}
				done.Add(1)
				_, _ = conn.Read(make([]byte, 1))
			}()
			return client
		}
		for range crowd {
			open() // says nothing
		}
		for range crowd {
			client := open()
			go func() { _, _ = client.Write([]byte("abc")) }()
		}
		for range 3 * crowd {
			synctest.Wait()
			if n := computing.Load(); n > 2 {
				t.Fatalf("%d compute at a time", n)
			}
			proceed <- struct{}{}
		}
		synctest.Wait()
		if done.Load() != crowd || most.Load() != 2 || len(paced.turns) != 0 {
			t.Errorf("%d of %d are through, %d computed at a time, %d turns are held", done.Load(), crowd, most.Load(), len(paced.turns))
		}
	})
}
