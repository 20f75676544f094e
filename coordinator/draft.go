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
	change := region.Change{Time: d.now, Base: present, Edits: edits}
	if err := d.region.Apply(present+1, change); err != nil {
		return fmt.Errorf("carry out a decision: %w", err)
	}
	d.edits = append(d.edits, edits...)
	return nil
}

// decide lets r make its decision. An error leaves the draft as it was.
func (d *draft) decide(r *request) outcome {
	before := *d
	before.region = d.region.Clone()
	response, err := r.decide(d)
	if err != nil {
		*d = before
		return outcome{err: err}
	}
	changed := len(d.edits) > len(before.edits) || len(d.tokens) > len(before.tokens)
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
	return len(d.edits) == 0 && len(d.tokens) == 0 && d.secrets == nil
}

func (d *draft) full() bool { return len(d.edits) >= maxDraft }

// entry returns what is to be put into the log.
func (d *draft) entry() *skeinv1.Entry {
	return &skeinv1.Entry{
		Version:   group.EntryVersion,
		Change:    skeinv1.FromChange(region.Change{Time: d.now, Base: d.base, Edits: d.edits}),
		Answers:   d.answers,
		TokenUses: d.tokens,
		Lost:      d.lost,
		Secrets:   d.secrets,
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
