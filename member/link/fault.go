package link

// A Fault says what a peer did, or why it refused. The values are those of
// PeerFault in proto/skein/v1.
type Fault uint8

// The faults.
const (
	// Overloaded: it has no uplink left.
	Overloaded Fault = iota + 1
	// Loop: it hangs below the one that asked.
	Loop
	// NoStream: it does not have the stream.
	NoStream
	// BadGrant: it did not accept the grant.
	BadGrant
	// Leaving: it is about to leave.
	Leaving
	// Unreachable: there is no link to it.
	Unreachable
	// SilentPeer: it was there and is not heard any more.
	SilentPeer
)

func (f Fault) String() string {
	names := [...]string{"none", "overloaded", "loop", "no stream", "bad grant", "leaving", "unreachable", "silent"}
	if int(f) < len(names) {
		return names[f]
	}
	return "unknown"
}
