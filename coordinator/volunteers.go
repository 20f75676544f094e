package coordinator

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/coordinator/directory"
	"github.com/skein-mesh/skein/region"
)

// Standards are what the node of a member must come up to, to be invited to coordinate.
type Standards struct {
	// Uptime is how long its member must have stayed: who has been there for long
	// will be for longer.
	Uptime time.Duration
	// Write is how long 99 of 100 writes to its disk may take, RTT how far each of the
	// group's replicas may be: either delays decisions.
	Write, RTT time.Duration
}

// DefaultStandards suit machines at home with a fair disk.
func DefaultStandards() Standards {
	return Standards{Uptime: 10 * time.Minute, Write: 100 * time.Millisecond, RTT: 150 * time.Millisecond}
}

func (s Standards) validate() error {
	if s.Uptime < 0 || s.Write <= 0 || s.RTT <= 0 {
		return fmt.Errorf("config Healing.Volunteers: %w: Uptime is negative, or Write or RTT is not positive (--volunteer-uptime, --volunteer-write, --volunteer-rtt)", region.ErrInvalid)
	}
	return nil
}

const (
	// maxOffers bounds the offers that a leader knows; further ones are refused.
	maxOffers = 64
	// offerFor is how long an offer counts: a few more than OfferEvery.
	offerFor = 45 * time.Second
	// inviteFor is how long a volunteer may take to come when it is invited;
	// one that did not is left alone for asideFor.
	inviteFor = 30 * time.Second
	asideFor  = 10 * time.Minute
	// A volunteer that serves is to be replaced when its disk or its distance is
	// dismissAt times what is allowed of one that is to begin, for dismissAfter.
	dismissAt    = 2
	dismissAfter = time.Minute
	// leastWrites must have been measured.
	leastWrites = 8
	// knockEvery is how often it is tried whether a volunteer can be reached.
	knockEvery = time.Minute
)

// OfferEvery is how often an offer is to be repeated.
const OfferEvery = 10 * time.Second

// An offer is a volunteer's word on itself, and what the leader has found out.
type offer struct {
	directory.Coordinator
	// member is the one beside which it runs.
	member  region.MemberID
	writes  int
	write   time.Duration
	rtts    map[region.MemberID]time.Duration
	serving bool
	heard   time.Time

	// knocked is when it was tried to reach the volunteer, and unreachable what came
	// of it, if nothing did.
	knocked     time.Time
	unreachable string
	invited     time.Time
	// served is since when it serves.
	served time.Time
	// worse is since when one that serves has done so badly that it should not;
	// dismissed says that this was too long.
	worse     time.Time
	dismissed bool
	// told is what was made known last of where it falls short; nil = nothing was.
	told *string
}

// farthest is the way to that of some replicas that is farthest off; unknown if one of
// them was not measured.
func (o *offer) farthest(replicas []region.MemberID) (rtt time.Duration, known bool) {
	for _, id := range replicas {
		d, ok := o.rtts[id]
		if !ok && id != o.ID {
			return 0, false
		}
		rtt = max(rtt, d)
	}
	return rtt, true
}

// A shortfall is where a node does not come up to the standards, and why, for people. The
// zero value is none.
type shortfall struct{ of, why string }

// judge says what is wanting of a node. up is how long its member has stayed, negative
// if there is no such member; replicas are those of the group that live.
func (s Standards) judge(o *offer, up time.Duration, replicas []region.MemberID, now time.Time) shortfall {
	left := asideFor - now.Sub(o.invited)
	switch {
	case !o.invited.IsZero() && !o.serving && left > 0 && left <= asideFor-inviteFor:
		return shortfall{"coming", fmt.Sprintf("it was invited and did not come; it may be asked again in %v", left.Round(time.Second))}
	case up < 0:
		return shortfall{"home", "its member does not live in this region"}
	case up < s.Uptime:
		return shortfall{"uptime", fmt.Sprintf("its member has been here for %v, not yet for %v (--volunteer-uptime)", up.Round(time.Second), s.Uptime)}
	case o.writes < leastWrites:
		return shortfall{"writes", fmt.Sprintf("%d writes to its disk were measured, not yet %d", o.writes, leastWrites)}
	case o.write > s.Write:
		return shortfall{"disk", fmt.Sprintf("1 of 100 writes to its disk takes %v, more than %v (--volunteer-write)", o.write.Round(time.Millisecond), s.Write)}
	case o.unreachable != "":
		return shortfall{"reach", "it cannot be reached: " + o.unreachable}
	}
	rtt, known := o.farthest(replicas)
	switch {
	case !known:
		return shortfall{"ways", "the way to the replicas of the group is not measured yet"}
	case rtt > s.RTT:
		return shortfall{"distance", fmt.Sprintf("a replica of the group is %v away, more than %v (--volunteer-rtt)", rtt.Round(time.Millisecond), s.RTT)}
	}
	return shortfall{}
}

// fails says whether one that serves does so badly that it should not.
func (s Standards) fails(o *offer, replicas []region.MemberID) bool {
	rtt, _ := o.farthest(replicas)
	return o.serving && (o.write > dismissAt*s.Write || rtt > dismissAt*s.RTT)
}

// volunteers are the offers that a leader has heard. They are forgotten with its office,
// and heard again by the next one within OfferEvery.
type volunteers struct {
	mu     sync.Mutex
	offers map[region.MemberID]*offer
}

func newVolunteers() *volunteers { return &volunteers{offers: map[region.MemberID]*offer{}} }

// take notes an offer, and says whether the volunteer is to be knocked at. ErrOverloaded
// if there are too many.
func (v *volunteers) take(o *offer) (knock bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sweep(o.heard)
	before := v.offers[o.ID]
	switch {
	case before != nil:
		o.knocked, o.unreachable, o.invited, o.told = before.knocked, before.unreachable, before.invited, before.told
		o.worse, o.dismissed = before.worse, before.dismissed
		if before.Host != o.Host {
			o.knocked = time.Time{}
		}
	case len(v.offers) >= maxOffers:
		return false, &region.OverloadError{What: "volunteers", RetryAfter: offerFor}
	}
	if o.serving {
		// It is in the directory, or about to be, where others look after it.
		o.invited, o.unreachable, o.knocked, o.served = time.Time{}, "", time.Time{}, o.heard
		if before != nil && before.serving {
			o.served = before.served
		}
	}
	if knock = !o.serving && o.heard.Sub(o.knocked) >= knockEvery; knock {
		o.knocked = o.heard
		if before == nil || before.knocked.IsZero() {
			o.unreachable = "it has not been tried yet"
		}
	}
	v.offers[o.ID] = o
	return knock, nil
}

// sweep forgets who has not repeated its offer; called with mu held.
func (v *volunteers) sweep(now time.Time) {
	for id, o := range v.offers {
		if now.Sub(o.heard) > offerFor {
			delete(v.offers, id)
		}
	}
}

// found notes what came of knocking.
func (v *volunteers) found(id region.MemberID, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	o := v.offers[id]
	if o == nil {
		return
	}
	o.unreachable = ""
	if err != nil {
		o.unreachable = err.Error()
	}
}

// invite has a volunteer told, with the answer to its next offer, that it is needed.
func (v *volunteers) invite(id region.MemberID, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if o := v.offers[id]; o != nil {
		o.invited = now
	}
}

// verdict is what to answer to an offer; news if it falls short of something else than
// before.
func (v *volunteers) verdict(id region.MemberID, judge func(*offer) shortfall, now time.Time) (lacks shortfall, invited, news bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	o := v.offers[id]
	if o == nil {
		return shortfall{}, false, false
	}
	lacks = judge(o)
	news = o.told == nil || *o.told != lacks.of
	o.told = &lacks.of
	return lacks, o.awaited(now), news
}

// appraise says whether one that serves is to go, and whether that is news.
func (v *volunteers) appraise(id region.MemberID, fails func(*offer) bool, now time.Time) (dismissed, news bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	o := v.offers[id]
	switch {
	case o == nil:
		return false, false
	case !fails(o):
		o.worse, o.dismissed = time.Time{}, false
	case o.worse.IsZero():
		o.worse = now
	case now.Sub(o.worse) >= dismissAfter:
		news = !o.dismissed
		o.dismissed = true
	}
	return o.dismissed, news
}

// awaited says that a volunteer was invited a moment ago, and does not serve yet.
func (o *offer) awaited(now time.Time) bool {
	return !o.serving && !o.invited.IsZero() && now.Sub(o.invited) < inviteFor
}

// arriving says that it serves, but the others may not have heard of it yet.
func (o *offer) arriving(now time.Time) bool { return o.serving && now.Sub(o.served) < inviteFor }

// suited lists those who could be invited, as coordinators whose distance is that to the
// replica that is farthest; awaited says that somebody was invited and is not there yet.
// there tells of a coordinator whether the directory knows it.
func (v *volunteers) suited(judge func(*offer) shortfall, there func(region.MemberID) bool, now time.Time) (list map[region.MemberID]directory.Coordinator, awaited bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sweep(now)
	list = map[region.MemberID]directory.Coordinator{}
	for id, o := range v.offers {
		switch {
		case o.awaited(now), o.arriving(now) && !there(id):
			awaited = true
		case o.serving || judge(o) != shortfall{}:
		default:
			list[id] = o.Coordinator
		}
	}
	return list, awaited
}

// list is all offers by ID, as copies.
func (v *volunteers) list(now time.Time) []offer {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sweep(now)
	list := make([]offer, 0, len(v.offers))
	for _, o := range v.offers {
		list = append(list, *o)
	}
	slices.SortFunc(list, func(a, b offer) int { return cmp.Compare(a.ID, b.ID) })
	return list
}
