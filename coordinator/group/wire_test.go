package group

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein/region"
)

func TestHeadersAreReadAsWritten(t *testing.T) {
	if got, err := readHeader(strings.NewReader(string(appendHeader(nil, "plaza-7")))); got != "plaza-7" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, text := range []string{"", "SKN", "SKNR\x01\x09short", "HTTP/1.1 200 OK"} {
		if got, err := readHeader(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read as %q", text, got)
		}
	}
}

func TestAnswersAndTokensAreForgottenInTime(t *testing.T) {
	s := newState("r1", 100)
	start := time.Unix(1_000_000, 0)
	apply := func(rev region.Revision, at time.Duration, answers, tokens int) {
		t.Helper()
		e := entry{hasChange: true, change: region.Change{Time: start.Add(at), Base: s.Region.Revision()}}
		for range answers {
			e.answers = append(e.answers, memberAnswer{id(1), Answer{RequestID: "r", Expires: start.Add(at + time.Minute)}})
		}
		for range tokens {
			e.tokens = append(e.tokens, TokenUse{ID: "t", Count: 1, Expires: start.Add(time.Hour)})
		}
		if err := s.apply(rev, e); err != nil {
			t.Fatal(err)
		}
	}
	apply(1, 0, MaxAnswers+10, 2)
	if got := len(s.answers[id(1)]); got != MaxAnswers {
		t.Errorf("%d answers of one member are kept, want %d", got, MaxAnswers)
	}
	if _, ok := s.Answer(id(1), "r", start.Add(time.Hour)); ok {
		t.Error("an expired answer is given")
	}
	held := s.clone()
	apply(2, 2*time.Minute, 0, 1)
	if len(s.answers) > 0 || s.TokenUses("t") != 3 {
		t.Errorf("after two minutes %d members have answers, %d token uses", len(s.answers), s.TokenUses("t"))
	}
	apply(3, 2*time.Hour, 0, 0)
	if len(s.tokens) > 0 {
		t.Error("an expired token is remembered")
	}
	apply(4, 0, 1, 0) // a leader whose clock is behind turns nothing back
	if !s.Time.Equal(start.Add(2 * time.Hour)) {
		t.Errorf("the time went back to %v", s.Time)
	}
	if len(held.answers[id(1)]) != MaxAnswers || held.TokenUses("t") != 2 {
		t.Error("a state that was handed out has changed")
	}
}

func TestHashesTellStatesApart(t *testing.T) {
	base := newState("r1", 10)
	sum := base.Hash()
	for name, change := range map[string]func(*State){
		"answer":    func(s *State) { s.answers[id(1)] = []*Answer{{RequestID: "r"}} },
		"token":     func(s *State) { s.tokens["t"] = TokenUse{ID: "t", Count: 1} },
		"secrets":   func(s *State) { s.Secrets.SigningSeed = make([]byte, 32) },
		"time":      func(s *State) { s.Time = time.Unix(1, 0) },
		"agreement": func(s *State) { s.Agreements = []Agreement{{Community: "c"}} },
		"draw":      func(s *State) { s.Agreements = []Agreement{{Community: "c", Draw: []string{"x"}}} },
		"seeds":     func(s *State) { s.Agreements = []Agreement{{Community: "c", Seeds: []string{"x"}}} },
		"index":     func(s *State) { s.Revision++ },
	} {
		s := newState("r1", 10)
		change(s)
		if s.Hash() == sum {
			t.Errorf("another %s, the same hash", name)
		}
	}
	if newState("r1", 10).Hash() != sum {
		t.Error("equal states, another hash")
	}
}

// Whatever bytes come out of a log, reading them does not panic, and what is
// read can be applied or refused.
func FuzzDecodeEntry(f *testing.F) {
	good, err := proto.Marshal(join(0, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{})
	f.Add([]byte{8, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decodeEntry(data)
		if err != nil {
			if !errors.Is(err, region.ErrInvalid) && !errors.Is(err, region.ErrLimit) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		s := newState("r1", 10)
		before := s.Hash()
		if err := s.apply(1, e); err != nil && s.Hash() != before {
			t.Errorf("refused (%v), but the state has changed", err)
		}
	})
}
