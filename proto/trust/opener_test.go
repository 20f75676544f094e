package trust

import (
	"crypto/ed25519"
	"errors"
	"testing"
	"time"
)

// What was opened once is opened again without its signature being checked, but no more than
// that: it ends in its time, and another key or another word is another grant.
func TestAnOpenerRemembers(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	want := Grant{Region: "r1", Stream: "plaza/*", Child: "c", Lease: 3, Expires: now.Add(time.Minute)}
	raw := SignGrant(key, want)
	var o Opener
	open := func(pub ed25519.PublicKey, raw []byte, at time.Time) error {
		t.Helper()
		g, err := o.Open(pub, raw, at)
		plain, plainly := OpenGrant(pub, raw, at)
		if g.Child != plain.Child || g.Stream != plain.Stream || (err == nil) != (plainly == nil) {
			t.Errorf("%+v, %v; without a memory %+v, %v", g, err, plain, plainly)
		}
		return err
	}
	if err := open(pub, raw, now); err != nil {
		t.Fatal(err)
	}
	if err := open(pub, raw, now.Add(time.Minute)); !errors.Is(err, ErrGrantExpired) {
		t.Errorf("when it has ended: %v", err)
	}
	if err := open(other, raw, now); !errors.Is(err, ErrGrant) {
		t.Errorf("by another key: %v", err)
	}
	bad := append([]byte(nil), raw...)
	bad[len(bad)-1] ^= 1
	for range 2 {
		if err := open(pub, bad, now); !errors.Is(err, ErrGrant) {
			t.Errorf("spoilt: %v", err)
		}
	}
	for range maxOpened + 10 {
		want.Revision++
		if _, err := o.Open(pub, SignGrant(key, want), now); err != nil {
			t.Fatal(err)
		}
	}
	if len(o.known) > maxOpened {
		t.Errorf("it remembers %d", len(o.known))
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = o.Open(pub, raw, now) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOpen(b *testing.B) {
	pub, key, _ := ed25519.GenerateKey(nil)
	raw := SignGrant(key, Grant{Region: "r1", Stream: "plaza/*", Child: "c", Expires: time.Now().Add(time.Hour)})
	var o Opener
	for b.Loop() {
		if _, err := o.Open(pub, raw, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
