package link

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"

	"github.com/skein-mesh/skein/region"
)

// An allocation is a socket at a TURN server (RFC 8656) that others reach where they
// cannot reach this one. What comes through it is unwrapped by the socket's reader
// and goes the way of everything else, as if it came from the address that stands for
// its sender, out of a block no network uses. What is sent to such an address is
// wrapped again. So nobody else has to know.
type allocation struct {
	t       *Transport
	server  netip.AddrPort
	user    Server // the credentials; of keepOutside's goroutine
	relayed netip.AddrPort
	realm   string
	nonce   string
	renewal time.Time
	permits map[netip.Addr]time.Time // of keepOutside's goroutine

	// peers are the senders by the address that stands for them; replaced whole by
	// the socket's reader.
	peers atomic.Pointer[[]netip.AddrPort]
}

const (
	lifetime = 10 * time.Minute
	// permitLife is how long a permission lasts at the server (5 min), less a margin.
	permitLife = 4 * time.Minute
	// maxSenders bounds the peers that come through an allocation.
	maxSenders = 2048
	// sendIndication, dataIndication and the attributes are those of RFC 8656.
	sendIndication = 0x0016
	dataIndication = 0x0017
	attrPeer       = 0x0012
	attrData       = 0x0013
)

var (
	methodAllocate  = stun.NewType(stun.MethodAllocate, stun.ClassRequest)
	methodRefresh   = stun.NewType(stun.MethodRefresh, stun.ClassRequest)
	methodPermit    = stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)
	overUDP         = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}
	errNoAllocation = fmt.Errorf("%w: no TURN server allocates an address", region.ErrUnreachable)
)

// allocate returns the address at a TURN server, and has one allocated unless there is
// one. The zero value if none can be had.
func (t *Transport) allocate(ctx context.Context) netip.AddrPort {
	a := t.relay.Load()
	if a != nil {
		a.adopt(t.outer.known())
		if time.Now().Before(a.renewal) || a.refresh(ctx, lifetime) == nil {
			return a.relayed
		}
		t.relay.Store(nil)
	}
	for _, s := range t.outer.known() {
		if s.Username == "" {
			continue
		}
		a := &allocation{t: t, server: s.Addr, user: s, permits: make(map[netip.Addr]time.Time)}
		a.peers.Store(new([]netip.AddrPort))
		if err := a.open(ctx); err != nil {
			t.cfg.Logger.Debug("no allocation", "server", s.Addr, "err", err)
			continue
		}
		t.relay.Store(a)
		t.cfg.Logger.Info("reached through TURN", "server", s.Addr, "at", a.relayed)
		return a.relayed
	}
	t.cfg.Logger.Warn("members behind NATs may not reach this one", "err", errNoAllocation)
	return netip.AddrPort{}
}

// adopt takes new credentials for the server.
func (a *allocation) adopt(servers []Server) {
	for _, s := range servers {
		if s.Addr == a.server && s.Username != "" {
			a.user = s
			return
		}
	}
}

func (a *allocation) open(ctx context.Context) error {
	m, err := a.ask(ctx, methodAllocate, overUDP)
	if err != nil {
		return err
	}
	if a.relayed, err = addressIn(m, stun.AttrXORRelayedAddress); err != nil {
		return err
	}
	a.renewal = time.Now().Add(lifetime / 2)
	return nil
}

// refresh prolongs the allocation; a life of 0 ends it.
func (a *allocation) refresh(ctx context.Context, life time.Duration) error {
	value := binary.BigEndian.AppendUint32(nil, uint32(life/time.Second))
	if _, err := a.ask(ctx, methodRefresh, stun.RawAttribute{Type: stun.AttrLifetime, Value: value}); err != nil {
		return err
	}
	a.renewal = time.Now().Add(life / 2)
	return nil
}

// giveUp tells the server that the allocation is needed no more.
func (a *allocation) giveUp() {
	ctx, cancel := context.WithTimeout(context.Background(), probeRetry)
	defer cancel()
	_ = a.refresh(ctx, 0) // or it ends by itself
}

// permit lets peers at some addresses in, those that are not yet.
func (a *allocation) permit(ctx context.Context, ips []netip.Addr, now time.Time) {
	for _, ip := range ips {
		if now.Before(a.permits[ip]) || ip.Is4() != a.relayed.Addr().Is4() {
			continue
		}
		// One at a time: servers refuse all if they refuse one.
		if _, err := a.ask(ctx, methodPermit, peerAttribute(netip.AddrPortFrom(ip, 9))); err != nil {
			a.t.cfg.Logger.Debug("no permission", "peer", ip, "err", err)
		}
		a.permits[ip] = now.Add(permitLife)
	}
	maps.DeleteFunc(a.permits, func(_ netip.Addr, until time.Time) bool { return now.After(until) })
}

// peerAttribute is XOR-PEER-ADDRESS.
type peerAttribute netip.AddrPort

func (p peerAttribute) AddTo(m *stun.Message) error {
	addr := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: addr.Addr().AsSlice(), Port: int(addr.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

// ask asks the server with credentials, and once more with what it says about them.
func (a *allocation) ask(ctx context.Context, setters ...stun.Setter) (*stun.Message, error) {
	for attempt := 0; ; attempt++ {
		all := slices.Clone(setters)
		if a.nonce != "" {
			all = append(all, stun.NewUsername(a.user.Username), stun.NewRealm(a.realm), stun.NewNonce(a.nonce),
				stun.NewLongTermIntegrity(a.user.Username, a.realm, a.user.Password))
		}
		m, err := a.t.askServer(ctx, a.server, all...)
		if err != nil {
			return nil, err
		}
		if m.Type.Class == stun.ClassSuccessResponse {
			return m, nil
		}
		var code stun.ErrorCodeAttribute
		if err := code.GetFrom(m); err != nil {
			return nil, fmt.Errorf("%w: refused without a code", region.ErrInvalid)
		}
		var realm stun.Realm
		var nonce stun.Nonce
		if attempt == 2 || code.Code != stun.CodeUnauthorized && code.Code != stun.CodeStaleNonce ||
			realm.GetFrom(m) != nil || nonce.GetFrom(m) != nil {
			return nil, fmt.Errorf("%w: the server says %d %.60s", region.ErrUnreachable, code.Code, code.Reason)
		}
		a.realm, a.nonce = realm.String(), nonce.String()
	}
}

// standIns is the block of addresses that stand for peers beyond the server: class
// E, of which no packet ever comes.
var standIns = netip.MustParsePrefix("240.0.0.0/12")

func isStandIn(a netip.Addr) bool { return standIns.Contains(a) }

// unwrap takes what came through the server out of b. It belongs to the socket's
// reader. ok is false if b is nothing of that kind.
func (a *allocation) unwrap(b []byte, from netip.AddrPort) (data []byte, sender netip.AddrPort, ok bool) {
	if from != a.server || binary.BigEndian.Uint16(b) != dataIndication {
		return nil, from, false
	}
	var peer netip.AddrPort
	for rest := b[stunHeader:]; len(rest) >= 4; {
		kind, size := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if 4+size > len(rest) {
			return nil, from, false
		}
		value := rest[4 : 4+size]
		switch kind {
		case attrPeer:
			peer = unxor(value, b)
		case attrData:
			data = value
		}
		rest = rest[min(4+(size+3)&^3, len(rest)):]
	}
	if !peer.IsValid() || len(data) == 0 {
		return nil, from, false
	}
	sender, ok = a.standIn(peer)
	return data, sender, ok
}

// unxor reads an address that is masked with the head of the message b.
func unxor(value, b []byte) netip.AddrPort {
	if len(value) != 8 && len(value) != 20 {
		return netip.AddrPort{}
	}
	port := binary.BigEndian.Uint16(value[2:]) ^ uint16(stunMagic>>16)
	ip := slices.Clone(value[4:])
	for i := range ip {
		ip[i] ^= b[4+i]
	}
	addr, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr.Unmap(), port)
}

// standIn is the address that stands for a peer, a new one if need be.
func (a *allocation) standIn(peer netip.AddrPort) (netip.AddrPort, bool) {
	peers := *a.peers.Load()
	i := slices.Index(peers, peer)
	if i < 0 {
		if len(peers) == maxSenders {
			return netip.AddrPort{}, false
		}
		i = len(peers)
		peers = append(slices.Clone(peers), peer)
		a.peers.Store(&peers)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{240, 0, byte(i >> 8), byte(i)}), peer.Port()), true
}

// send wraps b for the peer that an address stands for.
func (a *allocation) send(b []byte, to netip.AddrPort) error {
	ip := to.Addr().As4()
	peers, i := *a.peers.Load(), int(ip[2])<<8|int(ip[3])
	if i >= len(peers) {
		return fmt.Errorf("%w: nobody is known as %s", region.ErrUnreachable, to)
	}
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		peerAttribute(peers[i]), stun.RawAttribute{Type: stun.AttrData, Value: b})
	if err != nil {
		return err
	}
	return a.t.socket.writeTo(m.Raw, a.server)
}

// writeTo sends a datagram to an address, or to whom it stands for.
func (t *Transport) writeTo(b []byte, to netip.AddrPort) error {
	if !isStandIn(to.Addr()) {
		return t.socket.writeTo(b, to)
	}
	if a := t.relay.Load(); a != nil {
		return a.send(b, to)
	}
	return errNoAllocation
}

// writeTrains sends trains, those to stand-ins packet by packet.
func (t *Transport) writeTrains(trains []train) (failed int) {
	if t.relay.Load() == nil {
		return t.socket.writeTrains(trains)
	}
	direct := trains[:0]
	for _, tr := range trains {
		if !isStandIn(tr.to.addr.Addr()) {
			direct = append(direct, tr)
			continue
		}
		for data := tr.data; len(data) > 0; {
			n := min(tr.size, len(data))
			if t.writeTo(data[:n], tr.to.addr) != nil {
				failed++
			}
			data = data[n:]
		}
	}
	return failed + t.socket.writeTrains(direct)
}
