package planet

import (
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	// silence is how long a link is silent before its child acts.
	silence = 100 * time.Millisecond
	// ruling is what a coordinator takes from a request to its answer, beside the
	// way: gathering, and a majority's disks.
	ruling = 15 * time.Millisecond
)

// crash ends the stay of a member that fell silent: its children go to their
// standbys by themselves, one after the other, and only who finds none asks the
// coordinators. Then the member is dropped.
func (r *realm) crash(dead region.MemberID) error {
	r.counts.crashed++
	var lost []region.Node
	gone := map[region.MemberID]time.Duration{}
	for _, child := range r.region.Children(theStream, dead) {
		n, ok := r.region.Node(theStream, child)
		if !ok {
			continue
		}
		r.counts.orphans++
		healed, took, err := r.failover(n, dead)
		if err != nil {
			return err
		}
		gone[child] = took
		if healed {
			r.counts.byStandby++
			r.counts.gaps.note(took)
		} else {
			lost = append(lost, n)
		}
	}
	for _, n := range lost {
		d, err := r.orphaned(n.Member, nil, dead)
		if err != nil {
			return err
		}
		coordinator, _ := r.RTT(n.Member, "")
		if d.OK {
			r.counts.byCoordinator++
			r.counts.gaps.note(gone[n.Member] + coordinator + ruling)
		}
	}
	return r.leave(dead)
}

// failover lets an orphan try its standbys, and tells how long that took.
func (r *realm) failover(n region.Node, dead region.MemberID) (healed bool, took time.Duration, err error) {
	took = silence
	for _, standby := range n.Standbys {
		if standby == dead {
			continue
		}
		rtt, _ := r.RTT(n.Member, standby)
		took += rtt
		delay, _ := r.region.Delay(theStream, standby)
		d, err := r.orphaned(n.Member, []region.Proposal{{Parent: standby, ParentDelay: delay, RTT: rtt}}, dead)
		if err != nil || d.OK {
			return d.OK, took, err
		}
	}
	return false, took, nil
}

func (r *realm) orphaned(child region.MemberID, proposals []region.Proposal, dead region.MemberID) (region.Decision, error) {
	m, _ := r.region.Member(child)
	edits, d, err := r.region.Admit(region.Admission{
		Stream: theStream, Child: child, Lease: m.Lease, Layers: region.AllLayers, Cause: region.Orphaned,
		Proposals: proposals, Place: len(proposals) == 0, Avoid: []region.MemberID{dead},
	}, r.now, hold, r)
	if err != nil {
		return d, err
	}
	r.counts.bytes += bytesReport
	return d, r.commit(edits)
}

// leave ends a stay in good order. Those for whom that leaves no place ask again.
func (r *realm) leave(id region.MemberID) error {
	edits, err := r.region.Leave(id, 0, r.now, r)
	if err != nil {
		return err
	}
	for _, e := range edits {
		if drop, ok := e.(region.DropNode); ok && drop.Member != id {
			r.counts.cutOff++
			r.waiting = append(r.waiting, drop.Member)
		}
	}
	return r.commit(edits)
}
