package relay

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// talk sends count numbered messages of some sizes over two bad hops and returns
// what arrives, by number, with the time each took.
func talk(t *testing.T, w *world, codec string, count int, read func(n int, took time.Duration)) {
	w.net.Profile(func(_, _ netip.Addr) simnet.Link {
		return simnet.Link{Latency: 10 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.05}
	})
	w.kind = region.Data
	a, b, c := w.node(), w.node(), w.node()
	s := w.stream(a)
	s.Codec, s.Layers = codec, []region.Rate{4000}
	w.assign(s, role{n: a}, role{n: b, parent: a}, role{n: c, parent: b})
	sink, err := c.Subscribe(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	src, err := a.Publish(s)
	if err != nil {
		t.Fatal(err)
	}
	await(c, func(Established) bool { return true })
	await(b, func(Established) bool { return true })
	sent := make([]time.Time, count)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			m, err := sink.ReadMessage(ctx)
			if errors.Is(err, region.ErrLost) {
				t.Error(err)
				continue
			}
			if err != nil {
				return
			}
			n := int(m[0])<<8 | int(m[1])
			if !bytes.Equal(m, message(n)) {
				t.Errorf("message %d has %d bytes, want %d", n, len(m), len(message(n)))
			}
			read(n, time.Since(sent[n]))
		}
	}()
	for n := range count {
		sent[n] = time.Now()
		if err := src.WriteMessage(message(n)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(20 * time.Second)
	cancel()
	<-done
}

// message n is up to 64 KiB long.
func message(n int) []byte {
	m := bytes.Repeat([]byte{byte(n * 7)}, []int{2, 1100, 1101, 3000, 20_000}[n%5])
	if n%50 == 49 {
		m = bytes.Repeat([]byte{byte(n)}, MaxMessage)
	}
	m[0], m[1] = byte(n>>8), byte(n)
	return m
}

// Messages come all, once, in order, although packets are lost and overtake each other.
func TestReliableMessages(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		next := 0
		talk(t, w, "chat", 400, func(n int, _ time.Duration) {
			if n != next && (next > 0 || n > 5) { // reading begins with the first that arrives
				t.Errorf("message %d, want %d", n, next)
			}
			next = n + 1
		})
		if next != 400 {
			t.Errorf("%d of 400 messages", next)
		}
	})
}

// Datagrams come whole, at most once, and none waits for another one.
func TestUnreliableMessages(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		seen := make(map[int]bool)
		small := 0
		talk(t, w, Datagrams, 400, func(n int, took time.Duration) {
			if seen[n] {
				t.Errorf("message %d came twice", n)
			}
			seen[n] = true
			if took > 100*time.Millisecond { // twice latency and jitter, and a little
				t.Errorf("message %d took %v", n, took)
			}
			if len(message(n)) <= 1100 {
				small++
			}
		})
		t.Logf("%d of 400 messages, %d of the 160 of one packet", len(seen), small)
		if small < 120 || small == 160 || len(seen) < 180 { // 0.95^2 of those of one packet
			t.Errorf("%d of 400 messages, %d of the 160 of one packet", len(seen), small)
		}
	})
}

// A reader that is told of lost messages goes on after them.
func TestLostMessagesAreReported(t *testing.T) {
	var a assembler
	first := &Packet{Index: 10}
	first.Payload = []byte{firstFragment | lastFragment, 1}
	if m, whole, lost := a.add(first); !whole || lost || len(m) != 1 {
		t.Errorf("%v %v %v", m, whole, lost)
	}
	first.Index = 12
	if m, whole, lost := a.add(first); !whole || !lost || len(m) != 1 {
		t.Errorf("%v %v %v", m, whole, lost)
	}
}

// What has time goes along with what has none, and alone when nothing else goes.
func TestWhatHasTimeWaitsForCompany(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		w.kind = region.Data
		a, b := w.node(), w.node()
		s, other := w.stream(a), w.stream(a)
		s.Codec, s.Layers = Datagrams, []region.Rate{8}
		other.ID, other.SSRC, other.Codec, other.Layers = "other", s.SSRC+region.MaxLayers, Datagrams, []region.Rate{8}
		w.assign(s, role{n: a}, role{n: b, parent: a})
		w.assign(other, role{n: a}, role{n: b, parent: a})
		sink, err := b.Subscribe(s.ID)
		if err != nil {
			t.Fatal(err)
		}
		whereabouts, err := a.Publish(s)
		if err != nil {
			t.Fatal(err)
		}
		voice, err := a.Publish(other)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for after, want := range map[time.Duration]time.Duration{
			10 * time.Millisecond:  10 * time.Millisecond,
			100 * time.Millisecond: companyWait,
		} {
			began := time.Now()
			if err := whereabouts.WriteAlong([]byte("here")); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(after, func() { _ = voice.WriteMessage([]byte("hello")) })
			if _, err := sink.ReadMessage(ctx); err != nil {
				t.Fatal(err)
			}
			way := time.Since(began) - want
			if way < 0 || way > 20*time.Millisecond {
				t.Errorf("with something else to be sent after %v it was there after %v, want %v and the way", after, time.Since(began), want)
			}
			time.Sleep(time.Second)
		}
		if err := whereabouts.WriteAlong(make([]byte, MaxMessage+1)); !errors.Is(err, region.ErrInvalid) {
			t.Errorf("too much: %v", err)
		}
	})
}

// Who plays what has come every now and then gets all of it, in order, without waiting.
func TestReadingNowAndThen(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		w.kind = region.Audio
		a, b := w.node(), w.node()
		s := w.stream(a)
		w.assign(s, role{n: a}, role{n: b, parent: a})
		sink, err := b.Subscribe(s.ID)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if p, err := sink.TryRTP(); p != nil || err != nil {
			t.Fatalf("before anything came: %v, %v", p, err)
		}
		p := w.play(a, s, 20*time.Millisecond)
		var next uint64
		count := 0
		for range 50 {
			time.Sleep(40 * time.Millisecond)
			for {
				p, err := sink.TryRTP()
				if err != nil {
					t.Fatal(err)
				}
				if p == nil {
					break
				}
				if count++; next != 0 && p.Index != next {
					t.Errorf("packet %d, want %d", p.Index, next)
				}
				next = p.Index + 1
			}
		}
		p.end()
		if count < 97 {
			t.Errorf("%d packets in 2 s", count)
		}
		_ = sink.Close()
		if _, err := sink.TryRTP(); !errors.Is(err, net.ErrClosed) || !sink.Closed() {
			t.Errorf("after the end: %v", err)
		}
	})
}
