package page

import (
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/member/door"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// A mesh is a coordinator and members in this process, on loopback.
type mesh struct {
	t           *testing.T
	ca          *trust.Authority
	coordinator string
}

func newMesh(t *testing.T) *mesh {
	t.Helper()
	m := &mesh{t: t, ca: must(trust.NewAuthority(time.Now()))}
	cfg := coordinator.DefaultConfig()
	cfg.DataDir, cfg.Authority = t.TempDir(), m.ca
	cfg.Credentials = must(m.ca.Issue(must(trust.NewIdentity()), trust.RoleCoordinator, time.Hour, time.Now()))
	cfg.GRPC, cfg.Raft = freePort(), freePort()
	cfg.Groups = []coordinator.Group{{Region: "r1", Peers: []coordinator.Peer{
		{ID: cfg.Credentials.ID(), Raft: cfg.Raft, GRPC: cfg.GRPC},
	}}}
	server := must(coordinator.Start(context.Background(), cfg))
	t.Cleanup(func() { _ = server.Close() })
	m.coordinator = cfg.GRPC
	return m
}

// A wire is a member's network, which can be cut off at a stroke, as by a kill.
type wire struct {
	// way, if there is one, is what all packets have to pass.
	way *way

	mu    sync.Mutex
	socks []interface{ Close() error }
}

// A way carries so many bytes per second; any number, while that is 0.
type way struct {
	rate atomic.Int64
	mu   sync.Mutex
	free time.Time // when all that was sent is through
}

// lets says whether it carries a packet now. What would wait for more than 50 ms is lost.
func (y *way) lets(size int) bool {
	rate := y.rate.Load()
	if rate == 0 {
		return true
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	now := time.Now()
	if y.free.Before(now) {
		y.free = now
	}
	if y.free.Sub(now) > 50*time.Millisecond {
		return false
	}
	y.free = y.free.Add(time.Duration(int64(size) * int64(time.Second) / rate))
	return true
}

type narrowConn struct {
	net.PacketConn
	way *way
}

func (c narrowConn) WriteTo(p []byte, to net.Addr) (int, error) {
	if !c.way.lets(len(p)) {
		return len(p), nil
	}
	return c.PacketConn.WriteTo(p, to)
}

func (w *wire) keep(s interface{ Close() error }) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.socks = append(w.socks, s)
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.socks {
		_ = s.Close()
	}
}

func (w *wire) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	c, err := new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
	if err == nil {
		w.keep(c)
		if w.way != nil {
			return narrowConn{c, w.way}, nil
		}
	}
	return c, err
}

func (w *wire) Listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err == nil {
		w.keep(l)
	}
	return l, err
}

func (w *wire) Dial(ctx context.Context, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err == nil {
		w.keep(c)
	}
	return c, err
}

// A relay is a member that receives a programme and forwards it.
type relay struct {
	*member.Node
	wire *wire
}

func (m *mesh) join(uplink region.Rate) *relay {
	m.t.Helper()
	return m.joinOn(&wire{}, uplink)
}

// joinOn is join on a network.
func (m *mesh) joinOn(w *wire, uplink region.Rate) *relay {
	m.t.Helper()
	cfg := member.DefaultConfig()
	cfg.Coordinators = []string{m.coordinator}
	cfg.Credentials = must(m.ca.Issue(must(trust.NewIdentity()), trust.RoleMember, time.Hour, time.Now()))
	r := &relay{wire: w}
	if os.Getenv("SKEIN_TEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(m.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	cfg.Media, cfg.Gossip, cfg.Uplink, cfg.Network = "127.0.0.1:0", "none", uplink, r.wire
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	r.Node = must(member.Join(ctx, cfg))
	m.t.Cleanup(func() { _ = r.Close() })
	return r
}

// relay joins a member that draws streams, and returns once it has a place in each.
func (m *mesh) relay(uplink region.Rate, streams ...region.StreamID) *relay {
	m.t.Helper()
	return m.relayOn(&wire{}, uplink, streams...)
}

// relayOn is relay on a network.
func (m *mesh) relayOn(w *wire, uplink region.Rate, streams ...region.StreamID) *relay {
	m.t.Helper()
	r := m.joinOn(w, uplink)
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	for _, s := range streams {
		sub := must(r.Await(ctx, s))
		go func() {
			for {
				if _, err := sub.Read(m.t.Context()); err != nil {
					return
				}
			}
		}()
	}
	return r
}

// door opens a member's door and returns where it is.
func (m *mesh) door(n *relay) string {
	m.t.Helper()
	d := must(door.New(door.Config{Node: n.Node, Media: "127.0.0.1:0"}))
	server := httptest.NewServer(d.Handler())
	m.t.Cleanup(func() {
		server.Close()
		if err := d.Close(); err != nil {
			m.t.Error(err)
		}
	})
	return server.URL
}

func freePort() string {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	return l.Addr().String()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
