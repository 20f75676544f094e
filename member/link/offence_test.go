package link

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// rogue is a network that misbehaves: it sends datagrams of control messages many
// times, or damaged ones along with them.
type rogue struct{ copies, damaged atomic.Int32 }

func (r *rogue) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
	return &rogueConn{conn, r}, err
}

type rogueConn struct {
	net.PacketConn
	r *rogue
}

func (c *rogueConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if b[0]&0xC0 == 0x80 {
		for range c.r.copies.Load() {
			_, _ = c.PacketConn.WriteTo(b, to)
		}
		for range c.r.damaged.Load() {
			bad := append([]byte(nil), b...)
			bad[len(bad)-1] ^= 1
			_, _ = c.PacketConn.WriteTo(bad, to)
		}
	}
	return c.PacketConn.WriteTo(b, to)
}

// Whoever floods, replays or sends what is not genuine is limited, and named.
func TestAPeerThatMisbehavesIsNamed(t *testing.T) {
	for want, begin := range map[Offence]func(r *rogue, say func(times int)){
		Flood:   func(_ *rogue, say func(int)) { say(100) },
		Replay:  func(r *rogue, say func(int)) { r.copies.Store(50); say(1) },
		Forgery: func(r *rogue, say func(int)) { r.damaged.Store(50); say(1) },
	} {
		t.Run(want.String(), func(t *testing.T) {
			r := &rogue{}
			a, b := newEnd(t, func(c *Config) { c.Network = r }), newEnd(t, nil)
			ab, ba := join(t, a, b)
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				// What is copied or damaged is itself no flood.
				pace := time.NewTicker(10 * time.Millisecond)
				defer pace.Stop()
				for {
					select {
					case <-stop:
						return
					case <-pace.C:
					}
					begin(r, func(times int) {
						for range times {
							_ = ab.Send(&Message{Kind: Keyframe, SSRC: 8})
						}
					})
				}
			}()
			b.until(func() bool { return len(b.offences) > 0 })
			close(stop)
			<-done
			b.recorder.mu.Lock()
			defer b.recorder.mu.Unlock()
			if b.offences[0] != want {
				t.Errorf("named for %v", b.offences)
			}
			if ba.State() != Up {
				t.Errorf("the link is %v", ba.State())
			}
			if want == Flood && ba.status(b.now()).Flooded == 0 {
				t.Error("nothing was dropped")
			}
		})
	}
}
