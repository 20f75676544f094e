package coordinator

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// patience is how long a test waits for what must happen. It bounds a hang; no
// test measures time by it.
const patience = 60 * time.Second

// A cluster is a few coordinators of one region on loopback, which can be
// killed and started again on their folders.
type cluster struct {
	t         testing.TB
	authority *trust.Authority
	configs   []Config

	mu      sync.Mutex
	servers []*Server // nil while killed
}

// clusters counts those of this process.
var clusters atomic.Uint32

func newCluster(t *testing.T, n int, change func(*Config)) *cluster {
	t.Helper()
	t.Parallel()
	return foundCluster(t, n, change)
}

func foundCluster(t testing.TB, n int, change func(*Config)) *cluster {
	t.Helper()
	authority, err := trust.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, authority: authority, servers: make([]*Server, n)}
	// Every cluster has addresses of its own, so tests do not meet.
	network := fmt.Sprintf("127.%d.%d.", 10+os.Getpid()%200, clusters.Add(1)%256)
	group := Group{Region: "r1"}
	dir := t.TempDir()
	for i := range n {
		cfg := DefaultConfig()
		cfg.Name = fmt.Sprintf("c%d", i)
		cfg.DataDir = filepath.Join(dir, cfg.Name)
		if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
			t.Fatal(err)
		}
		cfg.Credentials = c.credentials(trust.RoleCoordinator)
		cfg.Authority = authority
		cfg.GRPC = fmt.Sprintf("%s%d:7400", network, i+1)
		cfg.Raft = fmt.Sprintf("%s%d:7401", network, i+1)
		group.Peers = append(group.Peers, Peer{ID: cfg.Credentials.ID(), Raft: cfg.Raft, GRPC: cfg.GRPC})
		if change != nil {
			change(&cfg)
		}
		c.configs = append(c.configs, cfg)
	}
	for i := range c.configs {
		c.configs[i].Groups = []Group{group}
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range c.servers {
			c.kill(i)
		}
	})
	return c
}

func (c *cluster) credentials(role trust.Role) *trust.Credentials {
	c.t.Helper()
	id, err := trust.NewIdentity()
	if err != nil {
		c.t.Fatal(err)
	}
	creds, err := c.authority.Issue(id, role, trust.CertificateTTL, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	return creds
}

func (c *cluster) start(i int) {
	c.t.Helper()
	s, err := Start(c.t.Context(), c.configs[i])
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers[i] = s
}

// running returns the coordinators that are not killed, by number.
func (c *cluster) running() map[int]*Server {
	c.mu.Lock()
	defer c.mu.Unlock()
	running := map[int]*Server{}
	for i, s := range c.servers {
		if s != nil {
			running[i] = s
		}
	}
	return running
}

// take takes a coordinator out of the cluster; nil if it is killed already.
func (c *cluster) take(i int) *Server {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.servers[i]
	c.servers[i] = nil
	return s
}

func (c *cluster) kill(i int) {
	if s := c.take(i); s != nil {
		if err := s.Close(); err != nil {
			c.t.Errorf("close coordinator %d: %v", i, err)
		}
	}
}

// leader waits until a coordinator leads.
func (c *cluster) leader() int {
	c.t.Helper()
	leader := -1
	c.until("a coordinator leads", func() bool {
		for i, s := range c.running() {
			if s.Leading("r1") {
				leader = i
			}
		}
		return leader >= 0
	})
	return leader
}

// until waits for something that must come to pass.
func (c *cluster) until(what string, holds func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("never: %s", what)
		}
	}
}

// agree waits until all running coordinators hold the same state and returns it.
func (c *cluster) agree() *region.Region {
	c.t.Helper()
	var structure *region.Region
	c.until("all coordinators hold the same state", func() bool {
		hashes := map[[32]byte]bool{}
		for _, s := range c.running() {
			state := s.replicas[0].group.State()
			structure = state.Region
			hashes[state.Hash()] = true
		}
		return len(hashes) == 1
	})
	if err := structure.Check(); err != nil {
		c.t.Fatal(err)
	}
	return structure
}

// region returns the structure that the leader holds.
func (c *cluster) region() *region.Region {
	c.t.Helper()
	var structure *region.Region
	c.until("the leader shows its structure", func() bool {
		if s := c.running()[c.leader()]; s != nil {
			structure = s.Region("r1")
		}
		return structure != nil
	})
	return structure
}

// dial connects to a coordinator; creds may be nil.
func (c *cluster) dial(i int, creds *trust.Credentials) *grpc.ClientConn {
	c.t.Helper()
	tls := trust.PinnedTLS(c.authority.Hash())
	if creds != nil {
		tls = creds.ClientTLS()
	}
	conn, err := grpc.NewClient("passthrough:///"+c.configs[i].GRPC,
		grpc.WithTransportCredentials(credentials.NewTLS(tls)))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	return conn
}

// A participant is a member as its coordinators see it: it asks the leader, and
// asks again with the same request id until it has an answer.
type participant struct {
	c      *cluster
	creds  *trust.Credentials
	lease  uint64
	uplink uint32
	conns  map[int]*grpc.ClientConn
	nextID int
	key    []byte
	addr   netip.AddrPort
	// hush ends what talk began.
	hush func()
}

var nextAddress atomic.Uint32

func (c *cluster) participant(uplink uint32) *participant {
	key := make([]byte, 32)
	rand.Read(key)
	n := nextAddress.Add(1)
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 9, byte(n >> 8), byte(n)}), 7500)
	return &participant{
		c: c, creds: c.credentials(trust.RoleMember), uplink: uplink,
		conns: map[int]*grpc.ClientConn{}, key: key, addr: addr,
	}
}

func (p *participant) id() region.MemberID { return p.creds.ID() }

func (p *participant) requestID() string {
	p.nextID++
	return fmt.Sprintf("q%d", p.nextID)
}

// close ends the connections of a participant that has nothing more to say.
func (p *participant) close() {
	for _, conn := range p.conns {
		conn.Close()
	}
}

func (p *participant) at(i int) skeinv1.MembershipClient {
	if p.conns[i] == nil {
		p.conns[i] = p.c.dial(i, p.creds)
	}
	return skeinv1.NewMembershipClient(p.conns[i])
}

func (p *participant) leader() skeinv1.MembershipClient { return p.at(p.c.leader()) }

func (p *participant) joinRequest() *skeinv1.JoinRequest {
	return &skeinv1.JoinRequest{
		Region: "r1", RequestId: p.requestID(), Name: "m", UplinkKbps: p.uplink, Lease: p.lease,
		Endpoint: &skeinv1.Endpoint{Key: p.key, Media: []string{p.addr.String()}, Gossip: p.addr.String()},
	}
}

// call asks the leader until there is an answer.
func call[Q, R any](p *participant, req Q, f func(skeinv1.MembershipClient, context.Context, Q, ...grpc.CallOption) (R, error)) R {
	p.c.t.Helper()
	for end := time.Now().Add(patience); ; {
		ctx, cancel := context.WithTimeout(p.c.t.Context(), 2*time.Second)
		resp, err := f(p.leader(), ctx, req, grpc.WaitForReady(true))
		cancel()
		if err == nil {
			return resp
		}
		if time.Now().After(end) || !retriable(err) {
			p.c.t.Fatalf("%T: %v", req, err)
		}
	}
}

func (p *participant) join() *skeinv1.JoinResponse {
	p.c.t.Helper()
	resp := call(p, p.joinRequest(), skeinv1.MembershipClient.Join)
	p.lease = resp.Lease
	return resp
}

func (p *participant) publish(name string) *skeinv1.PublishResponse {
	p.c.t.Helper()
	return call(p, &skeinv1.PublishRequest{
		Region: "r1", RequestId: p.requestID(), Lease: p.lease, Stream: name,
		Kind: skeinv1.Kind_KIND_VIDEO, LayerKbps: []uint32{1000}, Codec: "VP8",
	}, skeinv1.MembershipClient.Publish)
}

func (p *participant) admitRequest(name string) *skeinv1.AdmitRequest {
	return &skeinv1.AdmitRequest{
		Region: "r1", RequestId: p.requestID(), Lease: p.lease, Stream: name,
		Cause: skeinv1.Cause_CAUSE_JOINING, Place: true,
	}
}

func (p *participant) admit(name string) *skeinv1.AdmitResponse {
	p.c.t.Helper()
	return call(p, p.admitRequest(name), skeinv1.MembershipClient.Admit)
}

// session opens a session with the leader and reads all roles it is told first.
func (p *participant) session() (skeinv1.Membership_SessionClient, map[string]*skeinv1.Role) {
	p.c.t.Helper()
	stream, err := p.leader().Session(p.c.t.Context())
	if err != nil {
		p.c.t.Fatal(err)
	}
	if err := stream.Send(&skeinv1.SessionRequest{Hello: &skeinv1.SessionHello{Region: "r1", Lease: p.lease, Generation: 1}}); err != nil {
		p.c.t.Fatal(err)
	}
	roles := map[string]*skeinv1.Role{}
	for {
		m := p.receive(stream)
		for _, r := range m.Roles {
			roles[r.Stream.Id] = r
		}
		if m.Marker == skeinv1.SessionResponse_MARKER_END {
			return stream, roles
		}
	}
}

func (p *participant) receive(stream skeinv1.Membership_SessionClient) *skeinv1.SessionResponse {
	p.c.t.Helper()
	m, err := stream.Recv()
	if err != nil {
		p.c.t.Fatalf("session of %s: %v", p.id(), err)
	}
	return m
}

// told reads the session until it has said something that f accepts.
func (p *participant) told(stream skeinv1.Membership_SessionClient, f func(*skeinv1.SessionResponse) bool) {
	p.c.t.Helper()
	for !f(p.receive(stream)) {
	}
}

func (p *participant) confirm(stream skeinv1.Membership_SessionClient, name string, parent string) {
	p.c.t.Helper()
	err := stream.Send(&skeinv1.SessionRequest{Confirmations: []*skeinv1.Confirmation{{Stream: name, Parent: parent}}})
	if err != nil {
		p.c.t.Fatal(err)
	}
}

func unavailable(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded
}

// talk keeps a session going, at whoever leads, in which the participant says
// that it draws a stream from a parent (nobody if empty). The function it
// returns changes the parent.
func (p *participant) talk(name string, parent region.MemberID) (hold func(region.MemberID)) {
	var held atomic.Value
	held.Store(parent)
	ctx, cancel := context.WithCancel(p.c.t.Context())
	var wg sync.WaitGroup
	p.hush = func() {
		cancel()
		wg.Wait()
	}
	p.c.t.Cleanup(p.hush)
	wg.Go(func() {
		for ctx.Err() == nil {
			p.talkOnce(ctx, name, func() region.MemberID { return held.Load().(region.MemberID) })
			// The leader is gone. There will be another one.
			time.Sleep(50 * time.Millisecond)
		}
	})
	return func(m region.MemberID) { held.Store(m) }
}

func (p *participant) talkOnce(ctx context.Context, name string, held func() region.MemberID) {
	for i, s := range p.c.running() {
		if !s.Leading("r1") {
			continue
		}
		stream, err := p.at(i).Session(ctx)
		if err != nil {
			return
		}
		m := &skeinv1.SessionRequest{Hello: &skeinv1.SessionHello{Region: "r1", Lease: p.lease, Generation: 1}}
		for stream.Send(m) == nil && ctx.Err() == nil {
			parent := string(held())
			m = &skeinv1.SessionRequest{
				Confirmations: []*skeinv1.Confirmation{{Stream: name, Parent: parent}},
				Digest:        &skeinv1.Digest{Edges: []*skeinv1.DigestEdge{{Stream: name, Parent: parent}}},
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}
