package region

// leafCap is how much of an uplink may be delegated for local admissions.
func (p Policy) leafCap(uplink Rate) Rate {
	return Rate(float64(uplink) * min(max(p.LeafShare, 0), 1))
}

// Delegate decides the leaf budget of a stay that has use for want: what its
// member may admit by itself, over links that stand, to those who relay nothing.
// It is lowered to want at once, for the member says by want what it holds itself
// to. It is raised to want as far as Policy.LeafShare of the uplink goes, and what
// is neither sent, nor kept for the first copies of the member's own streams, nor
// promised to those who have it as a standby. No edits if nothing changes.
func (r *Region) Delegate(id MemberID, lease Lease, want Rate) ([]Edit, error) {
	i, err := r.stay(id, lease)
	if err != nil {
		return nil, err
	}
	m := r.members.at(i)
	next := min(want, r.Policy.leafCap(m.Uplink))
	if next > m.Leaf {
		room := max(m.slack()-r.kept(i, nil)-int64(m.mostPledged()), 0)
		next = m.Leaf + min(next-m.Leaf, Rate(min(room, int64(MaxRate))))
	}
	if next == m.Leaf {
		return nil, nil
	}
	d := r.draft()
	fresh := m.Member
	fresh.Leaf = next
	if err := d.do(PutMember{fresh}); err != nil {
		return nil, err
	}
	return d.edits, d.verify()
}
