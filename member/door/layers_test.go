package door_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// A bottleneck is the real network, of which the way out carries only so much.
type bottleneck struct {
	rate atomic.Int64 // bytes per second; 0: no limit
	to   *bottleneck  // nil, or where it leads: other ways are wide

	addr atomic.Value // of the socket, a string
}

func (b *bottleneck) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	c, err := new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
	if err == nil {
		b.addr.Store(c.LocalAddr().String())
	}
	return &narrowConn{PacketConn: c, b: b}, err
}

func (b *bottleneck) Listen(ctx context.Context, addr string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", addr)
}

func (b *bottleneck) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

type narrowConn struct {
	net.PacketConn
	b    *bottleneck
	mu   sync.Mutex
	free time.Time // when all that was sent is through
}

// WriteTo loses what would have to wait for more than 50 ms.
func (c *narrowConn) WriteTo(p []byte, to net.Addr) (int, error) {
	if rate := c.b.rate.Load(); rate > 0 && (c.b.to == nil || c.b.to.addr.Load() == to.String()) {
		c.mu.Lock()
		now := time.Now()
		if c.free.Before(now) {
			c.free = now
		}
		full := c.free.Sub(now) > 50*time.Millisecond
		if !full {
			c.free = c.free.Add(time.Duration(int64(len(p)) * int64(time.Second) / rate))
		}
		c.mu.Unlock()
		if full {
			return len(p), nil
		}
	}
	return c.PacketConn.WriteTo(p, to)
}

// wanted follows which layers a door says are watched, until the test ends.
func wanted(t *testing.T, c *client) func() map[string]bool {
	var latest atomic.Pointer[map[string]bool]
	latest.Store(&map[string]bool{})
	go func() {
		for tag := ""; t.Context().Err() == nil; {
			r, err := http.NewRequestWithContext(t.Context(), "GET", c.url+"/layers", nil)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("If-None-Match", tag)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				return
			}
			if answer.StatusCode == http.StatusNotModified {
				answer.Body.Close()
				continue
			}
			var w map[string]bool
			if answer.StatusCode != 200 || json.NewDecoder(answer.Body).Decode(&w) != nil {
				t.Errorf("status %d, %v", answer.StatusCode, w)
				return
			}
			answer.Body.Close()
			tag = answer.Header.Get("ETag")
			latest.Store(&w)
		}
	}()
	return func() map[string]bool { return *latest.Load() }
}

// newest is how many bytes the viewer's last whole frame has.
func newest(v *client) int {
	list := v.packets("video")
	if len(list) < 2 {
		return 0
	}
	return len(list[len(list)-1].Payload) + len(list[len(list)-2].Payload)
}

// A viewer far from a simulcast gets its top layer, and another one where that ends,
// in the same m-line. The publisher is told what nobody watches.
func TestLayersThroughTheMesh(t *testing.T) {
	m := newMesh(t)
	in, middle, out := m.open(nil), m.open(nil), m.open(nil)
	p, layers := simulcaster(t, in.url+"/whip/stage?video=560", map[string]int{"a": 100, "b": 400, "c": 1100})
	watched := wanted(t, p)
	relay := must(middle.node.Await(t.Context(), "stage/video"))
	defer relay.Close()
	v := viewer(t, out.url+"/whep/stage", webrtc.RTPCodecTypeVideo)
	until(t, "the top layer arrives", func() bool { return newest(v) > 1000 })
	relay.Close()
	until(t, "the layer between is not wanted", func() bool { w := watched(); return w["a"] && !w["b"] && w["c"] })
	layers["c"].mute.Store(true)
	until(t, "a lower layer arrives", func() bool { n := newest(v); return n > 0 && n < 1000 })
	layers["c"].mute.Store(false)
	until(t, "the top layer is back", func() bool { return newest(v) > 1000 })
	got := v.packets("video")
	judge(got[:len(got)/2*2]).want(t)
	ask(t, "DELETE", v.url, "").want(t, 200)
	until(t, "only the lowest is wanted", func() bool { w := watched(); return w["a"] && !w["b"] && !w["c"] })
}

// The way to the viewer's door becomes too narrow: it shows a lower layer, in the same
// m-line.
func TestANarrowWayIsSeenAsALowerLayer(t *testing.T) {
	m := newMesh(t)
	way := &bottleneck{}
	in, out := m.openOn(way, nil), m.open(nil)
	simulcaster(t, in.url+"/whip/stage?video=560", map[string]int{"a": 100, "b": 400, "c": 1100})
	v := viewer(t, out.url+"/whep/stage", webrtc.RTPCodecTypeVideo)
	until(t, "the top layer arrives", func() bool { return newest(v) > 1000 })
	way.rate.Store(250_000 / 8)
	until(t, "a lower layer arrives", func() bool { n := newest(v); return n > 0 && n < 1000 })
	before := len(v.packets("video"))
	until(t, "it flows", func() bool { return len(v.packets("video")) >= before+100 })
	if f := judge(v.packets("video")); len(f.ssrcs) != 1 {
		t.Errorf("%d SSRCs, want one", len(f.ssrcs))
	}
}
