// Package world runs whole Skein worlds in virtual time: unmodified coordinators
// and members, real Raft, real gossip, real gRPC and the real relay, in one
// testing/synctest bubble over a simulated network (package simnet).
//
// A world is made from a seed. What holds is checked all the time: every
// replica's structure keeps its invariants at every revision and no two replicas
// differ there, no viewer gets a packet twice or out of order; and at the end of
// every story members and coordinators hold the same, streams flow without a
// gap, and the log replays from nothing to what the replicas hold.
//
// Stories tell of one failure each and bound what it may cost. Random worlds draw
// their failures from the seed, in one goroutine, and must come to rest again
// and again; a failure prints the seed, the last events, and what everybody held.
// SKEIN_SEED=7 runs the world of that seed, SKEIN_WORLDS=100 as many from a
// random seed on, SKEIN_MINUTES=60 so many virtual minutes of worlds. The
// schedule of goroutines, keys and the libraries' own random numbers are Go's, so
// the same seed gives alike runs; equal ones need the binary that package replay
// builds (make replay SEED=7).
//
// Besides members there are clerks, who only call the coordinators and write down
// what they are told: what was acknowledged is in the log, requests that are
// repeated get the same answer, and there is an order of all calls that explains
// the answers. Liars say of everybody what is not so.
//
// What a pause stops is the network of a host, not its program; clocks are not
// skewed, for there is one in a bubble.
package world
