package region

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts in testdata print into them")

// TestScripts plays the stories in testdata. A story is prose (lines that begin
// with #) and steps: a line with a command, "----", what it prints, an empty
// line. Commands are documented where they are carried out.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { play(t, file) })
	}
}

func play(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{TB: t, r: New("r1", 8), rtts: pairs{}, now: epoch}
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		out.WriteString(lines[i] + "\n")
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			continue
		}
		command := lines[i]
		var want strings.Builder
		for i++; i < len(lines) && lines[i] != ""; i++ {
			if lines[i] != "----" {
				want.WriteString(lines[i] + "\n")
			}
		}
		got := s.run(strings.Fields(command))
		if err := s.r.Check(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, s.r.Describe())
		}
		if got != want.String() && !*rewrite {
			t.Errorf("%s\nprints\n%s\nnot\n%s", command, got, want.String())
		}
		out.WriteString("----\n" + got + "\n")
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// pairs are RTTs by name; whatever is not named is 20 ms away.
type pairs map[[2]MemberID]time.Duration

func (p pairs) RTT(a, b MemberID) (time.Duration, bool) {
	if d, ok := p[[2]MemberID{min(a, b), max(a, b)}]; ok {
		return d, true
	}
	return 20 * time.Millisecond, true
}

type script struct {
	testing.TB
	r    *Region
	rtts pairs
	now  time.Time
	args []string
}

// run carries out one command and returns what it prints: an error, or the
// answer and the tree it has led to.
func (s *script) run(words []string) string {
	s.args = words[1:]
	switch words[0] {
	case "rtt", "price", "wait":
		return s.world(words[0])
	case "join", "leave", "publish", "unpublish", "delegate":
		return s.stay(words[0])
	case "confirm", "release", "expire", "improve":
		return s.tree(words[0])
	case "admit":
		return s.admit()
	case "rank":
		return s.rank()
	case "move":
		return s.move()
	case "edit":
		return s.edit()
	case "show": // show, or show S
		if len(s.args) > 0 {
			return s.r.DescribeTree(StreamID(s.word()))
		}
		return s.r.Describe()
	}
	s.Fatalf("unknown command %q", words[0])
	return ""
}

func (s *script) world(command string) string {
	switch command {
	case "rtt": // rtt A B 40ms
		a, b := MemberID(s.word()), MemberID(s.word())
		s.rtts[[2]MemberID{min(a, b), max(a, b)}] = s.duration(s.word())
	case "price": // price hazard=10s link=2ms reserved=2ms standbys=4: sets the policy
		s.r.Policy.HazardWeight = s.duration(s.option("hazard", "0s"))
		s.r.Policy.NewLink = s.duration(s.option("link", "0s"))
		s.r.Policy.Reserved = s.duration(s.option("reserved", "0s"))
		s.r.Policy.Standbys = s.number(s.option("standbys", "4"))
	case "wait": // wait 5s
		s.now = s.now.Add(s.duration(s.word()))
	}
	return ""
}

func (s *script) stay(command string) string {
	switch command {
	case "join": // join A uplink=1000 leaf=0 lease=0 forward=1ms
		m := Member{
			ID: MemberID(s.word()), Uplink: Rate(s.number(s.option("uplink", "0"))), Leaf: Rate(s.number(s.option("leaf", "0"))),
			Lease: Lease(s.number(s.option("lease", "0"))), Forward: s.duration(s.option("forward", "1ms")),
		}
		edits, m, err := s.r.Join(m, s.now, s.rtts)
		return s.apply(edits, err, "", fmt.Sprintf("%s has lease %d\n", m.ID, m.Lease))
	case "leave": // leave A lease=0
		edits, err := s.r.Leave(MemberID(s.word()), Lease(s.number(s.option("lease", "0"))), s.now, s.rtts)
		return s.apply(edits, err, "*", "")
	case "publish": // publish S A layers=1000,2000 kind=video
		stream := Stream{ID: StreamID(s.word()), Origin: MemberID(s.word()), Kind: Video, Codec: s.option("codec", "VP8")}
		if s.option("kind", "video") == "audio" {
			stream.Kind = Audio
		}
		for _, l := range strings.Split(s.option("layers", "1000"), ",") {
			stream.Layers = append(stream.Layers, Rate(s.number(l)))
		}
		edits, stream, err := s.r.Publish(stream, Lease(s.number(s.option("lease", "0"))), s.now)
		return s.apply(edits, err, stream.ID, "")
	case "delegate": // delegate A 500 lease=0
		m, want := MemberID(s.word()), Rate(s.number(s.word()))
		edits, err := s.r.Delegate(m, Lease(s.number(s.option("lease", "0"))), want)
		answer := s.apply(edits, err, "", "")
		if held, ok := s.r.Member(m); ok && err == nil {
			answer += fmt.Sprintf("%s may give %d by itself, sends %d of %d\n", m, held.Leaf, s.r.Sending(m), held.Uplink)
		}
		return answer
	case "unpublish": // unpublish S A
		edits, err := s.r.Unpublish(StreamID(s.word()), MemberID(s.word()), 0)
		return s.apply(edits, err, "*", "")
	}
	return ""
}

func (s *script) tree(command string) string {
	switch command {
	case "confirm": // confirm S A P
		stream := StreamID(s.word())
		return s.apply(s.r.Confirmed(stream, MemberID(s.word()), MemberID(s.word())), nil, stream, "")
	case "release": // release S A
		stream := StreamID(s.word())
		edits, err := s.r.Release(stream, MemberID(s.word()), Lease(s.number(s.option("lease", "0"))), s.now, s.rtts)
		return s.apply(edits, err, stream, "")
	case "expire":
		return s.apply(s.r.Expire(s.now, s.rtts), nil, "*", "")
	case "improve": // improve S gain=0.01
		stream := StreamID(s.word())
		gain, _ := strconv.ParseFloat(s.option("gain", "0"), 64)
		return s.apply(s.r.Improve(stream, gain, s.now, 10*time.Second, s.rtts), nil, stream, "")
	}
	return ""
}

// admit S A [cause=orphaned] [layers=01] [avoid=B,C] [place] [P@10ms/D ...]:
// proposals name the parent, its delay as believed, and whom to displace.
func (s *script) admit() string {
	causes := map[string]Cause{"orphaned": Orphaned, "gateway": Gateway, "joining": Joining, "improving": Improving}
	a := Admission{Cause: causes[s.option("cause", "joining")], Lease: Lease(s.number(s.option("lease", "0")))}
	layers, err := strconv.ParseUint(s.option("layers", "0"), 2, 16)
	if err != nil {
		s.Fatal(err)
	}
	a.Layers = LayerMask(layers)
	if avoid := s.option("avoid", ""); avoid != "" {
		for _, m := range strings.Split(avoid, ",") {
			a.Avoid = append(a.Avoid, MemberID(m))
		}
	}
	a.Stream, a.Child = StreamID(s.word()), MemberID(s.word())
	for len(s.args) > 0 {
		word := s.word()
		if word == "place" {
			a.Place = true
			continue
		}
		place, displaced, _ := strings.Cut(word, "/")
		parent, delay, believed := strings.Cut(place, "@")
		p := Proposal{Parent: MemberID(parent), Displaced: MemberID(displaced)}
		if p.ParentDelay, _ = s.r.Delay(a.Stream, p.Parent); believed {
			p.ParentDelay = s.duration(delay)
		}
		a.Proposals = append(a.Proposals, p)
	}
	edits, d, err := s.r.Admit(a, s.now, 10*time.Second, s.rtts)
	var answer strings.Builder
	for _, r := range d.Refusals {
		fmt.Fprintf(&answer, "refused %s%s: %s\n", r.Proposal.Parent, strings.TrimSuffix("/"+string(r.Proposal.Displaced), "/"), r.Reason)
	}
	if !d.OK {
		answer.WriteString("refused\n")
		return s.apply(edits, err, "", answer.String())
	}
	return s.apply(edits, err, a.Stream, answer.String())
}

// rank S A: the view of A and the proposals it would make of it.
func (s *script) rank() string {
	stream, self := StreamID(s.word()), MemberID(s.word())
	v, err := s.r.View(stream, self, 0, s.rtts)
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	for _, c := range v.Candidates {
		fmt.Fprintf(&b, "%s delay %s free %d subtree %d", c.Member, shortDelay(c.Delay), c.Free, c.Subtree)
		if c.Weakest != "" {
			fmt.Fprintf(&b, " weakest %s", c.Weakest)
		}
		b.WriteByte('\n')
	}
	m, _ := s.r.Member(self)
	for _, p := range Rank(&v, Self{ID: self, Free: s.r.Free(self), Forward: m.Forward}, nil, nil) {
		fmt.Fprintf(&b, "-> %s%s\n", p.Parent, strings.TrimSuffix("/"+string(p.Displaced), "/"))
	}
	return b.String()
}

// move S A>P B>Q: the steps of one move.
func (s *script) move() string {
	stream := StreamID(s.word())
	var steps []Step
	for len(s.args) > 0 {
		m, to, _ := strings.Cut(s.word(), ">")
		n, _ := s.r.Node(stream, MemberID(m))
		steps = append(steps, Step{stream, MemberID(m), n.Parent, MemberID(to)})
	}
	edits, err := s.r.Move(steps, s.now, 10*time.Second, s.rtts)
	return s.apply(edits, err, stream, "")
}

// edit applies an edit as it is: edit set S A P [old=B heir=C standbys=D,E] |
// drop S A | standbys S A B,C | stream S | member A lease=1 | generation 3.
func (s *script) edit() string {
	var e Edit
	standbys := func(list string) (ids []MemberID) {
		for _, id := range strings.Split(list, ",") {
			if id != "" {
				ids = append(ids, MemberID(id))
			}
		}
		return ids
	}
	switch kind := s.word(); kind {
	case "set":
		n := Node{Layers: 1, State: Standing, Old: MemberID(s.option("old", "")), Heir: MemberID(s.option("heir", "")), Standbys: standbys(s.option("standbys", ""))}
		if n.Old != "" {
			n.State, n.Deadline = Reserved, s.now.Add(time.Second)
		}
		stream := StreamID(s.word())
		n.Member, n.Parent = MemberID(s.word()), MemberID(s.word())
		e = SetNode{stream, n}
	case "drop":
		e = DropNode{StreamID(s.word()), MemberID(s.word())}
	case "standbys":
		e = SetStandbys{StreamID(s.word()), MemberID(s.word()), standbys(s.word())}
	case "stream":
		e = DropStream{StreamID(s.word())}
	case "member":
		e = DropMember{MemberID(s.word()), Lease(s.number(s.option("lease", "0")))}
	case "generation":
		e = SetGeneration{Generation(s.number(s.word()))}
	default:
		s.Fatalf("unknown edit %q", kind)
	}
	return s.apply([]Edit{e}, nil, "*", "")
}

// apply carries out what was decided; show names the stream to draw afterwards,
// or * for all.
func (s *script) apply(edits []Edit, err error, show StreamID, answer string) string {
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	if len(edits) > 0 {
		change := Change{Time: s.now, Base: s.r.Revision(), Edits: edits}
		if err := s.r.Apply(s.r.Revision()+1, change); err != nil {
			return "error: " + err.Error() + "\n"
		}
	} else {
		answer += "no change\n"
	}
	for stream := range s.r.Streams() {
		if show == "*" || show == stream.ID {
			answer += s.r.DescribeTree(stream.ID)
		}
	}
	return answer
}

func (s *script) word() string {
	if len(s.args) == 0 {
		s.Fatal("a word is missing")
	}
	w := s.args[0]
	s.args = s.args[1:]
	return w
}

// option takes name=value out of the words, wherever it stands.
func (s *script) option(name, otherwise string) string {
	i := slices.IndexFunc(s.args, func(a string) bool { return strings.HasPrefix(a, name+"=") })
	if i < 0 {
		return otherwise
	}
	value := s.args[i][len(name)+1:]
	s.args = slices.Delete(slices.Clone(s.args), i, i+1)
	return value
}

func (s *script) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.Fatal(err)
	}
	return d
}

func (s *script) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.Fatal(err)
	}
	return n
}
