package gossip

import (
	"testing"

	"github.com/hashicorp/memberlist"

	"github.com/skein-mesh/skein/region"
)

// Whatever somebody with the pool's key says of a member is kept out or can be
// handed on, and messages of users, of which there are none, do nothing.
func FuzzDelegate(f *testing.F) {
	f.Add("name", encodeLease(7), []byte{10, 0, 0, 1})
	f.Add("", []byte{metaVersion}, []byte{})
	f.Add("name", []byte{metaVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, make([]byte, 16))
	f.Fuzz(func(t *testing.T, name string, meta, addr []byte) {
		d := delegate{&Pool{events: make(chan Event, 4)}}
		d.NotifyMsg(meta)
		d.MergeRemoteState(meta, true)
		n := &memberlist.Node{Name: name, Meta: meta, Addr: addr}
		if d.NotifyAlive(n) != nil {
			return
		}
		d.NotifyJoin(n)
		e := <-d.events
		if string(e.Peer.ID) != name || name == "" || len(name) > region.MaxName {
			t.Errorf("%q came as %q", name, e.Peer.ID)
		}
		if l, err := decodeLease(encodeLease(e.Peer.Lease)); err != nil || l != e.Peer.Lease {
			t.Errorf("lease %d: %d, %v", e.Peer.Lease, l, err)
		}
	})
}
