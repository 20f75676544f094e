package region

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"
)

// Limits of a descriptor.
const (
	// MaxReplicas of a region that are worth telling the world.
	MaxReplicas = 9
	// MaxProbes are the addresses by which others find out how far a region is.
	MaxProbes = 4
	// MaxHostAddress bounds an address, host:port.
	MaxHostAddress = 260
)

// A Descriptor is what the world knows of a region. Its region's leader makes
// it, the region's key signs it (see proto/trust), and of two the one that is
// Newer counts.
type Descriptor struct {
	Region     ID
	Generation Generation
	// Term and Sequence order the descriptors of one generation: the Raft term
	// of the leader that made it, and a count of those it has made.
	Term, Sequence uint64
	// Issued is the leader's clock; for people only.
	Issued time.Time
	// Key is the Ed25519 public key that verifies the region's grants and
	// descriptors.
	Key [32]byte
	// Replicas of the region's group; at most MaxReplicas. Empty if the region
	// is over.
	Replicas []Host
	// Members of at most MaxMembers, and Streams published.
	Members, MaxMembers, Streams int
	// Uplink is what all members together are willing to send, Free what is left
	// of it; kbit/s.
	Uplink, Free uint64
	// Probes are media addresses of members near the centre; anybody can measure
	// the round-trip time to them.
	Probes []netip.AddrPort
	// Parent is the region it was split from; empty for the first ones.
	Parent ID
	// Into is the region it was merged into; empty while it lives.
	Into ID
}

// A Host is where a coordinator is reached.
type Host struct {
	ID MemberID
	// GRPC and Raft are host:port.
	GRPC, Raft string
}

// Newer reports whether d replaces o, a descriptor of the same region: by
// generation first, so that a leader of the past overrides nobody.
func (d Descriptor) Newer(o Descriptor) bool {
	return cmp.Or(cmp.Compare(d.Generation, o.Generation), cmp.Compare(d.Term, o.Term), cmp.Compare(d.Sequence, o.Sequence)) > 0
}

// Over reports whether the region exists no more.
func (d Descriptor) Over() bool { return d.Into != "" }

// Room is how many members the region can take, at least 0.
func (d Descriptor) Room() int { return max(0, d.MaxMembers-d.Members) }

// Validate judges a descriptor that came from elsewhere.
func (d Descriptor) Validate() error {
	switch {
	case d.Region == "" || len(d.Region) > MaxName:
		return invalid("descriptor", "region of %d bytes, want 1 to %d", len(d.Region), MaxName)
	case len(d.Parent) > MaxName || len(d.Into) > MaxName:
		return invalid("descriptor", "parent or heir of more than %d bytes", MaxName)
	case d.Generation == 0:
		return invalid("descriptor", "generation 0")
	case len(d.Replicas) > MaxReplicas:
		return invalid("descriptor", "%d replicas, at most %d", len(d.Replicas), MaxReplicas)
	case len(d.Probes) > MaxProbes:
		return invalid("descriptor", "%d probes, at most %d", len(d.Probes), MaxProbes)
	case d.Members < 0 || d.MaxMembers < 0 || d.MaxMembers > MaxMembers || d.Members > MaxMembers || d.Streams < 0 || d.Streams > MaxStreams:
		return invalid("descriptor", "%d members of %d, %d streams", d.Members, d.MaxMembers, d.Streams)
	case d.Into == d.Region:
		return invalid("descriptor", "region %s is its own heir", d.Region)
	case d.Over() != (len(d.Replicas) == 0):
		return fmt.Errorf("descriptor of %s: %w: a region has replicas or an heir", d.Region, ErrInvalid)
	}
	for _, h := range d.Replicas {
		if h.ID == "" || len(h.ID) > MaxName || h.GRPC == "" || len(h.GRPC) > MaxHostAddress || len(h.Raft) > MaxHostAddress {
			return invalid("descriptor", "replica %.64q at %.64q and %.64q", h.ID, h.GRPC, h.Raft)
		}
	}
	return nil
}

// Descriptor makes the descriptor of r, without what only its leader knows: Term,
// Sequence, Issued, Key, Replicas. near tells how near a member is to the centre,
// less is nearer.
func (r *Region) Descriptor(near func(MemberID) float64) Descriptor {
	d := Descriptor{
		Region: r.id, Generation: r.generation, Members: r.HomedCount(), MaxMembers: r.maxMembers, Streams: r.StreamCount(),
	}
	type central struct {
		at   netip.AddrPort
		away float64
	}
	var best []central
	for m := range r.Members() {
		d.Uplink += uint64(m.Uplink)
		d.Free += uint64(r.Free(m.ID))
		if len(m.Endpoint.Media) == 0 {
			continue
		}
		c := central{m.Endpoint.Media[0], near(m.ID)}
		i := len(best)
		for i > 0 && c.away < best[i-1].away {
			i--
		}
		best = append(best[:i], append([]central{c}, best[i:]...)...)
		best = best[:min(len(best), MaxProbes)]
	}
	for _, c := range best {
		d.Probes = append(d.Probes, c.at)
	}
	return d
}
