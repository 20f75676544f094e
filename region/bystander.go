package region

// Limits of those who stand in spaces.
const (
	// MaxPresences bounds those of one member: itself and those at its door.
	MaxPresences = 64
	// MaxCarried bounds the streams of one of them.
	MaxCarried = 16
	// MaxBystanders bounds those of whom one of them is told at a time, nearest first.
	MaxBystanders = 256
)

// A Carried is a stream of somebody who stands in a space.
type Carried struct {
	Stream StreamID
	Kind   Kind
}

// A Bystander is somebody who stands in a space, as others are told of.
type Bystander struct {
	Who PresenceID
	// Place to the decimetre, and as it was a second ago.
	Place   Place
	Carried []Carried
	// Places is the data stream that tells where exactly it stands; empty if none does.
	Places StreamID
}

// A Presence is what a member says of itself, or of somebody at its door.
type Presence struct {
	Bystander
	Space Space
	// Radius within which others are of interest, in metres; 0: nobody is.
	Radius float64
}

// Check refuses what cannot be.
func (s Presence) Check() error {
	if err := s.Space.Check(); err != nil {
		return err
	}
	if err := s.Place.Check(); err != nil {
		return err
	}
	if !(s.Radius >= 0) || s.Radius > maxCoordinate {
		return invalid("radius", "want 0 to %.0e m, have %g", maxCoordinate, s.Radius)
	}
	if _, err := CellsWithin(s.Place, s.Radius, s.Space.WithDefaults().Edge); err != nil {
		return err
	}
	if len(s.Carried) > MaxCarried {
		return invalid("carried", "want at most %d streams, have %d", MaxCarried, len(s.Carried))
	}
	return nil
}
