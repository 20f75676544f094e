package door

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
	"golang.org/x/time/rate"
)

// A Door lets clients publish and watch. Its methods may be called by any
// goroutine; only Close waits.
type Door struct {
	cfg         Config
	mux         *ice.UDPMuxDefault
	certificate webrtc.Certificate
	posts       *rate.Limiter
	// offers counts the door's own that wait for an answer.
	offers atomic.Int32

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu       sync.Mutex // guards what follows
	closed   bool
	sessions map[string]*session // by id; nil while one is being negotiated
	walkers  map[string]*walker  // by id
}

// New opens the socket of a door. Close it before its node.
func New(cfg Config) (*Door, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("door: make a key: %w", err)
	}
	certificate, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return nil, fmt.Errorf("door: make a certificate: %w", err)
	}
	d := &Door{
		cfg: cfg, certificate: *certificate, sessions: make(map[string]*session),
		walkers: make(map[string]*walker),
		posts:   rate.NewLimiter(postRate, postBurst),
	}
	conn, err := listenUDP(cfg.Media)
	if err != nil {
		return nil, fmt.Errorf("door: open the media socket: %w", err)
	}
	d.mux = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Logger: quiet.NewLogger("mux")})
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d, nil
}

// quiet keeps what pion would log to itself: what matters is an error or a state.
var quiet = &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}

// socketBuffer of the door's socket, each way: a keyframe to a hundred viewers
// leaves in one burst.
const socketBuffer = 4 << 20

func listenUDP(addr string) (*net.UDPConn, error) {
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, err
	}
	udp := conn.(*net.UDPConn)
	// The kernel may grant less; it works with less.
	_ = udp.SetReadBuffer(socketBuffer)
	_ = udp.SetWriteBuffer(socketBuffer)
	return udp, nil
}

// Close ends all sessions and waits for what the door started.
func (d *Door) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	d.wait.Wait()
	if err := d.mux.Close(); err != nil {
		return fmt.Errorf("door: close the media socket: %w", err)
	}
	return nil
}

// reserve takes a place for a session to be, under a name nobody can guess.
func (d *Door) reserve() (id string, err error) {
	id = rand.Text()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.sessions) >= d.cfg.MaxSessions {
		return "", errFull
	}
	d.sessions[id] = nil
	return id, nil
}

// open makes a session known and starts to watch over it. A session that publishes
// replaces the one that publishes the name through this door already; that has
// been closed by then.
func (d *Door) open(s *session) {
	d.mu.Lock()
	d.sessions[s.id] = s
	d.mu.Unlock()
	d.wait.Go(s.watchOver)
}

// drop forgets a session, or a place reserved for one.
func (d *Door) drop(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sessions, id)
}

func (d *Door) session(id string) *session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sessions[id]
}

// publisher finds the session that publishes a name through this door.
func (d *Door) publisher(name string) *session {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sessions {
		if s != nil && s.action == Publish && s.name == name {
			return s
		}
	}
	return nil
}

// Stats counts the sessions of a door.
type Stats struct{ Publishers, Viewers int }

// Stats is a snapshot.
func (d *Door) Stats() (n Stats) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sessions {
		switch {
		case s == nil:
		case s.action == Publish:
			n.Publishers++
		default:
			n.Viewers++
		}
	}
	return n
}

// same compares secrets without telling how much of them is alike.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func number[T ~uint8 | ~uint16 | ~uint32 | ~int](n T) string { return strconv.Itoa(int(n)) }

// consent: a client that has not answered an ICE check for so long has gone (RFC
// 7675 allows 30 s).
const (
	disconnectedAfter = 5 * time.Second
	failedAfter       = 20 * time.Second
	checkEvery        = 2 * time.Second
)
