package coordinator

import (
	"net"
	"runtime"

	"google.golang.org/grpc/credentials"
)

// turns are taken for what a handshake computes, not for its waiting: when a crowd
// comes, no more than half of the processors open connections, and the rest goes on
// with those that are open. A leader that heard its followers only after a thousand
// handshakes would not be one any more.
type turns chan struct{}

func newTurns() turns { return make(turns, max(1, runtime.GOMAXPROCS(0)/2)) }

// pacedCredentials are credentials whose handshakes, as a server, take turns.
type pacedCredentials struct {
	credentials.TransportCredentials
	turns turns
}

func (p *pacedCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	h := &handshake{Conn: raw, turns: p.turns}
	conn, info, err := p.TransportCredentials.ServerHandshake(h)
	h.end()
	return conn, info, err
}

func (p *pacedCredentials) Clone() credentials.TransportCredentials {
	return &pacedCredentials{p.TransportCredentials.Clone(), p.turns}
}

// A handshake gives its turn to others while it waits for its peer. It is for one
// goroutine until end.
type handshake struct {
	net.Conn
	turns     turns
	has, over bool
}

func (h *handshake) Read(b []byte) (int, error) {
	if h.over {
		return h.Conn.Read(b)
	}
	if h.has {
		h.has = false
		<-h.turns
	}
	n, err := h.Conn.Read(b)
	h.turns <- struct{}{}
	h.has = true
	return n, err
}

// end gives the turn back for good.
func (h *handshake) end() {
	h.over = true
	if h.has {
		h.has = false
		<-h.turns
	}
}
