package mix

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/member/red"
	"github.com/skein-mesh/skein/region"
)

const (
	// frameTime is how long one frame lasts.
	frameTime = 20 * time.Millisecond
	// behindLimit is how many frames are made up at once after the process was held up;
	// those beyond are left out.
	behindLimit = 5
	// placeEvery is how often the desk looks where everybody stands.
	placeEvery = 5 // frames
	// waitingPackets is how many packets wait for the desk; then their readers do.
	waitingPackets = 256
	// plainLevel is the level of packets that do not tell theirs, in dB: so such voices
	// are heard, though others may be louder.
	plainLevel = -30
)

// A DeskConfig says what a mix is made of.
type DeskConfig struct {
	Config
	// Name of the listener in the space, one of the node's own: letters and digits.
	Name string
	// Space and Place: where it listens. Facing says what is ahead.
	Space region.Space
	Place region.Place
	// Radius within which voices are heard, in metres.
	Radius float64
	// Stream is the name of the mix.
	Stream region.StreamID
}

// DefaultDeskConfig listens 30 m around a place of a space, and publishes that as
// SPACE/mix.
func DefaultDeskConfig(c Codec, space region.SpaceID, place region.Place) DeskConfig {
	return DeskConfig{
		Config: DefaultConfig(c), Name: "mix", Space: region.Space{ID: space}, Place: place, Radius: 30,
		Stream: region.StreamID(space) + "/mix",
	}
}

// Serve listens at a place of a space and publishes what is heard there, until ctx
// ends; then it leaves the space and returns nil. Others find the mix by the name of its
// stream. Of the voices around the node is sent twice as many as are mixed, the loudest
// (member.Node.SetVoices), for who is loudest where it listens depends on the distance, too.
func Serve(ctx context.Context, node *member.Node, c DeskConfig) (err error) {
	m, err := New(c.Config)
	if err != nil {
		return err
	}
	presence, err := node.EnterAs(ctx, c.Name, c.Space, c.Place)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, presence.Leave()) }()
	node.SetVoices(2 * c.Loudest.Max)
	rule := member.Nearest{Radius: c.Radius, Max: region.MaxBystanders, Kinds: []region.Kind{region.Audio}}
	if err := presence.Interest(rule); err != nil {
		return err
	}
	mixed, err := node.Publish(ctx, member.Stream{
		Name: c.Stream, Kind: region.Audio, Layers: []region.Rate{region.Rate(c.Kbps)}, Codec: "opus",
	})
	if err != nil {
		return fmt.Errorf("mix: %w", err)
	}
	defer func() { err = errors.Join(err, mixed.Close()) }()
	d := &desk{
		DeskConfig: c, mixer: m, presence: presence, mixed: mixed, packets: make(chan heard, waitingPackets),
		voices: make(map[region.StreamID]*Voice), speakers: make(map[region.StreamID]region.PresenceID), reading: make(map[*member.Subscription]bool),
	}
	return d.run(ctx)
}

// A desk is a mix at work. Its loop owns it.
type desk struct {
	DeskConfig
	mixer    *Mixer
	presence *member.Presence
	mixed    *member.Publication
	packets  chan heard
	readers  sync.WaitGroup
	voices   map[region.StreamID]*Voice
	speakers map[region.StreamID]region.PresenceID
	reading  map[*member.Subscription]bool

	frame  [1275]byte
	number uint32
}

// heard is a packet of a voice.
type heard struct {
	stream region.StreamID
	packet *member.Packet
}

func (d *desk) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer d.readers.Wait()
	defer cancel()
	ticker := time.NewTicker(frameTime)
	defer ticker.Stop()
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-d.presence.Encounters():
			if !ok {
				return nil // the node is closed
			}
			d.meet(ctx, e)
		case h := <-d.packets:
			d.take(h)
		case <-ticker.C:
			due := uint32(time.Since(began) / frameTime)
			if due > d.number+behindLimit {
				d.number = due - behindLimit
			}
			for ; d.number < due; d.number++ {
				if err := d.send(); err != nil {
					return err
				}
			}
		}
	}
}

// meet lets voices in that come, and forgets those that go.
func (d *desk) meet(ctx context.Context, e member.Encounter) {
	if e.Stream == d.Stream || e.Media != region.Audio {
		return
	}
	switch e.Kind {
	case member.Came:
		v, err := d.mixer.Add(e.Stream)
		if err != nil {
			return // there are more than can be mixed, or it is there
		}
		d.voices[e.Stream], d.speakers[e.Stream] = v, e.Who
		d.place()
		if !d.reading[e.Subscription] {
			d.reading[e.Subscription] = true
			d.readers.Go(func() { d.read(ctx, e.Stream, e.Subscription) })
		}
	case member.Went:
		d.mixer.Remove(e.Stream)
		delete(d.voices, e.Stream)
		delete(d.speakers, e.Stream)
	}
}

// read passes the packets of a voice on.
func (d *desk) read(ctx context.Context, id region.StreamID, sub *member.Subscription) {
	sub.SetPlayout(3 * frameTime) // a voice that is later is concealed
	for {
		p, err := sub.Read(ctx)
		if err != nil {
			return
		}
		select {
		case d.packets <- heard{id, p}:
		case <-ctx.Done():
			return
		}
	}
}

// take puts a packet into the mix.
func (d *desk) take(h heard) {
	v := d.voices[h.stream]
	if v == nil {
		return // it has gone
	}
	level := float64(plainLevel)
	if b := h.packet.GetExtension(link.LevelID); len(b) > 0 {
		level = -float64(b[0] & 0x7F)
	}
	_ = red.Unwrap(&h.packet.Packet)   // what is malformed is refused in a moment
	_ = v.Put(h.packet.Payload, level) // counted in Dropped
}

// send makes a frame and sends it.
func (d *desk) send() error {
	if d.number%placeEvery == 0 {
		d.place()
	}
	n, err := d.mixer.Frame(d.frame[:])
	if err != nil {
		return err
	}
	p := &rtp.Packet{
		Header:  rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: uint16(d.number), Timestamp: d.number * FrameSamples},
		Payload: d.frame[:n],
	}
	if err := d.mixed.WriteRTP(p); err != nil {
		return fmt.Errorf("mix: %w", err)
	}
	return nil
}

// place puts every voice where its speaker stands.
func (d *desk) place() {
	at := make(map[region.PresenceID]region.Place)
	for _, b := range d.presence.Around() {
		at[b.Who] = b.Place
	}
	for id, v := range d.voices {
		if place, known := at[d.speakers[id]]; known {
			v.Place(Hear(d.Place, place))
		}
	}
}
