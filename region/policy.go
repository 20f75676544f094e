package region

import "time"

// A Policy says what decisions weigh. All of it is time, because a tree is
// judged by one number: the sum over its members of the delay from the root
// plus the prices below. Proposals rest on the same numbers, see Rank.
type Policy struct {
	// HazardWeight is w, in time x seconds: a member with an ancestor that
	// leaves with a hazard h per second is charged w x h. With the default an
	// ancestor expected to stay for another 10 minutes costs 17 ms. 0 counts
	// delay alone.
	HazardWeight time.Duration
	// NewLink is the price of a parent to whom no link stands: setting one up
	// takes several round trips, keeping it alive costs packets.
	NewLink time.Duration
	// Reserved is the price of a place that is kept for standbys.
	Reserved time.Duration
	// Standbys is how many standbys a node is given where they exist, 2 to
	// MaxStandbys. Two repair nearly every loss of up to a tenth of the members,
	// a third adds little, a fifth almost nothing.
	Standbys int
	// Hold is how long a reservation made on behalf of others lasts (of the
	// children of a member that leaves).
	Hold time.Duration
	// LeafShare is the largest part of an uplink, 0 to 1, that is delegated to its
	// member for local admissions; see Delegate.
	LeafShare float64
}

// DefaultPolicy returns the prices used by Rank and by a new Region.
func DefaultPolicy() Policy {
	return Policy{
		HazardWeight: 10000 * time.Millisecond,
		NewLink:      2 * time.Millisecond,
		Reserved:     2 * time.Millisecond,
		Standbys:     4,
		Hold:         10 * time.Second,
		LeafShare:    0.5,
	}
}

// DelayOnly counts nothing but delay: for measuring trees against bounds.
func DelayOnly() Policy {
	p := DefaultPolicy()
	p.HazardWeight, p.NewLink, p.Reserved = 0, 0, 0
	return p
}

// hazardHalfAge makes Hazard finite for a member that has only just come.
const hazardHalfAge = 10 * time.Minute

// Hazard is the expected rate of leaving, per second, of a member of that age:
// stays are heavy-tailed, so the longer one lasted the longer it will. The form
// 1 / (age + 10 min) is that of a shifted Pareto distribution with shape 1; the
// measured stays of Skype super-peers (Guha et al., IPTPS 2006) and the models
// fitted to such traces (Yao et al., ToN 2009) have that tail.
func Hazard(age time.Duration) float64 {
	return float64(time.Second) / float64(max(age, 0)+hazardHalfAge)
}

// Toll is the price, besides the hop, that a child pays for being fed by a member
// of that forwarding time and hazard (per second, see Hazard). The cost of a node
// is the sum of the tolls and hops on its way from the root.
func (p Policy) Toll(forward time.Duration, hazard float64) time.Duration {
	return forward + time.Duration(float64(p.HazardWeight)*hazard)
}
