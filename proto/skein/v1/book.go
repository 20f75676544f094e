package skeinv1

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein/region"
)

// A Book is what one end of a session has told the other: how peers are reached, what
// streams are, and grants. Roles of which little is new are told again and again; what
// the book has of them need not be. Both ends keep one, from the same roles in the same
// order, and so have the same in it. It is bounded by region.DefaultMembers and
// region.MaxStreams, and no two goroutines may use it at a time. The zero value is empty.
type Book struct {
	peers map[string]*Peer
	pages map[string]page
}

// A page is what was told of one stream.
type page struct {
	stream *Stream
	grants map[string][]byte // by the parent that they are for
}

// Abridge leaves out of a role that is to be told what the other end knows. What is left
// out must not be changed later; the role itself is.
func (b *Book) Abridge(r *Role) {
	old, now := b.turn(r, r.GetStream())
	if old.stream != nil && proto.Equal(old.stream, r.Stream) {
		r.Stream = &Stream{Id: r.Stream.Id}
	}
	for _, u := range upstreams(r) {
		now.grants[u.GetPeer().GetId()] = u.Grant
		if bytes.Equal(old.grants[u.GetPeer().GetId()], u.Grant) {
			u.Grant = nil
		}
	}
	_ = eachPeer(r, func(p **Peer) error { // it never fails
		known := b.peers[(*p).GetId()]
		if known != nil && known.Lease == (*p).Lease && proto.Equal(known.Endpoint, (*p).Endpoint) {
			*p = &Peer{Id: known.Id, Lease: known.Lease}
		} else {
			b.note(*p)
		}
		return nil
	})
}

// Complete puts back into a role what was left out. It reports region.ErrInvalid if that
// was never told.
func (b *Book) Complete(r *Role) error {
	id := r.GetStream().GetId()
	stream := r.GetStream()
	if old := b.pages[id].stream; old != nil && proto.Equal(stream, &Stream{Id: id}) {
		stream = old
	}
	old, now := b.turn(r, stream)
	r.Stream = stream
	for _, u := range upstreams(r) {
		peer := u.GetPeer().GetId()
		if len(u.Grant) == 0 {
			u.Grant = old.grants[peer]
		}
		now.grants[peer] = u.Grant
	}
	return eachPeer(r, func(p **Peer) error {
		switch known := b.peers[(*p).GetId()]; {
		case (*p).GetEndpoint() != nil:
			b.note(*p)
		case known == nil || known.Lease != (*p).GetLease():
			return fmt.Errorf("role in %.60s: %w: nothing was told of how to reach %.60s", id, region.ErrInvalid, (*p).GetId())
		default:
			*p = known
		}
		return nil
	})
}

// Forget closes the page of a stream in which the member has no place any more.
func (b *Book) Forget(stream string) { delete(b.pages, stream) }

// turn begins a new page of the stream that r is about, and returns the old one as well.
func (b *Book) turn(r *Role, stream *Stream) (old, now page) {
	id := r.GetStream().GetId()
	if _, known := b.pages[id]; b.pages == nil || !known && len(b.pages) >= region.MaxStreams {
		b.pages = make(map[string]page)
	}
	old, now = b.pages[id], page{stream, make(map[string][]byte)}
	b.pages[id] = now
	return old, now
}

func (b *Book) note(p *Peer) {
	if _, known := b.peers[p.GetId()]; b.peers == nil || !known && len(b.peers) >= region.DefaultMembers {
		b.peers = make(map[string]*Peer)
	}
	b.peers[p.GetId()] = p
}

func upstreams(r *Role) []*Upstream {
	list := r.GetStandbys()
	if r.GetParent() != nil {
		list = append([]*Upstream{r.Parent}, list...)
	}
	return list
}

// eachPeer calls f with every peer that a role names, until it fails.
func eachPeer(r *Role, f func(**Peer) error) error {
	for _, u := range upstreams(r) {
		if err := f(&u.Peer); err != nil {
			return err
		}
	}
	for _, list := range [][]*Peer{r.GetChildren(), r.GetDependents()} {
		for i := range list {
			if err := f(&list[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
