package turn

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/logging"
	pion "github.com/pion/turn/v5"
)

var secret = []byte("a secret of a region")

func serve(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Listen, cfg.Advertise = "127.0.0.1:0", []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	cfg.Secret = func(string) []byte { return secret }
	cfg.Private = true
	if change != nil {
		change(&cfg)
	}
	s, err := Serve(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// dial is a TURN client of a user.
func dial(t *testing.T, s *Server, username, password string) *pion.Client {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := pion.NewClient(&pion.ClientConfig{
		STUNServerAddr: s.Addr().String(), TURNServerAddr: s.Addr().String(), Conn: conn,
		Username: username, Password: password, RTO: 100 * time.Millisecond,
		LoggerFactory: &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		conn.Close()
	})
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRelay(t *testing.T) {
	s := serve(t, nil)
	username, password := Credentials(secret, "member-1", time.Hour, time.Now())
	c := dial(t, s, username, password)
	if mapped, err := c.SendBindingRequest(); err != nil || mapped.(*net.UDPAddr).Port == 0 {
		t.Fatalf("the outer address: %v, %v", mapped, err)
	}
	relayed, err := c.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	defer relayed.Close()
	peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if _, err := relayed.WriteTo([]byte("there"), peer.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, from, err := peer.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "there" || from.String() != relayed.LocalAddr().String() {
		t.Fatalf("the peer reads %q from %v, %v", buf[:n], from, err)
	}
	if _, err := peer.WriteTo([]byte("and back"), from); err != nil {
		t.Fatal(err)
	}
	if n, from, err := relayed.ReadFrom(buf); err != nil || string(buf[:n]) != "and back" || from.String() != peer.LocalAddr().String() {
		t.Fatalf("the client reads %q from %v, %v", buf[:n], from, err)
	}
}

func TestCredentials(t *testing.T) {
	s := serve(t, nil)
	good, password := Credentials(secret, "member-1", time.Hour, time.Now())
	stale, stalePassword := Credentials(secret, "member-1", -time.Second, time.Now())
	_, foreign := Credentials([]byte("another"), "member-1", time.Hour, time.Now())
	for _, c := range [][2]string{{good, "wrong"}, {good, foreign}, {stale, stalePassword}, {"member-1", password}, {":", password}} {
		if conn, err := dial(t, s, c[0], c[1]).Allocate(); err == nil {
			conn.Close()
			t.Errorf("%q allocates", c)
		}
	}
}

func TestQuota(t *testing.T) {
	s := serve(t, func(c *Config) { c.MaxPerUser, c.MaxAllocations = 2, 3 })
	allocate := func(user string) bool {
		username, password := Credentials(secret, user, time.Hour, time.Now())
		conn, err := dial(t, s, username, password).Allocate()
		if err == nil {
			t.Cleanup(func() { conn.Close() })
		}
		return err == nil
	}
	for i, want := range []struct {
		user string
		ok   bool
	}{{"a", true}, {"a", true}, {"a", false}, {"b", true}, {"c", false}} {
		if got := allocate(want.user); got != want.ok {
			t.Errorf("allocation %d, of %s: %v", i, want.user, got)
		}
	}
	if n := s.Allocations(); n != 3 {
		t.Errorf("%d allocations, want 3", n)
	}
}

// Nobody gets into the coordinator's own network through it.
func TestReachable(t *testing.T) {
	s := &Server{}
	for ip, want := range map[string]bool{
		"127.0.0.1": false, "10.1.2.3": false, "192.168.1.1": false, "169.254.169.254": false, "::1": false, "fe80::1": false,
		"fd00::1": false, "::ffff:127.0.0.1": false, "224.0.0.1": false, "0.0.0.0": false, "203.0.113.9": true, "2001:db8::1": true,
	} {
		if got := s.reachable(net.ParseIP(ip)); got != want {
			t.Errorf("%s reachable: %v", ip, got)
		}
	}
}
