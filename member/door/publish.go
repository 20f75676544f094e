package door

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/member/red"
	"github.com/skein-mesh/skein/member/svc"
	"github.com/skein-mesh/skein/region"
)

// An inlet is one m-line of a publisher: a stream of the mesh.
type inlet struct {
	session *session
	codec   *codec
	rids    []string // by layer; nil without simulcast
	mode    svc.Mode // of a scalable encoding
	clock   *publisherClock
	out     *member.Publication
	sources [region.MaxLayers]atomic.Uint32 // SSRC of the client by layer, for keyframes
	wanted  wanted
}

// publish lets a client in that wants to publish. Whoever published the name
// through this door before is taken for the same client, come back.
func (d *Door) publish(ctx context.Context, name string, o *offer, rates map[string]region.Rate, mode svc.Mode) (*session, string, error) {
	id, err := d.reserve()
	if err != nil {
		return nil, "", err
	}
	s := d.newSession(id, Publish, name, o)
	if s.pc, _, err = d.newPeer(Publish, o.video.first() == "AV1"); err != nil {
		d.drop(id)
		return nil, "", err
	}
	inlets := make(map[string]*inlet)
	s.pc.OnConnectionStateChange(s.heed)
	s.pc.OnTrack(func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
		if in := inlets[t.Kind().String()]; in != nil {
			in.take(t, r)
		}
	})
	local, err := answer(ctx, s.pc, o.text, func() error {
		if old := d.publisher(name); old != nil {
			old.close("the publisher has come back")
		}
		clock := &publisherClock{}
		for media, sec := range map[string]*section{"audio": o.audio, "video": o.video} {
			if sec == nil {
				continue
			}
			in := &inlet{session: s, codec: byName(sec.codecs[0]), rids: ascending(sec.rids), clock: clock}
			if media == "video" {
				in.mode = mode
			}
			err := in.open(ctx, media, sec.red, rates[media])
			if err != nil {
				return err
			}
			inlets[media] = in
		}
		return nil
	})
	if err != nil {
		s.clear()
		d.drop(id)
		return nil, "", err
	}
	d.open(s)
	return s, limitRate(local, rates), nil
}

// open publishes the stream of an m-line and settles its codec.
func (in *inlet) open(ctx context.Context, media string, redundant bool, rate region.Rate) (err error) {
	s := in.session
	in.wanted.set(region.AllLayers)
	if err := s.settle(media, in.codec, redundant); err != nil {
		return err
	}
	stream := member.Stream{
		Name: region.StreamID(s.name + "/" + media), Kind: regionKind(media), Codec: in.codec.name,
		Layers: split(rate, max(len(in.rids), 1)),
	}
	if in.scalable() {
		stream.Layers, stream.Scalable = in.mode.Rates(rate), true
	}
	if in.out, err = s.door.cfg.Node.Publish(ctx, stream); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = append(s.ends, func() {
		if err := in.out.Close(); err != nil {
			s.door.cfg.Logger.Warn("the end of a stream was not heard", "stream", stream.Name, "err", err)
		}
	})
	if len(in.labels()) > 1 {
		s.layered = in
	}
	s.wait.Go(in.heedMesh)
	return nil
}

// settle leaves one codec of an m-line, and what goes with it.
func (s *session) settle(media string, c *codec, redundant bool) error {
	for _, t := range s.pc.GetTransceivers() {
		if t.Kind().String() != media {
			continue
		}
		all := t.Receiver().GetParameters().Codecs
		var keep []webrtc.RTPCodecParameters
		for _, p := range all {
			if strings.EqualFold(nameOf(p.MimeType), c.name) && len(keep) == 0 {
				keep = append(keep, p)
			}
		}
		if len(keep) == 0 {
			return fmt.Errorf("%w: no way of sending %s was agreed on", errUnprocessable, c.name)
		}
		apt := "apt=" + number(keep[0].PayloadType)
		for _, p := range all {
			switch {
			case strings.EqualFold(p.MimeType, webrtc.MimeTypeRTX) && p.SDPFmtpLine == apt:
				keep = append(keep, p)
			case redundant && nameOf(p.MimeType) == redName:
				keep = slices.Insert(keep, 0, p) // or it would not be sent
			}
		}
		return t.SetCodecPreferences(keep)
	}
	return fmt.Errorf("%w: the %s m-line was not understood", errUnprocessable, media)
}

// split shares a rate between layers: each has a quarter of the next one's.
func split(total region.Rate, layers int) []region.Rate {
	weight, sum := 1, 0
	for range layers {
		sum += weight
		weight *= 4
	}
	list := make([]region.Rate, layers)
	weight = 1
	for i := range list {
		list[i] = max(region.Rate(uint64(total)*uint64(weight)/uint64(sum)), 1)
		weight *= 4
	}
	return list
}

// limitRate tells the publisher what the mesh was promised.
func limitRate(sdp string, rates map[string]region.Rate) string {
	var b strings.Builder
	media := ""
	for line := range strings.Lines(sdp) {
		if kind, ok := strings.CutPrefix(line, "m="); ok {
			media, _, _ = strings.Cut(kind, " ")
		}
		b.WriteString(line)
		if strings.HasPrefix(line, "c=") && rates[media] > 0 {
			b.WriteString("b=AS:" + number(rates[media]) + "\r\nb=TIAS:" + number(rates[media]*1000) + "\r\n")
		}
	}
	return b.String()
}

// heedMesh asks the publisher for the keyframes that viewers need, and notes which
// layers they want.
func (in *inlet) heedMesh() {
	for {
		select {
		case <-in.session.ctx.Done():
			return
		case layers := <-in.out.LayersWanted():
			in.wanted.set(layers)
		case layer := <-in.out.Keyframes():
			if ssrc := in.sources[layer].Load(); ssrc != 0 {
				// If it is lost, viewers will ask again.
				_ = in.session.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
			}
		}
	}
}

// take starts to read a track: one layer of the stream.
func (in *inlet) take(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	layer := 0
	if t.RID() != "" {
		if layer = slices.Index(in.rids, t.RID()); layer < 0 {
			in.session.door.cfg.Logger.Warn("a layer that was not announced", "session", in.session.id, "rid", t.RID())
			return
		}
	}
	in.sources[layer].Store(uint32(t.SSRC()))
	clock := &trackClock{shared: in.clock, rate: in.codec.clock}
	in.session.run(func() { heedReports(t, r, clock) })
	in.session.run(func() { in.read(t, r, layer, clock) })
}

// heedReports reads what the publisher says of a track until the track ends.
func heedReports(t *webrtc.TrackRemote, r *webrtc.RTPReceiver, clock *trackClock) {
	read := r.ReadRTCP
	if rid := t.RID(); rid != "" {
		read = func() ([]rtcp.Packet, webrtcAttributes, error) { return r.ReadSimulcastRTCP(rid) }
	}
	for {
		packets, _, err := read()
		if err != nil {
			return
		}
		for _, p := range packets {
			if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == uint32(t.SSRC()) {
				clock.report(sr.NTPTime, sr.RTPTime)
			}
		}
	}
}

// read passes the packets of a track on until the track ends.
func (in *inlet) read(t *webrtc.TrackRemote, r *webrtc.RTPReceiver, layer int, clock *trackClock) {
	parameters := r.GetParameters()
	ids := make(map[uint8]uint8) // the client's id of an extension -> the mesh's
	var captureID, redundant uint8
	for _, e := range parameters.HeaderExtensions {
		if to, ok := travelling[e.URI]; ok {
			ids[uint8(e.ID)] = to
		}
		if e.URI == captureURI {
			captureID = uint8(e.ID)
		}
	}
	for _, c := range parameters.Codecs {
		if nameOf(c.MimeType) == redName {
			redundant = uint8(c.PayloadType)
		}
	}
	var layers *svc.Splitter
	if in.scalable() {
		layers = svc.NewSplitter(in.codec.name, in.mode)
	}
	refused := 0
	var lacks missing
	for {
		p, _, err := t.ReadRTP()
		if err != nil {
			return
		}
		if in.codec.media == "video" {
			in.ask(t.SSRC(), lacks.take(p.SequenceNumber, time.Now()))
		}
		kind := in.codec.payloadType
		if redundant != 0 && p.PayloadType == redundant && red.Retype(p.Payload, kind) {
			kind = red.PayloadType
		}
		p.PayloadType = kind
		p.Padding, p.PaddingSize = false, 0
		captured := clock.captured(p.Timestamp, p.GetExtension(captureID), time.Now())
		translate(&p.Header, ids)
		if layers == nil {
			err = in.out.WriteLayer(layer, p, captured)
		} else {
			err = in.part(layers, p, captured)
		}
		switch {
		case err == nil:
		case errors.Is(err, region.ErrInvalid):
			if refused++; refused == 1 {
				in.session.door.cfg.Logger.Warn("packets of a publisher cannot be carried", "session", in.session.id, "err", err)
			}
		default:
			in.session.cancel(fmt.Errorf("the stream has ended: %w", err))
			return
		}
	}
}

// ask asks the publisher for packets that are missing.
func (in *inlet) ask(ssrc webrtc.SSRC, numbers []uint16) {
	if len(numbers) > 0 {
		// If it is lost, it is asked again.
		_ = in.session.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{MediaSSRC: uint32(ssrc), Nacks: rtcp.NackPairsFromSequenceNumbers(numbers)}})
	}
}

// translate keeps the header extensions in ids, under the ids they are to have.
func translate(h *rtp.Header, ids map[uint8]uint8) {
	type element struct {
		id   uint8
		data []byte
	}
	var keep []element
	if h.Extension && h.ExtensionProfile == rtp.ExtensionProfileOneByte || h.ExtensionProfile == rtp.ExtensionProfileTwoByte {
		for _, id := range h.GetExtensionIDs() {
			if to, ok := ids[id]; ok {
				keep = append(keep, element{to, h.GetExtension(id)})
			}
		}
	}
	h.Extension, h.ExtensionProfile, h.Extensions = false, 0, nil
	for _, e := range keep {
		if len(e.data) == 0 || len(e.data) > 16 {
			h.Extension, h.ExtensionProfile = true, rtp.ExtensionProfileTwoByte
		}
	}
	for _, e := range keep {
		// What came in one profile fits into it again.
		_ = h.SetExtension(e.id, e.data)
	}
}
