package region

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// FuzzOperations reads bytes as the requests of members: whatever they ask, the
// decisions can be applied, every invariant holds after each, nobody else's
// copy changes, and the region can be written down and read again.
func FuzzOperations(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(randomBytes(seed, 400))
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) > 4000 {
			t.Skip("long enough")
		}
		operate(t, ops)
	})
}

func TestRandomOperations(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { operate(t, randomBytes(1000+seed, 1500)) })
	}
}

func randomBytes(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// An operator turns bytes into requests.
type operator struct {
	*world
	bytes []byte
}

func (o *operator) next() int {
	if len(o.bytes) == 0 {
		return 0
	}
	b := o.bytes[0]
	o.bytes = o.bytes[1:]
	return int(b)
}

const operands = 20

func (o *operator) member() int      { return o.next() % operands }
func (o *operator) stream() StreamID { return StreamID("s" + string(rune('0'+o.next()%3))) }

func operate(t *testing.T, ops []byte) {
	rng := rand.New(rand.NewPCG(7, 7))
	o := &operator{world: newWorld(t, operands-2, newPlane(operands, rng, 0.5)), bytes: ops}
	var witness *Region
	var witnessed string
	for len(o.bytes) > 0 {
		op := o.next()
		if op%16 == 0 {
			if witness != nil && witness.Describe() != witnessed {
				t.Fatalf("a clone has changed:\n%s\nwas\n%s", witness.Describe(), witnessed)
			}
			witness = o.r.Clone()
			witnessed = witness.Describe()
		}
		if op%16 == 15 {
			o.meddle()
			continue
		}
		before := o.r.Hash()
		edits := o.request(op)
		if o.r.Hash() != before {
			t.Fatalf("request %d changed the region", op%16)
		}
		o.apply(edits)
	}
	loaded, err := Load(o.r.Snapshot())
	if err != nil {
		t.Fatalf("load: %v\n%s", err, o.r.Describe())
	}
	if loaded.Hash() != o.r.Hash() || !reflect.DeepEqual(loaded.Snapshot(), o.r.Snapshot()) {
		t.Fatalf("loaded\n%s\nsaved\n%s", loaded.Describe(), o.r.Describe())
	}
}

// request decides what op asks for. Errors are fine: many requests make no sense.
func (o *operator) request(op int) (edits []Edit) {
	uplinks := []Rate{0, 0, 900, 2000, 5000, 12000}
	switch op % 16 {
	case 2:
		edits = o.delegate()
	case 0, 1:
		m := Member{ID: memberID(o.member()), Uplink: uplinks[o.next()%len(uplinks)], Forward: time.Millisecond}
		m.Leaf = m.Uplink / 4 * Rate(o.next()%2)
		if held, ok := o.r.Member(m.ID); ok && o.next()%4 > 0 {
			m.Lease = held.Lease
		}
		edits, _, _ = o.r.Join(m, o.now, o.rtt)
	case 3:
		var err error
		m := memberID(o.member())
		if edits, err = o.r.Leave(m, 0, o.now, o.rtt); err != nil && !errors.Is(err, ErrUnknownMember) {
			o.Fatalf("%s cannot leave: %v\n%s", m, err, o.r.Describe())
		}
	case 4:
		s := Stream{ID: o.stream(), Origin: memberID(o.member()), Kind: Video, Layers: []Rate{300, 700}}
		if s.ID == "s1" {
			s.Kind, s.Layers = Audio, []Rate{500}
		}
		edits, _, _ = o.r.Publish(s, 0, o.now)
	case 5:
		if o.next()%4 == 0 {
			s, _ := o.r.Stream(o.stream())
			edits, _ = o.r.Unpublish(s.ID, s.Origin, 0)
		} else {
			edits = o.r.Remeasure(o.stream(), newPlane(operands, rand.New(rand.NewPCG(uint64(op), 7)), 0.5))
		}
	case 6, 7, 8:
		edits = o.ask(Admission{Cause: Joining, Place: true})
	case 9:
		edits = o.ask(Admission{Cause: Cause(1 + o.next()%4)})
	case 10:
		edits, _ = o.r.Release(o.stream(), memberID(o.member()), 0, o.now, o.rtt)
	case 11, 12:
		s := o.stream()
		for n := range o.r.Nodes(s) {
			if o.next()%3 > 0 {
				edits = append(edits, o.r.Confirmed(s, n.Member, n.Parent)...)
			}
		}
	case 13:
		o.now = o.now.Add(time.Duration(o.next()) * 50 * time.Millisecond)
		edits = o.r.Expire(o.now, o.rtt)
	case 14:
		edits = o.r.Improve(o.stream(), 0, o.now, 10*time.Second, o.rtt)
	}
	return edits
}

// delegate asks for a leaf budget; one that is to be lowered is, to the last kbit/s.
func (o *operator) delegate() []Edit {
	held, known := o.r.Member(memberID(o.member()))
	want := Rate(o.next()) * 25
	edits, err := o.r.Delegate(held.ID, held.Lease, want)
	if known && err != nil {
		o.Fatalf("%s cannot be given a leaf budget of %d: %v\n%s", held.ID, want, err, o.r.Describe())
	}
	next := held.Leaf
	for _, e := range edits {
		next = e.(PutMember).Member.Leaf
	}
	if want <= held.Leaf && next > want || next > max(held.Uplink/2, held.Leaf) {
		o.Fatalf("%s asked for a leaf budget of %d, had %d and was given %d of %d", held.ID, want, held.Leaf, next, held.Uplink)
	}
	return edits
}

// ask locates, ranks, and asks for admission as a member does; some ask for
// places that nobody offered them.
func (o *operator) ask(a Admission) []Edit {
	a.Stream, a.Child = o.stream(), memberID(o.member())
	a.Layers = LayerMask(o.next() % 4)
	if v, err := o.r.View(a.Stream, a.Child, a.Layers, o.rtt); err == nil {
		self := Self{ID: a.Child, Free: o.r.Free(a.Child), Layers: a.Layers, Forward: time.Millisecond}
		a.Proposals = Rank(&v, self, nil, nil)
	}
	if n, ok := o.r.Node(a.Stream, a.Child); ok && a.Cause == Orphaned && len(n.Standbys) > 0 {
		a.Proposals = []Proposal{{Parent: n.Standbys[o.next()%len(n.Standbys)]}}
	}
	for range o.next() % 3 {
		a.Proposals = append(a.Proposals, Proposal{
			Parent: memberID(o.member()), Displaced: memberID(o.member()), ParentDelay: time.Second, RTT: time.Duration(o.next()) * time.Millisecond,
		})
	}
	edits, decision, err := o.r.Admit(a, o.now, 10*time.Second, o.rtt)
	if err == nil && !decision.OK && len(decision.Refusals) != len(a.Proposals) {
		o.Fatalf("%d proposals, %d refusals", len(a.Proposals), len(decision.Refusals))
	}
	if decision.OK {
		after, err := o.r.After(o.rev+1, Change{Time: o.now, Edits: edits})
		if next := decision.Next(o.rev+1, o.now); err != nil || next.Hash() != after.Hash() || next.Check() != nil {
			o.Fatalf("%v; decided was\n%s\nthe edits lead to\n%s", err, next.Describe(), after.Describe())
		}
	}
	return edits
}

// meddle applies an edit that nobody decided: it is refused whole, or does no harm.
func (o *operator) meddle() {
	a, b, c, s := memberID(o.member()), memberID(o.member()), memberID(o.member()), o.stream()
	n, _ := o.r.Node(s, a)
	n.Member, n.Parent = a, b
	n.Layers = max(n.Layers, 1)
	if n.State == 0 {
		n.State = Standing
	}
	if o.next()%2 == 0 && n.Old == "" {
		n.State, n.Deadline, n.Old, n.Heir = Reserved, o.now.Add(time.Second), c, memberID(o.member())
	}
	edits := []Edit{
		SetNode{s, n}, DropNode{s, a}, SetStandbys{s, a, []MemberID{b, c}}, Confirm{s, a}, DropMember{a, 0}, DropStream{s},
		PutMember{Member{ID: a, Lease: Lease(o.next()), Uplink: Rate(o.next()) * 50}}, SetGeneration{Generation(o.next())},
	}
	change := Change{Time: o.now, Edits: []Edit{edits[o.next()%len(edits)], edits[o.next()%len(edits)]}}
	before, text := o.r.Hash(), o.r.Describe()
	o.rev++
	if err := o.r.Apply(o.rev, change); err != nil {
		o.rev--
		if o.r.Hash() != before {
			o.Fatalf("%v: refused, but\n%s\nbecame\n%s", err, text, o.r.Describe())
		}
	}
	if err := o.r.Check(); err != nil {
		o.Fatalf("%v\nafter %+v on\n%s", err, change.Edits, text)
	}
}
