// Package dev runs a whole Skein on one machine: coordinators with their Raft
// logs on disk, members of mixed uplink with sockets of their own, publishers of
// test patterns and everybody else as their subscribers. All of it is the real
// code over the real loopback network; only distances are added (package
// latency), and failures on request.
//
// A node of the testnet runs in this process or, with Config.Processes, in one
// of its own. Both are driven through the same small interface (node): start,
// report, kill, stop. A child process is this binary again, see Child; its
// orders and reports cross pipes as lines of JSON. To kill a node in this
// process means to close its sockets first, so that none of its good-byes reach
// anybody, and only then to take it down.
//
// The harness believes nothing the network says about its own success. The
// packets of a test pattern are numbered and stamped by the publisher, and a
// Tally at every subscriber accounts for each of them: lost, delivered twice,
// how late, and how long the silence around a kill was. The structure is checked
// on every replica at every revision it is seen at (region.Check), and replicas
// at the same revision must have the same hash.
//
// Run owns the testnet: one goroutine starts it, polls it every second, carries
// out the kills and writes the summary. The page reads snapshots it publishes.
package dev
