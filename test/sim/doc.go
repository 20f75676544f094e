// Package sim puts the product's trees into simulated worlds and compares them
// with what cannot be beaten, and with what others do.
//
// A World is a matrix of round-trip times and a number of slots (children that
// can be fed) per member. CompareTrees builds trees in it by name:
//
//   - skein-online is region's own code, driven as a leader drives it: members
//     join one after the other, are placed, and each event may cause one
//     improving move. When every RTT is known the coordinators choose the place;
//     when it is not, the newcomer probes and proposes (region.Rank).
//   - skein-planned is reorg.Plan without limits on what skein-online left,
//     carried out move by move through region.Move.
//   - all others are written here, on reorg/forest, and share no decision with
//     the product: random, nearest, min-depth, greedy, greedy+displacement, the
//     compact tree (ct; ctcap lets members with many slots in early), ct+ls with
//     plain local search on top, hourly-rebuild (ctcap with local search),
//     single-sfu (the best one server, feeding everybody) and full-mesh.
//
// Everything is judged on true RTTs and divided by bounds that hold for every
// tree: the shortest path with free relaying and the level bound, which knows
// how many members fit at each depth (Bounds; Exact for up to 12 members).
// These let every member relay on a path, also one without slots. With mixed
// slots the best tree is therefore well above its bound; how much of that no tree
// can avoid shows the relay bound, in which only members with slots relay.
//
// ReplayChurn plays joins and leaves over the same code and counts what they
// cost: delay over the bound in time, parent changes, and who healed orphans.
// A member that leaves fails: its children go to their standbys by themselves,
// one after the other, and only who finds none asks the coordinators.
//
// Chance comes from a seed (PCG), one stream per run: the same configuration
// gives the same numbers, but for CPU times.
package sim
