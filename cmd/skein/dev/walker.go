package dev

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/cmd/skein/media"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// What walkers send and want.
const (
	voiceEvery                 = 40 * time.Millisecond // 25 packets/s
	voiceSize                  = 120
	voiceRate      region.Rate = 32
	thumbEvery                 = 100 * time.Millisecond
	thumbPackets               = 2
	thumbSize                  = 800
	thumbRate      region.Rate = 160
	walkerUplink   region.Rate = 10_000
	interestRadius             = 30.0
	interestMost               = 12
	// filmEvery is which of the walkers send a video as well.
	filmEvery = 10
	// listenEvery is how often they read what has come.
	listenEvery = 40 * time.Millisecond
)

// A WalkSpec is the part of a Spec for members who walk about a space.
type WalkSpec struct {
	Space string
	// Begin is where the member enters.
	Begin region.Place
	Film  bool
}

func voiceOf(member string) region.StreamID { return region.StreamID(member + "/voice") }

func filmOf(member string) region.StreamID { return region.StreamID(member + "/video") }

// A walker is a member that stands in a space.
type walker struct {
	node     *member.Node
	presence *member.Presence
	// ears are by the number of the walker whose voice it is; eyes likewise.
	ears, eyes []ear
}

// An ear is when a stream came. Times are nanoseconds since 1970; 0: never.
type ear struct {
	last    atomic.Int64 // the newest packet
	resumed atomic.Int64 // the first one after a silence
}

// silence is how long nothing may come of a stream that is heard.
const silence = 200 * time.Millisecond

func (e *ear) hear(now time.Time) {
	at := now.UnixNano()
	if last := e.last.Swap(at); at-last > int64(silence) {
		e.resumed.Store(at)
	}
}

func (e *ear) heard(now time.Time) bool { return now.UnixNano()-e.last.Load() <= int64(silence) }

// walk lets the member enter the space, speak and listen.
func (m *memberNode) walk(ctx context.Context, n *member.Node) error {
	spec := m.spec.Member.Walk
	if err := m.utter(ctx, n, voiceOf(m.spec.Name), region.Audio, voiceRate, voiceEvery, 1, voiceSize); err != nil {
		return err
	}
	if spec.Film {
		if err := m.utter(ctx, n, filmOf(m.spec.Name), region.Video, thumbRate, thumbEvery, thumbPackets, thumbSize); err != nil {
			return err
		}
	}
	w := &walker{node: n, ears: make([]ear, m.spec.Member.Members), eyes: make([]ear, m.spec.Member.Members)}
	var err error
	if w.presence, err = n.Enter(ctx, region.Space{ID: region.SpaceID(spec.Space)}, spec.Begin); err != nil {
		return err
	}
	if err := w.presence.Interest(member.Nearest{Radius: interestRadius, Max: interestMost}); err != nil {
		return err
	}
	m.running.Go(func() { w.attend(m.life) })
	m.mu.Lock()
	m.walker = w
	m.mu.Unlock()
	return nil
}

// utter publishes packets at an even pace.
func (m *memberNode) utter(ctx context.Context, n *member.Node, id region.StreamID, kind region.Kind,
	rate region.Rate, every time.Duration, packets, size int) error {
	out, err := n.Publish(ctx, member.Stream{Name: id, Kind: kind, Layers: []region.Rate{rate}, Codec: media.PatternCodec})
	if err != nil {
		return err
	}
	m.running.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		payload := make([]byte, size)
		packet := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96}, Payload: payload}
		for {
			select {
			case <-ticker.C:
			case <-m.life.Done():
				return
			}
			packet.Timestamp += uint32(every / time.Microsecond)
			for i := range packets {
				packet.SequenceNumber++
				packet.Marker = i == packets-1
				if out.WriteRTP(&packet) != nil {
					return // the node is closed
				}
			}
		}
	})
	return nil
}

// attend reads whatever comes near, at the pace of a mixer.
func (w *walker) attend(ctx context.Context) {
	reading := make(map[*member.Subscription]*ear)
	tick := time.NewTicker(listenEvery)
	defer tick.Stop()
	for {
		select {
		case e, more := <-w.presence.Encounters():
			if !more {
				return
			}
			if to := w.earFor(e.Stream); to != nil && e.Kind == member.Came {
				reading[e.Subscription] = to
			} else if e.Kind == member.Went {
				delete(reading, e.Subscription)
			}
		case now := <-tick.C:
			for s, to := range reading {
				if !to.drain(s, now) {
					delete(reading, s)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// earFor is what hears a stream; nil: nothing does, it is somebody's from the door.
func (w *walker) earFor(id region.StreamID) *ear {
	var number int
	var kind string
	if _, err := fmt.Sscanf(string(id), "member-%d/%s", &number, &kind); err != nil || number < 1 || number > len(w.ears) {
		return nil
	}
	if kind == "video" {
		return &w.eyes[number-1]
	}
	return &w.ears[number-1]
}

// drain reads what has come; it reports false when the stream has ended.
func (e *ear) drain(s *member.Subscription, now time.Time) bool {
	for heard := false; ; heard = true {
		switch p, err := s.TryRTP(); {
		case err != nil:
			return false
		case p != nil:
			continue
		case heard:
			e.hear(now)
		}
		return true
	}
}
