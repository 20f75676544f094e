package coordinator

import (
	"net"
	"sync"
)

// A listener knows the connections it has accepted, so that they can be ended
// whatever state they are in: gRPC itself waits for handshakes that will never
// be completed.
type listener struct {
	net.Listener

	mu    sync.Mutex
	conns map[*acceptedConn]bool
}

func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn := &acceptedConn{Conn: raw, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[conn] = true
	return conn, nil
}

// hangUp ends all connections.
func (l *listener) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		// Whoever uses it closes it once more and gets the error.
		_ = conn.Conn.Close()
	}
}

type acceptedConn struct {
	net.Conn
	listener *listener
}

func (c *acceptedConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.conns, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
