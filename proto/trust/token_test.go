package trust

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func TestToken(t *testing.T) {
	ca, err := NewAuthority(noon)
	if err != nil {
		t.Fatal(err)
	}
	text, err := ca.NewToken(RoleCoordinator, 2*time.Hour, 3, noon)
	if err != nil {
		t.Fatal(err)
	}
	token, err := ca.CheckToken(" "+text+"\n", RoleCoordinator, noon.Add(2*time.Hour-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if token.Role != RoleCoordinator || token.Uses != 3 || !token.Expires.Equal(noon.Add(2*time.Hour)) || token.CAHash != ca.Hash() {
		t.Errorf("token says %+v", token)
	}
	again, err := ca.NewToken(RoleCoordinator, 2*time.Hour, 3, noon)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := ParseToken(again); err != nil || other.ID == token.ID {
		t.Errorf("two tokens share the id %s (%v)", token.ID, err)
	}
	if len(text) > 128 {
		t.Errorf("a token has %d characters", len(text))
	}
}

// Each case is a token that must not be taken, and what its bearer is told.
func TestTokenRefused(t *testing.T) {
	ours, err := NewAuthority(noon)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := NewAuthority(noon)
	if err != nil {
		t.Fatal(err)
	}
	text, err := ours.NewToken(RoleMember, time.Hour, 0, noon)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := theirs.NewToken(RoleMember, time.Hour, 0, noon)
	if err != nil {
		t.Fatal(err)
	}
	parts, others := strings.Split(text, "."), strings.Split(foreign, ".")
	relabelled := strings.Join([]string{parts[0], parts[1], others[2], others[3]}, ".")

	for _, c := range []struct {
		name, text string
		role       Role
		now        time.Time
		want       error
		advice     string
	}{
		{"genuine", text, RoleMember, noon, nil, ""},
		{"empty", "", RoleMember, noon, ErrTokenMalformed, "copy it whole"},
		{"cut", text[:len(text)-1], RoleMember, noon, ErrTokenMalformed, "copy it whole"},
		{"upper case", strings.ToUpper(text), RoleMember, noon, ErrTokenMalformed, "copy it whole"},
		{"of a later version", "skein2" + text[6:], RoleMember, noon, ErrTokenMalformed, "copy it whole"},
		{"huge", strings.Repeat(text, 1000), RoleMember, noon, ErrTokenMalformed, "copy it whole"},
		{"of another cluster", foreign, RoleMember, noon, ErrTokenForeign, "check the coordinator address"},
		{"of another cluster, relabelled", relabelled, RoleMember, noon, ErrTokenForged, "not genuine"},
		{"expired", text, RoleMember, noon.Add(time.Hour), ErrTokenExpired, "make a new one"},
		{"for another role", text, RoleCoordinator, noon, ErrTokenRole, "--role"},
	} {
		_, err := ours.CheckToken(c.text, c.role, c.now)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want != nil && !strings.Contains(err.Error(), c.advice) {
			t.Errorf("%s: %q does not advise to %q", c.name, err, c.advice)
		}
	}
}

// No single changed character yields a token that is taken.
func TestTokenTampered(t *testing.T) {
	ca, err := NewAuthority(noon)
	if err != nil {
		t.Fatal(err)
	}
	text, err := ca.NewToken(RoleMember, time.Hour, 1, noon)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(text) {
		for _, b := range []byte("a7z.") {
			changed := text[:i] + string(b) + text[i+1:]
			if changed == text {
				continue
			}
			for _, role := range []Role{RoleMember, RoleCoordinator, RoleOperator} {
				if _, err := ca.CheckToken(changed, role, noon); err == nil {
					t.Errorf("taken with %q at position %d as %s", b, i, role)
				}
			}
		}
	}
}

func TestNewTokenRefuses(t *testing.T) {
	ca, err := NewAuthority(noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		role Role
		ttl  time.Duration
	}{
		{"", time.Hour}, {"root", time.Hour}, {RoleMember, 0}, {RoleMember, -time.Hour}, {RoleMember, MaxTokenTTL + 1},
	} {
		if _, err := ca.NewToken(c.role, c.ttl, 0, noon); !errors.Is(err, region.ErrInvalid) {
			t.Errorf("NewToken(%q, %v): %v, want ErrInvalid", c.role, c.ttl, err)
		}
	}
}

// Whatever is taken for a token is written in one way only.
func FuzzParseToken(f *testing.F) {
	ca, err := NewAuthority(noon)
	if err != nil {
		f.Fatal(err)
	}
	text, err := ca.NewToken(RoleOperator, time.Hour, 7, noon)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("skein1...")
	f.Add(strings.Repeat("a", len(text)))
	f.Fuzz(func(t *testing.T, s string) {
		token, err := ParseToken(s)
		if err != nil {
			if err != ErrTokenMalformed {
				t.Errorf("ParseToken(%q): %v", s, err)
			}
			return
		}
		back := strings.Join([]string{tokenPrefix, token.CAHash, token.ID, encoding.EncodeToString(token.secret)}, ".")
		if back != strings.TrimSpace(s) {
			t.Errorf("ParseToken(%q) reads as %q", s, back)
		}
	})
}
