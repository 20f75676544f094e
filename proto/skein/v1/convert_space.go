package skeinv1

import (
	"math"

	"github.com/skein-mesh/skein/region"
)

// Those who stand in spaces.

// perMetre are the units of a Spot.
const perMetre = 10

// FromSpot writes a place to the decimetre; which way it faces is left out.
func FromSpot(p region.Place) *Spot {
	dm := func(v float64) int32 {
		return int32(min(max(math.Round(v*perMetre), math.MinInt32), math.MaxInt32))
	}
	return &Spot{XDm: dm(p.X), YDm: dm(p.Y), ZDm: dm(p.Z)}
}

// ToSpot reads one; unset is the origin.
func ToSpot(m *Spot) region.Place {
	return region.Place{X: float64(m.GetXDm()) / perMetre, Y: float64(m.GetYDm()) / perMetre, Z: float64(m.GetZDm()) / perMetre}
}

// FromBystander writes all but the number.
func FromBystander(b region.Bystander) *Bystander {
	m := &Bystander{Who: string(b.Who), Spot: FromSpot(b.Place), Places: string(b.Places)}
	m.Carried = fromCarried(b.Carried)
	return m
}

// ToBystander checks somebody of whom the member is told.
func ToBystander(m *Bystander) (region.Bystander, error) {
	var c checker
	b := region.Bystander{
		Who: region.PresenceID(m.GetWho()), Place: ToSpot(m.GetSpot()),
		Carried: each(&c, "carried", m.GetCarried(), region.MaxCarried, toCarried),
		Places:  c.streamOrNone("places", m.GetPlaces()),
	}
	c.member("who", string(b.Who.Member()))
	c.presence("who", b.Who.Name())
	return done(&c, b)
}

// FromPresence writes all.
func FromPresence(s region.Presence) *Presence {
	m := &Presence{
		Name: s.Who.Name(), Spot: FromSpot(s.Place), Space: string(s.Space.ID), Edge: s.Space.Edge,
		Radius: s.Radius, Places: string(s.Places),
	}
	m.Carried = fromCarried(s.Carried)
	return m
}

// ToPresence checks what member says of itself or of somebody at its door. Of one
// that has only moved there is but the name and the place.
func ToPresence(member region.MemberID, m *Presence) (region.Presence, error) {
	var c checker
	c.presence("name", m.GetName())
	s := region.Presence{Bystander: region.Bystander{Who: region.NewPresenceID(member, m.GetName()), Place: ToSpot(m.GetSpot())}}
	if m.GetMoved() {
		return done(&c, s)
	}
	s.Space, s.Radius = region.Space{ID: region.SpaceID(m.GetSpace()), Edge: m.GetEdge()}.WithDefaults(), m.GetRadius()
	s.Carried = each(&c, "carried", m.GetCarried(), region.MaxCarried, toCarried)
	s.Places = c.streamOrNone("places", m.GetPlaces())
	c.judge(s.Check())
	return done(&c, s)
}

// FromCell names a cell of a space.
func FromCell(s region.Space, at region.Cell) *Cell {
	return &Cell{Space: string(s.ID), Edge: s.Edge, X: at.X, Y: at.Y}
}

// ToCell checks the name of a cell.
func ToCell(m *Cell) (region.Space, region.Cell, error) {
	s := region.Space{ID: region.SpaceID(m.GetSpace()), Edge: m.GetEdge()}.WithDefaults()
	if err := s.Check(); err != nil {
		return region.Space{}, region.Cell{}, err
	}
	return s, region.Cell{X: m.GetX(), Y: m.GetY()}, nil
}

func fromCarried(list []region.Carried) (ms []*Carried) {
	for _, x := range list {
		ms = append(ms, &Carried{Stream: string(x.Stream), Kind: FromKind(x.Kind)})
	}
	return ms
}

func toCarried(m *Carried) (region.Carried, error) {
	var c checker
	kind, err := ToKind(m.GetKind())
	c.note("kind", err)
	return done(&c, region.Carried{Stream: c.stream("stream", m.GetStream()), Kind: kind})
}

// streamOrNone accepts no name, too.
func (c *checker) streamOrNone(field, s string) region.StreamID {
	if s == "" {
		return ""
	}
	return c.stream(field, s)
}

// presence accepts the name of somebody at a member's door: none, or as an id.
func (c *checker) presence(field, name string) {
	if name != "" {
		c.note(field, checkID(name))
	}
}
