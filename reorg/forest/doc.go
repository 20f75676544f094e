// Package forest keeps the trees of a region as arrays and searches for better
// ones. It knows members and nodes by number only: package reorg translates
// between it and the region, package test/sim builds published trees with it.
//
// A Forest maintains, for every node, its delay from the root (extras such as
// forwarding time and hazards included) and the size of its subtree. What a step
// gains then follows from the few nodes it touches: hanging v under p changes the
// total by size(v) * (delay(p) + cost(p, v) - delay(v)), in constant time. Only a
// step that is taken costs more, as much as the nodes it moves.
//
// A Search looks, for a node v and a parent p that would bring it closer to the
// root, at
//
//   - p's free places, or else each child c of p that could make room for v by
//     going to where v was, below v, or to the best free place anywhere;
//   - v and c exchanging their places while what hangs below stays.
//
// Climb takes the best of all those steps, looks again at what it had seen
// before it takes the next, and ends where none pays. Anneal takes random ones
// under a falling temperature. Steps stay within one tree; trees compete for
// uplink through the free places they leave one another.
package forest
