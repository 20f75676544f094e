package relay

import (
	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// choose picks a target if one is needed.
func (k *keeper) choose(p *place, now int64) {
	if p.current != nil {
		// The assigned parent, unless it has failed under this very assignment.
		u := p.upstream(p.named)
		if p.target == nil && u != nil && u != p.current && u.usable(now) && p.revision > p.left && u.link.State() == link.Up {
			k.aim(p, u, now)
		}
		return
	}
	k.choosePresent(p, now)
	if p.current != nil { // an extra copy came in already
		return
	}
	// A parent named since the loss has a link to build first.
	fresh := p.cause == 0 || p.target != nil && p.target.peer.ID == p.named && p.named != p.failed && p.revision > p.left
	if p.orphan || (p.target != nil && (fresh || p.target.link.State() == link.Up)) || p.awaited(now) {
		return
	}
	if p.local {
		k.forsake(p)
		return
	}
	p.orphan = true
	failed := make([]region.MemberID, 0, len(p.ups))
	for _, u := range p.ups {
		// A parent that says so when it has the stream no longer has not failed:
		// its origin may come back in a moment, at the same place.
		if u.peer.ID != p.failed || p.cause != link.NoStream {
			failed = append(failed, u.peer.ID)
		}
	}
	k.r.emit(Orphaned{p.s.id, failed})
}

// choosePresent picks a target when nobody carries the stream: the first of those
// whose link is up, else the first whose link may come up.
func (k *keeper) choosePresent(p *place, now int64) {
	waiting := p.target != nil && p.target.link.State() != link.Up
	if (p.target != nil && !waiting) || (p.cause == 0 && p.awaited(now)) {
		return
	}
	if u := p.extra; u != nil && u.usable(now) && (u.state == drawn || u.asked != 0) {
		if p.target != nil {
			k.quit(p, p.target)
		}
		p.target, p.extra = u, nil
		u.renew()
		k.promote(p)
		return
	}
	for _, up := range []bool{true, false} {
		for _, u := range p.ups {
			if u == p.target || u == p.lost || !u.usable(now) || (u.link.State() == link.Up) != up {
				continue
			}
			if !up && (waiting || p.local) {
				return
			}
			// While the parent's link is being built for the first time, standbys
			// are left alone for a while.
			if waiting && p.cause == 0 && p.target.peer.ID == p.named && now-p.target.since < int64(linkTime)/4 {
				return
			}
			if p.target != nil {
				k.quit(p, p.target)
			}
			k.aim(p, u, now)
			return
		}
	}
}

// awaited says whether an upstream is about to be asked again that had not got
// the stream yet.
func (p *place) awaited(now int64) bool {
	for _, u := range p.ups {
		if u.failing != 0 && now-u.failing < int64(noStreamMax) && u.until > now {
			return true
		}
	}
	return false
}

func (k *keeper) aim(p *place, u *upstream, now int64) {
	p.target = u
	if p.extra == u {
		p.extra = nil
	}
	k.begin(p, u, now)
}
