// Package reorg plans how the trees of a region could become better.
//
// Plan looks at a region as it is, at what is known of the round-trip times
// between its members, and at a Budget; it returns a Round of Moves, the best
// first. It decides nothing: a leader shows each move to those it touches, and
// commits through region.Move what they agree to. Nothing tracks the rest; the
// next round plans anew, from the trees as they stand.
//
// A tree is judged by one number, the sum over its members of delay plus the
// price of their ancestors' hazards (region.Policy), and all trees of a region
// share the uplinks of its members. The search works on arrays, see package
// forest: climbing takes the most gaining step again and again (another parent,
// two subtrees or two positions swapped, a member lifted above another, a child
// sent elsewhere to make room). A bounded round is that climb, cut off by its
// budget. An unbounded one (Budget.Shakes) adds annealing, and splits the way to
// the trees it found into moves that fit and gain one after the other.
//
// Only measured RTTs count, and the hops of edges that stand, unless
// Budget.Doubt says otherwise.
//
// # What helped, and what did not
//
// Average delay over the bound on PlanetLab (490 members, 10 origins, no
// forwarding time; `skein sim tree`), for slots 4 / mixed / 2:
//
//		compact tree + plain local search    1.0229  1.0835  1.0653
//		region's own decisions (online)      1.0189  1.0828  1.0641
//		+ climb                              1.0184  1.0687  1.0545
//		+ annealing (unlimited)              1.0135  1.0649  1.0438
//
//	  - Up to 12 members, unlimited plans are within 0.25 % of the exact optimum,
//	    0.001 % on average (200 worlds).
//	  - Annealing in 5 rounds, each from the best so far, ends 0.4 % lower (mixed)
//	    than one round of the same length. Three times as many steps gain 0.1 %.
//	  - Sending a displaced child to a free place near it, rather than only to where
//	    the newcomer was: 0.3 %, mixed.
//	  - Annealing over 128 relays instead of all of them: 0.5-0.7 % worse; for the
//	    climb alone that hardly matters, and costs a quarter. So bounded rounds look
//	    at 96 hubs and a sample.
//	  - A step in which a strong member takes over the place and all children of
//	    another changed nothing (1.0647 against 1.0648).
//	  - Using guessed RTTs: with 4 % of the pairs unknown, trees planned with guesses
//	    were 1.04-1.28 times the bound, whatever factor guesses were multiplied by (1.2
//	    to 4); 1.02 without those pairs. A search finds the guesses that are most
//	    wrong, and one bad edge near the root delays hundreds.
//	  - Taking a child of another stream's tree out of the way for a newcomer: such
//	    moves need uplink twice while they are under way, which full members do not
//	    have. Trees pass places to one another by leaving them.
package reorg
