package trust

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skein-mesh/skein/region"
)

// Two communities without a common CA: each side knows the other one's by its hash.
func TestCommunitiesMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := newAuthority(t), newAuthority(t)
		coordinator, member := issue(t, ours, RoleCoordinator), issue(t, ours, RoleMember)
		visitor, clerk := issue(t, theirs, RoleMember), issue(t, theirs, RoleCoordinator)
		for _, c := range []struct {
			client    *Credentials
			by        *tls.Config
			community string
		}{
			{visitor, visitor.CommunityTLS(ours.Hash()), theirs.Hash()},
			{clerk, clerk.CommunityTLS(ours.Hash()), theirs.Hash()},
			{member, member.ClientTLS(), ""},
		} {
			r := shake(coordinator.OpenTLS(), c.by)
			if r.clientErr != nil || r.serverErr != nil {
				t.Fatalf("client: %v, server: %v", r.clientErr, r.serverErr)
			}
			who, community, err := coordinator.Caller(r.atServer)
			if err != nil || who != (Peer{c.client.ID(), c.client.Role()}) || community != c.community {
				t.Errorf("%s of %q, %v; want %s of %q", who, community, err, c.client.ID(), c.community)
			}
		}
		first := shake(coordinator.OpenTLS(), PinnedTLS(ours.Hash()))
		if first.clientErr != nil || first.serverErr != nil {
			t.Errorf("who wants to enrol is not let in: %v, %v", first.clientErr, first.serverErr)
		}
		if _, _, err := coordinator.Caller(first.atServer); !errors.Is(err, ErrPeer) {
			t.Errorf("caller without certificate: %v, want ErrPeer", err)
		}
	})
}

// Whoever claims to be of a community must be of it.
func TestCommunitiesAreNotTakenForOneAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs, others := newAuthority(t), newAuthority(t), newAuthority(t)
		coordinator, visitor := issue(t, ours, RoleCoordinator), issue(t, theirs, RoleMember)
		claims := func(c *Credentials, ca []byte) *tls.Config {
			t, shown := showing(c), *c.current.Load()
			shown.Certificate = [][]byte{shown.Leaf.Raw, ca}
			t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shown, nil }
			return t
		}
		expired := issue(t, theirs, RoleMember)
		for _, c := range []struct {
			name           string
			server, client *tls.Config
			byServer       bool
			text           string
		}{
			{"a stranger that claims to be ours", coordinator.OpenTLS(), claims(visitor, ours.cert.Raw), true, "not trusted"},
			{"one of theirs that claims to be of others", coordinator.OpenTLS(), claims(visitor, others.cert.Raw), true, "not trusted"},
			{"one of ours that claims to be of theirs", coordinator.OpenTLS(), claims(issue(t, ours, RoleMember), theirs.cert.Raw), true, "not trusted"},
			{"a CA that is none", coordinator.OpenTLS(), claims(visitor, visitor.current.Load().Leaf.Raw), true, "not trusted"},
			{"a coordinator of others", coordinator.OpenTLS(), visitor.CommunityTLS(others.Hash()), false, "does not belong to community"},
			{"a member as a server", issue(t, ours, RoleMember).OpenTLS(), visitor.CommunityTLS(ours.Hash()), false, "not trusted"},
		} {
			r := shake(c.server, c.client)
			err := r.clientErr
			if c.byServer {
				err = r.serverErr
			}
			if !errors.Is(err, ErrPeer) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: client: %v, server: %v; want %q", c.name, r.clientErr, r.serverErr, c.text)
			}
		}
		time.Sleep(2 * CertificateTTL)
		fresh := issue(t, ours, RoleCoordinator)
		if r := shake(fresh.OpenTLS(), expired.CommunityTLS(ours.Hash())); !errors.Is(r.serverErr, ErrPeer) {
			t.Errorf("with a certificate that has ended: %v, want ErrPeer", r.serverErr)
		}
	})
}

func TestCommunityNamesAreHashes(t *testing.T) {
	hash := newAuthority(t).Hash()
	if err := CheckCommunity(hash); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "east", hash + "a", hash[1:], strings.ToUpper(hash), hash[:23] + "1"} {
		if err := CheckCommunity(bad); !errors.Is(err, region.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", bad, err)
		}
	}
}
