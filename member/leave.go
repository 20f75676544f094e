package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// handover is how long Leave waits for the children to be gone.
const handover = 3 * time.Second

// Leave ends the stay in good order: the node takes no new children, the
// coordinators move those it has, its streams end; then Close. It blocks until
// the children are gone, at most for 3 s, or until ctx ends, and reports if the
// coordinators could not be told. The node is closed in any case.
func (n *Node) Leave(ctx context.Context) error {
	n.leaving.Store(true)
	n.relay.Leave()
	request := &skeinv1.LeaveRequest{RequestId: requestID(), Lease: uint64(n.Lease())}
	err := n.call(ctx, func(ctx context.Context, c client, at *address) error {
		request.Region = string(at.region)
		_, err := c.Leave(ctx, request)
		return err
	})
	if errors.Is(err, region.ErrLease) || errors.Is(err, region.ErrUnknownMember) {
		err = nil // the stay is over already
	}
	if err != nil {
		err = fmt.Errorf("member: leave: %w", err)
	} else {
		n.seeOff(ctx)
	}
	n.mu.Lock()
	pool := n.pool
	n.mu.Unlock()
	if pool != nil {
		pool.Leave()
	}
	return errors.Join(err, n.Close())
}

// seeOff waits until no child is left.
func (n *Node) seeOff(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handover)
	defer cancel()
	for n.children() > 0 {
		select {
		case <-n.attached:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) children() int {
	count := 0
	for _, s := range n.relay.Stats().Streams {
		count += len(s.Children)
	}
	return count
}

// Close stops at once and waits for the node's goroutines. Peers with a link
// see it close and use their standbys; the coordinators learn of it from them,
// from gossip, or when the lease runs out. Where there is time, use Leave.
func (n *Node) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	n.mu.Unlock()
	n.cancel()
	n.group.close()
	n.wg.Wait()
	err := n.closeGossip()
	if n.relay != nil {
		err = errors.Join(err, n.relay.Close())
	}
	if n.transport != nil {
		err = errors.Join(err, n.transport.Close())
	}
	n.events.close()
	if err != nil {
		return fmt.Errorf("member: close: %w", err)
	}
	return nil
}
