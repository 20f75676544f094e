package group

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Limits of agreements.
const (
	// MaxAgreements of a region, MaxSeeds and MaxDraw of each.
	MaxAgreements = 16
	MaxSeeds      = 16
	MaxDraw       = 16
	// MaxCommunityName bounds what a community is called, in bytes.
	MaxCommunityName = 32
)

// An Agreement is what a region has agreed on with another community, which has a CA
// of its own. Its lists must not be modified.
type Agreement struct {
	// Community is the hash of the other community's CA certificate.
	Community string
	// Name is what the community is called here: a stream whose name begins with it
	// and a slash is looked for there.
	Name string
	// Seeds are gRPC addresses of some of its coordinators, host:port; none if nothing
	// is drawn from there.
	Seeds []string
	// Draw names the streams published here that its members may draw, see
	// trust.Matches.
	Draw []string
	// Visitors is how many of its members may draw streams here at a time.
	Visitors int
}

// Shares says whether a stream published here may be drawn by the community.
func (a Agreement) Shares(s region.StreamID) bool {
	return slices.ContainsFunc(a.Draw, func(pattern string) bool { return trust.Matches(pattern, s) })
}

// Publishes says whether a stream is looked for in the community.
func (a Agreement) Publishes(s region.StreamID) bool {
	return strings.HasPrefix(string(s), a.Name+"/")
}

// over says that it is not one but the end of one.
func (a Agreement) over() bool { return a.Name == "" }

// Agreement is the one with a community.
func (s *State) Agreement(community string) (Agreement, bool) {
	i := slices.IndexFunc(s.Agreements, func(a Agreement) bool { return a.Community == community })
	if i < 0 || community == "" {
		return Agreement{}, false
	}
	return s.Agreements[i], true
}

// agree carries out what an entry says of agreements.
func (s *State) agree(e entry) {
	for _, next := range e.agreements {
		s.Agreements = slices.DeleteFunc(slices.Clone(s.Agreements), func(a Agreement) bool { return a.Community == next.Community })
		if !next.over() {
			s.Agreements = append(s.Agreements, next)
		}
		slices.SortFunc(s.Agreements, func(a, b Agreement) int { return cmp.Compare(a.Community, b.Community) })
	}
}

// agreeable says why a state cannot agree on what an entry says.
func (s *State) agreeable(e entry) error {
	after := &State{Agreements: s.Agreements}
	after.agree(e)
	if len(after.Agreements) > MaxAgreements {
		return fmt.Errorf("entry: %d agreements: %w: at most %d", len(after.Agreements), region.ErrLimit, MaxAgreements)
	}
	return nil
}

// ToAgreement converts and judges an agreement.
func ToAgreement(m *skeinv1.Agreement) (Agreement, error) {
	a := Agreement{Community: m.GetCommunity(), Name: m.GetName(), Seeds: m.GetSeeds(), Draw: m.GetDraw(), Visitors: int(m.GetVisitors())}
	if err := trust.CheckCommunity(a.Community); err != nil {
		return a, fmt.Errorf("agreement: community: %w", err)
	}
	bad := func(field, format string, args ...any) (Agreement, error) {
		return a, fmt.Errorf("agreement: %s: %w: %s", field, region.ErrInvalid, fmt.Sprintf(format, args...))
	}
	if _, err := skeinv1.ToRegionID(a.Name); err != nil || len(a.Name) > MaxCommunityName {
		return bad("name", "want 1 to %d letters, digits, '.', '-', '_', have %.64q", MaxCommunityName, a.Name)
	}
	switch {
	case len(a.Seeds) > MaxSeeds:
		return bad("seeds", "at most %d, have %d", MaxSeeds, len(a.Seeds))
	case len(a.Draw) > MaxDraw:
		return bad("draw", "at most %d patterns, have %d", MaxDraw, len(a.Draw))
	case len(a.Seeds)+len(a.Draw) == 0:
		return bad("seeds", "without seeds nothing is drawn from there, and without draw nothing from here: want one of them")
	case a.Visitors < 0 || a.Visitors > region.MaxMembers || len(a.Draw) > 0 && a.Visitors == 0:
		return bad("visitors", "want 1 to %d, have %d", region.MaxMembers, a.Visitors)
	}
	for _, seed := range a.Seeds {
		if _, _, err := net.SplitHostPort(seed); err != nil || len(seed) > region.MaxHostAddress {
			return bad("seeds", "want host:port, have %.64q", seed)
		}
	}
	for _, pattern := range a.Draw {
		name := strings.TrimSuffix(pattern, "*")
		if _, err := skeinv1.ToStreamID(strings.TrimSuffix(name, "/")); name != "" && err != nil {
			return bad("draw", "want the name of a stream, or the beginning of names and a star, have %.64q", pattern)
		}
	}
	return a, nil
}

// FromAgreement is the reverse of ToAgreement.
func FromAgreement(a Agreement) *skeinv1.Agreement {
	return &skeinv1.Agreement{Community: a.Community, Name: a.Name, Seeds: a.Seeds, Draw: a.Draw, Visitors: uint32(a.Visitors)}
}

// toAgreements reads those of an entry, of which some may be ends.
func toAgreements(list []*skeinv1.Agreement) ([]Agreement, error) {
	if len(list) > MaxAgreements {
		return nil, fmt.Errorf("%d agreements: %w: at most %d", len(list), region.ErrInvalid, MaxAgreements)
	}
	var out []Agreement
	for _, m := range list {
		if m.GetName() == "" && m.GetCommunity() != "" {
			out = append(out, Agreement{Community: m.Community})
			continue
		}
		a, err := ToAgreement(m)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func (c canonical) agreement(a Agreement) {
	c.bytes([]byte(a.Community))
	c.bytes([]byte(a.Name))
	for _, list := range [][]string{a.Seeds, a.Draw} {
		c.number(uint64(len(list)))
		for _, s := range list {
			c.bytes([]byte(s))
		}
	}
	c.number(uint64(a.Visitors))
}
