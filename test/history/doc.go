// Package history judges what clients were told against what a group did.
//
// Every reply of the coordinators carries the revision at which the request took
// effect, so the order in which to explain a history is given, and a complete
// check needs no search:
//
//   - Replay: the log, applied in the order of its revisions, keeps every
//     invariant.
//   - Kept: what was acknowledged is in the log at the revision that was told,
//     and holds there; a request has one revision, however often it was sent.
//   - Order: a request that began after another had ended has a greater revision.
//
// Together this is strict serializability. Linearizable is a second opinion that
// does not believe the revisions. All functions are pure.
package history
