// Package line lets a member ask coordinators for many places over one stream.
//
// A [Line] belongs to one connection. Calls of [Line.Admit] that come together
// travel together, and each is answered as Membership.Admit would have answered it,
// at a fraction of what a call of its own costs either side. The stream is opened by
// the first call; when it breaks, the calls under way fail like calls of their own,
// and the next one opens another. A request id makes it safe to ask again.
package line
