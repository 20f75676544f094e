package member

import (
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein/member/link"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// ControlStats counts the bytes, sent and received, of all that is no media: with
// the coordinators, of gossip, and of the links' own messages.
type ControlStats struct {
	Coordinators, Gossip uint64
	// Session is the part of Coordinators that sessions exchange, by what it is for.
	Session SessionBytes
	Links   link.ControlBytes
}

// SessionBytes counts the bytes of a session's messages, without what transport adds.
type SessionBytes struct {
	// Reports are what coordinators are told.
	Reports uint64
	// Roles are what they tell of a member's places, and all else but Around: who is
	// around in spaces.
	Roles, Around uint64
}

// Sum is that of all.
func (c ControlStats) Sum() uint64 { return c.Coordinators + c.Gossip + c.Links.Sum() }

// Add adds those of another.
func (c *ControlStats) Add(o ControlStats) {
	c.Coordinators += o.Coordinators
	c.Gossip += o.Gossip
	c.Session.Reports += o.Session.Reports
	c.Session.Roles += o.Session.Roles
	c.Session.Around += o.Session.Around
	c.Links.Add(o.Links)
}

// sessionBooks count as SessionBytes says.
type sessionBooks struct{ reports, roles, around atomic.Uint64 }

func (b *sessionBooks) said(m *skeinv1.SessionRequest) { b.reports.Add(uint64(proto.Size(m))) }

func (b *sessionBooks) heard(m *skeinv1.SessionResponse) {
	if len(m.GetSurroundings()) > 0 {
		b.around.Add(uint64(proto.Size(m)))
	} else {
		b.roles.Add(uint64(proto.Size(m)))
	}
}

func (b *sessionBooks) read() SessionBytes {
	return SessionBytes{b.reports.Load(), b.roles.Load(), b.around.Load()}
}
