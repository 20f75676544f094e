package skeinv1

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein/region"
)

// A coordinator tells roles again and again, abridged: the member knows them in full all
// the same, whatever changes in between, and repeating one costs next to nothing.
func TestABookHasWhatWasTold(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	leases := [8]uint64{}
	peer := func() *Peer {
		n := rng.IntN(len(leases))
		if rng.IntN(20) == 0 {
			leases[n]++
		}
		address := fmt.Sprintf("10.0.0.%d:%d", n, 7500+rng.IntN(2))
		return &Peer{Id: fmt.Sprint("m", n), Lease: leases[n], Endpoint: &Endpoint{Key: []byte{byte(n)}, Media: []string{address}}}
	}
	upstream := func() *Upstream {
		p := peer()
		return &Upstream{Peer: p, Grant: []byte{p.Id[1], byte(rng.IntN(3)), 1}}
	}
	var said, heard Book
	for n := range 2000 {
		id := fmt.Sprint("s", rng.IntN(4))
		if rng.IntN(10) == 0 {
			said.Forget(id)
			heard.Forget(id)
			continue
		}
		role := &Role{Revision: uint64(n), Placed: true, Stream: &Stream{Id: id, Ssrc: uint32(rng.IntN(3)) + 1}}
		if rng.IntN(4) > 0 {
			role.Parent, role.Standbys = upstream(), []*Upstream{upstream(), upstream()}
		}
		role.Children, role.Dependents = []*Peer{peer(), peer()}, []*Peer{peer()}
		for range 2 {
			whole := proto.Clone(role).(*Role)
			told := proto.Clone(role).(*Role)
			said.Abridge(told)
			wire, err := proto.Marshal(told)
			if err != nil {
				t.Fatal(err)
			}
			got := new(Role)
			if err := proto.Unmarshal(wire, got); err != nil {
				t.Fatal(err)
			}
			if err := heard.Complete(got); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(got, whole) {
				t.Fatalf("role %d: %v\nwas told as\n%v\nand understood as\n%v", n, whole, told, got)
			}
		}
	}
}

// What was never told cannot be completed.
func TestAnEmptyBook(t *testing.T) {
	var b Book
	err := b.Complete(&Role{Stream: &Stream{Id: "s"}, Children: []*Peer{{Id: "m1", Lease: 1}}})
	if !errors.Is(err, region.ErrInvalid) {
		t.Errorf("%v, want that it is invalid", err)
	}
	if err := b.Complete(&Role{Parent: &Upstream{}}); !errors.Is(err, region.ErrInvalid) {
		t.Errorf("%v for a parent without a name, want that it is invalid", err)
	}
}
