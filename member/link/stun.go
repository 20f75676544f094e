package link

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

const (
	stunHeader     = 20
	stunMagic      = 0x2112A442
	bindingRequest = 0x0001
	bindingSuccess = 0x0101
	attrUsername   = 0x0006

	// probeRetry is when an unanswered probe is repeated, the first time.
	probeRetry = 100 * time.Millisecond
	maxProbes  = 1024 // questions that are open at the same time
)

type transaction [12]byte

// isSTUN tells a STUN message by its first bits and the magic cookie.
func isSTUN(b []byte) bool {
	return len(b) >= stunHeader && b[0] < 4 && binary.BigEndian.Uint32(b[4:]) == stunMagic
}

// stunUsername finds the USERNAME of a STUN message.
func stunUsername(b []byte) (username []byte, ok bool) {
	for b = b[stunHeader:]; len(b) >= 4; {
		kind, size := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if 4+size > len(b) {
			return nil, false
		}
		if kind == attrUsername {
			return b[4 : 4+size], true
		}
		b = b[min(4+(size+3)&^3, len(b)):]
	}
	return nil, false
}

// takeSTUN looks at a STUN message before ICE does. It reports whether the
// message was a probe, or the answer to one, and is done with.
func (t *Transport) takeSTUN(b []byte, from netip.AddrPort) bool {
	kind := binary.BigEndian.Uint16(b)
	if kind&0x0100 != 0 && t.takeAnswer(b) {
		return true
	}
	switch kind {
	case bindingRequest:
		username, ok := stunUsername(b)
		if !ok {
			t.answerProbe(b, from)
			return true
		}
		t.hearKnock(b, username)
	case bindingSuccess:
		t.mu.Lock()
		asked, ok := t.probes[transaction(b[8:stunHeader])]
		t.mu.Unlock()
		if ok {
			select {
			case asked.answered <- time.Since(asked.at):
			default:
			}
			return true
		}
	}
	return false
}

// answerProbe tells anybody who asks from which address it asked. It keeps
// no state, and is limited in rate.
func (t *Transport) answerProbe(b []byte, from netip.AddrPort) {
	if !t.probeLimit.Allow() {
		t.malformed.Add(1)
		return
	}
	reply, err := stun.Build(
		&stun.Message{TransactionID: transaction(b[8:stunHeader])},
		stun.BindingSuccess,
		&stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())},
		stun.Fingerprint,
	)
	if err == nil {
		_ = t.writeTo(reply.Raw, from)
	}
}

// hearKnock notices a peer that checks the path in a later epoch than this end
// is in, or while this end rests, and follows it.
func (t *Transport) hearKnock(b, username []byte) {
	if len(username) < ufragSize {
		return
	}
	handle, epoch, ok := splitUfrag(string(username[:ufragSize]))
	if !ok {
		return
	}
	t.mu.Lock()
	l := t.byHandle[handle]
	t.mu.Unlock()
	if l == nil || epoch < l.epoch.Load() || (epoch == l.epoch.Load() && !l.resting.Load()) {
		return
	}
	cred, err := l.pair.credentials(epoch)
	if err != nil {
		return
	}
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	if m.Decode() != nil || stun.NewShortTermIntegrity(cred.pwd).Check(m) != nil {
		l.malformed.Add(1)
		return
	}
	l.follow(epoch)
}

// An attempt is one question of a probe.
type attempt struct {
	at       time.Time
	answered chan<- time.Duration // has room, or an answer already
}

// Probe measures the round-trip time to any member's media address without a
// link. It blocks until the answer or the end of ctx, and repeats the question
// a few times. An answer that comes after the question was repeated counts, too: the
// way may be longer than it was waited for.
func (t *Transport) Probe(ctx context.Context, addr netip.AddrPort) (time.Duration, error) {
	answered := make(chan time.Duration, 1)
	var asked []transaction
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, id := range asked {
			delete(t.probes, id)
		}
	}()
	for wait := probeRetry; ; wait *= 2 {
		id, err := t.ask(unmap(addr), answered)
		if err != nil {
			return 0, fmt.Errorf("probe %s: %w", addr, err)
		}
		asked = append(asked, id)
		timer := time.NewTimer(wait)
		select {
		case rtt := <-answered:
			timer.Stop()
			return rtt, nil
		case <-timer.C:
		case <-t.ctx.Done():
			timer.Stop()
			return 0, fmt.Errorf("probe %s: %w", addr, errClosed)
		case <-ctx.Done():
			timer.Stop()
			return 0, fmt.Errorf("probe %s: %w", addr, ctx.Err())
		}
	}
}

// ask sends a question whose answer is told to answered. A transaction of its own for
// each tells which one was answered.
func (t *Transport) ask(addr netip.AddrPort, answered chan<- time.Duration) (id transaction, err error) {
	request := make([]byte, stunHeader)
	binary.BigEndian.PutUint16(request, bindingRequest)
	binary.BigEndian.PutUint32(request[4:], stunMagic)
	if _, err := rand.Read(request[8:]); err != nil {
		return id, err
	}
	id = transaction(request[8:])
	t.mu.Lock()
	full := len(t.probes) >= maxProbes
	if !full {
		t.probes[id] = attempt{time.Now(), answered}
	}
	t.mu.Unlock()
	if full {
		return id, fmt.Errorf("%d questions are open: %w", maxProbes, errBusy)
	}
	if err := t.socket.writeTo(request, addr); err != nil {
		t.mu.Lock()
		delete(t.probes, id)
		t.mu.Unlock()
		return id, err
	}
	return id, nil
}
