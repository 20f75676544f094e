package member_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

func TestTokenBringsAMemberIn(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *cluster) {
		cfg, host := c.config(1000)
		cfg.Token = must(c.ca.NewToken(trust.RoleMember, time.Hour, 1, time.Now()))
		cfg.DataDir = t.TempDir()
		first := c.enter(cfg, host)
		id := first.ID()
		if err := first.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The certificate is kept: the token, used up, is not needed again.
		second := c.enter(cfg, host)
		if second.ID() != id {
			t.Errorf("came back as %s, was %s", second.ID(), id)
		}
		if second.Lease() <= first.Lease() {
			t.Errorf("the second stay has lease %d, the first had %d", second.Lease(), first.Lease())
		}
	})
}

func TestEntryIsRefusedWithAReason(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		stranger := must(trust.NewAuthority(time.Now()))
		token := func(ca *trust.Authority, role trust.Role, uses uint32) string {
			return must(ca.NewToken(role, time.Minute, uses, time.Now()))
		}
		expired := token(c.ca, trust.RoleMember, 0)
		spent := must(c.ca.NewToken(trust.RoleMember, time.Hour, 1, time.Now()))
		once, host := c.config(0)
		once.Token = spent
		c.enter(once, host)
		time.Sleep(2 * time.Minute)
		damaged := t.TempDir()
		if err := os.WriteFile(filepath.Join(damaged, "node.key"), []byte("rubbish"), 0o600); err != nil {
			t.Fatal(err)
		}
		valid := token(c.ca, trust.RoleMember, 0)
		for _, test := range []struct {
			name   string
			change func(*member.Config)
			want   error
			says   string
		}{
			{"nothing to show", func(*member.Config) {}, region.ErrInvalid, "skein token create"},
			{"rubbish", func(cfg *member.Config) { cfg.Token = "open sesame" }, trust.ErrTokenMalformed, "copy it whole"},
			{"an expired token", func(cfg *member.Config) { cfg.Token = expired }, trust.ErrTokenExpired, "make a new one"},
			{"a used up token", func(cfg *member.Config) { cfg.Token = spent }, trust.ErrTokenSpent, "make a new one"},
			{"another cluster's token", func(cfg *member.Config) { cfg.Token = token(stranger, trust.RoleMember, 0) }, trust.ErrTokenForeign, "another cluster"},
			{"an operator's token", func(cfg *member.Config) { cfg.Token = token(c.ca, trust.RoleOperator, 0) }, trust.ErrTokenRole, "--role"},
			{"a changed token", func(cfg *member.Config) { cfg.Token = valid[:len(valid)-1] + other(valid[len(valid)-1]) }, trust.ErrTokenForged, "copy it whole"},
			{"another cluster's certificate", func(cfg *member.Config) {
				cfg.Credentials = must(stranger.Issue(must(trust.NewIdentity()), trust.RoleMember, time.Hour, time.Now()))
			}, trust.ErrPeer, "another cluster"},
			{"a coordinator's certificate", func(cfg *member.Config) { cfg.Credentials = c.issue(trust.RoleCoordinator) }, trust.ErrPeer, "one of its own"},
			{"a damaged folder", func(cfg *member.Config) { cfg.DataDir = damaged; cfg.Token = valid }, trust.ErrDamaged, "enrol the node again"},
			{"an unknown region", func(cfg *member.Config) { cfg.Credentials = c.issue(trust.RoleMember); cfg.Region = "r9" }, region.ErrInvalid, "r1"},
			{"no coordinator", func(cfg *member.Config) { cfg.Coordinators = nil }, region.ErrInvalid, "Coordinators"},
			{"no address", func(cfg *member.Config) { cfg.Coordinators = []string{"nowhere"} }, region.ErrInvalid, "host:port"},
			{"a port in use", func(cfg *member.Config) {
				cfg.Credentials = c.issue(trust.RoleMember)
				must(cfg.Network.ListenPacket(t.Context(), cfg.Media))
			}, nil, "7500"},
		} {
			cfg, _ := c.config(0)
			test.change(&cfg)
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			node, err := member.Join(ctx, cfg)
			cancel()
			switch {
			case err == nil:
				t.Errorf("%s: was let in", test.name)
				_ = node.Close()
			case test.want != nil && !errors.Is(err, test.want):
				t.Errorf("%s: %v, want %v", test.name, err, test.want)
			case !strings.Contains(err.Error(), test.says):
				t.Errorf("%s: %q does not say %q", test.name, err, test.says)
			case time.Since(began) > 20*time.Second:
				t.Errorf("%s: took %v, though it could not pass", test.name, time.Since(began))
			}
		}
		if n := c.region().MemberCount(); n > 1 {
			t.Errorf("the region has %d members, want at most the one with the token", n)
		}
	})
}

func other(b byte) string {
	if b == 'a' {
		return "b"
	}
	return "a"
}

func TestUnreachableCoordinatorsAreNamed(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		cfg, _ := c.config(0)
		cfg.Credentials = c.issue(trust.RoleMember)
		cfg.Coordinators = []string{"10.9.9.1:7400", "10.9.9.2:7400"}
		c.net.Host("10.9.9.2") // is there, but nothing listens
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		_, err := member.Join(ctx, cfg)
		if !errors.Is(err, region.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v, want unreachable", err)
		}
		for _, part := range []string{"10.9.9.1:7400", "10.9.9.2:7400", "refused", "check"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not name %q", err, part)
			}
		}
	})
}

func TestSecondStayOfAKeyEndsTheFirst(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		creds := c.issue(trust.RoleMember)
		cfg, host := c.config(1000)
		cfg.Credentials = creds
		first := c.enter(cfg, host)
		lease := first.Lease()
		host.PowerOff() // the machine died, and comes back elsewhere
		cfg, host = c.config(1000)
		cfg.Credentials = creds
		second := c.enter(cfg, host)
		if second.ID() != first.ID() || second.Lease() <= lease {
			t.Fatalf("second stay: %s %d, first: %s %d", second.ID(), second.Lease(), first.ID(), lease)
		}
		if n := c.region().MemberCount(); n != 1 {
			t.Errorf("%d members, want 1", n)
		}
	})
}

func TestCertificateIsRenewedInTime(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		cfg, host := c.config(1000)
		cfg.DataDir = t.TempDir()
		identity := must(trust.NewIdentity())
		cfg.Credentials = must(c.ca.Issue(identity, trust.RoleMember, 10*time.Minute, time.Now()))
		if err := identity.Save(cfg.DataDir); err != nil {
			t.Fatal(err)
		}
		p := c.enter(cfg, host)
		time.Sleep(9 * time.Minute)
		if left := time.Until(cfg.Credentials.Expires()); left < time.Hour {
			t.Fatalf("a minute before its end the certificate still ends in %v", left)
		}
		kept, err := trust.LoadCredentials(cfg.DataDir)
		if err != nil || !kept.Expires().Equal(cfg.Credentials.Expires()) {
			t.Errorf("the folder has another certificate: %v", err)
		}
		time.Sleep(5 * time.Minute)
		if !p.Stats().Connected {
			t.Error("not connected after the first certificate has ended")
		}
	})
}
