package coordinator

import (
	"fmt"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// What members and the structure may hold differently, and how it is settled. The
// first three are found by members, which compare their beliefs over their links
// every 10 s, the others by the leader, which compares their digests.
const (
	// notFed: a child draws from a parent that does not feed it. The parent tells
	// it so, and it draws from a standby; both are told their roles again.
	notFed = "not-fed"
	// wrongParent: a parent feeds a child that draws from another. It stops; both
	// are told their roles again.
	wrongParent = "wrong-parent"
	// stranger: a parent feeds a child that is none of its children by its role.
	// Both are told their roles again, which settles who is right.
	stranger = "stranger"
	// contradicted: a member draws from another parent than the structure says.
	// The structure follows if that is possible, else the role is told again.
	contradicted = "contradicted"
	// missing: the structure has a place that the member knows nothing of. It is
	// told its role again.
	missing = "missing"
	// ghost: a member draws from somebody who is no member. It is told its role.
	ghost = "ghost"
	// oldRole: a member goes by an older role than it was told, so that its standbys
	// or children may be others. It is told again.
	oldRole = "old-role"
	// behind: members have been told revisions that the log does not have: it was
	// restored from something older. The structure follows the digests,
	// edge by edge, as with any other contradiction; meanwhile members do not heed
	// it, for what it says is old. After anewAfter they are told that revisions
	// begin again.
	behind = "behind"
)

// anewAfter leaves members the time for two digests.
const anewAfter = 30 * time.Second

var mismatchNames = map[skeinv1.MismatchKind]string{
	skeinv1.MismatchKind_MISMATCH_KIND_NOT_FED:      notFed,
	skeinv1.MismatchKind_MISMATCH_KIND_WRONG_PARENT: wrongParent,
	skeinv1.MismatchKind_MISMATCH_KIND_STRANGER:     stranger,
}

// mismatched takes what a member and its neighbours believe differently: the
// coordinators are asked for the edge, by telling both ends what they are to do.
func (l *leadership) mismatched(s *session, list []*skeinv1.Mismatch) {
	for _, m := range list {
		name, known := mismatchNames[m.Kind]
		id, err := skeinv1.ToStreamID(m.Stream)
		if !known || err != nil {
			continue
		}
		r := l.hub.current()
		peer := region.MemberID(m.Peer)
		if _, ok := r.Member(peer); !ok {
			continue
		}
		l.noteMismatch(name, s.stay.member, id, peer, "")
		l.hub.repeat(s, id)
		if other := l.hub.session(peer); other != nil {
			l.hub.repeat(other, id)
		}
	}
}

// noteMismatch tells people what was held differently.
func (l *leadership) noteMismatch(kind string, m region.MemberID, s region.StreamID, peer region.MemberID, detail string) {
	l.replica.meter.mismatches.WithLabelValues(kind).Inc()
	l.replica.history.note(&skeinv1.Event{
		Kind: "verify." + kind, Member: string(m), Stream: string(s), Parent: string(peer), Detail: detail,
	})
}

// kindOf names a contradiction between a digest and the structure.
func kindOf(r *region.Region, held region.MemberID) string {
	if held == "" {
		return missing
	}
	if _, ok := r.Member(held); !ok {
		return ghost
	}
	return contradicted
}

// restored settles that a member was told a revision that this log has not
// reached: it was restored from an old state, and is no record any more of what
// members hold. What the digests say settles it; people are told.
func (l *leadership) restored(s *session, m *skeinv1.Digest) {
	r := l.hub.current()
	newest := region.Revision(0)
	for _, e := range m.Edges {
		newest = max(newest, region.Revision(e.Revision))
	}
	// The hub may be a little behind what the member was told.
	if newest <= r.Revision() || newest <= l.replica.group.Region().Revision() {
		return
	}
	if l.behind.Swap(true) {
		return // said once is enough
	}
	l.hub.begins(time.Now().Add(anewAfter))
	l.noteMismatch(behind, s.stay.member, "", "", fmt.Sprintf("the member knows revision %d, the log has %d", newest, r.Revision()))
}
