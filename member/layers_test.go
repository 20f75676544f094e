package member_test

import (
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// What a subscriber wants of a stream's layers decides what is encoded, and what is
// sent on the whole way.
func TestWhatNobodyWantsIsNotSent(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		origin := c.join(3000)
		s := video("stage")
		s.Layers = []region.Rate{100, 200, 400}
		pub, err := origin.Publish(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for i := uint16(0); ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(30 * time.Millisecond):
				}
				for layer := range s.Layers {
					p := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: i, Timestamp: uint32(i) * 2700, Marker: true}, Payload: []byte{0x10, 0, 0}}
					if pub.WriteLayer(layer, p, time.Time{}) != nil {
						return
					}
				}
			}
		}()
		viewer := c.join(3000)
		sub, err := viewer.Subscribe(t.Context(), "stage")
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		for _, step := range []struct {
			wish member.Wish
			want region.LayerMask
		}{
			{member.Wish{Size: 0.5}, 0b010},
			{member.Wish{Paused: true}, 0},
			{member.Wish{Layers: 0b011}, 0b011},
			{member.Wish{}, 0b111},
		} {
			sub.Want(step.wish)
			for got := ^step.want; got != step.want; {
				select {
				case got = <-pub.LayersWanted():
				case <-time.After(patience):
					t.Fatalf("%+v: wanted are %03b, not %03b", step.wish, got, step.want)
				}
			}
			if step.want == 0 {
				continue
			}
			time.Sleep(time.Second)
			for range 50 {
				p, err := sub.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if step.want>>p.Layer&1 == 0 {
					t.Fatalf("%+v: a packet of layer %d", step.wish, p.Layer)
				}
			}
		}
	})
}
