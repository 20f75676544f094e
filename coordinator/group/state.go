package group

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
)

// sweepEvery is how often, by the time in the entries, what has expired is
// forgotten. It is part of the log's meaning: replicas must sweep alike.
const sweepEvery = 10 * time.Second

// A State is what a group has agreed on. A State that was handed out belongs to
// the receiver: it does not change any more, and Region may be modified.
type State struct {
	Region *region.Region
	// Secrets of the region; zero until an entry has set them.
	Secrets Secrets
	// Time is the latest time an entry carried; zero before the first. By it,
	// answers and token uses expire.
	Time time.Time
	// Revision of the last entry applied. It is greater than Region's if that
	// entry had no change.
	Revision region.Revision
	// Children are the regions split off last, oldest first, at most MaxChildren.
	// The slice and what it holds must not be modified.
	Children []Child
	// Bounded is when the region was last divided or merged, or split off; zero if
	// it never was.
	Bounded time.Time
	// Verdicts are what became of the regions that asked last to be merged into
	// this one, oldest first, at most MaxVerdicts. The slice must not be modified.
	Verdicts []Verdict
	// Agreements with other communities, by community, at most MaxAgreements. The slice
	// must not be modified.
	Agreements []Agreement

	answers map[region.MemberID][]*Answer // oldest first; neither slices nor what they hold are ever modified
	tokens  map[string]TokenUse
	shared  bool // the maps are also held by another State
}

// Secrets are what only coordinators and (in part) admitted members know. The
// bytes must not be modified.
type Secrets struct {
	// SigningSeed is the Ed25519 seed that signs grants, 32 bytes.
	SigningSeed []byte
	// GossipKeys are newest first, 32 bytes each, at most 3.
	GossipKeys [][]byte
}

// An Answer is what a request was answered with, kept so that a retry gets the
// same. The bytes must not be modified.
type Answer struct {
	RequestID string
	// Response is the serialized response message.
	Response []byte
	// Revision is the one that the answered request led to.
	Revision region.Revision
	Expires  time.Time
}

// A TokenUse counts the uses of a join token.
type TokenUse struct {
	ID string
	// Expires is when the token ends, and with it the need to remember.
	Expires time.Time
	Count   uint32
}

func newState(id region.ID, maxMembers int) *State {
	return &State{
		Region:  region.New(id, maxMembers),
		answers: map[region.MemberID][]*Answer{},
		tokens:  map[string]TokenUse{},
	}
}

// Answer finds the answer that was given to a member's request, if it has not
// expired at time now.
func (s *State) Answer(member region.MemberID, requestID string, now time.Time) (Answer, bool) {
	for _, a := range s.answers[member] {
		if a.RequestID == requestID && now.Before(a.Expires) {
			return *a, true
		}
	}
	return Answer{}, false
}

// TokenUses counts how often a use-limited token has been used.
func (s *State) TokenUses(id string) uint32 { return s.tokens[id].Count }

// clone shares the maps until either side writes.
func (s *State) clone() *State {
	s.shared = true
	c := *s
	c.Region = s.Region.Clone()
	return &c
}

// freeze is clone with a structure that is only read, but by many at a time.
func (s *State) freeze() *State {
	s.shared = true
	c := *s
	c.Region = s.Region.Freeze()
	return &c
}

// own makes the maps this state's own.
func (s *State) own() {
	if s.shared {
		s.answers, s.tokens, s.shared = maps.Clone(s.answers), maps.Clone(s.tokens), false
	}
}

// apply carries out e as revision rev, or reports why not and leaves s as it
// was. It chooses nothing: equal states and entries lead to equal states.
func (s *State) apply(rev region.Revision, e entry) error {
	born := s.Children
	if err := s.agreeable(e); err != nil {
		return err
	}
	if e.hasChange {
		if e.change.Base != s.Region.Revision() {
			return &staleError{base: e.change.Base, present: s.Region.Revision()}
		}
		child, err := s.bear(e)
		if err == nil {
			err = s.judgeable(e)
		}
		if err != nil {
			return err
		}
		if child != nil {
			born = append(born[max(0, len(born)+1-MaxChildren):len(born):len(born)], *child)
		}
		if e.next != nil {
			s.Region = e.next.As(rev)
		} else if err := s.Region.Apply(rev, e.change); err != nil {
			return err
		}
	}
	s.Children = born
	s.judge(e)
	s.agree(e)
	s.own()
	for _, a := range e.answers {
		given := a.answer
		given.Revision = rev
		list := s.answers[a.member]
		list = list[max(0, len(list)+1-MaxAnswers):]
		s.answers[a.member] = append(append(make([]*Answer, 0, len(list)+1), list...), &given)
	}
	for _, t := range e.tokens {
		t.Count += s.tokens[t.ID].Count
		s.tokens[t.ID] = t
	}
	if e.hasSecrets {
		s.Secrets = e.secrets
	}
	s.pass(e.change.Time)
	s.Revision = rev
	return nil
}

// pass moves the time on, and forgets what has expired whenever a new sweep
// interval begins. A leader whose clock is behind moves nothing.
func (s *State) pass(now time.Time) {
	if !now.After(s.Time) {
		return
	}
	sweep := now.Truncate(sweepEvery).After(s.Time.Truncate(sweepEvery))
	s.Time = now
	if !sweep {
		return
	}
	maps.DeleteFunc(s.tokens, func(_ string, t TokenUse) bool { return !now.Before(t.Expires) })
	for member, list := range s.answers {
		fresh := func(a *Answer) bool { return now.Before(a.Expires) }
		if !slices.ContainsFunc(list, fresh) {
			delete(s.answers, member)
		} else if i := slices.IndexFunc(list, fresh); i > 0 {
			s.answers[member] = list[i:]
		}
	}
}

// sortedAnswers lists all answers by member, oldest first, and sortedTokens all
// token uses by ID: the canonical order of snapshots and hashes.
func (s *State) sortedAnswers() []memberAnswer {
	var list []memberAnswer
	for _, member := range slices.Sorted(maps.Keys(s.answers)) {
		for _, a := range s.answers[member] {
			list = append(list, memberAnswer{member: member, answer: *a})
		}
	}
	return list
}

func (s *State) sortedTokens() []TokenUse {
	return slices.SortedFunc(maps.Values(s.tokens), func(a, b TokenUse) int { return cmp.Compare(a.ID, b.ID) })
}

// Hash is a SHA-256 over the canonical form: equal states, and only those, have
// equal hashes.
func (s *State) Hash() [32]byte {
	h := canonical{sha256.New()}
	structure := s.Region.Hash()
	h.bytes(structure[:])
	h.number(uint64(s.Time.UnixMilli()))
	h.number(uint64(s.Revision))
	answers := s.sortedAnswers()
	h.number(uint64(len(answers)))
	for _, a := range answers {
		h.bytes([]byte(a.member))
		h.bytes([]byte(a.answer.RequestID))
		h.bytes(a.answer.Response)
		h.number(uint64(a.answer.Revision))
		h.number(uint64(a.answer.Expires.UnixMilli()))
	}
	tokens := s.sortedTokens()
	h.number(uint64(len(tokens)))
	for _, t := range tokens {
		h.bytes([]byte(t.ID))
		h.number(uint64(t.Expires.UnixMilli()))
		h.number(uint64(t.Count))
	}
	h.number(uint64(len(s.Children)))
	for _, c := range s.Children {
		sum := c.State.Hash()
		h.bytes(sum[:])
		for _, p := range c.Peers {
			h.bytes([]byte(p.Node))
			h.bytes([]byte(p.Address))
		}
	}
	h.number(uint64(fromTime(s.Bounded)))
	h.number(uint64(len(s.Verdicts)))
	for _, v := range s.Verdicts {
		h.bytes([]byte(v.Region))
		h.number(uint64(v.Attempt))
		if v.Absorbed {
			h.number(1)
		} else {
			h.number(0)
		}
	}
	h.number(uint64(len(s.Agreements)))
	for _, a := range s.Agreements {
		h.agreement(a)
	}
	h.bytes(s.Secrets.SigningSeed)
	h.number(uint64(len(s.Secrets.GossipKeys)))
	for _, k := range s.Secrets.GossipKeys {
		h.bytes(k)
	}
	return [32]byte(h.Sum(nil))
}

// canonical writes values so that no two sequences of values look alike.
type canonical struct{ hash.Hash }

func (c canonical) number(n uint64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	c.Write(b[:])
}

func (c canonical) bytes(b []byte) {
	c.number(uint64(len(b)))
	c.Write(b)
}
