//go:build linux

package relay

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// fanOutKey is set in the process that is the relay of BenchmarkFanOut: the key
// that verifies grants.
const fanOutKey = "SKEIN_BENCH_RELAY"

func TestMain(m *testing.M) {
	if key := os.Getenv(fanOutKey); key != "" {
		if err := relayProcess(key); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// relayProcess is one relay in a process of its own. It tells on standard output who
// it is, takes an Assignment on standard input, and answers every further line with
// the processor time it has used, in nanoseconds, and its memory in KiB.
func relayProcess(key string) error {
	pub, err := hex.DecodeString(key)
	if err != nil {
		return err
	}
	ca, err := trust.NewAuthority(time.Now())
	if err != nil {
		return err
	}
	id, err := trust.NewIdentity()
	if err != nil {
		return err
	}
	cred, err := ca.Issue(id, trust.RoleMember, time.Hour, time.Now())
	if err != nil {
		return err
	}
	lc := link.DefaultConfig()
	lc.ID, lc.Certificate, lc.Listen = id.ID(), cred.LinkCertificate(), "127.0.0.1:0"
	tr, err := link.Listen(context.Background(), lc)
	if err != nil {
		return err
	}
	defer func() { _ = tr.Close() }()
	rc := DefaultConfig()
	rc.Self, rc.Transport, rc.Uplink = id.ID(), tr, 10_000_000
	rc.OpenGrant = func(b []byte) (trust.Grant, error) { return trust.OpenGrant(ed25519.PublicKey(pub), b, time.Now()) }
	r, err := New(rc)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	tr.SetLease(1)

	in := json.NewDecoder(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(link.Peer{ID: id.ID(), Lease: 1, Endpoint: tr.Endpoint()}); err != nil {
		return err
	}
	var a Assignment
	if err := in.Decode(&a); err != nil {
		return err
	}
	if err := r.Assign(a); err != nil {
		return err
	}
	for {
		var tick int
		if in.Decode(&tick) != nil {
			return nil
		}
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			return err
		}
		if err := out.Encode([2]int64{u.Utime.Nano() + u.Stime.Nano(), u.Maxrss}); err != nil {
			return err
		}
	}
}

// A hub is the relay's process as the benchmark sees it.
type hub struct {
	b    *testing.B
	peer link.Peer
	in   *json.Decoder
	out  *json.Encoder
}

func startHub(b *testing.B, w *world) *hub {
	cmd := exec.Command("taskset", "-c", "0", os.Args[0])
	cmd.Env = append(os.Environ(), fanOutKey+"="+hex.EncodeToString(w.pub))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Skipf("cannot pin a process: %v", err)
	}
	b.Cleanup(func() { _ = stdin.Close(); _ = cmd.Wait() })
	h := &hub{b: b, in: json.NewDecoder(bufio.NewReader(stdout)), out: json.NewEncoder(stdin)}
	h.receive(&h.peer)
	return h
}

func (h *hub) receive(v any) {
	if err := h.in.Decode(v); err != nil {
		h.b.Fatal(err)
	}
}

func (h *hub) send(v any) {
	if err := h.out.Encode(v); err != nil {
		h.b.Fatal(err)
	}
}

// used is the relay's processor time, nanoseconds, and memory, KiB.
func (h *hub) used() (cpu, rss int64) {
	var u [2]int64
	h.send(1)
	h.receive(&u)
	return u[0], u[1]
}

// A counter is a child that only counts. It is its transport's Handler.
type counter struct {
	tr      *link.Transport
	peer    link.Peer
	packets atomic.Int64
	drawn   chan struct{}
	once    sync.Once
}

func (c *counter) Wanted(uint32) bool                     { return true }
func (c *counter) Packet(*link.Link, link.Header, []byte) { c.packets.Add(1) }
func (c *counter) Drained()                               {}
func (c *counter) Offended(*link.Link, link.Offence, int) {}
func (c *counter) Changed(*link.Link)                     {}
func (c *counter) Message(_ *link.Link, m *link.Message) {
	if m.Kind == link.DrawReply && m.Fault == 0 {
		c.once.Do(func() { close(c.drawn) })
	}
}

func newCounter(b *testing.B, w *world) *counter {
	id, err := trust.NewIdentity()
	if err != nil {
		b.Fatal(err)
	}
	cred, err := w.ca.Issue(id, trust.RoleMember, time.Hour, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	cfg := link.DefaultConfig()
	cfg.ID, cfg.Certificate, cfg.Listen = id.ID(), cred.LinkCertificate(), "127.0.0.1:0"
	c := &counter{drawn: make(chan struct{})}
	if c.tr, err = link.Listen(context.Background(), cfg); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.tr.Close() })
	c.tr.Handle(c)
	c.tr.SetLease(1)
	c.peer = link.Peer{ID: id.ID(), Lease: 1, Endpoint: c.tr.Endpoint()}
	return c
}

// draw asks the hub for the stream until it is accepted.
func (c *counter) draw(h *hub, s region.StreamID, grant []byte) {
	l, err := c.tr.Expect(h.peer)
	if err != nil {
		h.b.Fatal(err)
	}
	for {
		_ = l.Send(&link.Message{Kind: link.Draw, ID: 1, Stream: s, Layers: 1, Grant: grant})
		select {
		case <-c.drawn:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// BenchmarkFanOut is one relay in a process of its own that feeds SKEIN_BENCH_CHILDREN
// (100) children a stream of 30 frames of 4 packets of 1000 bytes a second. It reports the
// relay's processor time per packet forwarded. Pin the processes apart for numbers to
// compare: taskset -c 1 go test -bench FanOut -benchtime 1x; the relay takes core 0.
func BenchmarkFanOut(b *testing.B) {
	children := 100
	if n, err := strconv.Atoi(os.Getenv("SKEIN_BENCH_CHILDREN")); err == nil {
		children = n
	}
	w := newWorld(b)
	w.plain = true
	origin, h := w.node(), startHub(b, w)
	s := w.stream(origin)
	grant := func(parent, child region.MemberID) []byte {
		return trust.SignGrant(w.key, trust.Grant{Region: "r1", Stream: s.ID, Child: child, Lease: 1, Parent: parent,
			Expires: time.Now().Add(time.Hour)})
	}
	src, err := origin.Publish(s)
	if err != nil {
		b.Fatal(err)
	}
	if err := origin.Expect(h.peer); err != nil {
		b.Fatal(err)
	}
	a := Assignment{Stream: s, Revision: 1, Layers: 1, Parent: Upstream{Peer: origin.peer(), Grant: grant(origin.identity.ID(), h.peer.ID)}}
	counters := make([]*counter, children)
	for i := range counters {
		counters[i] = newCounter(b, w)
		a.Children = append(a.Children, counters[i].peer)
	}
	h.send(a)
	_, before := h.used()
	for _, c := range counters {
		c.draw(h, s.ID, grant(h.peer.ID, c.peer.ID))
	}
	received := func() (sum int64) {
		for _, c := range counters {
			sum += c.packets.Load()
		}
		return sum
	}
	playFrames(b, src, time.Second)
	for b.Loop() {
		cpu, _ := h.used()
		got := received()
		sent := playFrames(b, src, 5*time.Second)
		time.Sleep(100 * time.Millisecond)
		after, rss := h.used()
		got = received() - got
		b.ReportMetric(float64(after-cpu)/1000/float64(got), "us/packet")
		b.ReportMetric(100*(1-float64(got)/float64(sent*int64(children))), "%lost")
		b.ReportMetric(float64(rss-before)/float64(children), "KiB/child")
	}
}

// playFrames writes 30 frames of 4 packets a second for d.
func playFrames(b *testing.B, src *Source, d time.Duration) (sent int64) {
	tick := time.NewTicker(time.Second / 30)
	defer tick.Stop()
	p := newPacket(1000)
	p.SequenceNumber = src.last()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		p.Timestamp += 3000
		for i := range 4 {
			p.SequenceNumber++
			p.Marker = i == 3
			if err := src.WriteRTP(0, p, time.Now()); err != nil {
				b.Fatal(err)
			}
			sent++
		}
	}
	return sent
}

// last is the sequence number written last.
func (s *Source) last() uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint16(s.layers[0].last)
}
