package skeinv1

import (
	"fmt"

	"github.com/skein-mesh/skein/region"
)

// FromChange converts a change.
func FromChange(c region.Change) *Change {
	return &Change{TimeMs: fromTime(c.Time), Base: uint64(c.Base), Edits: all(c.Edits, FromEdit)}
}

// ToChange converts and judges a change.
func ToChange(m *Change) (region.Change, error) {
	var c checker
	return done(&c, region.Change{
		Time:  c.time("time_ms", m.GetTimeMs()),
		Base:  region.Revision(m.GetBase()),
		Edits: each(&c, "edits", m.GetEdits(), maxEdits, ToEdit),
	})
}

// FromEdit converts an edit. One that this package does not know becomes an
// empty message, which ToEdit refuses.
func FromEdit(e region.Edit) *Edit {
	switch e := e.(type) {
	case region.PutMember:
		return &Edit{Kind: &Edit_PutMember{FromMember(e.Member)}}
	case region.DropMember:
		return &Edit{Kind: &Edit_DropMember{&DropMember{Member: string(e.Member), Lease: uint64(e.Lease)}}}
	case region.PutStream:
		return &Edit{Kind: &Edit_PutStream{FromStream(e.Stream)}}
	case region.DropStream:
		return &Edit{Kind: &Edit_DropStream{&DropStream{Stream: string(e.Stream)}}}
	case region.SetNode:
		return &Edit{Kind: &Edit_SetNode{&SetNode{Stream: string(e.Stream), Node: FromNode(e.Node)}}}
	case region.DropNode:
		return &Edit{Kind: &Edit_DropNode{&DropNode{Stream: string(e.Stream), Member: string(e.Member)}}}
	case region.SetStandbys:
		return &Edit{Kind: &Edit_SetStandbys{&SetStandbys{
			Stream: string(e.Stream), Member: string(e.Member), Standbys: texts(e.Standbys),
		}}}
	case region.Confirm:
		return &Edit{Kind: &Edit_Confirm{&Confirm{Stream: string(e.Stream), Member: string(e.Member)}}}
	case region.SetGeneration:
		return &Edit{Kind: &Edit_SetGeneration{&SetGeneration{Generation: uint64(e.Generation)}}}
	}
	return &Edit{}
}

// ToEdit converts and judges an edit. An unknown kind is an error: a replica
// must not skip a step that others take.
func ToEdit(e *Edit) (region.Edit, error) {
	var c checker
	switch k := e.GetKind().(type) {
	case *Edit_PutMember:
		return edit(&c, region.PutMember{Member: within(&c, "put_member", k.PutMember, ToMember)})
	case *Edit_DropMember:
		return edit(&c, region.DropMember{
			Member: c.member("drop_member: member", k.DropMember.GetMember()),
			Lease:  region.Lease(k.DropMember.GetLease()),
		})
	case *Edit_PutStream:
		return edit(&c, region.PutStream{Stream: within(&c, "put_stream", k.PutStream, ToStream)})
	case *Edit_DropStream:
		return edit(&c, region.DropStream{Stream: c.stream("drop_stream: stream", k.DropStream.GetStream())})
	case *Edit_SetNode:
		return edit(&c, region.SetNode{
			Stream: c.stream("set_node: stream", k.SetNode.GetStream()),
			Node:   within(&c, "set_node: node", k.SetNode.GetNode(), ToNode),
		})
	case *Edit_DropNode:
		return edit(&c, region.DropNode{
			Stream: c.stream("drop_node: stream", k.DropNode.GetStream()),
			Member: c.member("drop_node: member", k.DropNode.GetMember()),
		})
	case *Edit_SetStandbys:
		return edit(&c, region.SetStandbys{
			Stream:   c.stream("set_standbys: stream", k.SetStandbys.GetStream()),
			Member:   c.member("set_standbys: member", k.SetStandbys.GetMember()),
			Standbys: each(&c, "set_standbys: standbys", k.SetStandbys.GetStandbys(), region.MaxStandbys, ToMemberID),
		})
	case *Edit_Confirm:
		return edit(&c, region.Confirm{
			Stream: c.stream("confirm: stream", k.Confirm.GetStream()),
			Member: c.member("confirm: member", k.Confirm.GetMember()),
		})
	case *Edit_SetGeneration:
		return edit(&c, region.SetGeneration{Generation: region.Generation(k.SetGeneration.GetGeneration())})
	}
	return nil, fmt.Errorf("kind: %w: unknown kind of edit", region.ErrInvalid)
}

func edit(c *checker, e region.Edit) (region.Edit, error) { return done(c, e) }
