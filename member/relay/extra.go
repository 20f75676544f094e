package relay

import (
	"slices"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// A critical stream is drawn twice: from the parent, and from a standby that sends an
// extra copy. Whichever copy of a packet comes first counts, so the loss of either
// leaves no gap. So is any stream while its parent is doubted: if that only stalled, the
// copy ends when it is heard again; if it has gone, most of the gap is filled by the time
// it counts as silent. Extra copies have what uplink is left: a parent refuses them, or
// ends them, as soon as somebody else needs it.

// extraPause is how long a standby that cannot send an extra copy is left alone.
const extraPause = 5 * time.Second

// tooLate is how late this process may be to judge others.
const tooLate = 100 * time.Millisecond

// doubles says whether a stream is to be drawn twice now.
func (p *place) doubles() bool {
	if p.drawn == 0 {
		return false
	}
	if p.critical {
		return true
	}
	// Who is late himself had better not add to it: everybody seems late to him.
	return p.current != nil && p.current.link.Doubtful() && !p.s.unreliable() && p.s.r.cfg.Late() < tooLate
}

// double draws a stream a second time, or ends that, and returns when to look again.
func (k *keeper) double(p *place, now int64) (due int64) {
	due = now + int64(idleTick)
	u := p.extra
	if u == nil && p.doubles() && p.current != nil && p.target == nil {
		at := slices.IndexFunc(p.ups, func(o *upstream) bool {
			return o != p.current && o.state == idle && o.usable(now) && o.link.State() == link.Up && now >= o.spared
		})
		if at < 0 {
			return due
		}
		u = p.ups[at]
		p.extra = u
		k.begin(p, u, now)
	}
	switch {
	case u == nil:
	case !p.doubles():
		k.quit(p, u)
	case u.state == drawing:
		return min(due, k.askExtra(p, u, now))
	}
	return due
}

// askExtra sends the Draw, again if need be.
func (k *keeper) askExtra(p *place, u *upstream, now int64) (due int64) {
	retry := int64(max(2*u.link.RTT(), minRetry))
	switch {
	case u.asked == 0:
		k.drawID++
		u.id, u.session, u.since, u.doubled, u.waits = k.drawID, u.link.Session(), now, true, true
	case now-u.since > int64(k.patience(u)):
		k.spare(p, u, now)
		return now + int64(extraPause)
	case now-u.asked < retry:
		return u.asked + retry
	}
	u.asked = now
	_ = u.link.Send(k.drawMessage(p, u))
	return now + retry
}

// spare leaves a standby alone for a while. It is as good a standby as before.
func (k *keeper) spare(p *place, u *upstream, now int64) {
	u.spared = now + int64(extraPause)
	k.quit(p, u)
}

// repliedExtra takes the answer to the Draw of an extra copy.
func (k *keeper) repliedExtra(p *place, from *link.Link, m *link.Message) {
	u := p.extra
	if u == nil || u.link != from || u.id != m.ID || u.state != drawing {
		return
	}
	now := k.r.now()
	if m.Fault != 0 || slices.Contains(m.Path, k.r.cfg.Self) {
		k.spare(p, u, now)
		return
	}
	u.state, u.heard = drawn, now
	u.accepted(p)
	k.recarr = true
}

// makeRoom ends extra copies that the uplink has no room for any more.
func (k *keeper) makeRoom() {
	sum, uplink := k.admitted(true), region.Rate(k.r.uplink.Load())
	for _, p := range k.all {
		for _, c := range *p.s.children.Load() {
			if sum <= uplink {
				return
			}
			if c.extra {
				sum -= p.s.rate(region.LayerMask(c.want.Load()))
				k.dismiss(p, c)
			}
		}
	}
}

// rank orders children on a narrow link: the lowest give way first.
func (c *child) rank() int {
	if c.extra {
		return 0
	}
	return 1 + int(c.priority)
}
