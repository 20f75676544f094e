package region

import "fmt"

// The edits of a region's boundary, as methods of a draft.

func (d *draft) divide(by Division) error {
	stay, _, err := Cut(d.Snapshot(), by)
	if err != nil {
		return err
	}
	return d.become(stay)
}

func (d *draft) absorb(other Snapshot, joints []Joint) error {
	both, err := Unite(d.Snapshot(), other, joints)
	if err != nil {
		return err
	}
	return d.become(both)
}

// setFate freezes, frees or ends the region. To repeat it does no harm.
func (d *draft) setFate(f Fate) error {
	switch {
	case f.Over && f.Into == "" || f.Into == d.id || len(f.Into) > MaxName:
		return invalid("fate", "region %s into %q", d.id, f.Into)
	case d.fate.Over && f != d.fate:
		return fmt.Errorf("region %s is over: %w", d.id, ErrFrozen)
	case f.Over && (d.fate.Into != f.Into || d.fate.Attempt != f.Attempt):
		return fmt.Errorf("region %s was not to be merged into %s: %w", d.id, f.Into, ErrFrozen)
	case f.Into != "" && d.fate.Into != "" && (f.Into != d.fate.Into || f.Attempt != d.fate.Attempt):
		return fmt.Errorf("region %s is being merged into %s: %w", d.id, d.fate.Into, ErrFrozen)
	}
	if f.Over && !d.fate.Over {
		end := Snapshot{
			ID: d.id, Generation: d.generation + 1, LastLease: d.lastLease, MaxMembers: d.maxMembers, Revision: d.revision,
		}
		if err := d.become(end); err != nil {
			return err
		}
	}
	d.fate = f
	return nil
}

// become replaces the whole structure. What a draft remembers of the old one has
// no meaning in the new one, which is checked as a whole.
func (d *draft) become(s Snapshot) error {
	next, err := Load(s)
	if err != nil {
		return err
	}
	next.Policy, next.clock = d.Policy, d.clock
	*d.Region = *next
	d.touched, d.suspects = nil, nil
	return nil
}
