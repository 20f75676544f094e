package trust

import "errors"

// What can be wrong with credentials. Each text says what to do about it.
var (
	// ErrTokenMalformed: the text is no join token.
	ErrTokenMalformed = errors.New("join token is malformed: copy it whole, as printed by 'skein token create' (skein1.<ca hash>.<id>.<secret>)")
	// ErrTokenForged: the secret does not belong to the rest of the token.
	ErrTokenForged = errors.New("join token is not genuine: copy it whole, as printed by 'skein token create'")
	// ErrTokenForeign: the token pins another cluster's CA.
	ErrTokenForeign = errors.New("join token belongs to another cluster: check the coordinator address, or make a token with that cluster's 'skein token create'")
	// ErrTokenExpired: the token's time is over.
	ErrTokenExpired = errors.New("join token has expired: make a new one with 'skein token create'")
	// ErrTokenRole: the token was made for another role.
	ErrTokenRole = errors.New("join token is for another role: make one for this role with 'skein token create --role'")
	// ErrTokenSpent: the token has been used as often as it may be.
	ErrTokenSpent = errors.New("join token has been used up: make a new one with 'skein token create'")

	// ErrAccess: an access token is malformed, or not signed by an application whose key
	// the coordinators have.
	ErrAccess = errors.New("access token is not genuine: ask the application for one, or give the coordinators its key with --access-keys")
	// ErrAccessExpired: an access token's time is over.
	ErrAccessExpired = errors.New("access token has expired: ask the application for a new one")

	// ErrGrant: a grant is malformed or not signed by the region.
	ErrGrant = errors.New("grant is not genuine: ask the coordinators for a place again")
	// ErrGrantExpired: a grant's time is over.
	ErrGrantExpired = errors.New("grant has expired: ask the coordinators for a place again")
	// ErrDescriptor: a region's descriptor is not genuine.
	ErrDescriptor = errors.New("descriptor of a region is not genuine")

	// ErrPeer: the other end of a connection cannot prove to be who it must be.
	ErrPeer = errors.New("peer is not trusted")
	// ErrDamaged: a file holds something else than it should.
	ErrDamaged = errors.New("file is damaged: restore it from a backup, or remove it and enrol the node again with a new join token")
)
