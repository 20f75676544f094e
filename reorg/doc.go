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
// forwarding time; `skein sim tree --runs 10`, seed 1), for slots 4 / mixed / 2:
//
//		compact tree                         1.1044  1.5896  1.2347
//		compact tree + plain local search    1.0229  1.0835  1.0653
//		region's own decisions (online)      1.0220  1.0865  1.0649
//		+ unlimited plan                     1.0132  1.0651  1.0441
//		the same by measured RTTs only       1.0138  1.0665
//		best single server                   1.1348  1.1357  1.1311
//		unicast from the origin              1.1419  1.1428  1.1381
//
//	  - Up to 12 members, unlimited plans are the exact optimum (200 worlds, no
//	    difference in the fifth digit).
//	  - Annealing in 5 rounds, each from the best so far, ends 0.4 % lower (mixed)
//	    than one round of the same length. Three times as many steps gain 0.1 %.
//	  - Sending a displaced child to a free place near it, rather than only to where
//	    the newcomer was: 0.3 %, mixed.
//	  - Annealing over 128 relays instead of all of them: 0.5-0.7 % worse; for the
//	    climb alone that hardly matters, and costs a quarter. So bounded rounds look
//	    at 96 hubs and a sample.
//	  - A step in which a strong member takes over the place and all children of
//	    another changed nothing (1.0647 against 1.0648).
//	  - Ten runs scatter: over 100 runs, mixed, plans average 1.076 (ct+ls 1.094), with
//	    means of ten from 1.060 to 1.090; 1.074 if slots are drawn per member instead
//	    of in exact shares. Ten times the steps gain 0.15 % (20 runs).
//	  - The way to what annealing found, in steps that each fit and gain: taking as one
//	    whatever did not gain alone got stuck where trees draw different amounts, and
//	    an audio and a video tree of 100 members stayed up to 13 % above what was known.
//	    Now sets grow from the most promising shifts, by what gains most once they are
//	    done, and the smallest is taken: 0 to 2 % is left. Taking back first what costs
//	    least, up to a twentieth of the gain, saves moves; taking back all that gains
//	    less than a price each loses most of the gain.
//	  - Churn (a week of Skype's members on PlanetLab, mixed; delay over bound @
//	    voluntary changes per hour, 10 runs, seed 101): 1.193 @ 9.8, a rebuild every
//	    hour 1.245 @ 64.7; on a bent PlanetLab, which is harder for everybody (3 runs,
//	    seed 777, 1 ms per hop), 1.463 @ 14.7 and 1.484 @ 69.7. First standbys chosen for delay helped most (1.214 @ 9.8
//	    became 1.207 @ 7.7), then gain per changed parent, then orphans inheriting the
//	    place of the parent they lost (10.8 changes became 9.8). Runs scatter: 1.12 to
//	    1.29. Preferring siblings as standbys, looking at all pairs after each change,
//	    weighing gains by the expected stay of those touched, keeping leaves away from
//	    the root and several moves after one failure did not help.
//	  - Letting two nodes change places after an event, while what hangs below them
//	    stays (region.Improve, at most 8 parents change): worlds of 150 members with
//	    two slots came from 1.263 to 1.196 of the bound (clusters, ct+ls 1.197) and from
//	    1.166 to 1.156 (powerlaw, ct+ls 1.130), PlanetLab with two from 1.071 to 1.062 (3
//	    runs); under churn nothing changed, for there gains per parent must be larger.
//	    Four moves after an event instead: 1.277 to 1.241, 1.179 to 1.160 (3 runs).
//	  - Members that carry little look at 16 places instead of 64: half the time on
//	    4096 members; 12 bounded rounds from random trees end 1 % higher.
//	  - What a round takes is the RTTs it asks for. Not asking where not even a hop of
//	    nothing would pay, and ending a sum as soon as what is left of it cannot pay,
//	    halves them on 4096 members (4 slots each; 41 ms became 24). Remembering RTTs
//	    by member, so that they stay in the cache, asked three times as often: few
//	    nodes look at many others, most at few.
//	  - Using guessed RTTs: with 4 % of the pairs unknown, trees planned with guesses
//	    were 1.04-1.28 times the bound, whatever factor guesses were multiplied by (1.2
//	    to 4); 1.02 without those pairs. A search finds the guesses that are most
//	    wrong, and one bad edge near the root delays hundreds.
//	  - Taking a child of another stream's tree out of the way for a newcomer: such
//	    moves need uplink twice while they are under way, which full members do not
//	    have. Trees pass places to one another by leaving them.
package reorg
