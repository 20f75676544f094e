package member

import (
	"context"
	"errors"
	"net/netip"

	"github.com/skein-mesh/skein/member/gossip"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// noGossip as Config.Gossip keeps a member out of the pool.
const noGossip = "none"

// listenGossip opens the socket, whose address is part of the request to join;
// nil if the member does not gossip.
func (n *Node) listenGossip(ctx context.Context) (*gossip.Socket, error) {
	if n.cfg.Gossip == noGossip {
		return nil, nil
	}
	return gossip.Listen(ctx, n.cfg.Network, n.cfg.Gossip)
}

// gossipAddr is the address others reach the gossip socket at: that of socket,
// or, if it is nil, of the pool that runs; invalid if there is neither.
func (n *Node) gossipAddr(socket *gossip.Socket) netip.AddrPort {
	if socket == nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.pool == nil {
			return netip.AddrPort{}
		}
		return n.pool.Addr()
	}
	addr := socket.Addr()
	if media := n.transport.Endpoint().Media; len(media) > 0 && addr.Addr().IsUnspecified() {
		addr = netip.AddrPortFrom(media[0].Addr(), addr.Port())
	}
	return addr
}

// openGossip starts the pool on socket, if the member gossips. It owns socket.
func (n *Node) openGossip(answer *skeinv1.JoinResponse, socket *gossip.Socket) error {
	if socket == nil {
		return nil
	}
	pool, err := gossip.Open(gossip.Config{
		Socket: socket, Advertise: n.gossipAddr(socket),
		Self: n.id, Lease: region.Lease(answer.GetLease()),
		Region: n.stay.Load().region, Generation: region.Generation(answer.GetGeneration()),
		Keys: answer.GetGossipKeys(), Seeds: answer.GetGossipSeeds(),
		Logger: n.log,
	})
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	ctx, stop := context.WithCancel(n.ctx)
	n.mu.Lock()
	n.pool, n.poolStop = pool, stop
	n.mu.Unlock()
	n.wg.Go(func() { n.heedGossip(ctx, pool) })
	return nil
}

// updateGossip follows a new stay. Another generation is another pool, on the
// same port.
func (n *Node) updateGossip(ctx context.Context, old *stay, answer *skeinv1.JoinResponse) error {
	n.mu.Lock()
	pool := n.pool
	n.mu.Unlock()
	if pool == nil {
		return nil
	}
	if now := n.stay.Load(); now.generation != old.generation || now.region != old.region {
		addr := pool.Addr()
		if err := n.closeGossip(); err != nil {
			return err
		}
		socket, err := gossip.Listen(ctx, n.cfg.Network, netip.AddrPortFrom(addr.Addr(), addr.Port()).String())
		if err != nil {
			return err
		}
		return n.openGossip(answer, socket)
	}
	pool.SetSeeds(answer.GetGossipSeeds())
	n.wg.Go(func() { pool.SetLease(region.Lease(answer.GetLease())) })
	return pool.SetKeys(answer.GetGossipKeys())
}

// rekey follows a change of the pool's keys.
func (n *Node) rekey(keys [][]byte) {
	n.mu.Lock()
	pool := n.pool
	n.mu.Unlock()
	if pool == nil {
		return
	}
	if err := pool.SetKeys(keys); err != nil {
		n.log.Warn("gossip keys not taken", "err", err)
	}
}

func (n *Node) closeGossip() error {
	n.mu.Lock()
	pool, stop := n.pool, n.poolStop
	n.pool = nil
	n.mu.Unlock()
	if pool == nil {
		return nil
	}
	stop()
	return pool.Close()
}

// poolPeers counts the members that gossip holds for alive, this one excepted.
func (n *Node) poolPeers() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pool == nil {
		return 0
	}
	return max(0, n.pool.Size()-1)
}

// poolNews counts what gossip has told of others.
func (n *Node) poolNews() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pool == nil {
		return 0
	}
	return n.pool.News()
}

// poolBytes counts what gossip has cost.
func (n *Node) poolBytes() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pool == nil {
		return 0
	}
	return n.pool.Bytes()
}

// heedGossip takes in what the pool notices: round-trip times for the book,
// deaths as rumours for the coordinators.
func (n *Node) heedGossip(ctx context.Context, pool *gossip.Pool) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-pool.Events():
			switch e.Kind {
			case gossip.RTT:
				n.rtts.observe(e.Peer.ID, e.RTT)
			case gossip.Gone:
				n.rtts.forget(e.Peer.ID)
				n.out.rumour(e.Peer.ID, e.Peer.Lease)
				n.events.put(Event{Kind: Suspected, Peer: string(e.Peer.ID)})
			}
		}
	}
}
