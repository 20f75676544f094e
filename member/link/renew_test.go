package link

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/skein-mesh/skein/test/world"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// standInServer is a TURN server that allocates, and lets only one user in.
type standInServer struct {
	conn net.PacketConn
	user atomic.Pointer[string]
	// created and refreshed count what was granted, refused what was not.
	created, refreshed, refused atomic.Int32
}

func (s *standInServer) serve() {
	buf := make([]byte, 2000)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if m := (&stun.Message{Raw: append([]byte(nil), buf[:n]...)}); m.Decode() == nil {
			_, _ = s.conn.WriteTo(s.answer(m).Raw, from)
		}
	}
}

func (s *standInServer) answer(m *stun.Message) *stun.Message {
	mapped := stun.XORMappedAddress{IP: net.IPv4(203, 0, 113, 9), Port: 1000}
	setters := []stun.Setter{m, stun.NewType(m.Type.Method, stun.ClassSuccessResponse)}
	var user stun.Username
	switch m.Type.Method {
	case stun.MethodBinding:
		setters = append(setters, &mapped)
	default:
		name := *s.user.Load()
		if user.GetFrom(m) != nil || user.String() != name || stun.NewLongTermIntegrity(name, "r", "of "+name).Check(m) != nil {
			s.refused.Add(1)
			setters[1] = stun.NewType(m.Type.Method, stun.ClassErrorResponse)
			setters = append(setters, stun.CodeUnauthorized, stun.NewRealm("r"), stun.NewNonce("n"))
			break
		}
		if m.Type.Method == stun.MethodAllocate {
			s.created.Add(1)
			setters = append(setters, relayedAddress(mapped))
		} else {
			s.refreshed.Add(1)
		}
	}
	return stun.MustBuild(setters...)
}

type relayedAddress stun.XORMappedAddress

func (a relayedAddress) AddTo(m *stun.Message) error {
	return stun.XORMappedAddress(a).AddToAs(m, stun.AttrXORRelayedAddress)
}

// An allocation outlives the credentials it was made with, if new ones come in time.
func TestAnAllocationOutlivesItsCredentials(t *testing.T) {
	world.Bubble(t, 30*time.Second, func(t *testing.T) {
		n := simnet.New(1)
		defer n.Close()
		n.Profile(func(_, _ netip.Addr) simnet.Link { return simnet.Link{Latency: 10 * time.Millisecond} })
		host := n.Host("10.0.0.1")
		conn, err := host.ListenPacket(context.Background(), "10.0.0.1:3478")
		if err != nil {
			t.Fatal(err)
		}
		s := &standInServer{conn: conn}
		done := make(chan struct{})
		go func() { defer close(done); s.serve() }()
		user := "first"
		s.user.Store(&user)
		servers := func(name string) []Server {
			return []Server{{Addr: netip.MustParseAddrPort("10.0.0.1:3478"), Username: name, Password: "of " + name}}
		}
		e := newEnd(t, func(c *Config) { c.Network, c.Listen = n.Host("10.0.0.2"), "10.0.0.2:7500" })
		if _, err := e.UseServers(t.Context(), servers(user)); err != nil {
			t.Fatal(err)
		}
		at := e.Endpoint().Media
		time.Sleep(time.Hour)
		e.RenewServers(servers("second"))
		second := "second"
		s.user.Store(&second)
		refused := s.refused.Load()
		time.Sleep(time.Hour)
		if s.created.Load() != 1 || s.refreshed.Load() < 20 || s.refused.Load() != refused {
			t.Errorf("%d allocations, %d refreshed, %d requests refused", s.created.Load(), s.refreshed.Load(), s.refused.Load())
		}
		if now := e.Endpoint().Media; len(now) != 3 || len(at) != 3 || now[2] != at[2] {
			t.Errorf("reached at %v, then at %v", at, now)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		conn.Close()
		<-done
		time.Sleep(time.Minute)
	})
}
