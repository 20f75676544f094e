package member_test

import (
	"context"
	"fmt"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// A member publishes a stream and another one receives it. The coordinator,
// here within the example, would be one that "skein coordinator" runs.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	address, token, stop := runCoordinator()
	defer stop()

	join := func(name string) *member.Node {
		cfg := member.DefaultConfig()
		cfg.Coordinators, cfg.Token, cfg.Name = []string{address}, token, name
		cfg.Media, cfg.Gossip = "127.0.0.1:0", "127.0.0.1:0"
		return must(member.Join(ctx, cfg))
	}
	alice, bob := join("alice"), join("bob")
	defer alice.Close()
	defer bob.Close()

	voice := must(alice.Publish(ctx, member.Stream{Name: "alice/voice", Kind: region.Audio, Layers: []region.Rate{64}, Codec: "opus"}))
	ear := must(bob.Subscribe(ctx, "alice/voice"))
	go func() {
		for n := uint16(0); ctx.Err() == nil; n++ {
			_ = voice.WriteRTP(&rtp.Packet{
				Header:  rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: n, Timestamp: 960 * uint32(n)},
				Payload: []byte("hello"),
			})
			time.Sleep(20 * time.Millisecond)
		}
	}()
	packet := must(ear.ReadRTP(ctx))
	fmt.Printf("%s on %s\n", packet.Payload, ear.Stream().ID)
	// Output: hello on alice/voice
}
