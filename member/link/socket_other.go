//go:build !linux

package link

import "net"

// newSocket returns the best socket there is for conn.
func newSocket(conn net.PacketConn) socket {
	if udp, ok := conn.(*net.UDPConn); ok {
		_ = udp.SetReadBuffer(socketBuffer)
		_ = udp.SetWriteBuffer(socketBuffer)
	}
	return &packetSocket{conn: conn}
}
