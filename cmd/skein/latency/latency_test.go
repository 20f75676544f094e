package latency_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/latency"
)

func TestReadRejectsWhatIsNoMatrix(t *testing.T) {
	for name, text := range map[string]string{
		"empty":        "# nothing\n\n",
		"not square":   "0 1 2\n1 0 2\n",
		"ragged":       "0 1\n1\n",
		"negative":     "0 -1\n1 0\n",
		"not a number": "0 x\n1 0\n",
		"infinite":     "0 inf\n1 0\n",
		"nan":          "0 NaN\n1 0\n",
		"absurd":       "0 1e9\n1 0\n",
	} {
		if _, err := latency.Read(strings.NewReader(text)); !errors.Is(err, latency.ErrMatrix) {
			t.Errorf("%s: error is %v, want ErrMatrix", name, err)
		}
	}
}

func TestReadTabsAndSpaces(t *testing.T) {
	m, err := latency.Read(strings.NewReader("# three sites\n0\t10 20.5\n10 0\t1\n20.5 1 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.RTT(0, 2); m.Sites() != 3 || got != 20500*time.Microsecond {
		t.Errorf("%d sites, RTT %v, want 3 and 20.5ms", m.Sites(), got)
	}
	if m.RTT(3, 5) != m.RTT(0, 2) {
		t.Error("site numbers beyond the matrix do not start over")
	}
}

func TestSyntheticIsAWorld(t *testing.T) {
	m, again := latency.Synthetic(40, 7), latency.Synthetic(40, 7)
	for i := range 40 {
		for j := range 40 {
			rtt := m.RTT(i, j)
			switch {
			case rtt != again.RTT(i, j):
				t.Fatalf("RTT(%d,%d) differs between two worlds of one seed", i, j)
			case rtt != m.RTT(j, i):
				t.Fatalf("RTT(%d,%d) is not symmetric", i, j)
			case i == j && rtt != 0, i != j && (rtt < time.Millisecond || rtt > 400*time.Millisecond):
				t.Fatalf("RTT(%d,%d) = %v", i, j, rtt)
			}
		}
	}
}

// A pipe is a PacketConn in memory that notes when what was written.
type pipe struct {
	net.PacketConn
	sent chan arrival
}

type arrival struct {
	at   time.Time
	data string
	to   string
}

func (p pipe) WriteTo(b []byte, to net.Addr) (int, error) {
	p.sent <- arrival{time.Now(), string(b), to.String()}
	return len(b), nil
}
func (p pipe) Close() error { return nil }

type opener struct {
	latency.Opener
	pipe pipe
}

func (o opener) ListenPacket(context.Context, string) (net.PacketConn, error) { return o.pipe, nil }

func TestDatagramsTakeHalfTheRTTAndKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pipe{sent: make(chan arrival, 100)}
		rtts := map[string]time.Duration{"10.0.0.1": 100 * time.Millisecond, "10.0.0.2": 30 * time.Millisecond}
		n := latency.Network{Opener: opener{pipe: p}, RTT: func(to netip.Addr) (time.Duration, bool) {
			rtt, ok := rtts[to.String()]
			return rtt, ok
		}}
		c, err := n.ListenPacket(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		write := func(data, ip string) {
			if _, err := c.WriteTo([]byte(data), &net.UDPAddr{IP: net.ParseIP(ip), Port: 1}); err != nil {
				t.Fatal(err)
			}
		}
		write("far 1", "10.0.0.1")
		write("far 2", "10.0.0.1")
		write("near", "10.0.0.2")
		write("elsewhere", "192.0.2.1")
		time.Sleep(time.Millisecond)
		write("far 3", "10.0.0.1")
		for _, want := range []struct {
			data  string
			after time.Duration
		}{
			{"elsewhere", 0}, {"near", 15 * time.Millisecond}, {"far 1", 50 * time.Millisecond},
			{"far 2", 50 * time.Millisecond}, {"far 3", 51 * time.Millisecond},
		} {
			got := <-p.sent
			if got.data != want.data || got.at.Sub(start) != want.after {
				t.Errorf("%q after %v, want %q after %v", got.data, got.at.Sub(start), want.data, want.after)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.WriteTo([]byte("late"), &net.UDPAddr{IP: net.ParseIP("10.0.0.1"), Port: 1}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("writing to a closed socket: %v", err)
		}
	})
}

func TestAFullQueueDropsAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pipe{sent: make(chan arrival, latency.MaxQueued+1)}
		n := latency.Network{Opener: opener{pipe: p}, RTT: func(netip.Addr) (time.Duration, bool) { return time.Second, true }}
		c, err := n.ListenPacket(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for i := range latency.MaxQueued + 5 {
			if _, err := c.WriteTo(binary.BigEndian.AppendUint32(nil, uint32(i)), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if sent, dropped := len(p.sent), c.(*latency.Conn).Dropped(); sent != latency.MaxQueued || dropped != 5 {
			t.Errorf("%d sent and %d dropped, want %d and 5", sent, dropped, latency.MaxQueued)
		}
	})
}

func far(rtt time.Duration) latency.Distance {
	return func(netip.Addr) (time.Duration, bool) { return rtt, true }
}

func TestARunIsCutWhereItWasPutTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pipe{sent: make(chan arrival, 10)}
		n := latency.Network{Opener: opener{pipe: p}, RTT: far(20 * time.Millisecond)}
		c, err := n.ListenPacket(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		start := time.Now()
		run := []byte("onetwosix!")
		if err := c.(*latency.Conn).Carry(run, 3, netip.MustParseAddrPort("10.0.0.1:7")); err != nil {
			t.Fatal(err)
		}
		clear(run) // the sender's own again
		for _, want := range []string{"one", "two", "six", "!"} {
			if got := <-p.sent; got.data != want || got.to != "10.0.0.1:7" || got.at.Sub(start) != 10*time.Millisecond {
				t.Errorf("%q to %s after %v, want %q after 10ms", got.data, got.to, got.at.Sub(start), want)
			}
		}
	})
}

func TestSocketsOfOneClockEndByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := new(latency.Clock)
		open := func(sent chan arrival) net.PacketConn {
			n := latency.Network{Opener: opener{pipe: pipe{sent: sent}}, RTT: far(20 * time.Millisecond), Clock: clock}
			c, err := n.ListenPacket(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		send := func(c net.PacketConn) {
			if _, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}); err != nil {
				t.Fatal(err)
			}
		}
		gone, stays := make(chan arrival, 10), make(chan arrival, 10)
		var conns []net.PacketConn
		for range 8 { // more than there are goroutines
			a, b := open(gone), open(stays)
			send(a)
			send(b)
			a.Close()
			conns = append(conns, b)
		}
		time.Sleep(15 * time.Millisecond)
		if len(gone) != 0 || len(stays) != 8 {
			t.Errorf("%d datagrams of closed sockets and %d of open ones arrived, want 0 and 8", len(gone), len(stays))
		}
		for _, c := range conns {
			c.Close()
		}
		time.Sleep(time.Hour)
		again := open(stays)
		defer again.Close()
		send(again)
		time.Sleep(15 * time.Millisecond)
		if len(stays) != 9 {
			t.Error("a clock that had stopped does not go on")
		}
	})
}

func TestRunsGoThroughTheSystemsSocket(t *testing.T) {
	to, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	n := latency.Network{Opener: system{}, RTT: far(2 * time.Millisecond)}
	c, err := n.ListenPacket(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.(*latency.Conn).System() == nil {
		t.Fatal("the system's socket is hidden")
	}
	address := to.LocalAddr().(*net.UDPAddr).AddrPort()
	if err := c.(*latency.Conn).Carry([]byte("onetwo!"), 3, address); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for _, want := range []string{"one", "two", "!"} {
		got, from, err := to.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		if string(buf[:got]) != want || from.String() != c.LocalAddr().String() {
			t.Errorf("%q from %v, want %q from %v", buf[:got], from, want, c.LocalAddr())
		}
	}
}

// system opens the machine's own sockets.
type system struct{ latency.Opener }

func (system) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	return new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
}
