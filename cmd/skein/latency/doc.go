// Package latency gives the members of one machine the distances of a real
// network: every datagram between two members is delayed by half their
// round-trip time, in user space and without privileges.
//
// A Matrix holds the round-trip times between sites, read from a file or
// generated. A Network wraps the sockets of the member that stands at one site:
// what it sends to another site waits until it is due, in a Clock that many sockets
// share, and is sent together with all that is due within the same half of a
// millisecond. Order between two sites is kept, since their delay is constant. Who a
// datagram goes to is known by its address; one that belongs to no site is not
// delayed. Trains of datagrams stay together, and links read from the system's
// socket itself, so that they cost what they cost without distances.
//
// The queue of a socket is bounded (MaxQueued); beyond that, datagrams are
// dropped like in a router whose buffer is full, and counted.
package latency
