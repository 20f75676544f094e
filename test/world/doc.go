// Package world runs whole Skein worlds in virtual time: unmodified coordinators
// and members, real Raft, real gossip, real gRPC and the real relay, in one
// testing/synctest bubble over a simulated network (package simnet).
//
// A world is made from a seed. Its faults are drawn by one goroutine from that
// seed, so that a failing run can be described by the seed and the script it
// printed; the schedule of goroutines is Go's own, so the same seed gives alike
// runs, not equal ones.
package world
