// Package relay forwards streams: from a parent to children and to local readers,
// without changing a byte of them.
//
// The session tells a Relay its place in the tree of each stream by Assign. The
// relay draws the stream from the parent named, serves the children that come
// with a grant, keeps links to its standbys, and acts by itself when the parent
// fails: it draws from the first standby that is heard and accepts, from the
// very packet on where the stream broke off, and reports that as an Event. No
// coordinator is asked. When another parent is assigned it draws from both, and
// drops the old one once it is level with the new (make before break).
//
// Every packet carries its origin's SSRC and sequence number unchanged, extended
// by a link.Stamp to an index that never wraps. So copies from two parents merge,
// gaps can be asked from any parent, and a switch cannot be seen.
//
// The way of a packet:
//
//	link -> stream.insert: duplicate window, ring, log of arrivals -> writer -> children
//	                                                               -> sinks
//
// A stream keeps Config.Ring of the past per layer (ring.go). It is the duplicate
// window, answers requests for missing packets, and is what sinks read from, in
// order, waiting up to Config.Playout for repair. A child's queue is a position
// in the log of arrivals; what is too long is cut in one place (writer.shed).
// Inside a frame of video the writer waits up to a millisecond for more, because a
// burst costs half as much as single packets. What is missing is asked for at
// once, hop by hop, and again after a round
// trip.
//
// Layers are drawn if somebody here or below wants them (wish.go), and sent as far as
// the child's link carries them (layers.go); the origin's application is told. Of a
// stream that a reader calls critical a standby sends an extra copy (extra.go).
//
// Of streams that are wanted as voices a child is sent the loudest (voices.go).
//
// Beside assignments there are local admissions: Seek draws a stream from a neighbour that
// has it (have.go) with a permit, and a parent with a leaf budget feeds whoever shows one
// (leaf.go). Such a leaf feeds nobody, and no coordinator knows of it (seek.go).
//
// A parent may send a few times what a stream promises, not more (feed.allow); who floods
// is named.
//
// Three kinds of goroutines share the work, none shares a lock between streams:
// the socket's (or a Source's) puts packets in; the writer, which alone
// encrypts, sends them; the keeper alone decides whom to draw from and whom to
// serve, and publishes its decisions through atomic pointers.
//
// End-to-end delays are the difference between the clock here and the capture
// time that the origin stamped by its own: they are right as far as the clocks
// agree, exactly so on one machine.
package relay
