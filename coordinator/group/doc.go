// Package group runs one replica of one region's Raft group.
//
// A [Group] is the coordinators' agreed log of one region: entries go in through
// [Group.Propose], every replica applies them in the same order to the same
// [State], and readers follow with [Group.Subscribe]. The log holds decisions,
// never intentions, so the state machine chooses nothing: no clock, no chance, no
// map order. A revision is the Raft index of the entry that led to it.
//
// # Leadership
//
// [Group.Leadership] tells when this replica may decide: not when it won the
// election, but when a barrier of its own term has passed, so that its state
// holds everything that was committed before. A term that changes means that
// leadership was lost in between, even if it was regained at once.
//
// # Faults
//
// The Raft library assumes that a disk either works or fails. Here a deadline
// surrounds every write (see store.go): when it passes, the store is poisoned,
// the replica stops, the others elect a leader, and the replica is opened again
// once the disk answers. The same restart frees a leader that is wedged in a
// leadership transfer. An entry that a replica does not understand, or cannot
// apply, stops it for good: a replica that guesses would part from the others
// unseen. [Group.Status] says what is wrong, and what to do about it.
//
// # Entries and answers
//
// An entry carries the change, the answers given with it and the token uses it
// spends, all or nothing. Its change names the revision it was decided on
// (Change.Base); an entry decided on another revision than the present one is
// refused alike by all replicas, so a decider that was deposed without knowing
// it can do no harm. Propose checks an entry against the present state before it
// goes into the log: a faulty decision costs one request, not the group.
//
// # Many groups, one port
//
// A [Listener] serves the groups of one process: mutual TLS, then a header that
// names the group, then one byte of reply. A peer is let in only if the group's
// own configuration lists it.
//
// # Children
//
// An entry that divides the region carries a birth: the child's secrets and first
// replicas. Every replica makes the same child from its own state and keeps it in
// State.Children; with Config.Genesis a group begins with it, as with a snapshot.
//
// # On disk
//
// <dir>/<region>/raft.db holds the log and the vote (raft-boltdb),
// <dir>/<region>/snapshots the last three snapshots, each with a SHA-256 of the
// state that is checked when it is restored. The folder is enough to come back
// after kill -9. It belongs to one process at a time.
package group
