package link

import (
	"net"
	"net/netip"
)

// A demux is the socket as ICE sees it: media, probes and their answers never
// get there (RFC 7983 tells them apart by the first byte). ICE's mux calls
// ReadFromAddrPort in a loop, so that one goroutine is the socket's reader.
type demux struct {
	net.PacketConn
	t *Transport
	// What ICE reads: into buf, so many bytes from there.
	buf  []byte
	n    int
	from netip.AddrPort
}

func (d *demux) ReadFromAddrPort(buf []byte) (int, netip.AddrPort, error) {
	d.buf, d.n = buf, 0
	err := d.t.socket.receive(d)
	return d.n, d.from, err
}

func (d *demux) came() { d.t.arrived = d.t.now() }

func (d *demux) drained() { d.t.hand().Drained() }

// take sees to a datagram. It reports false for one that is for ICE or DTLS.
func (d *demux) take(b []byte, from netip.AddrPort) (more bool) {
	t := d.t
	if a := t.relay.Load(); a != nil && from == a.server && isSTUN(b) {
		if inner, sender, ok := a.unwrap(b, from); ok {
			b, from = inner, sender
		}
	}
	switch {
	case len(b) == 0:
	case len(b) >= headerSize && b[0]&0xC0 == 0x80 && b[1] == controlType:
		t.takeControl(b, from)
	case b[0]&0xC0 == 0x80:
		t.takeMedia(b, from)
	case isSTUN(b) && t.takeSTUN(b, from):
	case isSTUN(b), b[0] >= 20 && b[0] < 64:
		d.n, d.from = copy(d.buf, b), from
		return false
	default:
		t.malformed.Add(1)
	}
	return true
}

func (d *demux) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return len(b), d.t.writeTo(b, unmap(to))
}

func (d *demux) ReadFrom(buf []byte) (int, net.Addr, error) {
	n, from, err := d.ReadFromAddrPort(buf)
	return n, net.UDPAddrFromAddrPort(from), err
}

func (d *demux) WriteTo(b []byte, to net.Addr) (int, error) {
	if udp, ok := to.(*net.UDPAddr); ok {
		return d.WriteToAddrPort(b, udp.AddrPort())
	}
	return d.PacketConn.WriteTo(b, to)
}

// takeMedia decrypts a packet and hands it on.
func (t *Transport) takeMedia(b []byte, from netip.AddrPort) {
	s := (*t.routes.Load())[from]
	h, ok := ParseHeader(b)
	if !ok {
		if s != nil {
			s.link.malformed.Add(1)
		} else {
			t.strays.Add(1)
		}
		return
	}
	// What has a window was wanted; whether it still is shows when it is handed on.
	if (s == nil || s.windows[h.SSRC] == nil) && !t.hand().Wanted(h.SSRC) {
		t.strays.Add(1)
		return
	}
	size := len(b)
	var p []byte
	var replayed bool
	if s == nil {
		s, p = t.seekMedia(b, h, from)
		ok = s != nil
	} else {
		p, replayed, ok = s.decrypt(b, h, t.arrived)
	}
	switch {
	case s == nil:
		t.strays.Add(1)
		return
	case replayed:
		s.link.replayed.Add(1)
		s.link.feedback.count(size) // most likely sent once more because it was late
		return
	case !ok:
		s.link.malformed.Add(1)
		return
	}
	s.link.heard(t.arrived)
	s.link.packetsReceived.Add(1)
	s.link.bytesReceived.Add(uint64(size))
	t.hand().Packet(s.link, h, p)
}
