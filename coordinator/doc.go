// Package coordinator is the authority of regions: a [Server] hosts replicas of
// region groups, decides who relays to whom, and tells those concerned.
//
// # The path of an admission
//
// The member's call reaches the server of the group's leader (a follower
// answers UNAVAILABLE with a hint to the leader). The service checks who calls,
// converts the message and hands a request to the decider of the group. The
// decider gathers requests for a few milliseconds, decides each with the pure
// functions of package region on its own copy of the structure, and commits
// what they decided as ONE entry of the group's log. Every replica applies the
// entry. On the leader it then goes two ways: the waiting calls are answered,
// and the hub tells every member whose role has changed, through its session.
//
// # Who owns what
//
//	roster    which groups came and went while the coordinator ran
//	nursery   hosts the regions that were split off those hosted here
//	replica   one per region: follows the group's log, keeps the event history,
//	          and has a leadership while the group has made it the leader
//	leadership  what exists only on a leader and is forgotten with it: decider,
//	          hub, sessions, leases, round-trip times, faults, rumours
//	decider   the only writer of the log; its goroutine owns the working copy
//	hub       the last structure applied, and which roles each session has not
//	          been told; telling is the session's business, at its own pace
//	session   the stream of one stay: reports come up, roles go down
//	reorganiser looks after the trees: begins rounds, shows moves to those they
//	          touch, has what they agree to decided
//
// A leader also keeps the names that its region owns (names), finds streams that
// other regions publish (lookups), and lets in those who draw streams for theirs,
// by the commissions that their own leaders sign.
//
// Roles are state, not events: a session that falls behind is told the newest
// role once, and one that makes no progress is cut off and starts anew.
// Nothing here blocks the replica's log.
//
// # Leadership
//
// Whoever becomes leader waits until it has applied all that was committed,
// makes the region's secrets if there are none, grants all leases anew and in
// full, and only then decides. A leader that loses its office tells waiting
// calls UNAVAILABLE if their request has surely not been carried out, and
// ABORTED if nobody can know; a call repeated with the same request id gets the
// answer it would have got, from whichever leader.
package coordinator
