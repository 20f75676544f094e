// Package link joins two members: one link per pair, over each member's one UDP
// socket, for all streams and control messages between the two.
//
// A Transport owns the socket. Expect names a peer; from then on the transport
// builds a Link to it, and builds it anew whenever it breaks, until Forget. No
// message has to be exchanged beforehand: both ends derive the ICE credentials
// of the pair from their X25519 keys, ids and leases (credential.go), both may
// begin at any time, and the member with the smaller id controls ICE and is the
// DTLS client. The DTLS handshake proves that the peer holds the key its id is
// the hash of; it yields the SRTP keys.
//
// Each life of a link is a session, in an epoch. A session that ends begins the
// next epoch; a peer that still is in an earlier one hears the knock (an
// authenticated ICE check with a later epoch) and follows.
//
// The way of a packet:
//
//	socket -> demux -> session.decrypt -> Handler.Packet     (the socket's goroutine)
//	Batch.Add -> session.encrypt -> train -> Batch.Flush     (the goroutine that owns the Batch)
//
// On Linux the kernel gathers and cuts trains of datagrams (UDP_GRO,
// UDP_SEGMENT) and many trains are written by one call; elsewhere, and on
// sockets that are not the kernel's, it is one call per datagram. Nothing on this
// way allocates or takes a lock.
//
// Control messages (message.go) are SRTCP packets: small datagrams that may be
// lost. DTLS itself carries only the handshake. When both ends have the keys for a few
// seconds, ICE agent and DTLS association are let go; Bye is the farewell.
//
// Each link has a pulse (pulse.go): pings measure the round-trip time, heartbeats fill
// pauses of a link that feeds its peer, and a peer that is not heard for longer than
// the link's habit is Silent. That is a state, not a verdict: it may come back, and
// does so as an event.
//
// Feedback: every eighth packet of a stream is a sample whose arrival the peer
// reports (feedback.go); from these a link estimates what it carries (estimate.go).
//
// A peer whose address changes is followed, once its new address has answered a check
// (roam.go). One that floods, replays or forges is named (offence.go).
//
// Behind a NAT, UseServers learns the outer address by STUN (outer.go) and, where that
// is of no use to others, has one at a TURN server (turn.go).
//
// Goroutines: one reads the socket, one beats for all links, one per link builds
// its sessions; pion adds about eight to a session until it has settled.
package link
