//go:build !linux

package link

import "net"

// newSystemSocket returns the best socket there is for one of the system's.
func newSystemSocket(conn *net.UDPConn) socket {
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	return &packetSocket{conn: conn}
}
