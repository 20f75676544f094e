package region

import (
	"cmp"
	"slices"
)

// A Voice is how loud somebody is where it is heard.
type Voice struct {
	Stream StreamID
	// Level in dB, the more the louder: of the audio, less what the distance takes.
	Level float64
}

// Loudest is the rule by which a crowd is reduced to a few voices.
type Loudest struct {
	// Max is how many are heard at once; at least 1.
	Max int
	// Floor is the level below which nobody is heard, in dB.
	Floor float64
}

// yieldBy is by how much another voice must be louder to take a place, in dB: twice
// what is just noticed, so that two who speak together do not cut each other off.
const yieldBy = 6.0

// Choose sorts voices so that those to be heard come first and returns how many
// these are, the loudest first. heard says whether a voice was heard before. It
// does not allocate.
func (l Loudest) Choose(voices []Voice, heard func(StreamID) bool) int {
	slices.SortFunc(voices, func(a, b Voice) int {
		return cmp.Or(cmp.Compare(l.worth(b, heard), l.worth(a, heard)), cmp.Compare(a.Stream, b.Stream))
	})
	n := 0
	for n < len(voices) && n < l.Max && l.worth(voices[n], heard) >= l.Floor {
		n++
	}
	return n
}

// worth is the level with what a voice that is being heard has in advance.
func (l Loudest) worth(v Voice, heard func(StreamID) bool) float64 {
	if heard(v.Stream) {
		return v.Level + yieldBy
	}
	return v.Level
}
