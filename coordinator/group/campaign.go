package group

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/skein-mesh/skein/region"
)

// campaignRetry is how soon it is looked again whether the others are there.
const campaignRetry = 5 * time.Millisecond

// Campaign has this replica stand for election as soon as most of the group can
// vote, without waiting for anybody's silence. It is for a group that begins, where
// nobody has led yet: no election timeout passes. It blocks until this replica has
// asked for votes, somebody leads, or ctx ends.
func (g *Group) Campaign(ctx context.Context) error {
	r, _ := g.current()
	if r == nil {
		return g.notLeader()
	}
	tick := time.NewTicker(campaignRetry)
	defer tick.Stop()
	for !r.attended() {
		if _, known := g.Leader(); known {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("group %s: campaign: %w", g.cfg.Region, context.Cause(ctx))
		case <-r.stopping:
			return region.ErrClosed
		}
	}
	if _, known := g.Leader(); known {
		return nil
	}
	self := raft.ServerID(g.cfg.Node)
	at, err := r.ServerAddr(self)
	if err != nil {
		return fmt.Errorf("group %s: campaign: %w", g.cfg.Region, err)
	}
	// What a leader says to its successor; here nobody was leader before.
	request := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(self), Addr: []byte(at),
	}}
	if err := r.transport.TimeoutNow(self, at, request, &raft.TimeoutNowResponse{}); err != nil {
		return fmt.Errorf("group %s: campaign: %w", g.cfg.Region, err)
	}
	return nil
}

// attended says whether most of the voters, this one among them, host the group. It
// asks all of them at the same time.
func (r *replica) attended() bool {
	voters, asked := 0, 0
	answers := make(chan bool, MaxReplicas)
	for _, s := range r.configuration() {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if s.ID == raft.ServerID(r.group.cfg.Node) {
			continue
		}
		if !r.begin() {
			break
		}
		asked++
		go func() {
			defer r.wg.Done()
			at, err := r.ServerAddr(s.ID)
			if err == nil {
				err = r.layer.reach(at, r.group.cfg.electionTimeout())
			}
			answers <- err == nil
		}()
	}
	there := voters - asked
	for range asked {
		if <-answers {
			there++
		}
		if there > voters/2 {
			break
		}
	}
	return voters > 0 && there > voters/2
}
