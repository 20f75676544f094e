// Package volunteer lets the node of a member coordinate when coordinators are lacking.
//
// A Volunteer has a coordinator's certificate and a folder of its own, and while it is
// not needed, it runs nothing: every few seconds it tells the leader of its member's
// region how it stands (how fast its disk is, how far the group's replicas are), and
// opens both of a coordinator's ports, so that the leader can knock there. When the
// group has lost a replica for good and no other coordinator can take its place, the
// leader invites the best one. It starts its coordinator, which from then on is one
// like any other: it is given a replica, has a vote when it has caught up, and is
// replaced, first added and then removed, when a coordinator that does nothing else is
// there. One that hosts nothing any more is stopped.
//
// Whoever has the region's log could speak for the region; so a member does not become
// a coordinator by itself: somebody has given its node a token for coordinators.
//
// # Goroutines
//
// One, run, owns the state and makes all calls; the knocks at each port are answered by
// a few more. The coordinator has its own.
package volunteer
