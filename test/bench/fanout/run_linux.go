package fanout

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// An arm is one hub under test with a source and children.
type arm interface {
	// widen makes it carry that many streams from now on.
	widen(streams int) error
	// frame writes n packets of a stream, all with one timestamp.
	frame(stream int, timestamp uint32, n int) error
	hub() *process
	close()
}

// turns is how often the hubs are measured one after the other with one stream: on a machine
// that others use, too, single figures differ by half.
const turns = 5

// A turn is what the three hubs took one right after the other.
type turn struct{ udp, limit, own findings }

func (t turn) overLimit() float64 { return t.own.base.us / t.limit.base.us }

// Run measures all three hubs in turns, and tells the turn of which OverLimit is the
// median. It takes three minutes with the defaults, and wants two idle cores.
func Run(ctx context.Context, cfg Config) (Result, error) {
	r := Result{Children: cfg.Children, Kbps: cfg.Kbps, Packet: cfg.Packet}
	if err := cfg.validate(); err != nil {
		return r, err
	}
	if err := pin(sourceCore); err != nil {
		return r, err
	}
	var all [turns]turn
	for k := range all {
		for _, x := range []struct {
			kind string
			into *findings
		}{{plainHub, &all[k].udp}, {limitHub, &all[k].limit}, {relayHub, &all[k].own}} {
			var err error
			if *x.into, err = measure(ctx, cfg, x.kind, k == turns-1); err != nil {
				return r, fmt.Errorf("hub %s: %w", x.kind, err)
			}
		}
	}
	loaded := all[turns-1]
	slices.SortFunc(all[:], func(a, b turn) int { return cmp.Compare(a.overLimit(), b.overLimit()) })
	middle := all[turns/2]
	r.OverLimit, r.OverLimitLeast, r.OverLimitMost = middle.overLimit(), all[0].overLimit(), all[turns-1].overLimit()
	udp, limit, own := middle.udp, middle.limit, middle.own
	r.USPerPacket, r.UDPUSPerPacket, r.LimitUSPerPacket = own.base.us, udp.base.us, limit.base.us
	r.LiveKitUSPerPacket = livekitUS * udp.base.us / livekitUDP
	r.UnderLiveKit = r.LiveKitUSPerPacket / own.base.us
	r.PacketsPerSecond, r.Loss = own.base.rate, own.base.loss
	r.AllocsPerPacket = own.base.allocs

	udp, limit, own = loaded.udp, loaded.limit, loaded.own
	r.RSSPerChild = own.idle
	r.Streams, r.LoadPackets, r.LoadLoss, r.LoadUS = own.streams, own.load.rate, own.load.loss, own.load.us
	r.Load, r.UDPLoad, r.LimitLoad = own.load.busy, udp.load.busy, limit.load.busy
	r.EndsLoad = own.load.ends
	r.DelayP50, r.DelayP99 = own.load.p50, own.load.p99
	r.UDPStreams, r.UDPLoadLoss = udp.streams, udp.load.loss
	r.UDPDelayP50, r.UDPDelayP99 = udp.load.p50, udp.load.p99
	r.LimitStreams, r.LimitLoadUS = limit.streams, limit.load.us
	r.LimitDelayP50, r.LimitDelayP99 = limit.load.p50, limit.load.p99
	return r, nil
}

// figures are those of one measurement.
type figures struct {
	us, rate, loss, allocs, p50, p99 float64
	busy, ends                       float64 // shares of a core that the hub used, and this process
}

// findings are those of one hub.
type findings struct {
	base, load figures
	streams    int
	idle       float64 // KiB per child
}

// measure opens a hub, and loads it, too, if loaded is true.
func measure(ctx context.Context, cfg Config, kind string, loaded bool) (f findings, err error) {
	c := &counts{start: time.Now()}
	var a arm
	if kind == relayHub {
		a, f.idle, err = newSkein(ctx, cfg, c)
	} else {
		a, err = newBare(ctx, cfg, kind, c)
	}
	if err != nil {
		return f, err
	}
	defer a.close()
	if f.base, err = take(ctx, cfg, a, c, 1); err != nil || !loaded {
		return f, err
	}
	// So many streams that the hub is busy for Load of the time, by what a packet
	// cost so far; that falls as streams are added, so look again.
	f.streams = streamsFor(cfg, f.base)
	if err := a.widen(f.streams); err != nil {
		return f, err
	}
	short := cfg
	short.For = cfg.For / 4
	first, err := take(ctx, short, a, c, f.streams)
	if err != nil {
		return f, err
	}
	f.streams = streamsFor(cfg, first)
	if err := a.widen(f.streams); err != nil {
		return f, err
	}
	f.load, err = take(ctx, cfg, a, c, f.streams)
	return f, err
}

// streamsFor is how many streams make the hub as busy as Config.Load says, or
// source and children as busy as they can be without adding delays of their own.
func streamsFor(cfg Config, f figures) int {
	packets := cfg.Load * 1e6 / f.us
	if f.ends > 0 {
		packets = min(packets, f.rate*endsLoad/f.ends)
	}
	return max(1, int(packets/(float64(cfg.Children)*cfg.packetsPerSecond())))
}

// endsLoad is the most that source and children may use of their core.
const endsLoad = 0.8

// packetsPerSecond of one stream.
func (c Config) packetsPerSecond() float64 { return float64(c.Kbps) * 125 / float64(c.Packet) }

// take plays for a second, then measures for Config.For.
func take(ctx context.Context, cfg Config, a arm, c *counts, streams int) (f figures, err error) {
	warm := cfg
	warm.For = time.Second
	if _, err := play(ctx, warm, a, c, streams); err != nil {
		return f, err
	}
	time.Sleep(settle)
	before, err := a.hub().usage()
	if err != nil {
		return f, err
	}
	own, err := used(nil)
	if err != nil {
		return f, err
	}
	c.reset()
	start := time.Now()
	sent, err := play(ctx, cfg, a, c, streams)
	if err != nil {
		return f, err
	}
	took := time.Since(start)
	ownAfter, err := used(nil)
	if err != nil {
		return f, err
	}
	time.Sleep(settle)
	after, err := a.hub().usage()
	if err != nil {
		return f, err
	}
	got := float64(c.packets.Load())
	if got == 0 {
		return f, fmt.Errorf("no packet of %d came through", sent)
	}
	f.us = float64(after.CPU-before.CPU) / 1000 / got
	f.allocs = float64(after.Mallocs-before.Mallocs) / got
	f.rate = got / took.Seconds()
	f.loss = max(0, 1-got/float64(sent*cfg.Children))
	f.busy = float64(after.CPU-before.CPU) / float64(took)
	f.ends = float64(ownAfter.CPU-own.CPU) / float64(took)
	f.p50, f.p99 = c.quantile(0.5), c.quantile(0.99)
	return f, nil
}

// settle is how long packets under way may take.
const settle = 200 * time.Millisecond

// play writes the frames of all streams, evenly spread over time.
func play(ctx context.Context, cfg Config, a arm, c *counts, streams int) (sent int, err error) {
	perFrame := cfg.packetsPerSecond() / float64(cfg.FPS)
	every := time.Second / time.Duration(cfg.FPS*streams)
	start := time.Now()
	for i := 0; ; i++ {
		at := time.Duration(i) * every
		if at >= cfg.For {
			return sent, nil
		}
		if wait := at - time.Since(start); wait > 0 {
			select {
			case <-ctx.Done():
				return sent, ctx.Err()
			case <-time.After(wait):
			}
		}
		round := float64(i / streams)
		n := int((round+1)*perFrame) - int(round*perFrame)
		if n == 0 {
			continue
		}
		if err := a.frame(i%streams, c.stamp(), n); err != nil {
			return sent, err
		}
		sent += n
	}
}
