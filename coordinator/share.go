package coordinator

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"github.com/skein-mesh/skein/coordinator/cells"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// shareEvery is how often a leader tells the owners of cells who of its members
	// stands in them, and asks who else does.
	shareEvery = 500 * time.Millisecond
	// standTTL is how long an owner believes what it was told, and how long what it
	// said is believed while it is silent. Everything is said again every refreshEvery.
	standTTL = nameTTL
	// shareMost bounds those in one message, either way, and the cells asked for;
	// the rest comes with the next one.
	shareMost = 2048
	// shareTimeout bounds one round.
	shareTimeout = 2 * time.Second
)

// A mirror is what the owner of a cell said of it.
type mirror struct {
	owner           region.ID
	office, version uint64
	// heard is when the owner last answered, wanted when somebody last wanted to know.
	heard, wanted time.Time
	here          map[region.PresenceID]bool
}

// A report is what an owner was told of somebody.
type report struct {
	owner   region.ID
	office  uint64 // of the owner's leader
	version uint64
	at      time.Time
}

func newOffice() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return max(binary.BigEndian.Uint64(b[:]), 1)
}

// share exchanges with the owners of cells who stands in them, for as long as the
// office lasts. Where there is but one region it owns them all.
func (l *leadership) share(ctx context.Context) {
	ticker := time.NewTicker(shareEvery)
	defer ticker.Stop()
	told := make(map[region.PresenceID]report)
	for {
		select {
		case now := <-ticker.C:
			if regions := l.replica.server.living(); len(regions) > 1 || len(told) > 0 {
				l.send(ctx, l.spaces.letters(l.replica.region, regions, told, now), told)
			}
		case <-ctx.Done():
			return
		}
	}
}

// A letter is what one owner is to be told and asked.
type letter struct {
	*skeinv1.ShareRequest
	keys     []cells.Key // of the queries
	asked    map[cells.Key]bool
	occupied map[region.PresenceID]uint64 // versions of those it tells of
}

// letters writes to all owners that have to be told, or asked, something.
func (x *spaces) letters(self region.ID, regions []region.ID, told map[region.PresenceID]report, now time.Time) map[region.ID]*letter {
	x.mu.Lock()
	defer x.mu.Unlock()
	letters := make(map[region.ID]*letter)
	to := func(owner region.ID) *letter {
		if letters[owner] == nil {
			letters[owner] = &letter{
				ShareRequest: &skeinv1.ShareRequest{Owner: string(owner), Home: string(self), TtlMs: standTTL.Milliseconds()},
				occupied:     make(map[region.PresenceID]uint64), asked: make(map[cells.Key]bool),
			}
		}
		return letters[owner]
	}
	owners := make(map[cells.Key]region.ID)
	owner := func(k cells.Key) region.ID {
		if _, known := owners[k]; !known {
			owners[k] = region.Owner(k.String(), regions)
		}
		return owners[k]
	}
	lives := make(map[region.PresenceID]region.ID)
	for _, own := range x.stands {
		for _, st := range own.byName {
			o := owner(st.key())
			lives[st.Who] = o
			t := told[st.Who]
			if o != self && (t.owner != o || t.version != x.book.VersionOf(st.Who) || now.Sub(t.at) >= refreshEvery) {
				to(o).tell(st, x.book.VersionOf(st.Who))
			}
			for _, k := range st.reach() {
				if o := owner(k); o != self {
					to(o).ask(k, x.want(k, o, now))
				}
			}
		}
	}
	for who, t := range told {
		switch {
		case lives[who] == t.owner:
		case now.Sub(t.at) > standTTL:
			delete(told, who) // the owner has forgotten by itself
		default:
			to(t.owner).Departed = append(to(t.owner).Departed, string(who))
		}
	}
	for k, m := range x.mirrors {
		if now.Sub(m.wanted) > standTTL || now.Sub(m.heard) > standTTL || owner(k) != m.owner && now.Sub(m.heard) > refreshEvery {
			x.unmirror(k, m)
		}
	}
	return letters
}

func (m *letter) tell(st *standing, version uint64) {
	if len(m.Occupants) < shareMost {
		m.occupied[st.Who] = version
		m.Occupants = append(m.Occupants, &skeinv1.Occupant{
			Cell: skeinv1.FromCell(st.Space, st.cell), Who: skeinv1.FromBystander(st.Bystander),
		})
	}
}

func (m *letter) ask(k cells.Key, known *mirror) {
	if len(m.keys) < shareMost && !m.asked[k] {
		m.asked[k] = true
		m.keys = append(m.keys, k)
		m.Queries = append(m.Queries, &skeinv1.CellQuery{
			Cell: skeinv1.FromCell(k.Space, k.Cell), Office: known.office, Version: known.version,
		})
	}
}

// want notes that somebody here is interested in a cell of another owner. Another
// owner knows nothing of what the last one said. mu is held.
func (x *spaces) want(k cells.Key, owner region.ID, now time.Time) *mirror {
	m := x.mirrors[k]
	if m == nil {
		m = &mirror{heard: now, here: make(map[region.PresenceID]bool)}
		x.mirrors[k] = m
	}
	if m.owner != owner {
		m.owner, m.office, m.version = owner, 0, 0
	}
	m.wanted = now
	return m
}

// unmirror forgets what owners said of a cell. mu is held.
func (x *spaces) unmirror(k cells.Key, m *mirror) {
	for who := range m.here {
		x.book.DropFrom(k, who, cells.Source{Region: m.owner, Owner: true})
	}
	delete(x.mirrors, k)
}

// send delivers all letters and takes the answers.
func (l *leadership) send(ctx context.Context, letters map[region.ID]*letter, told map[region.PresenceID]report) {
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex // guards told
	for owner, m := range letters {
		wg.Go(func() {
			answer, err := l.replica.server.shareWith(ctx, m.ShareRequest)
			now := time.Now()
			if err == nil {
				err = l.spaces.mirrored(owner, m, answer, now)
			}
			if err != nil {
				if ctx.Err() == nil {
					l.replica.logger.Debug("the owner of cells does not answer", "owner", owner, "err", err)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, who := range m.Departed {
				if id := region.PresenceID(who); told[id].owner == owner {
					delete(told, id)
				}
			}
			for who, version := range m.occupied {
				told[who] = report{owner, answer.Office, version, now}
			}
			for who, t := range told {
				if t.owner == owner && t.office != answer.Office {
					delete(told, who) // that office has forgotten; tell it again
				}
			}
		})
	}
	wg.Wait()
}

// shareWith asks the owner.
func (s *Server) shareWith(ctx context.Context, m *skeinv1.ShareRequest) (answer *skeinv1.ShareResponse, err error) {
	err = s.consult(ctx, region.ID(m.Owner), func(l *leadership) (err error) {
		answer, err = l.shared(m, time.Now())
		return err
	}, func(ctx context.Context, c skeinv1.DirectoryClient) (err error) {
		answer, err = c.Share(ctx, m)
		return err
	})
	return answer, err
}
