package volunteer

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Whoever knocks at the ports of a coordinator that does not run learns who would answer
// there, if it is a coordinator itself.
func TestWhoeverKnocksLearnsWhoIsThere(t *testing.T) {
	ca, err := trust.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	issue := func(role trust.Role) *trust.Credentials {
		id, err := trust.NewIdentity()
		if err != nil {
			t.Fatal(err)
		}
		c, err := ca.Issue(id, role, trust.CertificateTTL, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	cfg := coordinator.DefaultConfig()
	cfg.GRPC, cfg.Raft = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Credentials, cfg.Network = issue(trust.RoleCoordinator), coordinator.SystemNetwork{}
	p, err := openPorts(t.Context(), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for _, l := range p.listeners {
		for _, role := range []trust.Role{trust.RoleCoordinator, trust.RoleMember} {
			raw, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			conn := tls.Client(raw, issue(role).ClientTLS())
			err = conn.HandshakeContext(t.Context())
			if role == trust.RoleMember {
				// In TLS 1.3 a client learns with the first answer that it was turned away.
				_, err = conn.Read(make([]byte, 1))
				if err == nil || !strings.Contains(err.Error(), "tls") {
					t.Errorf("a member is let in: %v", err)
				}
			} else if peer, failed := trust.PeerIdentity(conn.ConnectionState()); err != nil || failed != nil || peer.ID != cfg.Credentials.ID() {
				t.Errorf("%v answers, want %s (%v, %v)", peer.ID, cfg.Credentials.ID(), err, failed)
			}
			raw.Close()
		}
	}
}

func TestADiskIsAsSlowAsItsSlowWrites(t *testing.T) {
	cfg := coordinator.DefaultConfig()
	cfg.DataDir = t.TempDir()
	broken := errors.New("no space left")
	fail := false
	cfg.Disk = func(_ region.ID, write func() error) error {
		if fail {
			return broken
		}
		return write()
	}
	d := newDisk(cfg)
	for d.young() {
		if err := d.measure("r1"); err != nil {
			t.Fatal(err)
		}
	}
	if n, p99 := d.standing(); n < youngWrites || p99 <= 0 {
		t.Errorf("%d writes in %v", n, p99)
	}
	fail = true
	if err := d.measure("r1"); !errors.Is(err, broken) {
		t.Errorf("a disk that fails: %v", err)
	}
	if _, p99 := d.standing(); p99 < time.Minute {
		t.Errorf("a disk that fails takes %v", p99)
	}
	fail = false
	for range writesKept / probeWrites {
		if err := d.measure("r1"); err != nil {
			t.Fatal(err)
		}
	}
	if n, p99 := d.standing(); n != writesKept || p99 >= time.Minute {
		t.Errorf("%d writes in %v after it works again", n, p99)
	}
}

// Nobody becomes a coordinator without somebody's word for it.
func TestCredentialsNeedATokenForCoordinators(t *testing.T) {
	ca, err := trust.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	token, err := ca.NewToken(trust.RoleMember, time.Hour, 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]error{"": region.ErrInvalid, token: trust.ErrTokenRole, "rubbish": trust.ErrTokenMalformed} {
		_, err := Credentials(t.Context(), t.TempDir(), token, coordinator.SystemNetwork{}, []string{"127.0.0.1:1"})
		if !errors.Is(err, want) {
			t.Errorf("token %q: %v, want %v", token, err, want)
		}
	}
}
