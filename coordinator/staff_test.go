package coordinator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator/directory"
	"github.com/skein-mesh/skein/coordinator/group"
	"github.com/skein-mesh/skein/region"
)

// staffed reads a group and a pool: "a b! c- d? | e f@s" is a group of a (the
// leader), b (silent for long), c (without a vote) and d (silent for a moment); e and f
// (at the site s) are other coordinators, and so are those of the group that answer.
// x* retires, x+9 is 9 ms away, x% has only just come, and x~ is a volunteer. Behind a second bar are volunteers
// that do not serve.
func staffed(text string) staff {
	s := staff{
		pool: map[region.MemberID]directory.Coordinator{}, settled: map[region.MemberID]bool{},
		offers: map[region.MemberID]directory.Coordinator{},
	}
	in, out, _ := strings.Cut(text, "|")
	out, offered, _ := strings.Cut(out, "|")
	meet := func(word string) region.MemberID {
		c := directory.Coordinator{MaxGroups: 64, Known: true, RTT: 10 * time.Millisecond}
		name, site, _ := strings.Cut(word, "@")
		c.Site = site
		if before, far, ok := strings.Cut(name, "+"); ok {
			var ms int
			if _, err := fmt.Sscan(far, &ms); err != nil {
				panic(err)
			}
			name, c.RTT = before, time.Duration(ms)*time.Millisecond
		}
		c.Retiring, c.Volunteer = strings.Contains(name, "*"), strings.Contains(name, "~")
		c.ID = region.MemberID(strings.TrimRight(name, "!-?*~%"))
		if !strings.Contains(name, "!") {
			s.settled[c.ID] = !strings.Contains(name, "%")
			if !strings.Contains(name, "?") {
				s.pool[c.ID] = c
			}
		}
		return c.ID
	}
	for i, word := range strings.Fields(in) {
		r := group.Replica{Node: meet(word), Voter: !strings.Contains(word, "-")}
		switch {
		case strings.Contains(word, "!"):
			r.Heard = time.Hour
		case strings.Contains(word, "?"):
			r.Heard = 30 * time.Second
		}
		if i == 0 {
			s.self = r.Node
		}
		s.replicas = append(s.replicas, r)
	}
	for _, word := range strings.Fields(out) {
		meet(word)
	}
	for _, word := range strings.Fields(offered) {
		id := meet(word)
		s.offers[id] = s.pool[id]
		delete(s.pool, id)
	}
	return s
}

func TestAGroupIsKeptWhole(t *testing.T) {
	for _, c := range []struct{ group, step string }{
		{"a b c | d e", "nothing"},
		{"a b c? | d e", "nothing"},
		{"a b c! | d e", "add d"},
		{"a b c!", "nothing"}, // nobody could replace it, so it is not removed
		{"a b c! d- | e", "add d"},
		{"a b c! d | e", "remove c"},
		{"a b c! d!", "nothing"},
		{"a b d c", "remove d"}, // the one that was silent is back
		{"a | b c", "add b"},
		{"a b | c", "add c"},
		{"a b", "nothing"},
		{"a b c d e!", "nothing"}, // five stay five
		{"a b c d e! | f", "add f"},
		{"a b c d e! f", "remove e"},
		{"a b c d-", "remove d"},
		{"a b c d!-", "remove d"},
		{"a b c* | d", "add d"},
		{"a b c* d", "remove c"},
		{"a* b c d", "hand over a"},
		{"a* b c", "nothing"},
		{"a b c! | d*", "nothing"},
		{"a@x b@y c! | d@x e@z", "add e"},
		{"a@x b@y c! | d@x e@y", "add d"}, // no choice
		{"a@x b@x c@y | d@z", "add d"},    // better placed
		{"a@x b@x c@y d@z", "remove b"},
		{"a@x b@y c@z | d@v", "nothing"},
		{"a b+20 c+200 | d+15", "add d"},
		{"a b+20 c+200 d+15", "remove c"},
		{"a b+20 c+30 | d+15", "nothing"},
		{"a b c | | d~", "nothing"},
		{"a b c? | | d~", "nothing"},
		{"a b c! | | d~", "invite d"},
		{"a b c! | d | e~", "add d"},    // who does nothing else comes first
		{"a b c! | d% | e~", "nothing"}, // and is waited for
		{"a@x b@y c! | | d~@x e~@z", "invite e"},
		{"a@x b@y c! | | d~@x e~@y", "invite d"}, // no choice
		{"a b c! | | d~+90 e~+20", "invite e"},
		{"a b c! d~ | | e~", "remove c"},
		{"a b d~ | c", "add c"}, // one that does nothing else is back
		{"a b d~ | c%", "nothing"},
		{"a b d~ c- |", "add c"},
		{"a b d~ c |", "remove d"},
		{"a@x b@y d~@z | c@y", "add c"},
		{"a@x b@y d~@z c@y", "remove d"},
		{"d~ a b | c", "add c"},
		{"d~ a b c |", "hand over d"},
		{"d~ a b", "nothing"},
		{"a b d~* | | e~", "invite e"}, // one that does badly is kept until there is another
		{"a b d~*", "nothing"},
		{"a b d~* e~", "remove d"},
	} {
		next := DefaultHealing().next(staffed(c.group))
		if got := strings.TrimSpace(next.do.String() + " " + string(next.node)); got != c.step {
			t.Errorf("%s: %s, want %s", c.group, got, c.step)
		}
	}
}

// What an operator has moved is not moved to a better place, and is repaired still.
func TestAGroupStaysWhereItWasPut(t *testing.T) {
	for group, want := range map[string]step{
		"a b+20 c+200 | d+15":  {},
		"a@x b@x c@y | d@z":    {},
		"a b c+200! | d":       {add, "d"},
		"a b+20 c+200 d+15":    {remove, "c"},
		"a b+20 c+200 d+15- e": {remove, "c"},
	} {
		s := staffed(group)
		s.placed = true
		if got := DefaultHealing().next(s); got != want {
			t.Errorf("%s: %v %s, want %v %s", group, got.do, got.node, want.do, want.node)
		}
	}
}

func TestWhoIsMeantByAnOrder(t *testing.T) {
	for _, c := range []struct{ group, from, to, want string }{
		{"a b c | d e", "b", "e", "b to e"},
		{"a b c | d e", "a", "d", "a to d"},
		{"a b+20 c+10 | d", "", "d", "b to d"}, // the farthest goes
		{"a b c | d+20 e+10", "c", "", "c to e"},
		{"a b+20 c+200 | d", "", "", "c to d"},
		{"a b c! | d", "c", "d", "c to d"},
		{"a b c d", "b", "d", "b to d"}, // it was added by an order that ended there
		{"a b+20 c d+90", "", "d", "b to d"},
		{"a b c d- | e", "b", "d", "b to d"},
		{"a | b", "a", "b", "a to b"},
		{"a | b", "", "b", "invalid"}, // only the leader could go
		{"a b c | d", "x", "d", "invalid"},
		{"a b c | d", "d", "", "invalid"},
		{"a b c | d", "b", "x", "invalid"},
		{"a b c | d", "b", "c", "invalid"},
		{"a b c | d", "b", "b", "invalid"},
		{"a b c | d*", "b", "d", "limit reached"},
		{"a b c", "b", "", "limit reached"},
	} {
		from, to, err := staffed(c.group).relocation(c.from, c.to)
		got := fmt.Sprintf("%s to %s", from, to)
		for _, e := range []error{region.ErrInvalid, region.ErrLimit} {
			if errors.Is(err, e) {
				got = e.Error()
			}
		}
		if got != c.want {
			t.Errorf("%s: from %q to %q: %s (%v), want %s", c.group, c.from, c.to, got, err, c.want)
		}
	}
}

// Whatever dies and comes back: one step at a time a group comes to rest, whole if
// there is anybody to host it, and no step takes a vote away while fewer than wanted
// would be left that live.
func TestAGroupComesToRest(t *testing.T) {
	for seed := range uint64(500) {
		chance := rand.New(rand.NewPCG(seed, 3))
		h := DefaultHealing()
		var words [2][]string
		for i := range 3 + chance.IntN(6) {
			word, in := string(rune('a'+i)), 0
			if i == 2 && chance.IntN(2) == 0 {
				word += "!"
			}
			if i >= 3 {
				in = 1
			}
			words[in] = append(words[in], word+[]string{"", "@x", "@y", "@z"}[chance.IntN(4)])
		}
		s := staffed(strings.Join(words[0], " ") + " | " + strings.Join(words[1], " "))
		alive := func() (n int) {
			for _, r := range s.replicas {
				if r.Voter && r.Heard < h.ReplaceAfter {
					n++
				}
			}
			return n
		}
		steps, could := 0, alive()+len(words[1])
		for next := h.next(s); next.do != nothing; next = h.next(s) {
			if steps++; steps > 20 {
				t.Fatalf("seed %d does not come to rest: %+v", seed, s.replicas)
			}
			before := alive()
			switch next.do {
			case add:
				s.replicas = append(s.replicas, group.Replica{Node: next.node, Voter: true})
			case remove:
				for i, r := range s.replicas {
					if r.Node == next.node {
						s.replicas = append(s.replicas[:i:i], s.replicas[i+1:]...)
						break
					}
				}
				if now := alive(); now < min(before, h.Replicas) {
					t.Errorf("seed %d: %d replicas live after one was removed", seed, now)
				}
			}
		}
		if alive() < min(h.Replicas, could) {
			t.Errorf("seed %d: %d replicas live, %d could: %+v", seed, alive(), could, s.replicas)
		}
	}
}
