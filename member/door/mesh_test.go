package door_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/member/door"
	"github.com/skein-mesh/skein/proto/trust"
)

// patience is how long anything may take; nothing is judged by it but a hang.
const patience = 30 * time.Second

// A mesh is a real coordinator with members on loopback.
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
	cfg.TURN, cfg.TURNPrivate = freePort(), true
	cfg.Groups = []coordinator.Group{{Region: "r1", Peers: []coordinator.Peer{
		{ID: cfg.Credentials.ID(), Raft: cfg.Raft, GRPC: cfg.GRPC},
	}}}
	server := must(coordinator.Start(context.Background(), cfg))
	t.Cleanup(func() { server.Close() })
	m.coordinator = cfg.GRPC
	return m
}

// A place is a member with a door, served over HTTP.
type place struct {
	node *member.Node
	door *door.Door
	url  string
}

// open joins a member and opens its door.
func (m *mesh) open(change func(*door.Config)) *place {
	m.t.Helper()
	return m.openOn(nil, change)
}

// openOn is open on a network of its own.
func (m *mesh) openOn(network member.Network, change func(*door.Config)) *place {
	m.t.Helper()
	cfg := member.DefaultConfig()
	cfg.Network = network
	cfg.Coordinators = []string{m.coordinator}
	cfg.Credentials = must(m.ca.Issue(must(trust.NewIdentity()), trust.RoleMember, time.Hour, time.Now()))
	cfg.Media, cfg.Gossip, cfg.Uplink = "127.0.0.1:0", "none", 50_000
	if testing.Verbose() {
		cfg.Logger = slog.New(slog.NewTextHandler(m.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	p := &place{node: must(member.Join(ctx, cfg))}
	m.t.Cleanup(func() {
		if m.t.Failed() {
			m.t.Logf("member %s: %+v", p.node.ID(), p.node.Stats().Streams)
			for e := range p.node.Events() {
				m.t.Logf("event %+v", e)
				if len(p.node.Events()) == 0 {
					break
				}
			}
		}
		p.node.Close()
	})
	dc := door.Config{Node: p.node, Media: "127.0.0.1:0", Logger: cfg.Logger}
	if change != nil {
		change(&dc)
	}
	p.door = must(door.New(dc))
	m.t.Cleanup(func() {
		if err := p.door.Close(); err != nil {
			m.t.Error(err)
		}
	})
	server := httptest.NewServer(p.door.Handler())
	m.t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// A reply is an HTTP answer, read whole.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends a request; headers come in pairs.
func ask(t *testing.T, method, url, body string, headers ...string) reply {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body)))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return reply{answer.StatusCode, answer.Header, string(must(io.ReadAll(answer.Body)))}
}

func (r reply) want(t *testing.T, status int) reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	return r
}

// until waits for a condition, never for a fixed time.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	untilIn(t, patience, what, holds)
}

// untilIn is until for what may take longer.
func untilIn(t *testing.T, most time.Duration, what string, holds func() bool) {
	t.Helper()
	for began := time.Now(); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > most {
			t.Fatalf("not in %v: %s", most, what)
		}
	}
}

// freePort is a TCP address on loopback that was free a moment ago.
func freePort() string {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	return l.Addr().String()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("%+v", err))
	}
	return v
}
