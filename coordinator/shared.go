package coordinator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/skein-mesh/skein/coordinator/cells"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// mirrored takes what an owner says of its cells.
func (x *spaces) mirrored(owner region.ID, sent *letter, answer *skeinv1.ShareResponse, now time.Time) error {
	if len(answer.Cells) != len(sent.keys) {
		return fmt.Errorf("cells: %w: want %d, have %d", region.ErrInvalid, len(sent.keys), len(answer.Cells))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	by := cells.Source{Region: owner, Owner: true}
	for i, news := range answer.Cells {
		k := sent.keys[i]
		m := x.mirrors[k]
		if m == nil || m.owner != owner {
			continue // not wanted any more
		}
		m.office, m.version, m.heard = answer.Office, news.Version, now
		gone := news.Gone
		if news.Anew {
			for who := range m.here {
				gone = append(gone, string(who))
			}
		}
		still := make(map[string]bool)
		for j, w := range news.Here {
			b, err := skeinv1.ToBystander(w)
			if err != nil {
				return fmt.Errorf("cells[%d]: here[%d]: %w", i, j, err)
			}
			still[w.Who] = true
			m.here[b.Who] = true
			_ = x.book.Put(k, b, by, time.Time{}) // who has no room is not found
		}
		for _, who := range gone {
			if !still[who] {
				delete(m.here, region.PresenceID(who))
				x.book.DropFrom(k, region.PresenceID(who), by)
			}
		}
	}
	return nil
}

// shared takes what another region's leader says of its members, and answers who
// else stands in the cells it asks for.
func (l *leadership) shared(m *skeinv1.ShareRequest, now time.Time) (*skeinv1.ShareResponse, error) {
	home, err := skeinv1.ToRegionID(m.Home)
	if err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	for _, list := range []struct {
		name   string
		length int
	}{{"occupants", len(m.Occupants)}, {"departed", len(m.Departed)}, {"queries", len(m.Queries)}} {
		if list.length > shareMost {
			return nil, fmt.Errorf("%s: %w: want at most %d, have %d", list.name, region.ErrInvalid, shareMost, list.length)
		}
	}
	x := l.spaces
	x.mu.Lock()
	defer x.mu.Unlock()
	by, until := cells.Source{Region: home}, now.Add(min(time.Duration(m.TtlMs)*time.Millisecond, maxNameTTL))
	for i, o := range m.Occupants {
		k, err := toKey(o.Cell)
		if err != nil {
			return nil, fmt.Errorf("occupants[%d]: cell: %w", i, err)
		}
		b, err := skeinv1.ToBystander(o.Who)
		if err != nil {
			return nil, fmt.Errorf("occupants[%d]: who: %w", i, err)
		}
		_ = x.book.Put(k, b, by, until) // who has no room is not found
	}
	for _, who := range m.Departed {
		x.book.Drop(region.PresenceID(who), by)
	}
	answer := &skeinv1.ShareResponse{Office: x.office}
	for i, q := range m.Queries {
		k, err := toKey(q.Cell)
		if err != nil {
			return nil, fmt.Errorf("queries[%d]: cell: %w", i, err)
		}
		since := q.Version
		if q.Office != x.office {
			since = 0
		}
		news := &skeinv1.CellNews{}
		here, gone, anew, version := x.book.News(k, since, home)
		news.Anew, news.Version = anew, version
		for _, b := range here {
			news.Here = append(news.Here, skeinv1.FromBystander(b))
		}
		for _, who := range gone {
			news.Gone = append(news.Gone, string(who))
		}
		answer.Cells = append(answer.Cells, news)
	}
	return answer, nil
}

func toKey(m *skeinv1.Cell) (cells.Key, error) {
	space, cell, err := skeinv1.ToCell(m)
	return cells.Key{Space: space, Cell: cell}, err
}

// Share serves the owner's side. Only a coordinator of a region speaks for it.
func (a *atlas) Share(ctx context.Context, m *skeinv1.ShareRequest) (*skeinv1.ShareResponse, error) {
	l, err := a.leader(m.Owner)
	if err != nil {
		return nil, err
	}
	home, ok := a.server.directory.Region(region.ID(m.Home))
	if !ok {
		return nil, fmt.Errorf("home: region %.64q is not known here yet: %w", m.Home, region.ErrUnreachable)
	}
	caller := callerOf(ctx).ID
	if !slices.ContainsFunc(home.Replicas, func(h region.Host) bool { return h.ID == caller }) {
		return nil, fmt.Errorf("home: %w: %s is no coordinator of region %s", region.ErrForbidden, caller, home.Region)
	}
	return l.shared(m, time.Now())
}
