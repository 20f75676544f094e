package member_test

import (
	"context"
	"fmt"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// video is a stream of one layer.
func video(name string) member.Stream {
	return member.Stream{Name: region.StreamID(name), Kind: region.Video, Layers: []region.Rate{1000}, Codec: "VP8"}
}

// A camera publishes 50 numbered packets a second until the story ends.
type camera struct {
	*member.Publication
	stop chan struct{}
	done chan struct{}
	sent uint16 // read it after stop
}

func (c *cluster) film(p *participant, name string) *camera {
	c.t.Helper()
	pub, err := p.Publish(c.t.Context(), video(name))
	if err != nil {
		c.t.Fatal(err)
	}
	cam := &camera{Publication: pub, stop: make(chan struct{}), done: make(chan struct{})}
	go cam.run()
	c.t.Cleanup(cam.end)
	return cam
}

func (cam *camera) run() {
	defer close(cam.done)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-cam.stop:
			return
		case <-ticker.C:
		}
		packet := &rtp.Packet{
			Header:  rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: cam.sent, Timestamp: uint32(cam.sent) * 1800, Marker: true},
			Payload: []byte(fmt.Sprintf("picture %d", cam.sent)),
		}
		if err := cam.WriteRTP(packet); err != nil {
			return
		}
		cam.sent++
	}
}

func (cam *camera) end() {
	select {
	case <-cam.stop:
	default:
		close(cam.stop)
	}
	<-cam.done
}

// A viewer reads a subscription and checks that nothing is missing or twice.
type viewer struct {
	sub  *member.Subscription
	seen chan uint16 // what was read, in order
}

func (c *cluster) watch(p *participant, name string) *viewer {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	sub, err := p.Subscribe(ctx, region.StreamID(name))
	if err != nil {
		c.t.Fatal(err)
	}
	v := &viewer{sub: sub, seen: make(chan uint16, 1<<14)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(v.seen)
		for {
			packet, err := sub.ReadRTP(context.Background())
			if err != nil {
				return
			}
			v.seen <- packet.SequenceNumber
		}
	}()
	c.t.Cleanup(func() {
		_ = sub.Close()
		<-done
	})
	return v
}

// see takes count packets and checks that they follow one another.
func (c *cluster) see(v *viewer, count int) {
	c.t.Helper()
	timeout := time.After(patience)
	last := -1
	for i := range count {
		select {
		case n, ok := <-v.seen:
			if !ok {
				c.t.Fatalf("the stream ended after %d of %d packets", i, count)
			}
			if last >= 0 && n != uint16(last+1) {
				c.t.Fatalf("packet %d follows %d", n, last)
			}
			last = int(n)
		case <-timeout:
			c.t.Fatalf("%d of %d packets in %v", i, count, patience)
		}
	}
}
