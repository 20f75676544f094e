// Package region is the model of Skein: the members of one region, the streams
// they publish, and the trees along which members pass the streams on. Everybody
// computes with it: the coordinators when they decide, the replicas when they
// apply, the members when they look for a place. It does no input or output,
// starts nothing, and knows neither clock nor chance; time and measured RTTs are
// arguments.
//
// # Structure and change
//
// A [Region] holds the structure. [Region.Apply] with a [Change] is the only way
// to alter it: all of the edits, or none. [Region.Clone] costs nothing, since
// both sides copy on write what they touch. [Region.Check] recomputes every
// invariant from the nodes; [Region.Describe] draws what there is; [Region.Hash]
// tells whether two replicas agree; [Region.Snapshot] and [Load] are the way to
// disk and back.
//
// A structure only stores what was decided: who hangs under whom, over how long
// a hop. Delays and sizes follow from that and are computed in one pass over a
// tree when a decision needs them (survey). What many decisions need at once is
// kept in the books: what each member sends, and what it has pledged as a standby.
//
// # Decisions
//
// [Region.Join], [Region.Leave], [Region.Publish], [Region.Unpublish],
// [Region.Admit], [Region.Release], [Region.Confirmed], [Region.Expire],
// [Region.Improve] and [Region.Move] decide: they return edits and modify
// nothing. They try their edits on a draft, and Apply is a draft as well, so
// that what was decided on a structure can be applied to it. The log holds the
// edits, never the request: replicas choose nothing.
//
// A member finds its place by itself: it asks for a [View], ranks what that
// offers with [Rank], and proposes the best places to Admit, which takes the
// first one that is still valid on the facts it rests on. Whether a child may
// have a place is judged by one function for all of them (spot.judge).
//
// # Trees
//
// The cost of a tree is the sum over its nodes of their delay and of the prices
// in [Policy], all in time; most of all the hazard of their ancestors, so that
// delay and fault tolerance are one number. A newcomer takes the place that adds
// least: a free one, or one between a parent and its child, which then hangs
// under the newcomer with all below it. That displacement is what keeps trees
// shallow. It is also why no place is kept back for members that can relay: they
// can enter a full tree, and only members that cannot relay are ever refused for
// want of places. An origin keeps room for the first copy of each of its streams:
// all else of the tree hangs on that one.
//
// After every change [Region.Improve] makes at most one move (another parent, a
// swap, a place between two others) where the tree has changed and at a few
// nodes in turn. On 490 nodes of PlanetLab such trees have 1.02 (four places
// each), 1.06 (two) and 1.09 (mixed) times the average delay of the shortest
// paths through any number of relays.
//
// # Boundaries
//
// A region can be divided ([Region.Halve], [Region.Divide], [Region.Untangle], and
// the edit Divide) and take in another one that is frozen for that (SetFate,
// Absorb). [Cut] and [Unite] are the two as functions of plain data; one reverses
// the other, edge by edge. Where a tree is cut a gateway stays behind as a visitor:
// a member of the other region, which draws the stream and relays nothing here.
// The same is had without a cut: [Region.Visit] takes in a visitor, and
// [Region.Import] makes it the root of the stream's tree at home. [Region.Appoint]
// chooses who takes over from it, [Region.Succeed] is that. [Region.Regate] lets one
// take over that is nearer to the source and the members, without a failure.
//
// # Moving without a gap
//
// A node that moves keeps its old parent ([Node.Old]) until it has confirmed the
// new one, and both hold uplink for it. Where a full parent is to feed one node
// instead of another, the one that comes is the [Node.Heir] of the one that goes,
// and the two count as one place: for the second in which both are fed the parent
// may send one stream more than its uplink, which is the price of losing no
// packet. [Region.Expire] reverses what was not confirmed in time.
//
// # Standbys
//
// Every node has up to five parents-to-be, chosen beforehand. The children of one
// parent lose it together and look for room at the same moment: their standbys
// are chosen together, so that the first two of each have room whoever comes
// first, and stand in different branches. One of them inherits the place of the
// lost parent. Where there is too little room outside what the failure cuts off,
// a sibling that is sure of such a standby, and has uplink to spare, is standby
// for the others. Room is pledged per parent: a standby shares it between children
// of different parents, for those rarely fail together. Pledges make a place less
// attractive ([Policy].Reserved) and never refuse it; whose standbys ran out of
// room are given others, a few broods at every decision.
package region
