package simnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func bubble(t *testing.T, f func(t *testing.T, n *Net)) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		defer n.Close()
		f(t, n)
	})
}

func latency(d time.Duration) func(src, dst netip.Addr) Link {
	return func(_, _ netip.Addr) Link { return Link{Latency: d} }
}

func TestDatagramArrivesAfterItsLatency(t *testing.T) {
	bubble(t, func(t *testing.T, n *Net) {
		n.Profile(latency(20 * time.Millisecond))
		a := packetConn(t, n.Host("10.0.0.1"), ":1")
		b := packetConn(t, n.Host("10.0.0.2"), ":1")
		start := time.Now()
		if _, err := a.WriteTo([]byte("hello"), b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		k, from, err := b.ReadFrom(buf)
		if err != nil || string(buf[:k]) != "hello" || from.String() != "10.0.0.1:1" {
			t.Fatalf("read %q from %v: %v", buf[:k], from, err)
		}
		if d := time.Since(start); d != 20*time.Millisecond {
			t.Errorf("took %v", d)
		}
	})
}

func TestReadDeadlineMayBeMoved(t *testing.T) {
	bubble(t, func(t *testing.T, n *Net) {
		c := packetConn(t, n.Host("10.0.0.1"), ":1")
		c.SetReadDeadline(time.Now().Add(time.Hour))
		go func() {
			time.Sleep(time.Second)
			c.SetReadDeadline(time.Now().Add(time.Second))
		}()
		start := time.Now()
		_, _, err := c.ReadFrom(make([]byte, 1))
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("error %v is no timeout", err)
		}
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func TestStreamKeepsOrderUnderLoss(t *testing.T) {
	bubble(t, func(t *testing.T, n *Net) {
		n.Profile(func(_, _ netip.Addr) Link {
			return Link{Latency: 10 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.2}
		})
		l, err := n.Host("10.0.0.2").Listen(t.Context(), ":80")
		if err != nil {
			t.Fatal(err)
		}
		var sent bytes.Buffer
		go func() {
			c, err := n.Host("10.0.0.1").Dial(context.Background(), "10.0.0.2:80")
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for i := range 1000 {
				fmt.Fprintf(io.MultiWriter(c, &sent), "line %d\n", i)
			}
		}()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, sent.Bytes()) {
			t.Errorf("got %d bytes of %d: %v", len(got), sent.Len(), err)
		}
		c.Close()
	})
}

func TestPartitionHoldsStreamsUpAndHealingLetsThemGoOn(t *testing.T) {
	bubble(t, func(t *testing.T, n *Net) {
		client, server := streamPair(t, n)
		n.Partition(func(src, dst netip.Addr) bool { return true })
		client.Write([]byte("x"))
		server.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, errTimeout) {
			t.Fatalf("read through a partition: %v", err)
		}
		n.Partition(nil)
		server.SetReadDeadline(time.Time{})
		if _, err := server.Read(make([]byte, 1)); err != nil {
			t.Errorf("after healing: %v", err)
		}
	})
}

func TestKilledProcessResetsItsStreams(t *testing.T) {
	bubble(t, func(t *testing.T, n *Net) {
		client, _ := streamPair(t, n)
		n.Host("10.0.0.2").Kill()
		start := time.Now()
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, errReset) {
			t.Errorf("read: %v", err)
		}
		if d := time.Since(start); d != 5*time.Millisecond {
			t.Errorf("took %v", d)
		}
		if _, err := n.Host("10.0.0.1").Dial(t.Context(), "10.0.0.2:80"); !errors.Is(err, errRefused) {
			t.Errorf("dial: %v", err)
		}
	})
}

func TestPoweredOffHostIsSilent(t *testing.T) {
	bubble(t, func(t *testing.T, n *Net) {
		client, _ := streamPair(t, n)
		n.Host("10.0.0.2").PowerOff()
		client.Write([]byte("x"))
		client.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, errTimeout) {
			t.Errorf("read: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := n.Host("10.0.0.1").Dial(ctx, "10.0.0.2:80"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial: %v", err)
		}
		n.Host("10.0.0.2").PowerOn()
		if _, err := n.Host("10.0.0.2").Listen(t.Context(), ":80"); err != nil {
			t.Errorf("listen after power came back: %v", err)
		}
	})
}

func TestPortsAreTakenOnce(t *testing.T) {
	bubble(t, func(t *testing.T, n *Net) {
		h := n.Host("10.0.0.1")
		packetConn(t, h, ":1")
		if _, err := h.ListenPacket(t.Context(), ":1"); !errors.Is(err, errInUse) {
			t.Errorf("second socket: %v", err)
		}
		if _, err := h.Listen(t.Context(), ":1"); err != nil {
			t.Errorf("streams have ports of their own: %v", err)
		}
	})
}

func TestBandwidthSpacesPackets(t *testing.T) {
	bubble(t, func(t *testing.T, n *Net) {
		n.Profile(func(_, _ netip.Addr) Link { return Link{Bandwidth: 100_000} })
		a := packetConn(t, n.Host("10.0.0.1"), ":1")
		b := packetConn(t, n.Host("10.0.0.2"), ":1")
		start := time.Now()
		for range 100 { // 1 s worth of bytes; what would wait longer than MaxQueue is lost
			a.WriteTo(make([]byte, 1000), b.LocalAddr())
		}
		got := 0
		b.SetReadDeadline(time.Now().Add(5 * time.Second))
		for {
			if _, _, err := b.ReadFrom(make([]byte, 2000)); err != nil {
				break
			}
			got++
			if d, want := time.Since(start), time.Duration(got)*10*time.Millisecond; d < want {
				t.Fatalf("packet %d after %v, not before %v expected", got, d, want)
			}
		}
		if got != 51 {
			t.Errorf("got %d packets, want 51", got)
		}
	})
}

func TestHTTPRunsOnIt(t *testing.T) {
	bubble(t, func(t *testing.T, n *Net) {
		n.Profile(latency(25 * time.Millisecond))
		l, err := n.Host("10.0.0.2").Listen(t.Context(), ":80")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "pong") })}
		go srv.Serve(l)
		tr := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return n.Host("10.0.0.1").Dial(ctx, addr)
		}}
		client := http.Client{Transport: tr}
		start := time.Now()
		resp, err := client.Get("http://10.0.0.2:80/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "pong" || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%q after %v", body, time.Since(start))
		}
		tr.CloseIdleConnections()
		srv.Close()
	})
}

// Two runs with the same seed see the same losses; another seed sees others.
func TestChanceComesFromTheSeed(t *testing.T) {
	run := func(seed uint64) (sum uint64) {
		synctest.Test(t, func(t *testing.T) {
			n := New(seed)
			defer n.Close()
			h := fnv.New64a()
			n.Profile(func(_, _ netip.Addr) Link {
				return Link{Latency: time.Millisecond, Jitter: time.Millisecond, Loss: 0.3, Duplicate: 0.1, Reorder: 0.1}
			})
			start := time.Now()
			n.Trace(func(op Op, src, dst netip.AddrPort, size int) {
				fmt.Fprintln(h, time.Since(start), op, src, dst, size)
			})
			a := packetConn(t, n.Host("10.0.0.1"), ":1")
			b := packetConn(t, n.Host("10.0.0.2"), ":1")
			for i := range 200 {
				a.WriteTo(make([]byte, i+1), b.LocalAddr())
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Second)
			n.Trace(nil)
			sum = h.Sum64()
		})
		return sum
	}
	one, again, two := run(1), run(1), run(2)
	if one != again {
		t.Error("the same seed gave another history")
	}
	if one == two {
		t.Error("two seeds gave the same history")
	}
}

func packetConn(t *testing.T, h *Host, addr string) net.PacketConn {
	t.Helper()
	c, err := h.ListenPacket(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func streamPair(t *testing.T, n *Net) (client, server net.Conn) {
	t.Helper()
	n.Profile(latency(5 * time.Millisecond))
	l, err := n.Host("10.0.0.2").Listen(t.Context(), ":80")
	if err != nil {
		t.Fatal(err)
	}
	client, err = n.Host("10.0.0.1").Dial(t.Context(), "10.0.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestPausedHostIsSilentAndMissesNothingOnStreams(t *testing.T) {
	bubble(t, func(t *testing.T, n *Net) {
		n.Profile(latency(10 * time.Millisecond))
		l, err := n.Host("10.0.0.2").Listen(t.Context(), ":80")
		if err != nil {
			t.Fatal(err)
		}
		mine, err := n.Host("10.0.0.1").Dial(t.Context(), "10.0.0.2:80")
		if err != nil {
			t.Fatal(err)
		}
		defer mine.Close()
		theirs, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer theirs.Close()
		udp := packetConn(t, n.Host("10.0.0.2"), ":1")
		from := packetConn(t, n.Host("10.0.0.1"), ":1")

		n.Host("10.0.0.2").Pause()
		go func() {
			time.Sleep(time.Second)
			n.Host("10.0.0.2").Resume()
		}()
		start := time.Now()
		theirs.Write([]byte("reply"))
		mine.Write([]byte("first"))
		mine.Write([]byte("then"))
		udp.WriteTo([]byte("lost"), from.LocalAddr())
		from.WriteTo([]byte("late"), udp.LocalAddr())
		buf := make([]byte, 100)
		if k, _, err := udp.ReadFrom(buf); err != nil || string(buf[:k]) != "late" || time.Since(start) != time.Second {
			t.Errorf("datagram %q after %v: %v", buf[:k], time.Since(start), err)
		}
		if _, err := io.ReadFull(theirs, buf[:9]); err != nil || string(buf[:9]) != "firstthen" {
			t.Errorf("stream in: %q, %v", buf[:9], err)
		}
		if _, err := io.ReadFull(mine, buf[:5]); err != nil || time.Since(start) != time.Second+10*time.Millisecond {
			t.Errorf("stream out: %q after %v, %v", buf[:5], time.Since(start), err)
		}
		from.SetReadDeadline(time.Now().Add(time.Minute))
		if k, _, err := from.ReadFrom(buf); err == nil {
			t.Errorf("%q was sent during the pause", buf[:k])
		}
	})
}
