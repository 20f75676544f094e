package door_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/skein-mesh/skein/member/door"
)

// Clients come by IPv6 as by IPv4, to one socket.
func TestTheDoorIsOpenToEitherFamily(t *testing.T) {
	if c, err := net.ListenPacket("udp", "[::1]:0"); err != nil {
		t.Skip("this machine has no IPv6")
	} else {
		c.Close()
	}
	const four, six = "127.0.0.1:0", "[::1]:0"
	m := newMesh(t)
	for name, listen := range map[string]string{"six": "[::1]:0", "both": ":0", "told": ":0"} {
		t.Run(name, func(t *testing.T) {
			p := m.open(func(c *door.Config) {
				c.Media = listen
				if name == "told" {
					c.Advertise = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
				}
			})
			in := newClientAt(t, six)
			s := video(in, "", 600)
			go s.heed(must(in.pc.AddTrack(s.track)))
			in.post(p.url+"/whip/"+name, "")
			go s.run(in, 1)
			viewers := []*client{newClientAt(t, six)}
			if name != "six" {
				viewers = append(viewers, newClientAt(t, four))
			}
			for _, v := range viewers {
				v.watch(p.url+"/whep/"+name, webrtc.RTPCodecTypeVideo)
				until(t, "it flows", func() bool { return len(v.packets("video")) > 50 })
			}
		})
	}
}
