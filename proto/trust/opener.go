package trust

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"
)

// maxOpened is how many grants an Opener remembers.
const maxOpened = 1024

// An Opener opens grants and remembers those whose signature it has found to be good: who
// shows a grant does so again and again. The zero Opener is ready, for any goroutine.
type Opener struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]Grant
}

// Open is OpenGrant.
func (o *Opener) Open(pub ed25519.PublicKey, raw []byte, now time.Time) (Grant, error) {
	key := sha256.Sum256(append(append(make([]byte, 0, len(pub)+len(raw)), pub...), raw...))
	o.mu.Lock()
	g, known := o.known[key]
	o.mu.Unlock()
	if known {
		if err := g.check(now); err != nil {
			return Grant{}, err
		}
		return g, nil
	}
	g, err := OpenGrant(pub, raw, now)
	if err != nil {
		return g, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil || len(o.known) >= maxOpened {
		o.known = make(map[[sha256.Size]byte]Grant) // those in use are soon known again
	}
	o.known[key] = g
	return g, nil
}

// check says whether a genuine grant is good now.
func (g Grant) check(now time.Time) error {
	if !now.Before(g.Expires) {
		return fmt.Errorf("%w (it ended %s)", ErrGrantExpired, g.Expires.Format(time.RFC3339))
	}
	return nil
}
