// Package turn is a coordinator's STUN and TURN server: members and browsers
// behind NATs learn their outer address from it, and those whose NAT lets nobody in
// are reached through it.
//
// Who may allocate is proved without remembering: a username holds the time it
// expires at and whom it was made for, and the password is an HMAC of it. All
// coordinators of a region derive the same secret from the region's key, so
// credentials made by one are good at all. Relayed traffic reaches no address of the
// coordinator's own site that is not public, unless Config.Private says so.
package turn
