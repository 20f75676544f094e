package door

import (
	"context"
	"fmt"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"github.com/skein-mesh/skein/region"
)

type webrtcAttributes = interceptor.Attributes

// programme is what there is under a name: a stream for each m-line, whether it
// flows at present or not.
func (d *Door) programme(ctx context.Context, name string) (map[string]region.Stream, error) {
	all, err := d.cfg.Node.Streams(ctx)
	if err != nil {
		return nil, err
	}
	found := make(map[string]region.Stream)
	for _, s := range all {
		for _, media := range []string{"audio", "video"} {
			whole := string(s.ID) == name && s.Kind == regionKind(media)
			if string(s.ID) == name+"/"+media || whole && found[media].ID == "" {
				found[media] = s
			}
		}
	}
	if len(found) == 0 {
		return nil, errNothing
	}
	return found, nil
}

// watch lets a client in that wants to watch. If it offers nothing (o is nil, and unfit
// says why) or not what is sent, the session begins with an offer of the door's.
func (d *Door) watch(ctx context.Context, name string, o *offer, unfit error) (*session, string, error) {
	streams, err := d.programme(ctx, name)
	if err != nil {
		return nil, "", err
	}
	if o != nil {
		unfit = o.suits(streams)
	}
	if unfit != nil && int(d.offers.Load()) >= max(d.cfg.MaxSessions/offersShare, 1) {
		return nil, "", unfit
	}
	id, err := d.reserve()
	if err != nil {
		return nil, "", err
	}
	s := d.newSession(id, Watch, name, o)
	pc, estimator, err := d.newPeer(Watch, true)
	if err != nil {
		d.drop(id)
		return nil, "", err
	}
	s.pc = pc
	s.pc.OnConnectionStateChange(s.heed)
	var outlets []*outlet
	for _, media := range []string{"audio", "video"} {
		stream, flows := streams[media]
		if unfit == nil && o.section(media) == nil || unfit != nil && !flows {
			continue
		}
		if !flows {
			stream.ID = region.StreamID(name + "/" + media)
		}
		outlets = append(outlets, newOutlet(s, media, stream, estimator))
	}
	var local string
	if unfit == nil {
		local, err = answer(ctx, s.pc, o.text, func() error { return s.attach(outlets) })
	} else {
		d.cfg.Logger.Debug("client is offered something else", "name", name, "why", unfit)
		s.offer = nil
		s.waits.Store(true)
		d.offers.Add(1)
		local, err = s.counter(ctx, outlets, streams)
	}
	if err != nil {
		s.clear()
		d.drop(id)
		return nil, "", err
	}
	d.open(s)
	return s, local, nil
}

// attach gives each m-line its outlet.
func (s *session) attach(outlets []*outlet) error {
	for _, o := range outlets {
		sender, err := s.pc.AddTrack(o)
		if err != nil {
			return fmt.Errorf("%w: %.200v", errUnprocessable, err)
		}
		for _, t := range s.pc.GetTransceivers() {
			if t.Sender() == sender && t.Direction() == webrtc.RTPTransceiverDirectionSendrecv {
				return fmt.Errorf("%w: the %s m-line is not for receiving", errUnprocessable, o.media)
			}
		}
		s.feed(o, sender)
	}
	return nil
}

// feed starts an outlet.
func (s *session) feed(o *outlet, sender *webrtc.RTPSender) {
	s.run(func() { o.heedReports(sender) })
	s.run(o.pump)
}

// counter makes the door's own offer: an m-line for each outlet, with all codecs the door
// knows, for the publisher may come back with another one.
func (s *session) counter(ctx context.Context, outlets []*outlet, streams map[string]region.Stream) (string, error) {
	for _, o := range outlets {
		t, err := s.pc.AddTransceiverFromTrack(o, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			return "", err
		}
		s.offered = append(s.offered, offered{o, t.Sender(), streams[o.media]})
	}
	text, err := s.pc.CreateOffer(nil)
	if err != nil {
		return "", err
	}
	return settleLocal(ctx, s.pc, text)
}

// accept takes the client's answer to the door's offer. It can be given once.
func (s *session) accept(text string) error {
	lines, err := s.take(text)
	for _, l := range lines {
		s.feed(l.outlet, l.sender)
	}
	return err
}

// take settles the connection by an answer and returns the m-lines that were accepted.
func (s *session) take(text string) (lines []offered, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.offer != nil || len(s.offered) == 0 {
		return nil, fmt.Errorf("%w: this session waits for no answer", errUnprocessable)
	}
	o, err := parseAnswer(text)
	if err != nil {
		return nil, err
	}
	streams := make(map[string]region.Stream)
	for _, l := range s.offered {
		streams[l.outlet.media] = l.stream
	}
	if err := o.suits(streams); err != nil {
		return nil, err
	}
	if err := s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: text}); err != nil {
		return nil, fmt.Errorf("%w: %.200v", errUnprocessable, err)
	}
	s.offer = o
	s.settled()
	for _, l := range s.offered {
		if o.section(l.outlet.media) != nil {
			lines = append(lines, l)
		}
	}
	return lines, nil
}
