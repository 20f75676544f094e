package member

import "github.com/skein-mesh/skein/region"

// Presets for the usual shapes of interest. Each returns rules for Presence.Interest.

// InRoom is a space in which all who enter are together, wherever they stand. Rooms
// are told apart by their names.
func InRoom(name string) region.Space {
	return region.Space{ID: region.SpaceID(name), Edge: region.Room}
}

// Conference is for a room in which everybody hears everybody; the large loudest are
// seen in full, the others small.
func Conference(large int) []Rule {
	return []Rule{Everyone{Large: large, Max: region.MaxBystanders}}
}

// TownHall is for a room in which a few speak to all: those on the stage are heard
// and seen in full, the others not at all.
func TownHall(stage ...region.PresenceID) []Rule { return []Rule{Named{Who: stage}} }

// Audience is for those who watch a broadcast: the streams, and nobody around. Who has a
// question looks at the presenter (Presence.Look).
func Audience(streams ...region.StreamID) []Rule { return []Rule{Named{Streams: streams}} }

// Presenter is for who broadcasts in a room and takes questions, so many at a time.
func Presenter(questions int) []Rule { return []Rule{Asking{Max: questions}} }
