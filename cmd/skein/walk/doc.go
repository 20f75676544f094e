// Package walk moves a crowd about a space: along a recorded trace of pedestrians,
// at random, or as spectators in a stadium. Where everybody is at any time is a
// function of the time alone, so that who has a Walk knows the truth.
package walk
