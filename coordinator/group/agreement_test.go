package group

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// community is the hash of some CA.
func community(tb testing.TB) string {
	tb.Helper()
	ca, err := trust.NewAuthority(time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	return ca.Hash()
}

// Agreements are as much a part of the state as anything: a snapshot has them, and a
// child begins with its parent's.
func TestAgreementsBeginChangeAndEnd(t *testing.T) {
	first, second := community(t), community(t)
	s := newState("r1", 10)
	agree := func(list ...*skeinv1.Agreement) {
		t.Helper()
		data, err := proto.Marshal(&skeinv1.Entry{
			Version: EntryVersion, Change: skeinv1.FromChange(region.Change{Base: s.Region.Revision()}), Agreements: list,
		})
		if err != nil {
			t.Fatal(err)
		}
		e, err := decodeEntry(data)
		if err == nil {
			err = s.apply(s.Revision+1, e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	agree(&skeinv1.Agreement{Community: first, Name: "east", Draw: []string{"west/*"}, Visitors: 3})
	before := s.clone()
	agree(&skeinv1.Agreement{Community: second, Name: "south", Seeds: []string{"192.0.2.1:7400"}}, &skeinv1.Agreement{Community: first, Name: "far-east", Draw: []string{"west/stage"}, Visitors: 1})
	if len(before.Agreements) != 1 || before.Agreements[0].Name != "east" {
		t.Errorf("a state that was handed out has changed: %v", before.Agreements)
	}
	a, ok := s.Agreement(first)
	if !ok || a.Name != "far-east" || !a.Shares("west/stage") || a.Shares("west/stage/2") || !a.Publishes("far-east/x") || a.Publishes("far-easter") {
		t.Errorf("agreed on %+v", a)
	}
	if _, ok := s.Agreement(""); ok {
		t.Error("there is an agreement with nobody")
	}
	data, err := encodeState(s)
	if err != nil {
		t.Fatal(err)
	}
	restored, err := decodeState(data)
	if err != nil || restored.Hash() != s.Hash() || len(restored.Agreements) != 2 {
		t.Errorf("restored: %v, %v", restored, err)
	}
	agree(&skeinv1.Agreement{Community: first})
	if _, ok := s.Agreement(first); ok || len(s.Agreements) != 1 {
		t.Errorf("after the end there are %v", s.Agreements)
	}
}

func TestWhatCannotBeAgreedOn(t *testing.T) {
	good := func() *skeinv1.Agreement {
		return &skeinv1.Agreement{Community: community(t), Name: "east", Seeds: []string{"host:1"}, Draw: []string{"*"}, Visitors: 1}
	}
	if _, err := ToAgreement(good()); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(*skeinv1.Agreement){
		"community": func(a *skeinv1.Agreement) { a.Community = "east" },
		"name":      func(a *skeinv1.Agreement) { a.Name = "a/b" },
		"name: want 1 to 32": func(a *skeinv1.Agreement) {
			a.Name = strings.Repeat("x", MaxCommunityName+1)
		},
		"seeds: want host": func(a *skeinv1.Agreement) { a.Seeds = []string{"host"} },
		"seeds: at most":   func(a *skeinv1.Agreement) { a.Seeds = make([]string, MaxSeeds+1) },
		"draw: want":       func(a *skeinv1.Agreement) { a.Draw = []string{"a\nb*"} },
		"draw: at most":    func(a *skeinv1.Agreement) { a.Draw = make([]string, MaxDraw+1) },
		"visitors":         func(a *skeinv1.Agreement) { a.Visitors = 0 },
		"one of them":      func(a *skeinv1.Agreement) { a.Seeds, a.Draw = nil, nil },
	} {
		a := good()
		spoil(a)
		want, _, _ := strings.Cut(field, ":")
		if _, err := ToAgreement(a); !errors.Is(err, region.ErrInvalid) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v", field, err)
		}
	}
	s := newState("r1", 10)
	for i := range MaxAgreements + 1 {
		err := s.agreeable(entry{agreements: []Agreement{{Community: fmt.Sprint(i), Name: "x"}}})
		if (err == nil) != (i < MaxAgreements) {
			t.Fatalf("%d agreements: %v", i+1, err)
		}
		s.agree(entry{agreements: []Agreement{{Community: fmt.Sprint(i), Name: "x"}}})
	}
}

// Whatever an operator or a log says, what is agreed on is within the limits, and reads
// as it was written.
func FuzzAgreement(f *testing.F) {
	f.Add(community(f), "east", "host:1", "west/*", uint32(3))
	f.Add("", "", "", "", uint32(0))
	f.Fuzz(func(t *testing.T, community, name, seed, draw string, visitors uint32) {
		m := &skeinv1.Agreement{Community: community, Name: name, Visitors: visitors}
		if seed != "" {
			m.Seeds = []string{seed}
		}
		if draw != "" {
			m.Draw = []string{draw}
		}
		a, err := ToAgreement(m)
		if err != nil {
			if !errors.Is(err, region.ErrInvalid) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		if !proto.Equal(FromAgreement(a), m) {
			t.Errorf("%v became %v", m, FromAgreement(a))
		}
		if a.over() || len(a.Name) > MaxCommunityName || len(a.Draw) > 0 && a.Visitors == 0 {
			t.Errorf("agreed on %+v", a)
		}
	})
}
