package trust

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A newcomer knows nothing but a token. It checks the coordinator by the
// token's CA hash, hands in its request, and from then on everyone knows it.
func TestEnrolment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t)
		coordinator := issue(t, ca, RoleCoordinator)
		token, err := ca.NewToken(RoleMember, time.Hour, 1, time.Now())
		if err != nil {
			t.Fatal(err)
		}

		newcomer, err := NewIdentity()
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := ParseToken(token)
		if err != nil {
			t.Fatal(err)
		}
		first := shake(coordinator.ServerTLS(), PinnedTLS(parsed.CAHash))
		if first.clientErr != nil || first.serverErr != nil {
			t.Fatalf("first connection: client: %v, server: %v", first.clientErr, first.serverErr)
		}
		if _, err := PeerIdentity(first.atServer); !errors.Is(err, ErrPeer) {
			t.Errorf("identity of a peer without certificate: %v, want ErrPeer", err)
		}

		if _, err := ca.CheckToken(token, RoleMember, time.Now()); err != nil {
			t.Fatal(err)
		}
		csr, err := newcomer.CSR()
		if err != nil {
			t.Fatal(err)
		}
		if id, err := RequestID(csr); err != nil || id != newcomer.ID() {
			t.Fatalf("RequestID = %v, %v, want %v", id, err, newcomer.ID())
		}
		chain, err := ca.Sign(csr, RoleMember, CertificateTTL, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		member, err := NewCredentials(newcomer, chain)
		if err != nil {
			t.Fatal(err)
		}

		second := shake(coordinator.ServerTLS(RoleMember), member.ClientTLS())
		if second.clientErr != nil || second.serverErr != nil {
			t.Fatalf("second connection: client: %v, server: %v", second.clientErr, second.serverErr)
		}
		if peer, err := PeerIdentity(second.atServer); err != nil || peer != (Peer{newcomer.ID(), RoleMember}) {
			t.Errorf("at the server the peer is %v, %v", peer, err)
		}
		if peer, err := PeerIdentity(second.atClient); err != nil || peer != (Peer{coordinator.ID(), RoleCoordinator}) {
			t.Errorf("at the client the peer is %v, %v", peer, err)
		}
	})
}

// Each case is a connection that must not come about, and the side that says no.
func TestDistrust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := newAuthority(t), newAuthority(t)
		coordinator, member := issue(t, ours, RoleCoordinator), issue(t, ours, RoleMember)
		foreign := issue(t, theirs, RoleCoordinator)
		stranger := issue(t, theirs, RoleMember)

		// A coordinator of theirs that shows the CA of ours behind its own
		// certificate, which the pinned hash alone would not notice.
		mixed := serve(&tls.Certificate{
			Certificate: [][]byte{foreign.current.Load().Leaf.Raw, ours.cert.Raw},
			PrivateKey:  foreign.identity.key,
		})
		anonymous := PinnedTLS(ours.Hash())

		for _, c := range []struct {
			name           string
			server, client *tls.Config
			byServer       bool
			text           string
		}{
			{"server of another cluster", foreign.ServerTLS(), member.ClientTLS(), false, "another cluster"},
			{"server without the pinned CA", foreign.ServerTLS(), anonymous, false, "another cluster"},
			{"server that borrows the pinned CA", mixed, anonymous, false, "another cluster"},
			{"member as server", member.ServerTLS(), member.ClientTLS(), false, "peer is not trusted"},
			{"member as server to a newcomer", member.ServerTLS(), anonymous, false, "peer is not trusted"},
			{"client of another cluster", coordinator.ServerTLS(), showing(stranger), true, "unknown authority"},
			{"client without certificate", coordinator.ServerTLS(RoleMember), anonymous, true, "certificate"},
			{"member where coordinators speak", coordinator.ServerTLS(RoleCoordinator), member.ClientTLS(), true, "is a member"},
		} {
			r := shake(c.server, c.client)
			err := r.clientErr
			if c.byServer {
				err = r.serverErr
			}
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: client: %v, server: %v; want %q", c.name, r.clientErr, r.serverErr, c.text)
			}
		}
	})
}

// Certificates that a genuine authority would not make, but a careless one.
func TestDistrustOddCertificates(t *testing.T) {
	now := time.Now()
	ca := newAuthority(t)
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	genuine := pkix.Name{CommonName: string(IDOf(pub)), OrganizationalUnit: []string{"coordinator"}}
	server := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for name, edit := range map[string]func(*x509.Certificate){
		"another id":   func(c *x509.Certificate) { c.Subject.CommonName = "aaaaaaaaaaaaaaaaaaaaaaaa" },
		"no role":      func(c *x509.Certificate) { c.Subject.OrganizationalUnit = nil },
		"two roles":    func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"coordinator", "member"} },
		"unknown role": func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"root"} },
		"for clients":  func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} },
		"member":       func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"member"} },
		"expired":      func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) },
		"of tomorrow":  func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) },
		"":             func(*x509.Certificate) {},
	} {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: genuine, ExtKeyUsage: server,
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		}
		edit(template)
		der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, pub, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		err = verifyCoordinator([]*x509.Certificate{cert, ca.cert}, ca.cert, now)
		if name == "" && err != nil {
			t.Errorf("a proper certificate: %v", err)
		} else if name != "" && !errors.Is(err, ErrPeer) {
			t.Errorf("certificate %s: %v, want ErrPeer", name, err)
		}
	}
}

// A certificate that ends is refused by both sides; a renewed one is shown
// without a new configuration.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t)
		coordinator, member := issue(t, ca, RoleCoordinator), issue(t, ca, RoleMember)
		server, client := coordinator.ServerTLS(RoleMember), member.ClientTLS()
		renew := func(c *Credentials) {
			t.Helper()
			chain, err := ca.certify(c.Identity().Key().Public().(ed25519.PublicKey), c.Role(), CertificateTTL, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Replace(chain); err != nil {
				t.Fatal(err)
			}
		}

		time.Sleep(CertificateTTL/2 - time.Hour)
		if member.NeedsRenewal(time.Now()) {
			t.Error("renewal is due before half of the time is over")
		}
		time.Sleep(2 * time.Hour)
		if !member.NeedsRenewal(time.Now()) {
			t.Error("renewal is not due after half of the time")
		}

		time.Sleep(CertificateTTL)
		if r := shake(server, client); r.clientErr == nil || !strings.Contains(r.clientErr.Error(), "check both clocks") {
			t.Errorf("expired server: %v", r.clientErr)
		}
		renew(coordinator)
		if r := shake(server, client); r.serverErr == nil || !strings.Contains(r.serverErr.Error(), "expired") {
			t.Errorf("expired client: %v", r.serverErr)
		}
		renew(member)
		if r := shake(server, client); r.clientErr != nil || r.serverErr != nil {
			t.Errorf("after renewal: client: %v, server: %v", r.clientErr, r.serverErr)
		}

		other := issue(t, ca, RoleMember)
		if err := member.Replace(other.current.Load().Certificate); !errors.Is(err, ErrPeer) {
			t.Errorf("replace by the certificate of another node: %v, want ErrPeer", err)
		}
		promoted, err := ca.Issue(member.Identity(), RoleCoordinator, time.Hour, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := member.Replace(promoted.current.Load().Certificate); !errors.Is(err, ErrPeer) {
			t.Errorf("replace by a certificate of another role: %v, want ErrPeer", err)
		}
	})
}

type handshake struct {
	atServer, atClient   tls.ConnectionState
	serverErr, clientErr error
}

// shake connects the two and passes one byte, for it is only then that a client
// learns whether the server took its certificate.
func shake(server, client *tls.Config) (h handshake) {
	c1, c2 := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer c1.Close()
		conn := tls.Server(c1, server)
		if h.serverErr = conn.Handshake(); h.serverErr == nil {
			h.atServer = conn.ConnectionState()
			_, h.serverErr = conn.Write([]byte{1})
		}
	}()
	conn := tls.Client(c2, client)
	if h.clientErr = conn.Handshake(); h.clientErr == nil {
		h.atClient = conn.ConnectionState()
		_, h.clientErr = conn.Read(make([]byte, 1))
	}
	c2.Close()
	<-done
	return h
}

func serve(cert *tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*cert}}
}

// showing is a client that trusts anyone, to see what the server says.
func showing(c *Credentials) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

func newAuthority(t *testing.T) *Authority {
	t.Helper()
	ca, err := NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *Authority, role Role) *Credentials {
	t.Helper()
	id, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.Issue(id, role, CertificateTTL, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}
