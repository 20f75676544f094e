package directory

import (
	"crypto/ed25519"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Whatever another coordinator says in gossip, by a message, as its state or of
// itself: what gets into the book is valid and signed by the key it names. The body
// is signed properly, so that it gets as far as a key holder can make it get.
func FuzzGossip(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	valid := region.Descriptor{
		Region: "r1", Generation: 1, Term: 1, Sequence: 1, Issued: time.UnixMilli(1e12).UTC(), MaxMembers: 512,
		Replicas: []region.Host{{ID: "c1", GRPC: "10.0.0.1:7400", Raft: "10.0.0.1:7401"}},
	}
	s, err := skeinv1.SignDescriptor(key, valid)
	if err != nil {
		f.Fatal(err)
	}
	meta, err := proto.Marshal(&skeinv1.CoordinatorMeta{Grpc: "10.0.0.1:7400", Groups: 1, MaxGroups: 64})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Body, "c1", meta, []byte{10, 0, 0, 1})
	f.Add([]byte{10, 0}, "", []byte{0xff}, []byte{1})
	f.Fuzz(func(t *testing.T, body []byte, name string, meta, addr []byte) {
		d := delegate{&Directory{
			book: NewBook(func(*skeinv1.SignedDescriptor) error { return trust.ErrDescriptor }), rtts: newRTTs(), logger: slog.New(slog.DiscardHandler),
			queue: &memberlist.TransmitLimitedQueue{NumNodes: func() int { return 3 }, RetransmitMult: 1},
		}}
		message, err := proto.Marshal(&skeinv1.SignedDescriptor{Body: body, Signature: trust.SignDescriptor(key, body)})
		if err != nil {
			t.Fatal(err)
		}
		d.NotifyMsg(message)
		d.NotifyMsg(body)
		d.MergeRemoteState(body, true)
		for _, e := range d.book.List(time.Now()) {
			if err := e.Validate(); err != nil {
				t.Errorf("in the book: %v", err)
			}
			again, err := skeinv1.OpenDescriptor(e.Signed)
			if err != nil || again.Region != e.Region || again.Generation != e.Generation {
				t.Errorf("in the book: %+v, passed on: %+v, %v", e.Descriptor, again, err)
			}
		}
		d.MergeRemoteState(d.LocalState(true), true)
		n := &memberlist.Node{Name: name, Meta: meta, Addr: net.IP(addr), Port: 7401}
		d.NotifyJoin(n)
		d.NotifyPingComplete(n, time.Millisecond, meta)
		for _, c := range d.peers.list() {
			if string(c.ID) != name || c.ID == "" || len(name) > region.MaxName {
				t.Errorf("%q came as %q", name, c.ID)
			}
		}
		d.NotifyLeave(n)
		if len(d.peers.list()) > 0 || len(d.rtts.samples) > 0 {
			t.Errorf("%q left, and is remembered", name)
		}
	})
}
