// Package planet simulates whole worlds of many regions, from ten members to a
// million, over minutes of their time: a discrete-event model in which decisions
// are the product's own (package region) and only network and time are modelled.
//
// # What is real
//
// Each region is a [region.Region], changed by Apply only. Members join, are
// admitted, fail, heal by their standbys and leave through the same functions as
// in a coordinator, with the same reservations, standbys and refusals. Leaders
// improve after changes, tend standbys, measure hops again and carry out plans of
// package reorg; they sign descriptors and tell them. The structure is checked by
// region.Check at the end.
//
// # What is modelled
//
//   - RTTs come from a Geography: a matrix or cities on a globe, and the last mile
//     of each member. Coordinators know them all.
//   - One stream reaches everybody. A region draws it through gateways: its tree
//     begins at a root that stands where the member of the upstream region stands
//     that feeds it, and in that region's tree the gateways have places of their
//     own (gates), admitted like all others, with standbys. A gate goes to the free
//     place from which the members of its region would get the stream soonest, and
//     to another one if that saves 15 %. Which region is upstream is chosen by delay.
//   - A region that outgrows its limit splits between its two farthest corners, one
//     that shrinks below a quarter merges with a neighbour: those who move leave one
//     Region and join another (border.go).
//   - Control messages are counted, not sent; their sizes are those of real
//     messages (bytes.go, directory.go). There are as many coordinators as regions;
//     each leads one and follows in two. The gossip of all coordinators about all
//     regions is reckoned as memberlist's would be.
//   - All members agree to all moves, and every link comes about.
//
// # Time and cores
//
// Time goes on in epochs of a second. Within an epoch regions do not touch each
// other, so they are computed on all cores; what concerns several of them happens
// between epochs, in the order of their numbers. All chance is drawn from
// generators that belong to one region or to the world. So the same seed gives the
// same report, except for what is reported as its cost, on any number of cores.
package planet
