package cells

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

var (
	begin = time.Unix(1000, 0)
	local Source
	other = Source{Region: "r2"}
	owner = Source{Region: "r3", Owner: true}
)

func at(x int32) Key { return Key{region.Space{ID: "plaza", Edge: 64}, region.Cell{X: x}} }

func who(id string, x float64) region.Bystander {
	return region.Bystander{Who: region.PresenceID(id), Place: region.Place{X: x}}
}

func (b *Book) names(k Key) (list []string) {
	b.In(k, func(o *Occupant) bool { list = append(list, string(o.Who)); return true })
	slices.Sort(list)
	return list
}

func TestSomebodyIsInOneCell(t *testing.T) {
	b := NewBook()
	_ = b.Put(at(0), who("a", 1), local, time.Time{})
	_ = b.Put(at(1), who("a", 65), local, time.Time{})
	if b.names(at(0)) != nil || !slices.Equal(b.names(at(1)), []string{"a"}) {
		t.Errorf("%v and %v", b.names(at(0)), b.names(at(1)))
	}
	b.DropFrom(at(0), "a", local)
	if b.Len() != 1 {
		t.Error("dropped from a cell it was not in")
	}
	b.Drop("a", other)
	if b.Len() != 1 {
		t.Error("dropped by somebody who had not said so")
	}
	b.Drop("a", local)
	if b.Len() != 0 {
		t.Error("still there")
	}
}

func TestASessionKnowsBest(t *testing.T) {
	b := NewBook()
	_ = b.Put(at(0), who("a", 1), local, time.Time{})
	_ = b.Put(at(5), who("a", 330), owner, time.Time{})
	if b.names(at(5)) != nil {
		t.Error("an owner's old word counts more than the session's")
	}
}

func TestWordsRunOut(t *testing.T) {
	b := NewBook()
	_ = b.Put(at(0), who("a", 1), other, begin.Add(30*time.Second))
	_ = b.Put(at(0), who("b", 1), local, time.Time{})
	b.Sweep(begin.Add(29 * time.Second))
	_ = b.Put(at(0), who("a", 1), other, begin.Add(60*time.Second)) // said again
	if b.Sweep(begin.Add(59 * time.Second)); b.Len() != 2 {
		t.Error("forgotten too soon")
	}
	if b.Sweep(begin.Add(60 * time.Second)); !slices.Equal(b.names(at(0)), []string{"b"}) {
		t.Error(b.names(at(0)))
	}
}

func TestACellIsBounded(t *testing.T) {
	b := NewBook()
	for i := range MaxCrowd {
		if err := b.Put(at(0), who(fmt.Sprint(i), 1), local, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Put(at(0), who("one more", 1), local, time.Time{}); !errors.Is(err, region.ErrLimit) {
		t.Error(err)
	}
	if err := b.Put(at(0), who("0", 2), local, time.Time{}); err != nil {
		t.Errorf("who is in may move: %v", err)
	}
}

// Whoever asks for news again and again knows what the book knows, whatever happens
// and however seldom it asks.
func TestNewsAreAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		b := NewBook()
		type reader struct {
			since uint64
			knows map[region.PresenceID]region.Place
		}
		readers := [2]reader{{knows: map[region.PresenceID]region.Place{}}, {knows: map[region.PresenceID]region.Place{}}}
		for step := range 400 {
			id := fmt.Sprint(rng.IntN(100))
			switch rng.IntN(4) {
			case 0:
				b.Drop(region.PresenceID(id), other)
			default:
				_ = b.Put(at(int32(rng.IntN(2))), who(id, float64(rng.IntN(1000))), other, begin.Add(time.Hour))
			}
			if rng.IntN(50) == 0 {
				b.Sweep(begin)
			}
			for i, often := range []int{3, 150} {
				if rng.IntN(often) != 0 && step < 399 {
					continue
				}
				r := &readers[i]
				here, gone, anew, version := b.News(at(0), r.since, "r9")
				if anew {
					clear(r.knows)
				}
				for _, who := range gone {
					delete(r.knows, who)
				}
				for _, who := range here {
					r.knows[who.Who] = who.Place
				}
				r.since = version
				truth := map[region.PresenceID]region.Place{}
				b.In(at(0), func(o *Occupant) bool { truth[o.Who] = o.Place; return true })
				if !maps.Equal(truth, r.knows) {
					t.Fatalf("after %d steps reader %d knows %v, want %v", step, i, r.knows, truth)
				}
			}
		}
	}
}

func TestNobodyIsToldOfItsOwn(t *testing.T) {
	b := NewBook()
	_ = b.Put(at(0), who("a", 1), other, begin.Add(time.Minute))
	_ = b.Put(at(0), who("b", 1), local, time.Time{})
	_ = b.Put(at(0), who("c", 1), owner, time.Time{})
	here, _, _, _ := b.News(at(0), 0, other.Region)
	if len(here) != 1 || here[0].Who != "b" {
		t.Errorf("%v", here)
	}
}
