package trust

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
)

// Two members link by DTLS and know each other by their keys.
func TestLinkCertificate(t *testing.T) {
	ca := newAuthority(t)
	a, b := issue(t, ca, RoleMember), issue(t, ca, RoleMember)
	listener, err := dtls.ListenWithOptions("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)},
		dtls.WithCertificates(a.LinkCertificate()), dtls.WithClientAuth(dtls.RequireAnyClientCert))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	accepted := make(chan *dtls.Conn, 1)
	go func() {
		defer close(accepted)
		conn, err := listener.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		if err := conn.(*dtls.Conn).HandshakeContext(ctx); err != nil {
			t.Error(err)
			return
		}
		accepted <- conn.(*dtls.Conn)
	}()
	dialed, err := dtls.DialWithOptions("udp", listener.Addr().(*net.UDPAddr),
		dtls.WithCertificates(b.LinkCertificate()), dtls.WithInsecureSkipVerify(true))
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	if err := dialed.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	server := <-accepted
	if server == nil {
		t.FailNow()
	}
	defer server.Close()
	for conn, want := range map[*dtls.Conn]*Credentials{dialed: a, server: b} {
		state, ok := conn.ConnectionState()
		if !ok || len(state.PeerCertificates) != 1 {
			t.Fatalf("no certificate, or more than the leaf: %d", len(state.PeerCertificates))
		}
		if id, err := PeerID(state.PeerCertificates[0]); err != nil || id != want.ID() {
			t.Errorf("PeerID = %v, %v, want %v", id, err, want.ID())
		}
	}
	if _, err := PeerID([]byte("nonsense")); !errors.Is(err, ErrPeer) {
		t.Errorf("PeerID of nonsense: %v, want ErrPeer", err)
	}
}
