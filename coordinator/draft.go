package coordinator

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein/coordinator/group"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// answerTTL is how long a request may be repeated with the same id.
	answerTTL = 2 * time.Minute
	// maxDraft bounds the edits of a draft that takes in another request, so
	// that the entry stays well below group.MaxEntry.
	maxDraft = 1024
)

// A draft is a log entry in the making: what was decided so far, and the
// structure as it will be then. It is owned by decider.run.
type draft struct {
	state  *group.State
	region *region.Region
	base   region.Revision
	now    time.Time
	hold   time.Duration
	rtt    region.RTT

	edits   []region.Edit
	answers []*skeinv1.Answer
	tokens  []*skeinv1.TokenUse
	lost    []string
	secrets *skeinv1.Secrets
	// birth goes with a division; refused is a region that is not taken in.
	birth   *skeinv1.Birth
	refused *skeinv1.Verdict
	// agreements with other communities begin or end.
	agreements []*skeinv1.Agreement
}

func newDraft(state *group.State, now time.Time, hold time.Duration, rtt region.RTT) *draft {
	return &draft{
		state: state, region: state.Region, base: state.Region.Revision(),
		// Whoever reads the entry sees whole milliseconds.
		now: now.UTC().Truncate(time.Millisecond), hold: hold, rtt: rtt,
	}
}

// carry carries out a decision.
func (d *draft) carry(edits []region.Edit) error {
	if len(edits) == 0 {
		return nil
	}
	present := d.region.Revision()
	next, err := d.region.After(present+1, region.Change{Time: d.now, Base: present, Edits: edits})
	if err != nil {
		return fmt.Errorf("carry out a decision: %w", err)
	}
	d.region, d.edits = next, append(d.edits, edits...)
	return nil
}

// take carries out an admission that was just decided on the draft.
func (d *draft) take(edits []region.Edit, decision region.Decision) error {
	if !decision.OK || len(edits) == 0 {
		return d.carry(edits)
	}
	d.region, d.edits = decision.Next(d.region.Revision()+1, d.now), append(d.edits, edits...)
	return nil
}

// decide lets r make its decision. An error leaves the draft as it was.
func (d *draft) decide(r *request) outcome {
	before := *d
	response, err := r.decide(d)
	if err != nil {
		*d = before
		return outcome{err: err}
	}
	changed := len(d.edits) > len(before.edits) || len(d.tokens) > len(before.tokens) || len(d.agreements) > len(before.agreements)
	if r.id == "" || !changed {
		return outcome{response: response}
	}
	d.answers = append(d.answers, &skeinv1.Answer{
		Member:    string(r.member),
		RequestId: r.id,
		Response:  response,
		ExpiresMs: d.now.Add(answerTTL).UnixMilli(),
	})
	return outcome{response: response}
}

func (d *draft) empty() bool {
	return len(d.edits) == 0 && len(d.tokens) == 0 && d.secrets == nil && d.refused == nil && len(d.agreements) == 0
}

func (d *draft) full() bool { return len(d.edits) >= maxDraft }

// next is what the entry leads to, if all its edits are of trees: they are numbers and
// names, which the log holds as they are.
func (d *draft) next() *region.Region {
	for _, e := range d.edits {
		switch e.(type) {
		case region.SetNode, region.SetStandbys, region.Confirm, region.DropNode:
		default:
			return nil
		}
	}
	return d.region
}

// entry returns what is to be put into the log.
func (d *draft) entry() *skeinv1.Entry {
	return &skeinv1.Entry{
		Version:   group.EntryVersion,
		Change:    skeinv1.FromChange(region.Change{Time: d.now, Base: d.base, Edits: d.edits}),
		Answers:   d.answers,
		TokenUses: d.tokens,
		Lost:      d.lost,
		Secrets:   d.secrets,
		Birth:     d.birth,
		Refused:   d.refused,

		Agreements: d.agreements,
	}
}

// tokenUses counts the uses of a join token, those of this draft included.
func (d *draft) tokenUses(id string) uint32 {
	n := d.state.TokenUses(id)
	for _, t := range d.tokens {
		if t.Id == id {
			n += t.Count
		}
	}
	return n
}

// marshal serializes an answer.
func marshal(m proto.Message) ([]byte, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("marshal an answer: %w", err)
	}
	return b, nil
}

// unmarshal reads a stored answer.
func unmarshal(response []byte, m proto.Message) error {
	if err := proto.Unmarshal(response, m); err != nil {
		return fmt.Errorf("read a stored answer: %w", err)
	}
	return nil
}
