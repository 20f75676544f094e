package trust

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/skein-mesh/skein/region"
)

func visitorAccess() Access {
	return Access{
		Member: "m1", Publish: []string{"alice/*"}, Subscribe: []string{"stage/*", "bob/voice"},
		Spaces: []string{"plaza", "games/*"}, Names: []string{"alice"}, Expires: noon.Add(time.Hour),
	}
}

func TestAccessSaysWhatIsAllowed(t *testing.T) {
	a := visitorAccess()
	here, there := region.Whereabouts("plaza", "m1"), region.Whereabouts("elsewhere", "m1")
	narrow := a
	narrow.Spaces = []string{"plaza"}
	for what, c := range map[string]struct{ is, want bool }{
		"its own":                   {a.MayPublish("alice/voice"), true},
		"another's":                 {a.MayPublish("stage/video"), false},
		"whereabouts":               {narrow.MayPublish(here), true},
		"whereabouts elsewhere":     {narrow.MayPublish(there), false},
		"whereabouts of some space": {a.MayPublish(there), true},
		"a space":                   {a.MayEnter("plaza"), true},
		"a space by its beginning":  {a.MayEnter("games/chess"), true},
		"another space":             {a.MayEnter("plaza/cellar"), false},
		"its name":                  {a.MayBeCalled("alice"), true},
		"no name":                   {a.MayBeCalled(""), true},
		"another name":              {a.MayBeCalled("alice2"), false},
	} {
		if c.is != c.want {
			t.Errorf("%s: %v, want %v", what, c.is, c.want)
		}
	}
	want := []region.StreamID{"stage/*", "bob/voice", region.StreamID(region.WhereaboutsIn("plaza") + "*"), "@*"}
	if got := a.Draws(); !reflect.DeepEqual(got, want) {
		t.Errorf("it may draw %q, want %q", got, want)
	}
}

func TestAccessTokens(t *testing.T) {
	dir := t.TempDir()
	if err := NewAccessKey(dir); err != nil {
		t.Fatal(err)
	}
	if err := NewAccessKey(dir); err == nil {
		t.Error("a key was made over another one")
	}
	key, err := LoadAccessKey(filepath.Join(dir, AccessKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := LoadAccessKeys(filepath.Join(dir, AccessPublicFile))
	if err != nil {
		t.Fatal(err)
	}
	_, other, _ := ed25519.GenerateKey(nil)
	keys = append(AccessKeys{other.Public().(ed25519.PublicKey)}, keys...)
	token, err := SignAccess(key, visitorAccess(), noon)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := keys.Open(token, noon); err != nil || !reflect.DeepEqual(a, visitorAccess()) {
		t.Errorf("opened %+v, %v", a, err)
	}
	if a, err := PeekAccess(token); err != nil || !reflect.DeepEqual(a, visitorAccess()) {
		t.Errorf("peeked at %+v, %v", a, err)
	}
	if _, err := keys.Open(token, noon.Add(time.Hour)); !errors.Is(err, ErrAccessExpired) {
		t.Errorf("after its end: %v", err)
	}
	for what, forged := range forgedAccess(t, key, token) {
		if _, err := keys.Open(forged, noon); !errors.Is(err, ErrAccess) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// forgedAccess are tokens that must not be believed.
func forgedAccess(t *testing.T, key ed25519.PrivateKey, token string) map[string]string {
	sign := func(method jwt.SigningMethod, key any, claims jwt.Claims) string {
		s, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ends := jwt.RegisteredClaims{ExpiresAt: jwt.NewNumericDate(noon.Add(time.Hour))}
	_, stranger, _ := ed25519.GenerateKey(nil)
	parts := strings.Split(token, ".")
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	greedy := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(body), "alice/*", "*", 1)))
	many := make([]string, MaxPatterns+1)
	for i := range many {
		many[i] = "x"
	}
	return map[string]string{
		"nothing":              "",
		"rubbish":              "a.b.c",
		"changed":              parts[0] + "." + greedy + "." + parts[2],
		"of another key":       sign(jwt.SigningMethodEdDSA, stranger, ends),
		"unsigned":             sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, ends),
		"signed with a secret": sign(jwt.SigningMethodHS256, []byte(key.Public().(ed25519.PublicKey)), ends),
		"without an end":       sign(jwt.SigningMethodEdDSA, key, jwt.RegisteredClaims{Subject: "m1"}),
		"not yet good": sign(jwt.SigningMethodEdDSA, key, jwt.RegisteredClaims{
			ExpiresAt: ends.ExpiresAt, NotBefore: jwt.NewNumericDate(noon.Add(time.Minute)),
		}),
		"of too many patterns": sign(jwt.SigningMethodEdDSA, key, accessClaims{ends, accessLists{Publish: many}}),
		"of an empty pattern":  sign(jwt.SigningMethodEdDSA, key, accessClaims{ends, accessLists{Spaces: []string{""}}}),
		"too long":             token + strings.Repeat("x", MaxAccess),
	}
}

func TestAccessIsBounded(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(nil)
	for what, change := range map[string]func(*Access){
		"too long":               func(a *Access) { a.Expires = noon.Add(MaxAccessTTL + time.Second) },
		"over":                   func(a *Access) { a.Expires = noon },
		"spaces and streams":     func(a *Access) { a.Spaces = []string{"1", "2", "3", "4", "5", "6", "7"} },
		"a long pattern":         func(a *Access) { a.Publish = []string{strings.Repeat("x", region.MaxName+1)} },
		"a pattern with nothing": func(a *Access) { a.Names = []string{""} },
	} {
		a := visitorAccess()
		change(&a)
		if _, err := SignAccess(key, a, noon); !errors.Is(err, region.ErrInvalid) && !errors.Is(err, region.ErrLimit) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzOpenAccess(f *testing.F) {
	seed := make([]byte, ed25519.SeedSize)
	key := ed25519.NewKeyFromSeed(seed)
	token, err := SignAccess(key, visitorAccess(), noon)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, raw string) {
		keys := AccessKeys{key.Public().(ed25519.PublicKey)}
		if a, err := keys.Open(raw, noon); err == nil && a.check() != nil {
			t.Errorf("%q opens as %+v", raw, a)
		}
		if a, err := PeekAccess(raw); err == nil {
			a.Draws()
		}
	})
}
