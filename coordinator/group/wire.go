package group

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// An entry is a log entry in the model's terms.
type entry struct {
	change     region.Change
	hasChange  bool
	answers    []memberAnswer
	tokens     []TokenUse
	secrets    Secrets
	hasSecrets bool
	lost       []region.MemberID
	birth      *birth
	refused    *Verdict
	agreements []Agreement
	// next is what the change leads to; nil if that is not known. It is not in the log.
	next *region.Region
}

type memberAnswer struct {
	member region.MemberID
	answer Answer
}

// decodeEntry reads an entry back from the log, and toEntry judges it, which is also done
// before it goes there. What they refuse on the way out stops a replica.
func decodeEntry(data []byte) (entry, error) {
	var m skeinv1.Entry
	if err := proto.Unmarshal(data, &m); err != nil {
		return entry{}, fmt.Errorf("entry: %w: %w", region.ErrInvalid, err)
	}
	return toEntry(&m)
}

func toEntry(m *skeinv1.Entry) (entry, error) {
	if m.Version != EntryVersion {
		return entry{}, fmt.Errorf("entry of version %d, this program knows %d: %w", m.Version, EntryVersion, region.ErrInvalid)
	}
	var e entry
	var err error
	if m.Change != nil {
		e.hasChange = true
		if e.change, err = skeinv1.ToChange(m.Change); err != nil {
			return entry{}, fmt.Errorf("entry: %w", err)
		}
	}
	if e.answers, err = toAnswers(m.Answers); err != nil {
		return entry{}, err
	}
	if e.tokens, err = toTokenUses(m.TokenUses); err != nil {
		return entry{}, err
	}
	if m.Secrets != nil {
		e.hasSecrets = true
		if e.secrets, err = toSecrets(m.Secrets); err != nil {
			return entry{}, err
		}
	}
	if m.Birth != nil {
		if e.birth, err = toBirth(m.Birth); err != nil {
			return entry{}, err
		}
	}
	if m.Refused != nil {
		v, err := toVerdict(m.Refused)
		if err != nil || v.Absorbed {
			return entry{}, fmt.Errorf("entry: refused %s: %w", m.Refused.GetRegion(), region.ErrInvalid)
		}
		e.refused = &v
	}
	if e.agreements, err = toAgreements(m.Agreements); err != nil {
		return entry{}, fmt.Errorf("entry: %w", err)
	}
	for _, id := range m.Lost {
		e.lost = append(e.lost, region.MemberID(id))
	}
	return e, nil
}

func toAnswers(list []*skeinv1.Answer) ([]memberAnswer, error) {
	out := make([]memberAnswer, 0, len(list))
	for _, a := range list {
		if a.GetMember() == "" || a.GetRequestId() == "" {
			return nil, fmt.Errorf("entry: answer without member or request id: %w", region.ErrInvalid)
		}
		out = append(out, memberAnswer{
			member: region.MemberID(a.Member),
			answer: Answer{RequestID: a.RequestId, Response: a.Response, Revision: region.Revision(a.Revision), Expires: toTime(a.ExpiresMs)},
		})
	}
	return out, nil
}

func toTokenUses(list []*skeinv1.TokenUse) ([]TokenUse, error) {
	out := make([]TokenUse, 0, len(list))
	for _, t := range list {
		if t.GetId() == "" || t.GetCount() == 0 {
			return nil, fmt.Errorf("entry: token use without id or count: %w", region.ErrInvalid)
		}
		out = append(out, TokenUse{ID: t.Id, Expires: toTime(t.ExpiresMs), Count: t.Count})
	}
	return out, nil
}

func toSecrets(m *skeinv1.Secrets) (Secrets, error) {
	if len(m.SigningSeed) != 32 || len(m.GossipKeys) < 1 || len(m.GossipKeys) > 3 {
		return Secrets{}, fmt.Errorf("entry: secrets need a seed of 32 bytes and 1 to 3 gossip keys: %w", region.ErrInvalid)
	}
	for _, k := range m.GossipKeys {
		if len(k) != 32 {
			return Secrets{}, fmt.Errorf("entry: gossip key of %d bytes, not 32: %w", len(k), region.ErrInvalid)
		}
	}
	return Secrets{SigningSeed: m.SigningSeed, GossipKeys: m.GossipKeys}, nil
}

// encodeState is a snapshot of s, its hash included.
func encodeState(s *State) ([]byte, error) {
	data, err := proto.Marshal(fromState(s))
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return data, nil
}

func fromState(s *State) *skeinv1.Snapshot {
	sum := s.Hash()
	m := &skeinv1.Snapshot{
		Version: EntryVersion,
		Region:  skeinv1.FromSnapshot(s.Region.Snapshot()),
		Hash:    sum[:],
		TimeMs:  fromTime(s.Time),
		Index:   uint64(s.Revision),

		BoundedMs: fromTime(s.Bounded),
	}
	for _, v := range s.Verdicts {
		m.Verdicts = append(m.Verdicts, fromVerdict(v))
	}
	for _, a := range s.Agreements {
		m.Agreements = append(m.Agreements, FromAgreement(a))
	}
	if len(s.Secrets.SigningSeed) > 0 {
		m.Secrets = &skeinv1.Secrets{SigningSeed: s.Secrets.SigningSeed, GossipKeys: s.Secrets.GossipKeys}
	}
	for _, a := range s.sortedAnswers() {
		m.Answers = append(m.Answers, &skeinv1.Answer{
			Member: string(a.member), RequestId: a.answer.RequestID,
			Response: a.answer.Response, Revision: uint64(a.answer.Revision), ExpiresMs: fromTime(a.answer.Expires),
		})
	}
	for _, t := range s.sortedTokens() {
		m.TokenUses = append(m.TokenUses, &skeinv1.TokenUse{Id: t.ID, ExpiresMs: fromTime(t.Expires), Count: t.Count})
	}
	for _, c := range s.Children {
		m.Children = append(m.Children, &skeinv1.Child{State: fromState(c.State), Peers: fromPeers(c.Peers)})
	}
	return m
}

// decodeState rebuilds the state of a snapshot and compares its hash.
func decodeState(data []byte) (*State, error) {
	var m skeinv1.Snapshot
	if err := proto.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("snapshot: %w: %w", region.ErrInvalid, err)
	}
	return toState(&m)
}

func toState(m *skeinv1.Snapshot) (*State, error) {
	if m.GetVersion() != EntryVersion {
		return nil, fmt.Errorf("snapshot of version %d, this program knows %d: %w", m.GetVersion(), EntryVersion, region.ErrInvalid)
	}
	parts, err := skeinv1.ToSnapshot(m.Region)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	structure, err := region.Load(parts)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	s := &State{
		Region: structure, Time: toTime(m.TimeMs), Revision: region.Revision(m.Index),
		answers: map[region.MemberID][]*Answer{}, tokens: map[string]TokenUse{}, Bounded: toTime(m.BoundedMs),
	}
	for _, v := range m.Verdicts {
		verdict, err := toVerdict(v)
		if err != nil {
			return nil, err
		}
		s.Verdicts = append(s.Verdicts, verdict)
	}
	if s.Agreements, err = toAgreements(m.Agreements); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	answers, err := toAnswers(m.Answers)
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		s.answers[a.member] = append(s.answers[a.member], &a.answer)
	}
	tokens, err := toTokenUses(m.TokenUses)
	if err != nil {
		return nil, err
	}
	for _, t := range tokens {
		s.tokens[t.ID] = t
	}
	if m.Secrets != nil {
		if s.Secrets, err = toSecrets(m.Secrets); err != nil {
			return nil, err
		}
	}
	for _, c := range m.Children {
		state, err := toState(c.GetState())
		if err != nil {
			return nil, fmt.Errorf("child: %w", err)
		}
		s.Children = append(s.Children, Child{State: state, Peers: toPeers(c.GetPeers())})
	}
	if sum := s.Hash(); string(sum[:]) != string(m.Hash) {
		return nil, fmt.Errorf("snapshot: the state has hash %x, the snapshot says %x: it is damaged: %w", sum, m.Hash, region.ErrInvalid)
	}
	return s, nil
}

func fromTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func toTime(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// A staleError is the ErrRevision of an entry that was overtaken.
type staleError struct{ base, present region.Revision }

func (e *staleError) Error() string {
	return fmt.Sprintf("decided on revision %d, but the present one is %d", e.base, e.present)
}

func (e *staleError) Unwrap() error { return region.ErrRevision }
