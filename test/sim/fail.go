package sim

import (
	"slices"

	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/reorg/forest"
)

// fail makes members vanish at the same instant. Their children go to their
// standbys by themselves, in order; who finds none asks the coordinators.
func (p *replay) fail(members []int) error {
	dead := make([]region.MemberID, len(members))
	for i, v := range members {
		dead[i] = memberID(v)
		p.present[v] = false
	}
	p.waiting = slices.DeleteFunc(p.waiting, func(v int) bool { return slices.Contains(members, v) })
	slices.Sort(dead)
	p.dead = dead
	var orphans []region.Node
	for n := range p.region.Nodes(theStream) {
		if contains(dead, n.Parent) && !contains(dead, n.Member) {
			orphans = append(orphans, n)
		}
	}
	before := p.relocations
	var lost []region.Node
	for _, n := range orphans {
		p.run.Orphans.Total++
		healed, err := p.failover(n, dead)
		if err != nil {
			return err
		}
		if !healed {
			lost = append(lost, n)
		}
	}
	for _, n := range lost {
		p.run.Orphans.Coordinator++
		if _, err := p.ask(p.orphaned(n.Member, nil, dead)); err != nil {
			return err
		}
	}
	if err := p.bury(dead); err != nil {
		return err
	}
	p.dead = nil
	p.forced += p.relocations - before
	return p.countCutOff()
}

func contains(sorted []region.MemberID, id region.MemberID) bool {
	_, found := slices.BinarySearch(sorted, id)
	return found
}

func (p *replay) orphaned(child region.MemberID, proposals []region.Proposal, dead []region.MemberID) region.Admission {
	m, _ := p.region.Member(child)
	return region.Admission{Stream: theStream, Child: child, Lease: m.Lease, Layers: region.AllLayers, Cause: region.Orphaned,
		Proposals: proposals, Place: len(proposals) == 0, Avoid: dead}
}

// failover lets an orphan try its standbys.
func (p *replay) failover(n region.Node, dead []region.MemberID) (bool, error) {
	for k, standby := range n.Standbys {
		if contains(dead, standby) {
			p.run.Orphans.DeadStandbys++
			continue
		}
		delay, _ := p.region.Delay(theStream, standby)
		d, err := p.ask(p.orphaned(n.Member, []region.Proposal{{Parent: standby, ParentDelay: delay}}, nil))
		if err != nil {
			return false, err
		}
		if !d.OK {
			p.run.Orphans.refused(d)
			continue
		}
		switch k {
		case 0:
			p.run.Orphans.Standby1++
		case 1:
			p.run.Orphans.Standby2++
		default:
			p.run.Orphans.StandbyMore++
		}
		return true, nil
	}
	return false, nil
}

func (o *Orphans) refused(d region.Decision) {
	for _, r := range d.Refusals {
		switch r.Reason {
		case region.Loop:
			o.RefusedLoops++
		case region.Full:
			o.RefusedFull++
		}
	}
}

// bury takes the dead out of the region, leaves first, so that nobody is hung
// under one who is dead as well.
func (p *replay) bury(dead []region.MemberID) error {
	var order []region.MemberID
	for n := range p.region.Nodes(theStream) {
		if contains(dead, n.Member) {
			order = append(order, n.Member)
		}
	}
	slices.Reverse(order)
	for _, id := range dead {
		if !slices.Contains(order, id) {
			order = append(order, id)
		}
	}
	for _, id := range order {
		edits, err := p.region.Leave(id, 0, p.now, p.rtt)
		if err != nil {
			return err
		}
		if err := p.commit(edits); err != nil {
			return err
		}
	}
	return nil
}

// countCutOff finds those whom the failure left without a place.
func (p *replay) countCutOff() error {
	for v, here := range p.present {
		if _, ok := p.region.Node(theStream, memberID(v)); here && !ok && !slices.Contains(p.waiting, v) {
			p.run.Orphans.CutOff++
			p.waiting = append(p.waiting, v)
		}
	}
	return nil
}

// rebuild throws the tree away for the best that an offline algorithm can do,
// and moves everybody there at once.
func (p *replay) rebuild() error {
	var set []int
	for v := range p.present {
		if _, ok := p.region.Node(theStream, memberID(v)); ok {
			set = append(set, v)
		}
	}
	if len(set) < 3 {
		return nil
	}
	slots := make([]int, len(set))
	for i, v := range set {
		slots[i] = p.w.Slots[v]
	}
	w := &World{RTT: submatrix(p.w.RTT, set), Slots: slots, Forward: p.w.Forward}
	f := compactTree(w, 0, favour)
	if f.Nodes() < len(set) {
		return nil
	}
	localSearch(f)
	var steps []region.Step
	order := []int32{0}
	for i := 0; i < len(order); i++ {
		order = f.Children(order[i], order)
		v := order[i]
		if f.Parent(v) == forest.None {
			continue
		}
		member, to := memberID(set[f.Member(v)]), memberID(set[f.Member(f.Parent(v))])
		if n, _ := p.region.Node(theStream, member); n.Parent != to {
			steps = append(steps, region.Step{Stream: theStream, Member: member, From: n.Parent, To: to})
		}
	}
	if len(steps) == 0 {
		return nil
	}
	edits, err := p.region.Move(steps, p.now, hold, p.rtt)
	if err != nil {
		return err
	}
	return p.commit(edits)
}
