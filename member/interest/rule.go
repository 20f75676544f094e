package interest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/skein-mesh/skein/region"
)

// A Rule says in whom somebody is interested, and in what of theirs. It is one of
// the types of this package.
type Rule interface {
	// check refuses what cannot be.
	check() error
	// reach is how far around others matter, in metres; 0: only those named do.
	reach() float64
	// choose lists those who matter, those first that matter most.
	choose(c *region.Chooser, self region.Place, all []region.Neighbour) []region.Interest
	kinds() []region.Kind
	streams() []region.StreamID
}

// Nearest wants those around, the nearest and most attended to first, in a detail
// that falls with distance: within a third of Radius the full video, within two
// thirds a small one, further out audio alone. Who is in stays in up to 1.25 times
// these distances.
type Nearest struct {
	// Radius in metres, more than 0.
	Radius float64
	// Max bounds those who are of interest at once; at least 1.
	Max int
	// Kinds of streams that are wanted; nil: audio and video.
	Kinds []region.Kind
}

func (n Nearest) check() error {
	switch {
	case !(n.Radius > 0) || n.Radius > region.Room/8:
		return fmt.Errorf("interest: Radius: %w: want more than 0 and at most %.0e m, have %g", region.ErrInvalid, region.Room/8, n.Radius)
	case n.Max < 1 || n.Max > region.MaxBystanders:
		return fmt.Errorf("interest: Max: %w: want 1 to %d, have %d", region.ErrInvalid, region.MaxBystanders, n.Max)
	}
	return nil
}

func (n Nearest) reach() float64 { return n.Radius }

func (n Nearest) choose(c *region.Chooser, self region.Place, all []region.Neighbour) []region.Interest {
	return c.Choose(region.Nearest{Radius: n.Radius, Max: n.Max}, self, all)
}

func (n Nearest) kinds() []region.Kind { return n.Kinds }

func (Nearest) streams() []region.StreamID { return nil }

// Everyone wants all who are in the same room (region.Room), wherever they stand:
// the Large loudest in full, the others in a small picture. Up to Max are of
// interest at once.
type Everyone struct {
	// Large is how many are watched in full; at least 0.
	Large int
	// Max is at least 1.
	Max int
	// Kinds as in Nearest.
	Kinds []region.Kind
}

func (e Everyone) check() error {
	if e.Large < 0 || e.Max < 1 || e.Max > region.MaxBystanders {
		return fmt.Errorf("interest: Large, Max: %w: want at least 0, and 1 to %d, have %d and %d", region.ErrInvalid, region.MaxBystanders, e.Large, e.Max)
	}
	return nil
}

func (Everyone) reach() float64 { return region.Room / 8 }

// choose ranks by attention: for this nobody is nearer than others.
func (e Everyone) choose(c *region.Chooser, self region.Place, all []region.Neighbour) []region.Interest {
	level := make([]region.Neighbour, len(all))
	for i, b := range all {
		level[i] = b
		level[i].Place = region.Place{X: self.X + 1, Y: self.Y, Z: self.Z}
	}
	self.Facing = 0
	list := c.Choose(region.Nearest{Radius: 4, Max: e.Max}, self, level)
	for i := range list {
		list[i].Detail = region.Glance
		if i < e.Large {
			list[i].Detail = region.Watch
		}
	}
	return list
}

func (e Everyone) kinds() []region.Kind { return e.Kinds }

func (Everyone) streams() []region.StreamID { return nil }

// Named wants certain people, or certain streams, in full, wherever they are.
type Named struct {
	// Who are wanted as soon as they stand in the same space within reach of
	// another rule, or in the same room.
	Who []region.PresenceID
	// Streams are wanted whoever publishes them, and whether or not that is in a
	// space.
	Streams []region.StreamID
	// Kinds as in Nearest, of Who.
	Kinds []region.Kind
}

func (n Named) check() error {
	if len(n.Who)+len(n.Streams) > region.MaxBystanders {
		return fmt.Errorf("interest: Who, Streams: %w: want at most %d, have %d", region.ErrInvalid, region.MaxBystanders, len(n.Who)+len(n.Streams))
	}
	for _, s := range n.Streams {
		if err := s.Validate(); err != nil {
			return fmt.Errorf("interest: Streams: %w", err)
		}
	}
	return nil
}

func (n Named) reach() float64 {
	if len(n.Who) > 0 {
		return region.DefaultCellEdge
	}
	return 0
}

func (n Named) choose(_ *region.Chooser, self region.Place, all []region.Neighbour) (list []region.Interest) {
	for _, b := range all {
		if slices.Contains(n.Who, b.Who) {
			list = append(list, region.Interest{Who: b.Who, Distance: self.Distance(b.Place), Detail: region.Watch})
		}
	}
	return list
}

func (n Named) kinds() []region.Kind { return n.Kinds }

func (n Named) streams() []region.StreamID { return n.Streams }

// Asking wants those in the same room who look this way, such as listeners with a
// question: in full, the loudest first, up to Max.
type Asking struct {
	// Max is at least 1.
	Max int
	// Kinds as in Nearest.
	Kinds []region.Kind
}

func (a Asking) check() error {
	if a.Max < 1 || a.Max > region.MaxBystanders {
		return fmt.Errorf("interest: Max: %w: want 1 to %d, have %d", region.ErrInvalid, region.MaxBystanders, a.Max)
	}
	return nil
}

func (Asking) reach() float64 { return region.Room / 8 }

func (a Asking) choose(_ *region.Chooser, self region.Place, all []region.Neighbour) (list []region.Interest) {
	asking := slices.DeleteFunc(slices.Clone(all), func(n region.Neighbour) bool { return !n.Regards })
	slices.SortFunc(asking, func(x, y region.Neighbour) int {
		return cmp.Or(cmp.Compare(y.Level, x.Level), cmp.Compare(x.Who, y.Who))
	})
	for _, n := range asking[:min(len(asking), a.Max)] {
		list = append(list, region.Interest{Who: n.Who, Distance: self.Distance(n.Place), Detail: region.Watch})
	}
	return list
}

func (a Asking) kinds() []region.Kind { return a.Kinds }

func (Asking) streams() []region.StreamID { return nil }

// Func is the application's own rule.
type Func struct {
	// Radius within which it is told of others, in metres.
	Radius float64
	// Choose lists those who matter out of all, those first that matter most. It is
	// called ten times a second, must not wait, and must not keep all.
	Choose func(self region.Place, all []region.Neighbour) []region.Interest
	// Kinds as in Nearest.
	Kinds []region.Kind
}

func (f Func) check() error {
	if f.Choose == nil || !(f.Radius > 0) || f.Radius > region.Room/8 {
		return fmt.Errorf("interest: Radius, Choose: %w: want more than 0 and at most %.0e m, and a function", region.ErrInvalid, region.Room/8)
	}
	return nil
}

func (f Func) reach() float64 { return f.Radius }

func (f Func) choose(_ *region.Chooser, self region.Place, all []region.Neighbour) []region.Interest {
	list := f.Choose(self, all)
	return list[:min(len(list), region.MaxBystanders)]
}

func (f Func) kinds() []region.Kind { return f.Kinds }

func (Func) streams() []region.StreamID { return nil }
