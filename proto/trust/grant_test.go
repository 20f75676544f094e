package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

var sample = Grant{
	Region: "r1", Generation: 3, Stream: "plaza/camera-1/video",
	Child: "aaaaaaaaaaaaaaaaaaaaaaaa", Lease: 17, Parent: "bbbbbbbbbbbbbbbbbbbbbbbb",
	Standby: true, Revision: 4711, Expires: noon.Add(time.Minute),
}

func regionKey(t testing.TB) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pub, key
}

func TestAPermitCoversWhatItNames(t *testing.T) {
	pub, key := regionKey(t)
	permit := sample
	permit.Parent, permit.Standby = "", false
	for _, tt := range []struct {
		names   region.StreamID
		covers  []region.StreamID
		forbids []region.StreamID
	}{
		{"*", []region.StreamID{"plaza/a", "*", "x"}, nil},
		{"plaza/*", []region.StreamID{"plaza/a", "plaza/"}, []region.StreamID{"plaza", "backstage/plaza/a"}},
		{"plaza/a", []region.StreamID{"plaza/a"}, []region.StreamID{"plaza/ab", "plaza/"}},
	} {
		permit.Stream = tt.names
		got, err := OpenGrant(pub, SignGrant(key, permit), noon)
		if err != nil || !got.Permit() {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, s := range tt.covers {
			if !got.Covers(s) {
				t.Errorf("a permit for %s does not cover %s", tt.names, s)
			}
		}
		for _, s := range tt.forbids {
			if got.Covers(s) {
				t.Errorf("a permit for %s covers %s", tt.names, s)
			}
		}
	}
	grant := sample
	grant.Stream = "plaza/*"
	if grant.Permit() || grant.Covers("plaza/a") {
		t.Error("a grant covers other streams than its own")
	}
}

func TestGrant(t *testing.T) {
	pub, key := regionKey(t)
	largest := Grant{
		Region: region.ID(strings.Repeat("r", region.MaxName)), Generation: math.MaxUint64,
		Stream: region.StreamID(strings.Repeat("s", region.MaxStreamName)),
		Child:  region.MemberID(strings.Repeat("c", region.MaxName)), Lease: math.MaxUint64,
		Parent:   region.MemberID(strings.Repeat("p", region.MaxName)),
		Revision: math.MaxUint64, Expires: time.UnixMilli(math.MaxInt64).UTC(),
	}
	for _, g := range []Grant{sample, largest, {Expires: noon.Add(time.Millisecond)}} {
		raw := SignGrant(key, g)
		got, err := OpenGrant(pub, raw, noon)
		if err != nil || got != g {
			t.Errorf("grant of %d bytes comes back as %+v, %v", len(raw), got, err)
		}
		if !bytes.Equal(raw, SignGrant(key, g)) {
			t.Error("the same grant has two encodings")
		}
	}
}

// signBody signs whatever is to permit for a grant.
func signBody(key ed25519.PrivateKey, body []byte) []byte {
	return append(append(bytes.Clone(body), 0, 0), ed25519.Sign(key, signed(hashGrant(body)))...)
}

// Signed together, each grant opens by itself, and none of them with what another
// one bears.
func TestGrantsSignedTogether(t *testing.T) {
	pub, key := regionKey(t)
	for _, n := range []int{1, 2, 3, 5, MaxTogether, MaxTogether + 1, 3 * MaxTogether} {
		var list []Grant
		for i := range n {
			g := sample
			g.Lease = region.Lease(i + 1)
			list = append(list, g)
		}
		all := SignGrants(key, list)
		for i, raw := range all {
			got, err := OpenGrant(pub, raw, noon)
			if err != nil || got != list[i] || len(raw) > MaxGrant {
				t.Errorf("grant %d of %d, %d bytes: %+v, %v", i, n, len(raw), got, err)
			}
			body := len(list[i].append(nil))
			next := all[(i+1)%n]
			if swapped := append(bytes.Clone(raw[:body]), next[body:]...); n > 1 {
				if _, err := OpenGrant(pub, swapped, noon); !errors.Is(err, ErrGrant) {
					t.Errorf("grant %d of %d opens with what the next one bears: %v", i, n, err)
				}
			}
		}
		for at := range all[n/2] {
			changed := bytes.Clone(all[n/2])
			changed[at] ^= 1
			if _, err := OpenGrant(pub, changed, noon); !errors.Is(err, ErrGrant) {
				t.Errorf("one of %d, byte %d changed: %v, want ErrGrant", n, at, err)
			}
		}
	}
	pair := hashPair(hashGrant([]byte("a")), hashGrant([]byte("b")))
	root := append(append(pair[:], 0, 0), ed25519.Sign(key, signed(pair))...)
	if _, ok := openSigned(pub, root); ok {
		t.Error("a pair permits for a grant")
	}
}

func TestGrantRefused(t *testing.T) {
	pub, key := regionKey(t)
	otherPub, otherKey := regionKey(t)
	raw := SignGrant(key, sample)
	resign := func(body []byte) []byte { return signBody(key, body) }
	body := sample.append(nil)
	later := bytes.Clone(body)
	later[0]++
	flagged := bytes.Clone(body)
	flagged[1] |= 0x80
	bare := append(append(bytes.Clone(body), 0, 0), ed25519.Sign(key, body)...)
	long := sample
	long.Stream = region.StreamID(strings.Repeat("s", MaxGrant))

	for _, c := range []struct {
		name string
		pub  ed25519.PublicKey
		raw  []byte
		now  time.Time
		want error
	}{
		{"genuine", pub, raw, noon, nil},
		{"expired", pub, raw, sample.Expires, ErrGrantExpired},
		{"of another region", otherPub, raw, noon, ErrGrant},
		{"signed by another region", pub, SignGrant(otherKey, sample), noon, ErrGrant},
		{"signed for another purpose", pub, bare, noon, ErrGrant},
		{"of a later version", pub, resign(later), noon, ErrGrant},
		{"with unknown flags", pub, resign(flagged), noon, ErrGrant},
		{"padded", pub, resign(append(bytes.Clone(body), 0)), noon, ErrGrant},
		{"cut", pub, resign(body[:len(body)-1]), noon, ErrGrant},
		{"too long", pub, SignGrant(key, long), noon, ErrGrant},
		{"empty", pub, nil, noon, ErrGrant},
		{"without a key", nil, raw, noon, ErrGrant},
	} {
		g, err := OpenGrant(c.pub, c.raw, c.now)
		if !errors.Is(err, c.want) || err != nil && g != (Grant{}) {
			t.Errorf("%s: %+v, %v, want %v", c.name, g, err, c.want)
		}
	}
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		if _, err := OpenGrant(pub, changed, noon); !errors.Is(err, ErrGrant) {
			t.Errorf("byte %d changed: %v, want ErrGrant", i, err)
		}
	}
}

// The body is signed properly, so that whatever a key holder may write gets as
// far as the parser. What opens is exactly what signing it again yields.
func FuzzOpenGrant(f *testing.F) {
	pub, key := regionKey(f)
	f.Add(sample.append(nil))
	f.Add(Grant{}.append(nil))
	f.Add([]byte{grantVersion, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80})
	f.Fuzz(func(t *testing.T, body []byte) {
		raw := signBody(key, body)
		g, err := OpenGrant(pub, raw, time.UnixMilli(math.MinInt64))
		if err == nil && !bytes.Equal(raw, SignGrant(key, g)) {
			t.Errorf("%x opens as %+v", body, g)
		}
	})
}

// What comes from another member is no grant unless the key has signed it, however
// it is cut.
func FuzzOpenSigned(f *testing.F) {
	pub, key := regionKey(f)
	for _, raw := range SignGrants(key, []Grant{sample, {}, sample}) {
		f.Add(raw)
	}
	genuine := sample.append(nil)
	f.Fuzz(func(t *testing.T, raw []byte) {
		// The key is a new one each time, so nothing in the corpus is signed by it.
		if body, ok := openSigned(pub, raw); ok && !bytes.Equal(body, genuine) && !bytes.Equal(body, Grant{}.append(nil)) {
			t.Errorf("%x was never signed", body)
		}
	})
}

func BenchmarkSignGrants(b *testing.B) {
	_, key := regionKey(b)
	list := make([]Grant, MaxTogether)
	b.ReportAllocs()
	for b.Loop() {
		SignGrants(key, list)
	}
}

func BenchmarkOpenGrant(b *testing.B) {
	pub, key := regionKey(b)
	raw := SignGrant(key, sample)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := OpenGrant(pub, raw, noon); err != nil {
			b.Fatal(err)
		}
	}
}
