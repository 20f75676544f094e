// Package skeinv1 is the border: the messages of Skein's protocols, and the one
// translation between them and the domain, package region.
//
// The program works with region's types; messages appear only where they are
// sent, received or logged. Outward conversions, FromX, cannot fail. Inward
// ones, ToX, judge everything a peer can say: they report region.ErrInvalid
// with the path of the field, for example
//
//	edits[3]: node: standbys[0]: invalid: id: want 1 to 64 bytes, have 0
//
// Times travel as Unix milliseconds and durations as microseconds, so
// converting there and back truncates finer ones. Whoever decides must go on
// with what was sent, or replicas would differ.
//
// Errors cross the border likewise: ToStatus on the way out, FromStatus on the
// way in; errors.Is and errors.AsType find the same errors on both sides.
package skeinv1
