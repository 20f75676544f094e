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
	case region.SetGateways:
		return &Edit{Kind: &Edit_SetGateways{&SetGateways{
			Stream: string(e.Stream), Origin: string(e.Origin), Standby: string(e.Standby),
			HopUs: e.Hop.Microseconds(), DeadlineMs: fromTime(e.Deadline), From: string(e.From),
		}}}
	case region.SetGeneration:
		return &Edit{Kind: &Edit_SetGeneration{&SetGeneration{Generation: uint64(e.Generation)}}}
	case region.Divide:
		m := &Divide{Child: string(e.Division.Child), Members: texts(e.Division.Members)}
		for _, g := range e.Division.Gateways {
			m.Gateways = append(m.Gateways, &StreamGateway{Stream: string(g.Stream), Member: string(g.Member)})
		}
		return &Edit{Kind: &Edit_Divide{m}}
	case region.SetFate:
		return &Edit{Kind: &Edit_SetFate{fromFate(e.Fate)}}
	case region.Absorb:
		m := &Absorb{Region: FromSnapshot(e.Region)}
		for _, j := range e.Joints {
			m.Joints = append(m.Joints, &Joint{Stream: string(j.Stream), Node: FromNode(j.Node)})
		}
		return &Edit{Kind: &Edit_Absorb{m}}
	}
	return &Edit{}
}

func fromFate(f region.Fate) *SetFate {
	return &SetFate{Into: string(f.Into), Over: f.Over, Attempt: uint64(f.Attempt)}
}

func toFate(m *SetFate) region.Fate {
	return region.Fate{Into: region.ID(m.GetInto()), Over: m.GetOver(), Attempt: region.Revision(m.GetAttempt())}
}

func toStreamGateway(m *StreamGateway) (region.StreamGateway, error) {
	var c checker
	return done(&c, region.StreamGateway{Stream: c.stream("stream", m.GetStream()), Member: c.member("member", m.GetMember())})
}

func toJoint(m *Joint) (region.Joint, error) {
	var c checker
	return done(&c, region.Joint{Stream: c.stream("stream", m.GetStream()), Node: within(&c, "node", m.GetNode(), ToNode)})
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
	case *Edit_SetGateways:
		return edit(&c, region.SetGateways{
			Stream:   c.stream("set_gateways: stream", k.SetGateways.GetStream()),
			Origin:   c.member("set_gateways: origin", k.SetGateways.GetOrigin()),
			Standby:  c.memberOrNone("set_gateways: standby", k.SetGateways.GetStandby()),
			Hop:      c.duration("set_gateways: hop_us", k.SetGateways.GetHopUs()),
			Deadline: c.time("set_gateways: deadline_ms", k.SetGateways.GetDeadlineMs()),
			From:     c.sourceOrNone("set_gateways: from", k.SetGateways.GetFrom()),
		})
	case *Edit_SetGeneration:
		return edit(&c, region.SetGeneration{Generation: region.Generation(k.SetGeneration.GetGeneration())})
	case *Edit_Divide:
		return edit(&c, region.Divide{Division: region.Division{
			Child:    c.region("divide: child", k.Divide.GetChild()),
			Members:  each(&c, "divide: members", k.Divide.GetMembers(), region.MaxMembers, ToMemberID),
			Gateways: each(&c, "divide: gateways", k.Divide.GetGateways(), region.MaxStreams, toStreamGateway),
		}})
	case *Edit_SetFate:
		return edit(&c, region.SetFate{Fate: toFate(k.SetFate)})
	case *Edit_Absorb:
		return edit(&c, region.Absorb{
			Region: within(&c, "absorb: region", k.Absorb.GetRegion(), ToSnapshot),
			Joints: each(&c, "absorb: joints", k.Absorb.GetJoints(), region.MaxStreams, toJoint),
		})
	}
	return nil, fmt.Errorf("kind: %w: unknown kind of edit", region.ErrInvalid)
}

func edit(c *checker, e region.Edit) (region.Edit, error) { return done(c, e) }
