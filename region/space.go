package region

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strings"
)

// DefaultCellEdge is the edge of a space's cells unless its application says
// otherwise, in metres.
const DefaultCellEdge = 64.0

// maxCoordinate bounds the coordinates of a Place, in metres: further out it
// would not fit a Spot of decimetres.
const maxCoordinate = 1e8

// A Place is where a member stands in a space: X and Y on the ground, Z above it,
// in metres, and the direction it faces, in radians from X towards Y.
type Place struct {
	X, Y, Z float64
	Facing  float64
}

// Check refuses places that are nowhere.
func (p Place) Check() error {
	for _, v := range []float64{p.X, p.Y, p.Z} {
		if !(math.Abs(v) <= maxCoordinate) {
			return invalid("place", "want coordinates up to %.0e m, have %g", maxCoordinate, v)
		}
	}
	if math.IsNaN(p.Facing) || math.IsInf(p.Facing, 0) {
		return invalid("place", "want a direction in radians, have %g", p.Facing)
	}
	return nil
}

// Distance in metres.
func (p Place) Distance(to Place) float64 {
	return math.Hypot(math.Hypot(p.X-to.X, p.Y-to.Y), p.Z-to.Z)
}

// ahead says how far p faces another place: 1 straight ahead, -1 behind. A place
// at the same spot is ahead.
func (p Place) ahead(to Place) float64 {
	dx, dy := to.X-p.X, to.Y-p.Y
	if dx == 0 && dy == 0 {
		return 1
	}
	return math.Cos(math.Atan2(dy, dx) - p.Facing)
}

// A SpaceID names a space: 1 to MaxName letters, digits, '.', '-', '_' and '/'.
type SpaceID string

// A Space is an application's world of places. Only those who say the same edge
// meet in it.
type Space struct {
	ID SpaceID
	// Edge of its cells, in metres; 0 stands for DefaultCellEdge.
	Edge float64
}

// Room is the edge of a space whose members are all together wherever they are: it
// has one cell, for places that are not negative.
const Room = 2 * maxCoordinate

// WithDefaults fills in the edge.
func (s Space) WithDefaults() Space {
	if s.Edge == 0 {
		s.Edge = DefaultCellEdge
	}
	return s
}

// Check refuses spaces that cannot be.
func (s Space) Check() error {
	if len(s.ID) == 0 || len(s.ID) > MaxName {
		return invalid("space", "want a name of 1 to %d bytes, have %d", MaxName, len(s.ID))
	}
	for _, b := range []byte(s.ID) {
		alnum := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
		if !alnum && b != '.' && b != '-' && b != '_' && b != '/' {
			return invalid("space", "want letters, digits, '.', '-', '_', '/', have %.64q", s.ID)
		}
	}
	if edge := s.WithDefaults().Edge; !(edge >= 1) || edge > Room {
		return invalid("edge", "want 1 to %.0e m, have %g", float64(Room), s.Edge)
	}
	return nil
}

// Key names a cell of the space among all names of the world, see Owner.
func (s Space) Key(c Cell) string {
	return fmt.Sprintf("cell %s %g %d %d", s.ID, s.WithDefaults().Edge, c.X, c.Y)
}

// WhereaboutsAnywhere begins the names of all streams that tell where somebody stands.
const WhereaboutsAnywhere = "@"

// WhereaboutsIn is how the names of the streams begin that tell where those stand who
// are in a space.
func WhereaboutsIn(s SpaceID) string { return WhereaboutsAnywhere + shortened("space "+string(s), 3) }

// Whereabouts names the stream that tells where somebody in a space stands. It is
// short, for every message about the stream has it.
func Whereabouts(s SpaceID, who PresenceID) StreamID {
	return StreamID(WhereaboutsIn(s) + shortened(string(who), 6))
}

// shortened is a name for a text: a hash of so many bytes.
func shortened(text string, bytes int) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:bytes])
}

// A PresenceID names somebody who stands in a space: a member by its id, or one at
// the door of a member by that id, a slash and a name of its own.
type PresenceID string

// NewPresenceID names the member itself, if name is empty, or somebody at its door.
func NewPresenceID(m MemberID, name string) PresenceID {
	if name == "" {
		return PresenceID(m)
	}
	return PresenceID(string(m) + "/" + name)
}

// Member is who speaks for it.
func (p PresenceID) Member() MemberID {
	m, _, _ := strings.Cut(string(p), "/")
	return MemberID(m)
}

// Name is that of somebody at a member's door; empty for the member itself.
func (p PresenceID) Name() string {
	_, name, _ := strings.Cut(string(p), "/")
	return name
}

// A Cell is a square of a space's grid; height does not matter.
type Cell struct{ X, Y int32 }

// CellOf returns the cell of a place. edge is in metres and at least 1.
func CellOf(p Place, edge float64) Cell {
	return Cell{gridLine(p.X, edge), gridLine(p.Y, edge)}
}

func gridLine(v, edge float64) int32 { return int32(math.Floor(v / edge)) }

// cellMargin is the part of an edge by which a member must have left its cell
// before it counts as being in the next one.
const cellMargin = 0.1

// NextCell returns the cell that a member which was in old counts for now: old
// itself until it has left that by a tenth of an edge, so that walking along a
// border is not a change of cell at every step.
func NextCell(old Cell, p Place, edge float64) Cell {
	margin := cellMargin * edge
	left, bottom := float64(old.X)*edge, float64(old.Y)*edge
	if p.X >= left-margin && p.X < left+edge+margin && p.Y >= bottom-margin && p.Y < bottom+edge+margin {
		return old
	}
	return CellOf(p, edge)
}

// MaxCells bounds how many cells one member's interest may touch.
const MaxCells = 81

// CellsWithin returns the cells in which somebody may count who stands within a
// radius of a place, by NextCell's rule: those that come within the radius and
// the margin, nearest first. ErrLimit if these are more than MaxCells.
func CellsWithin(p Place, radius, edge float64) ([]Cell, error) {
	reach := radius + cellMargin*edge
	from := CellOf(Place{X: p.X - reach, Y: p.Y - reach}, edge)
	to := CellOf(Place{X: p.X + reach, Y: p.Y + reach}, edge)
	if wide, high := int64(to.X)-int64(from.X)+1, int64(to.Y)-int64(from.Y)+1; wide*high > MaxCells {
		return nil, fmt.Errorf("cells of an interest, %d: %w", MaxCells, ErrLimit)
	}
	var cells []Cell
	for y := from.Y; y <= to.Y; y++ {
		for x := from.X; x <= to.X; x++ {
			if c := (Cell{x, y}); c.distance(p, edge) <= reach {
				cells = append(cells, c)
			}
		}
	}
	slices.SortStableFunc(cells, func(a, b Cell) int {
		return cmp.Compare(a.distance(p, edge), b.distance(p, edge))
	})
	return cells, nil
}

// distance from a place on the ground to the cell, in metres; 0 inside.
func (c Cell) distance(p Place, edge float64) float64 {
	gap := func(v float64, line int32) float64 {
		low := float64(line) * edge
		return max(low-v, v-low-edge, 0)
	}
	return math.Hypot(gap(p.X, c.X), gap(p.Y, c.Y))
}
