package world

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// logLevel of what the nodes write into the journal.
const logLevel = slog.LevelDebug

// A participant is a person at a machine; node is nil while it takes no part.
type participant struct {
	w     *world
	name  string
	host  *simnet.Host
	cfg   member.Config
	node  *member.Node
	views map[region.StreamID]*viewer
	ends  []func() // of the present stay: reader goroutines
	// busy is closed when what the participant does in the background is done;
	// until then nobody else touches it. nil: nothing.
	busy chan struct{}
}

// participant has not joined yet.
func (w *world) participant(uplink region.Rate) *participant {
	n := len(w.members) + 1
	host := w.net.Host(netip.AddrFrom4([4]byte{10, 1, byte(n / 250), byte(n%250 + 1)}).String())
	p := &participant{w: w, name: fmt.Sprintf("m%d", n), host: host, cfg: member.DefaultConfig(), views: map[region.StreamID]*viewer{}}
	for _, s := range w.coordinators {
		p.cfg.Coordinators = append(p.cfg.Coordinators, s.cfg.GRPC)
	}
	p.cfg.Name, p.cfg.Uplink, p.cfg.Network = p.name, uplink, host
	p.cfg.Credentials = w.issue(trust.RoleMember)
	p.cfg.Media, p.cfg.Gossip = host.Addr().String()+":7500", host.Addr().String()+":7402"
	p.cfg.Logger = w.journal.logger(p.name, w.fault)
	w.members = append(w.members, p)
	return p
}

func (p *participant) String() string {
	return fmt.Sprintf("%s (%.6s)", p.name, p.cfg.Credentials.ID())
}

// enter begins a stay, or says why it cannot.
func (p *participant) enter() error {
	p.host.PowerOn()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	node, err := member.Join(ctx, p.cfg)
	if err != nil {
		return err
	}
	p.node = node
	p.w.note("%s joins with lease %d and %d kbit/s", p, node.Lease(), p.cfg.Uplink)
	p.record()
	return nil
}

func (p *participant) join() {
	p.w.t.Helper()
	if err := p.enter(); err != nil {
		p.w.t.Fatalf("%s cannot join: %v", p, err)
	}
}

// enterAndWatch is for those who come in a crowd.
func (p *participant) enterAndWatch() {
	if err := p.enter(); err != nil {
		p.w.fault("%s cannot join: %v", p, err)
		return
	}
	p.watch("stage")
}

// together lets all do the same at the same time, and waits for them.
func together(list []*participant, do func(*participant)) {
	var wg sync.WaitGroup
	for _, p := range list {
		wg.Go(func() { do(p) })
	}
	wg.Wait()
}

// begin lets p do something that takes its time.
func (p *participant) begin(do func(*participant)) {
	done := make(chan struct{})
	p.busy = done
	p.w.watchers.Go(func() {
		defer close(done)
		do(p)
	})
}

// idle says whether p has nothing to do in the background.
func (p *participant) idle() bool {
	if p.busy != nil {
		select {
		case <-p.busy:
			p.busy = nil
		default:
			return false
		}
	}
	return true
}

// record writes the node's events into the journal.
func (p *participant) record() {
	var wg sync.WaitGroup
	node := p.node
	wg.Go(func() {
		for e := range node.Events() {
			p.w.note("%s %v %s %.6s %s", p, e.Kind, e.Stream, e.Peer, e.Detail)
		}
	})
	p.ends = append(p.ends, wg.Wait)
}

// kill is the death of the process.
func (p *participant) kill() {
	if p.node != nil {
		p.w.note("%s is killed", p)
		p.host.Kill()
		p.host.PowerOff()
		p.close()
	}
}

// powerOff is silence.
func (p *participant) powerOff() {
	if p.node != nil {
		p.w.note("%s loses power", p)
		p.host.PowerOff()
		p.close()
	}
}

// leave ends the stay in good order.
func (p *participant) leave() {
	if p.node == nil {
		return
	}
	p.w.note("%s leaves", p)
	p.shut()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.node.Leave(ctx); err != nil {
		p.w.note("%s leaves: %v", p, err)
	}
	p.gone()
}

func (p *participant) close() {
	if p.node == nil {
		return
	}
	p.shut()
	if err := p.node.Close(); err != nil {
		p.w.note("%s closes: %v", p, err)
	}
	p.gone()
}

// shut ends what the application does.
func (p *participant) shut() {
	for _, v := range p.views {
		v.leave()
	}
	for _, c := range p.w.cameras {
		if c.at.Load() == p {
			c.unplug()
		}
	}
}

// gone ends what belongs to the node that was.
func (p *participant) gone() {
	for _, end := range p.ends {
		end()
	}
	p.node, p.ends = nil, nil
	clear(p.views)
}

// present lists those who take part and are not about to stop or begin.
func (w *world) present() []*participant {
	return slices.DeleteFunc(slices.Clone(w.members), func(p *participant) bool { return !p.idle() || p.node == nil })
}

// publishes says whether p is the origin of a stream.
func (p *participant) publishes(id region.StreamID) bool {
	c := p.w.cameras[id]
	return c != nil && c.at.Load() == p
}

// relays lists those who have children in a stream and are not its origin, the
// busiest first.
func (w *world) relays(id region.StreamID) []*participant {
	children := map[*participant]int{}
	var list []*participant
	for _, p := range w.present() {
		for _, s := range p.node.Stats().Streams {
			if s.Stream == id && len(s.Children) > 0 && !p.publishes(id) {
				children[p] = len(s.Children)
				list = append(list, p)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b *participant) int { return children[b] - children[a] })
	return list
}
