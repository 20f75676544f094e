// Package simnet is a network made of events: hosts with addresses, links with
// latency, jitter, loss and bandwidth, datagrams and streams, partitions, power
// cuts, pauses. The real coordinator and member code runs on it unmodified, because a
// Host offers the same three verbs (ListenPacket, Listen, Dial) that both take
// as their Network.
//
// One goroutine owns the order of things: it takes the earliest event of a
// heap, waits until its time has come and runs it. Inside a testing/synctest
// bubble that wait costs nothing, so hours pass in seconds; outside it the same
// code runs on the wall clock.
//
// Chance (loss, jitter, duplication, reordering) is drawn per directed link
// from hash(seed, source, destination, n-th draw of this link), so that traffic
// elsewhere does not change what happens on a link.
//
// Streams behave as TCP does where it matters for the code above: a dial costs
// one round trip and is tried again after 1, 3 and 7 s, a lost segment holds up
// those behind it for a doubling retransmission timeout, a dead process resets
// its connections if the network lets the reset through, silence ends a
// connection after 15 minutes. Writing practically never blocks (the window is
// 4 MiB), since a writer that waits with a mutex held would stop a bubble's clock.
//
// Everything must be made and closed inside the bubble; Close stops the loop
// and must come last.
package simnet
