package link

import (
	"net"
	"net/netip"
	"testing"
)

// Links stand over IPv6 as over IPv4, and a socket that has both meets those who have
// either.
func TestLinksOverEitherFamily(t *testing.T) {
	if c, err := net.ListenPacket("udp", "[::1]:0"); err != nil {
		t.Skip("this machine has no IPv6")
	} else {
		c.Close()
	}
	four, six := netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()
	for name, c := range map[string]struct {
		a, b      string
		advertise []netip.Addr // what a says it is reached at
		want      netip.Addr   // where a's word goes
	}{
		"both have IPv6":           {"[::1]:0", "[::1]:0", nil, six},
		"one has both, one IPv6":   {":0", "[::1]:0", []netip.Addr{four, six}, six},
		"one has both, one IPv4":   {":0", "127.0.0.1:0", []netip.Addr{six, four}, four},
		"one says only its IPv4":   {":0", "127.0.0.1:0", []netip.Addr{four}, four},
		"an IPv4 that is not said": {":0", "127.0.0.1:0", []netip.Addr{six}, four},
	} {
		t.Run(name, func(t *testing.T) {
			a := newEnd(t, func(cfg *Config) { cfg.Listen, cfg.Advertise = c.a, c.advertise })
			b := newEnd(t, func(cfg *Config) { cfg.Listen = c.b })
			ab, ba := join(t, a, b)
			for _, way := range []struct {
				from, to *end
				over     *Link
			}{{a, b, ab}, {b, a, ba}} {
				batch := way.from.Batch()
				for i := range 3 { // a train
					add(t, batch, way.over, packet(t, uint64(i+1)))
				}
				batch.Flush()
				way.to.until(func() bool { return len(way.to.packets) == 3 })
			}
			if addr := ab.session.Load().dest.Load().addr.Addr(); addr != c.want {
				t.Errorf("the link goes to %s", addr)
			}
		})
	}
}
