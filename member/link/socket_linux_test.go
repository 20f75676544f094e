package link

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// The socket tells what its reader has not come to, and no more once that has.
func TestWhatIsUnreadIsTold(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := newSystemSocket(conn)
	defer func() { _ = s.close() }()
	if s.unread() {
		t.Error("an empty socket has something unread")
	}
	if _, err := conn.WriteTo([]byte("hello"), conn.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	wait := func(unread bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); s.unread() != unread; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("unread stays %v", !unread)
			}
		}
	}
	wait(true)
	read := make(chan error)
	go func() { read <- s.receive(deaf{}) }()
	wait(false)
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if err := <-read; err == nil {
		t.Error("a closed socket can be read")
	}
}

// deaf takes datagrams and does nothing with them.
type deaf struct{}

func (deaf) came() {}

func (deaf) take([]byte, netip.AddrPort) bool { return true }

func (deaf) drained() {}
