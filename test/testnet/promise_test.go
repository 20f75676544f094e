package testnet

import (
	"slices"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// A promise is what coordinators have acknowledged: stays and places.
type promise struct {
	revision uint64
	leases   map[string]uint64          // by member's id
	places   map[string]map[string]bool // by stream, the members in its tree
	names    map[string]string
}

func (l *lab) promised() promise {
	l.t.Helper()
	p := promise{leases: map[string]uint64{}, places: map[string]map[string]bool{}, names: map[string]string{}}
	seen, err := ask[[]inspect.Member](l, "members")
	if err != nil {
		l.t.Fatal(err)
	}
	for _, m := range seen {
		p.leases[m.ID], p.names[m.ID] = m.Lease, m.Name
	}
	for _, s := range streams {
		tree, err := ask[inspect.Tree](l, "tree", s)
		if err != nil {
			l.t.Fatal(err)
		}
		p.revision = max(p.revision, tree.Revision)
		p.places[s] = map[string]bool{}
		for _, n := range tree.Nodes {
			p.places[s][n.Member] = true
		}
	}
	return p
}

// keeps checks that nothing of what was promised before is lost. Members that were
// stopped meanwhile have begun another stay, and leases only grow.
func (l *lab) keeps(before promise, stopped ...string) {
	l.t.Helper()
	after := l.promised()
	if after.revision < before.revision {
		l.t.Errorf("the revision fell from %d to %d", before.revision, after.revision)
	}
	for id, lease := range before.leases {
		name := before.names[id]
		if slices.Contains(stopped, name) {
			if now, ok := after.leases[id]; ok && now < lease {
				l.t.Errorf("%s had lease %d and was given %d", name, lease, now)
			}
			continue
		}
		if after.leases[id] != lease {
			l.t.Errorf("%s had lease %d and has %d", name, lease, after.leases[id])
		}
		for _, s := range streams {
			if before.places[s][id] && !after.places[s][id] {
				l.t.Errorf("%s has lost its place in %s", name, s)
			}
		}
	}
}
