// Package gossip keeps a member in its region's pool: who else is there, how far
// away they are, who seems to be dead. It is SWIM (memberlist), and it is
// advisory in all it says: whoever holds a pool key can lie, a death shows after
// 5 to 14 s, and a newcomer may be missing from somebody's list for minutes. So
// nothing in Skein rests on a complete list; what comes out of here are hints
// for the coordinators and, as the main yield, round-trip times that cost
// nothing because the failure detector measures them anyway.
//
// A Socket is opened first, because its address is part of the request to join
// the region; a Pool runs on it once the answer has brought the keys. Pools are
// told apart by the label "skein/<region>@<generation>", which the encryption
// authenticates. A member's name in the pool is its MemberID, its meta data the
// lease of its stay; nothing that changes is put there, because a pool carries
// only 5 to 10 changes a second whatever its size.
//
// One goroutine per Pool looks for seeds to join at. The delegates run on
// memberlist's goroutines, under its locks, and therefore only put what they
// hear into a bounded queue, which Pool.Events hands out.
package gossip
