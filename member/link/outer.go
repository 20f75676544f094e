package link

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"

	"github.com/skein-mesh/skein/region"
)

const (
	// outerInterval is how often a NAT is reminded of the socket and asked for its
	// outer address: NATs forget after 30 s and more.
	outerInterval = 15 * time.Second
	// outerPatience bounds one question, with repeats.
	outerPatience = 2 * time.Second
	// maxServers bounds the servers that are used.
	maxServers = 8
	// maxAnswers bounds questions to servers under way at the same time.
	maxAnswers = 64
)

// A Server answers STUN and, with a username, TURN.
type Server struct {
	Addr               netip.AddrPort
	Username, Password string
}

// outer is what the transport knows of the NAT in front of it.
type outer struct {
	servers atomic.Pointer[[]Server] // by UseServers; replaced whole
	moved   chan struct{}            // Endpoint has changed
	fresh   chan struct{}            // a peer is expected that was not before

	mu      sync.Mutex // guards what follows
	answers map[[stun.TransactionIDSize]byte]chan *stun.Message
}

// UseServers finds out, by the first stay, how the socket is reached from outside: by
// STUN the address that a NAT has given it, and where that differs by destination, so
// that nobody could use it, one at a TURN server. From then on it keeps both. It
// blocks until it knows, at most for a few seconds or until ctx ends, and reports
// whether Endpoint is another one now. Call it once.
func (t *Transport) UseServers(ctx context.Context, servers []Server) (changed bool, err error) {
	if len(servers) > maxServers {
		servers = servers[:maxServers]
	}
	if len(servers) == 0 {
		return false, nil
	}
	t.renew(servers)
	before := t.Endpoint()
	err = t.lookOutside(ctx)
	t.wait.Go(func() { t.keepOutside(t.ctx) })
	return !slices.Equal(before.Media, t.Endpoint().Media), err
}

// RenewServers replaces the credentials of the servers by new ones, before the old ones
// end. What is allocated stays.
func (t *Transport) RenewServers(servers []Server) { t.renew(servers[:min(len(servers), maxServers)]) }

func (t *Transport) renew(servers []Server) {
	list := slices.Clone(servers)
	t.outer.servers.Store(&list)
}

// known are the servers; none before UseServers.
func (o *outer) known() []Server {
	if list := o.servers.Load(); list != nil {
		return *list
	}
	return nil
}

// Moved tells when Endpoint has changed since UseServers: the host is in another
// network, or its NAT has begun anew.
func (t *Transport) Moved() <-chan struct{} { return t.outer.moved }

// keepOutside keeps what UseServers found until ctx ends.
func (t *Transport) keepOutside(ctx context.Context) {
	timer := time.NewTicker(outerInterval)
	defer timer.Stop()
	defer func() {
		if a := t.relay.Load(); a != nil {
			a.giveUp()
		}
	}()
	for {
		t.permit(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.outer.fresh:
			continue
		case <-timer.C:
		}
		before := t.Endpoint()
		if err := t.lookOutside(ctx); err != nil {
			t.cfg.Logger.Debug("no server answers", "err", err)
			continue
		}
		if !slices.Equal(before.Media, t.Endpoint().Media) {
			select {
			case t.outer.moved <- struct{}{}:
			default:
			}
		}
	}
}

// permit lets the peers that are expected come through the allocation, if there is
// one.
func (t *Transport) permit(ctx context.Context) {
	a := t.relay.Load()
	if a == nil {
		return
	}
	var ips []netip.Addr
	for _, l := range *t.links.Load() {
		for _, addr := range l.peer.Endpoint.Media {
			ips = append(ips, addr.Addr().Unmap())
		}
	}
	a.permit(ctx, ips, time.Now())
}

// lookOutside asks two servers for the outer address, and has one allocated where
// that is of no use.
func (t *Transport) lookOutside(ctx context.Context) error {
	o := &t.outer
	own := t.interfaces()
	var seen []netip.AddrPort
	var failed error
	asked := make(map[netip.AddrPort]bool)
	for _, s := range o.known() {
		if asked[s.Addr] || len(seen) == 2 {
			continue
		}
		asked[s.Addr] = true
		addr, err := t.askOuter(ctx, s.Addr)
		if err != nil {
			failed = err
			continue
		}
		seen = append(seen, addr)
	}
	if len(seen) == 0 {
		return failed
	}
	if slices.Contains(own, seen[0]) {
		t.announce(own)
		return nil
	}
	// The NAT's address is announced even if it differs by destination: others have to
	// know whom to let in. With one server alone nobody can tell whether it does.
	if len(seen) == 2 && seen[0] == seen[1] {
		t.announce(own, seen[0])
	} else {
		t.announce(own, seen[0], t.allocate(ctx))
	}
	return nil
}

// announce makes the addresses those of Endpoint: the host's, the NAT's, the server's.
func (t *Transport) announce(own []netip.AddrPort, more ...netip.AddrPort) {
	list := slices.Clone(own)
	for _, a := range more {
		if a.IsValid() {
			list = append(list[:min(len(list), region.MaxAddresses-1)], a)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endpoint.Media = list
}

// askOuter asks a server from which address the socket is seen.
func (t *Transport) askOuter(ctx context.Context, server netip.AddrPort) (netip.AddrPort, error) {
	answer, err := t.askServer(ctx, server, stun.BindingRequest)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("ask %s for the outer address: %w", server, err)
	}
	return addressIn(answer, stun.AttrXORMappedAddress)
}

func addressIn(m *stun.Message, attribute stun.AttrType) (netip.AddrPort, error) {
	var a stun.XORMappedAddress
	if err := a.GetFromAs(m, attribute); err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: STUN answer: %w", region.ErrInvalid, err)
	}
	ip, ok := netip.AddrFromSlice(a.IP)
	if !ok || a.Port <= 0 || a.Port > 65535 {
		return netip.AddrPort{}, fmt.Errorf("%w: STUN answer with address %v", region.ErrInvalid, a)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(a.Port)), nil
}

// askServer sends a request, again if need be, and returns the answer, whichever it
// is.
func (t *Transport) askServer(ctx context.Context, server netip.AddrPort, setters ...stun.Setter) (*stun.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, outerPatience)
	defer cancel()
	var id [stun.TransactionIDSize]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	request, err := stun.Build(append([]stun.Setter{stun.NewTransactionIDSetter(id)}, setters...)...)
	if err != nil {
		return nil, err
	}
	o := &t.outer
	done := make(chan *stun.Message, 1)
	o.mu.Lock()
	full := len(o.answers) >= maxAnswers
	if !full {
		o.answers[id] = done
	}
	o.mu.Unlock()
	if full {
		return nil, errBusy
	}
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.answers, id)
	}()
	for wait := probeRetry; ; wait *= 2 {
		if err := t.socket.writeTo(request.Raw, server); err != nil {
			return nil, err
		}
		timer := time.NewTimer(wait)
		select {
		case m := <-done:
			timer.Stop()
			return m, nil
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// takeAnswer takes the answer of a server to askServer. It reports whether b was one.
func (t *Transport) takeAnswer(b []byte) bool {
	id := [stun.TransactionIDSize]byte(b[8:stunHeader])
	t.outer.mu.Lock()
	done := t.outer.answers[id]
	t.outer.mu.Unlock()
	if done == nil {
		return false
	}
	m := &stun.Message{Raw: slices.Clone(b)}
	if m.Decode() != nil {
		t.malformed.Add(1)
		return true
	}
	select {
	case done <- m:
	default: // an answer to a repeat
	}
	return true
}
