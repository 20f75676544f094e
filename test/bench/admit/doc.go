// Package admit measures how a cluster admits members: the real coordinators on
// loopback sockets, their logs on real files that are synced, and a load that
// speaks to them as members do, over mutual TLS with a key for each member.
//
// RunCrowd is the flash crowd: members that arrive within a few seconds, join,
// ask for a view, rank the places it offers, propose the best of them, open a
// session and confirm the place. Afterwards every replica is searched for what
// was acknowledged.
//
// RunRate is the saturated case: a fixed number of members, each of which asks
// for its next place as soon as it has the last one. It may be set beside etcd,
// which the program in test/bench/etcd runs in a process of its own.
//
// Members here carry no media: links would cost the machine more than the
// coordinators do, and would be spread over as many machines as there are
// members. Their round-trip times come from places on a plane.
package admit
