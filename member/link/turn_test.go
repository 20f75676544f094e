package link

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/pion/stun/v4"
)

// What a server passes on comes out as it went in, from an address that stands for its
// sender; whatever else it says does no harm.
func FuzzUnwrap(f *testing.F) {
	server := netip.MustParseAddrPort("203.0.113.1:3478")
	peers := []netip.AddrPort{netip.MustParseAddrPort("203.0.113.20:7500"), netip.MustParseAddrPort("[2001:db8::1]:9")}
	for _, p := range peers {
		m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodData, stun.ClassIndication), peerAttribute(p),
			stun.RawAttribute{Type: stun.AttrData, Value: []byte("media")})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Raw)
		a := &allocation{server: server}
		a.peers.Store(new([]netip.AddrPort))
		data, from, ok := a.unwrap(m.Raw, server)
		if !ok || string(data) != "media" || !isStandIn(from.Addr()) || (*a.peers.Load())[0] != p {
			f.Fatalf("%s becomes %q from %s, %v", p, data, from, *a.peers.Load())
		}
		if again, _ := a.standIn(p); again != from {
			f.Fatalf("%s is %s, then %s", p, from, again)
		}
		if _, _, ok := a.unwrap(m.Raw, p); ok {
			f.Fatal("anybody can speak for others")
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !isSTUN(b) {
			return
		}
		a := &allocation{server: server}
		a.peers.Store(new([]netip.AddrPort))
		if data, from, ok := a.unwrap(b, server); ok && (!bytes.Contains(b, data) || !isStandIn(from.Addr())) {
			t.Errorf("%x from %s", data, from)
		}
	})
}
