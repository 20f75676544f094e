package rescue

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/member/relay"
	"github.com/skein-mesh/skein/region"
)

// A SwitchConfig says how often a viewer is moved. Start from DefaultSwitch.
type SwitchConfig struct {
	// Moves of one viewer between two parents. Default 200.
	Moves int
	// RTT between any two members. Default 20 ms.
	RTT time.Duration
}

// DefaultSwitch returns the defaults named above.
func DefaultSwitch() SwitchConfig { return SwitchConfig{Moves: 200, RTT: 20 * time.Millisecond} }

// A SwitchResult is what the viewer found.
type SwitchResult struct {
	Moves    int     `json:"moves"`
	RTTMS    float64 `json:"rtt_ms"`
	Received int     `json:"packets"`
	Lost     uint64  `json:"lost"`
	// Reordered counts packets that were handed out after a later one.
	Reordered int `json:"reordered"`
	// Keyframes counts requests for keyframes that reached the publisher.
	Keyframes int64 `json:"keyframes_wanted"`
	// GapMax is the longest time between two packets; the stream has 30 frames a
	// second.
	GapMax float64 `json:"gap_ms_max"`
	// MoveMS is how long a move took on average, from its assignment on.
	MoveMS float64 `json:"move_ms_avg"`
}

const (
	beginnings = 2 * time.Second
	// stay is how long the viewer is left with a parent.
	stay = 80 * time.Millisecond
)

// Switch moves a viewer of a 1 Mbit/s video to and fro.
func Switch(ctx context.Context, cfg SwitchConfig) (r SwitchResult, err error) {
	if cfg.Moves < 1 || cfg.RTT < 0 {
		return r, fmt.Errorf("%w: want at least one move", region.ErrInvalid)
	}
	w, err := newWorld(cfg.RTT, region.Stream{Kind: region.Video, Layers: []region.Rate{1000}, Codec: "H264"})
	if err != nil {
		return r, err
	}
	defer w.close()
	var parents [2]*node
	for i := range parents {
		if parents[i], err = w.node(); err != nil {
			return r, err
		}
	}
	viewer, err := w.node()
	if err != nil {
		return r, err
	}
	if err := w.seat(parents, viewer, 0); err != nil {
		return r, err
	}
	l, err := w.read(viewer)
	if err != nil {
		return r, err
	}
	defer l.close()
	src, err := w.origin.r.Publish(w.stream)
	if err != nil {
		return r, err
	}
	defer play(src, time.Second/30, 4, 1000)()
	if err := await(ctx, "first packets", func() bool { return l.count() > 60 && viewer.parent() == parents[0].peer.ID }); err != nil {
		return r, err
	}
	// The relays' own beginnings want keyframes, and not all at once.
	if err := sleep(ctx, beginnings); err != nil {
		return r, err
	}
	keyframes, stop := w.countKeyframes()
	defer stop()
	l.mark()
	first := l.count()
	var moving time.Duration
	for i := range cfg.Moves {
		to := (i + 1) % 2
		start := time.Now()
		if err := w.seat(parents, viewer, to); err != nil {
			return r, err
		}
		if err := await(ctx, fmt.Sprintf("move %d", i+1), func() bool { return viewer.parent() == parents[to].peer.ID }); err != nil {
			return r, err
		}
		moving += time.Since(start)
		if err := sleep(ctx, stay); err != nil {
			return r, err
		}
	}
	r.MoveMS = float64(moving) / 1e6 / float64(cfg.Moves)
	if err := sleep(ctx, playout); err != nil {
		return r, err
	}
	gap, lost := l.since()
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Moves, r.RTTMS, r.Received, r.Lost = cfg.Moves, float64(cfg.RTT)/1e6, l.received-first, lost
	r.Reordered, r.Keyframes, r.GapMax = l.reordered, keyframes.Load(), float64(gap)/1e6
	return r, nil
}

// seat gives everybody a place, the viewer below one of the parents.
func (w *world) seat(parents [2]*node, viewer *node, at int) error {
	w.revision++
	root := w.assignment(w.origin.peer, nil)
	for i, p := range parents {
		root.Children = append(root.Children, p.peer)
		a := w.assignment(p.peer, &w.origin.peer)
		if i == at {
			a.Children = []link.Peer{viewer.peer}
		}
		if err := p.r.Assign(a); err != nil {
			return err
		}
	}
	if err := w.origin.r.Assign(root); err != nil {
		return err
	}
	return viewer.r.Assign(w.assignment(viewer.peer, &parents[at].peer))
}

// countKeyframes counts what the publisher is asked for.
func (w *world) countKeyframes() (*atomic.Int64, func()) {
	n := new(atomic.Int64)
	for len(w.origin.r.Events()) > 0 {
		<-w.origin.r.Events()
	}
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case e := <-w.origin.r.Events():
				if _, ok := e.(relay.KeyframeWanted); ok {
					n.Add(1)
				}
			case <-quit:
				return
			}
		}
	})
	return n, func() { close(quit); done.Wait() }
}
