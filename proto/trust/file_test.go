package trust

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

// Everything survives a restart, and keys are nobody else's to read.
func TestSaveAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "node")
	ca := newAuthority(t)
	c := issue(t, ca, RoleMember)
	for what, save := range map[string]func(string) error{
		"authority": ca.Save, "identity": c.Identity().Save, "credentials": c.Save,
	} {
		if err := save(dir); err != nil {
			t.Fatalf("save %s: %v", what, err)
		}
	}
	for _, name := range []string{caKeyFile, keyFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	ca2, err := LoadAuthority(dir)
	if err != nil || ca2.Hash() != ca.Hash() {
		t.Fatalf("authority comes back as %v, %v", ca2, err)
	}
	text, err := ca.NewToken(RoleMember, time.Hour, 0, noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca2.CheckToken(text, RoleMember, noon); err != nil {
		t.Errorf("token from before the restart: %v", err)
	}
	c2, err := LoadCredentials(dir)
	if err != nil || c2.ID() != c.ID() || c2.Role() != c.Role() || c2.CAHash() != ca.Hash() || !c2.Expires().Equal(c.Expires()) {
		t.Fatalf("credentials come back as %v, %v", c2, err)
	}

	if err := ca.Save(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("save over an authority: %v, want ErrExist", err)
	}
	if err := c.Identity().Save(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("save over an identity: %v, want ErrExist", err)
	}
	if err := c.Save(dir); err != nil {
		t.Errorf("save over a certificate: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Each case spoils one file; loading must say which one and what to do.
func TestDamagedFiles(t *testing.T) {
	other := t.TempDir()
	saveAll(t, other)
	foreign := func(name string) func([]byte) []byte {
		return func([]byte) []byte {
			data, err := os.ReadFile(filepath.Join(other, name))
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
	}
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	empty := func([]byte) []byte { return nil }
	flipped := func(b []byte) []byte { return bytes.Replace(b, []byte("\nM"), []byte("\nN"), 1) }
	huge := func(b []byte) []byte { return append(b, make([]byte, maxFile)...) }
	for _, c := range []struct {
		name, file string
		spoil      func([]byte) []byte
	}{
		{"cut", keyFile, cut}, {"empty", keyFile, empty}, {"flipped", keyFile, flipped},
		{"foreign", keyFile, foreign(keyFile)}, {"a certificate", keyFile, foreign(certFile)}, {"huge", keyFile, huge},
		{"cut", certFile, cut}, {"empty", certFile, empty}, {"flipped", certFile, flipped},
		{"foreign", certFile, foreign(certFile)}, {"CA only", certFile, foreign(caCertFile)},
		{"cut", caKeyFile, cut}, {"foreign", caKeyFile, foreign(caKeyFile)},
		{"cut", caCertFile, cut}, {"foreign", caCertFile, foreign(caCertFile)}, {"no CA", caCertFile, foreign(certFile)},
	} {
		dir := t.TempDir()
		saveAll(t, dir)
		path := filepath.Join(dir, c.file)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, c.spoil(data), 0o600); err != nil {
			t.Fatal(err)
		}
		load := func() error { _, err := LoadCredentials(dir); return err }
		if strings.HasPrefix(c.file, "ca.") {
			load = func() error { _, err := LoadAuthority(dir); return err }
		}
		if err := load(); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s %s: %v, want ErrDamaged that names the file", c.name, c.file, err)
		}
	}
	if _, err := LoadCredentials(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v, want ErrNotExist", err)
	}
	if _, err := LoadAuthority(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v, want ErrNotExist", err)
	}
}

func TestSignRefuses(t *testing.T) {
	ca := newAuthority(t)
	id, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := id.CSR()
	if err != nil {
		t.Fatal(err)
	}
	tampered := bytes.Clone(csr)
	tampered[len(tampered)-1] ^= 1
	now := time.Now()
	for _, c := range []struct {
		name string
		csr  []byte
		role Role
		ttl  time.Duration
		now  time.Time
	}{
		{"nothing", nil, RoleMember, time.Hour, now},
		{"nonsense", []byte("nonsense"), RoleMember, time.Hour, now},
		{"huge", make([]byte, maxCSR+1), RoleMember, time.Hour, now},
		{"tampered", tampered, RoleMember, time.Hour, now},
		{"unknown role", csr, "root", time.Hour, now},
		{"no time", csr, RoleMember, 0, now},
		{"after the CA's end", csr, RoleMember, time.Hour, now.Add(authorityTTL)},
	} {
		if _, err := ca.Sign(c.csr, c.role, c.ttl, c.now); !errors.Is(err, region.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", c.name, err)
		}
	}
	late, err := ca.Issue(id, RoleMember, time.Hour, now.Add(authorityTTL-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if late.Expires().After(ca.cert.NotAfter) {
		t.Errorf("certificate until %v outlives its CA, until %v", late.Expires(), ca.cert.NotAfter)
	}
}

func saveAll(t *testing.T, dir string) {
	t.Helper()
	ca := newAuthority(t)
	c := issue(t, ca, RoleMember)
	for _, save := range []func(string) error{ca.Save, c.Identity().Save, c.Save} {
		if err := save(dir); err != nil {
			t.Fatal(err)
		}
	}
}
