// Package directory keeps what every coordinator knows of all regions: their
// descriptors, and which coordinators there are. There is no centre: a region's
// leader signs its descriptor and tells the coordinators it meets, they pass it
// on, and of two the newer one counts (region.Descriptor.Newer). What is not
// renewed becomes silent and is forgotten after a day.
//
// Coordinators meet in a pool of their own (memberlist, with the timing of the
// Internet). Its packets and streams travel over the channel "@directory" of the
// Raft listener, so they are encrypted by mutual TLS, only coordinators of the
// cluster take part, and no further port is open.
//
// # Trust
//
// A descriptor bears the public key that has signed it. The first key seen for a
// region is kept to; another one counts only for a generation that a region has
// which was lost for good and formed anew (region.ReformJump), and only if a
// coordinator of the cluster vouches for it with its certificate. A coordinator can
// thereby speak for a region it does not host; coordinators are trusted with that,
// and everybody sees who it was.
//
// # Goroutines
//
// One looks for others to join, one tells them what changes of this coordinator;
// one accepts connections; one per connection reads
// packets, and one per peer writes them. Delegates run under memberlist's locks
// and only touch the book, which has a lock of its own.
package directory
