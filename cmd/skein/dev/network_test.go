package dev

import (
	"net"
	"net/netip"
	"testing"
)

func TestACableRefusesWhomItIsTold(t *testing.T) {
	if !canRefuse {
		t.Skip("this system cannot keep members apart")
	}
	apart, free := memberIP(MaxMembers), memberIP(MaxMembers+1)
	c := newCable(memberIP(MaxMembers + 2))
	defer c.unplug()
	to := open(t, c)
	from := map[netip.Addr]net.PacketConn{}
	for _, ip := range []netip.Addr{apart, free} {
		sender := newCable(ip)
		defer sender.unplug()
		from[ip] = open(t, sender)
	}
	send := func(ip netip.Addr, text string) {
		t.Helper()
		if _, err := from[ip].WriteTo([]byte(text), to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(conn net.PacketConn, want string) {
		t.Helper()
		b := make([]byte, 16)
		n, _, err := conn.ReadFrom(b)
		if err != nil || string(b[:n]) != want {
			t.Fatalf("received %q, %v; want %q", b[:n], err, want)
		}
	}
	for range 2 { // what is refused can be refused again
		if err := c.refuse([]netip.Addr{apart}); err != nil {
			t.Fatal(err)
		}
	}
	send(apart, "lost")
	send(free, "first")
	receive(to, "first")
	later := to
	to = open(t, c) // sockets opened later refuse as well
	send(apart, "lost")
	send(free, "second")
	receive(to, "second")
	for range 2 {
		if err := c.refuse(nil); err != nil {
			t.Fatal(err)
		}
	}
	send(apart, "third")
	receive(to, "third")
	to = later
	send(apart, "fourth")
	receive(to, "fourth")
}

func open(t *testing.T, c *cable) net.PacketConn {
	t.Helper()
	p, err := c.ListenPacket(t.Context(), at(c.ip, 0))
	if err != nil {
		t.Fatal(err)
	}
	return p
}
