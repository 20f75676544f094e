package coordinator

import (
	"cmp"
	"slices"
	"time"

	"github.com/skein-mesh/skein/coordinator/cells"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// lookEvery is how often one who stands in a space is told who is around, and
	// lookSeldom how often in a crowd of more than crowded.
	lookEvery  = 500 * time.Millisecond
	lookSeldom = time.Second
	crowded    = 64
	// A member is told of acquaintMost others at once, and then of so many per
	// second: who jumps about the world learns of them no faster, the nearest first.
	acquaintMost      = 128
	acquaintPerSecond = 24
)

// sights are what the session of a member has told each of its own, by name.
type sights map[string]*sight

// A sight is what one of them has been told of those around it.
type sight struct {
	told   map[region.PresenceID]*known
	byNum  uint32 // the last number given
	looked time.Time
	tokens float64
	space  region.Space
	// state of what was seen last: if it is the same, so is all.
	state sightState
}

type sightState struct {
	place    region.Place
	radius   float64
	versions uint64
	cells    int
}

// known is somebody who was told of, as of the versions given.
type known struct {
	number         uint32
	version, known uint64
	seen           bool // in this look
}

// A glimpse is somebody around and how far away.
type glimpse struct {
	*cells.Occupant
	distance float64
}

// around is what is to be told to those of a stay now.
func (x *spaces) around(s stay, seen sights, now time.Time) (list []*skeinv1.Surroundings) {
	x.mu.Lock()
	defer x.mu.Unlock()
	own := x.stands[s.member]
	if own == nil || own.stay != s {
		return nil
	}
	for name, st := range own.byName {
		si := seen[name]
		if si != nil && now.Sub(si.looked) < si.every() {
			continue
		}
		if si == nil || si.space != st.Space {
			si = &sight{told: make(map[region.PresenceID]*known), tokens: acquaintMost, space: st.Space, looked: now}
			seen[name] = si
			m := si.look(x.book, st, now)
			if m == nil {
				m = &skeinv1.Surroundings{}
			}
			m.Name, m.Anew = name, true
			list = append(list, m)
		} else if m := si.look(x.book, st, now); m != nil {
			m.Name = name
			list = append(list, m)
		}
	}
	for name := range seen {
		if own.byName[name] == nil {
			delete(seen, name)
		}
	}
	slices.SortFunc(list, func(a, b *skeinv1.Surroundings) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// introduce says how those are reached who have come and whose home is here.
func introduce(r *region.Region, list []*skeinv1.Surroundings) {
	for _, m := range list {
		for _, b := range m.Came {
			id := region.PresenceID(b.Who).Member()
			if _, home := r.Member(id); home {
				b.Peer = peerOf(r, id)
			}
		}
	}
}

func (si *sight) every() time.Duration {
	if len(si.told) > crowded {
		return lookSeldom
	}
	return lookEvery
}

// look compares who is around with what was told; nil if there is nothing to tell.
func (si *sight) look(b *cells.Book, st *standing, now time.Time) *skeinv1.Surroundings {
	si.tokens = min(acquaintMost, si.tokens+acquaintPerSecond*now.Sub(si.looked).Seconds())
	si.looked = now
	reach := st.reach()
	state := sightState{place: st.Place, radius: st.Radius, cells: len(reach)}
	for _, k := range reach {
		state.versions = state.versions*1099511628211 ^ b.Version(k) // FNV-1
	}
	if state == si.state {
		return nil
	}
	si.state = state
	var m skeinv1.Surroundings
	for _, g := range si.visible(b, st, reach) {
		k := si.told[g.Who]
		switch {
		case k != nil && k.known == g.Known && k.version == g.Version:
		case k != nil && k.known == g.Known:
			at := skeinv1.FromSpot(g.Place)
			m.Moved = append(m.Moved, k.number)
			m.XDm, m.YDm, m.ZDm = append(m.XDm, at.XDm), append(m.YDm, at.YDm), append(m.ZDm, at.ZDm)
		case si.tokens < 1:
			si.state = sightState{} // the rest another time
			if k != nil {
				k.seen = true
			}
			continue
		default:
			si.tokens--
			if k == nil {
				si.byNum++
				k = &known{number: si.byNum}
				si.told[g.Who] = k
			}
			who := skeinv1.FromBystander(g.Bystander)
			who.Number = k.number
			m.Came = append(m.Came, who)
		}
		k.version, k.known, k.seen = g.Version, g.Known, true
	}
	for who, k := range si.told {
		if !k.seen {
			m.Gone = append(m.Gone, k.number)
			delete(si.told, who)
		}
		k.seen = false
	}
	if len(m.Came)+len(m.Gone)+len(m.Moved) == 0 {
		return nil
	}
	slices.Sort(m.Gone)
	return &m
}

// visible are those in the cells within reach, in the order of their distance: all,
// or the nearest. Those who were told of already give way late.
func (si *sight) visible(b *cells.Book, st *standing, reach []cells.Key) []glimpse {
	var all []glimpse
	for _, k := range reach {
		b.In(k, func(o *cells.Occupant) bool {
			if o.Who != st.Who {
				d := st.Place.Distance(o.Place)
				if si.told[o.Who] != nil {
					d /= region.LeaveFactor
				}
				all = append(all, glimpse{o, d})
			}
			return true
		})
	}
	slices.SortFunc(all, func(a, b glimpse) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.Who, b.Who))
	})
	return all[:min(len(all), region.MaxBystanders)]
}
