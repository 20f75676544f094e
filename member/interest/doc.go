// Package interest is what somebody who stands in a space knows of those around,
// and what it therefore wants of their streams. It decides and does nothing: the
// member moves packets and time.
//
// A Crowd gathers what coordinators tell of everybody in the cells within reach
// (roughly where, once a second) and what the others tell of themselves (exactly
// where, ten times a second, see Whereabouts). Rules choose those who matter; a
// Plan says for each stream whether it is wanted, how large and how urgently, or
// to be kept ready: a place in its tree, and nothing drawn, so that it comes within
// a round trip when the two have come closer.
package interest
