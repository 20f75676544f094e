package latency

import (
	"cmp"
	"context"
	"net"
	"net/netip"
)

// An Opener opens real sockets; it is the seam that coordinator and member
// offer.
type Opener interface {
	ListenPacket(ctx context.Context, addr string) (net.PacketConn, error)
	Listen(ctx context.Context, addr string) (net.Listener, error)
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// A Network is an Opener whose datagrams take as long as the matrix says.
// Streams (TCP) are not delayed.
type Network struct {
	// Opener opens the sockets underneath.
	Opener
	// RTT to the site of an address; ok is false if it belongs to none. It is
	// called by every sender and must be safe for concurrent use.
	RTT Distance
	// Clock sends what is due. Default: one for each socket.
	Clock *Clock
}

// ListenPacket opens a socket whose datagrams are delayed. Its sender is told
// nothing of what becomes of a datagram after it was queued.
func (n Network) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	c, err := n.Opener.ListenPacket(ctx, addr)
	if err != nil {
		return nil, err
	}
	return delay(c, n.RTT, cmp.Or(n.Clock, new(Clock))), nil
}

func addrPort(a net.Addr) (netip.AddrPort, bool) {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), ap.IsValid()
}
