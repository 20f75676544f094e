package link

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/pion/ice/v4"

	"github.com/skein-mesh/skein/region"
)

// locate finds out how others reach the socket.
func (t *Transport) locate(conn net.PacketConn) error {
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return fmt.Errorf("media socket with an address of type %T, want *net.UDPAddr: %w", conn.LocalAddr(), region.ErrInvalid)
	}
	addr := unmap(local.AddrPort())
	t.networks = []ice.NetworkType{ice.NetworkTypeUDP4}
	if addr.Addr().Is6() {
		t.networks = []ice.NetworkType{ice.NetworkTypeUDP6}
		if addr.Addr().IsUnspecified() {
			t.networks = append(t.networks, ice.NetworkTypeUDP4)
		}
	}
	t.local = addr
	t.endpoint.Media = t.interfaces()
	t.endpoint.Key = [32]byte(t.key.PublicKey().Bytes())
	return nil
}

// interfaces lists the addresses of the host's own at which the socket is reached,
// now.
func (t *Transport) interfaces() (list []netip.AddrPort) {
	ips := t.cfg.Advertise
	if len(ips) == 0 {
		ips = []netip.Addr{t.local.Addr()}
		if t.local.Addr().IsUnspecified() {
			ips = interfaceAddresses(t.local.Addr().Is4())
		}
	}
	for _, ip := range ips[:min(len(ips), region.MaxAddresses)] {
		list = append(list, netip.AddrPortFrom(ip, t.local.Port()))
	}
	return list
}

// interfaceAddresses lists the host's addresses; those of the loopback only if
// there are no others.
func interfaceAddresses(only4 bool) []netip.Addr {
	var ips, loopback []netip.Addr
	addrs, _ := net.InterfaceAddrs() // none is an answer
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(n.IP)
		ip = ip.Unmap()
		switch {
		case !ok || ip.IsLinkLocalUnicast() || (only4 && !ip.Is4()):
		case ip.IsLoopback():
			loopback = append(loopback, ip)
		default:
			ips = append(ips, ip)
		}
	}
	if len(ips) == 0 {
		return loopback
	}
	return ips
}
