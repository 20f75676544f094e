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
	maxProbes  = 256 // under way at the same time
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
	switch binary.BigEndian.Uint16(b) {
	case bindingRequest:
		username, ok := stunUsername(b)
		if !ok {
			t.answerProbe(b, from)
			return true
		}
		t.hearKnock(b, username)
	case bindingSuccess:
		t.mu.Lock()
		done, ok := t.probes[transaction(b[8:stunHeader])]
		t.mu.Unlock()
		if ok {
			select {
			case done <- struct{}{}:
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
		_ = t.socket.writeTo(reply.Raw, from)
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

// Probe measures the round-trip time to any member's media address without a
// link. It blocks until the answer or the end of ctx, and repeats the question
// a few times.
func (t *Transport) Probe(ctx context.Context, addr netip.AddrPort) (time.Duration, error) {
	request := make([]byte, stunHeader)
	binary.BigEndian.PutUint16(request, bindingRequest)
	binary.BigEndian.PutUint32(request[4:], stunMagic)
	wait := probeRetry
	for {
		// A transaction of its own for each attempt tells which one was answered.
		if _, err := rand.Read(request[8:]); err != nil {
			return 0, fmt.Errorf("probe %s: %w", addr, err)
		}
		rtt, ok, err := t.probeOnce(ctx, request, unmap(addr), wait)
		if ok || err != nil {
			return rtt, err
		}
		wait *= 2
	}
}

func (t *Transport) probeOnce(ctx context.Context, request []byte, addr netip.AddrPort, wait time.Duration) (time.Duration, bool, error) {
	id := transaction(request[8:stunHeader])
	done := make(chan struct{}, 1)
	t.mu.Lock()
	full := len(t.probes) >= maxProbes
	if !full {
		t.probes[id] = done
	}
	t.mu.Unlock()
	if full {
		return 0, false, fmt.Errorf("probe %s: %d probes are under way: %w", addr, maxProbes, errBusy)
	}
	defer func() {
		t.mu.Lock()
		delete(t.probes, id)
		t.mu.Unlock()
	}()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	start := time.Now()
	if err := t.socket.writeTo(request, addr); err != nil {
		return 0, false, fmt.Errorf("probe %s: %w", addr, err)
	}
	select {
	case <-done:
		return time.Since(start), true, nil
	case <-timer.C:
		return 0, false, nil
	case <-t.ctx.Done():
		return 0, false, fmt.Errorf("probe %s: %w", addr, errClosed)
	case <-ctx.Done():
		return 0, false, fmt.Errorf("probe %s: %w", addr, ctx.Err())
	}
}
