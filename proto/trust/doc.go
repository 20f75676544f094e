// Package trust says who is who in a cluster and what they may do.
//
// Every node has an [Identity], an Ed25519 key that never leaves it; the hash
// of its public half is the node's id. The cluster's [Authority] signs that
// key together with a [Role]; the result are the node's [Credentials], from
// which all TLS configurations come. A certificate carries the id as its
// common name and the role as its organizational unit; nothing else in it
// counts, host names least of all.
//
// A node that has no certificate yet enrols with a join token:
//
//	skein1.<ca hash>.<id>.<secret>
//
// The id holds role, expiry, number of uses and a nonce; the secret is an HMAC
// over it with a key derived from the authority's private key, so coordinators
// check tokens without remembering them. The CA hash lets the newcomer check,
// by [PinnedTLS], that it talks to the right cluster before it shows the token.
//
// Members trust one another through a [Grant]: a short statement, signed with
// the key of a region, that a child may draw a stream from a parent. A parent
// checks it without asking anyone: the grant names the child by its id, and
// [PeerID] tells the id of whoever stands at the other end of a DTLS link.
//
// Time is an argument wherever it matters, except inside a TLS handshake, which
// takes none. Everything here is safe for concurrent use unless it says
// otherwise.
package trust
