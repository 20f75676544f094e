package door

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"

	"github.com/skein-mesh/skein/region"
)

// An offer is what a client's SDP says, as far as the door decides by it. It may be an
// answer to an offer of the door's, too.
type offer struct {
	text         string
	ufrag, pwd   string
	audio, video *section // nil if there is no such m-line
}

// A section is one m-line.
type section struct {
	mid string
	// codecs are the names the mesh knows them by, in the order of the client's
	// liking, each once.
	codecs []string
	// red: the client prefers its audio to be sent redundantly.
	red bool
	// rids of a simulcast the client wants to send, in its order.
	rids []string
}

// first is the codec the client likes best; "" if there is no m-line.
func (s *section) first() string {
	if s == nil {
		return ""
	}
	return s.codecs[0]
}

// has reports whether a codec was offered.
func (s *section) has(codec string) bool {
	return s != nil && slices.ContainsFunc(s.codecs, func(c string) bool { return strings.EqualFold(c, codec) })
}

// parseOffer reads and judges the SDP of a POST. errMalformed means that it is no
// SDP, errUnprocessable that the door does not do what it asks for; nothing is
// ever accepted in part.
func parseOffer(text string, action Action) (*offer, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return nil, fmt.Errorf("%w: %.100v", errMalformed, err)
	}
	o := &offer{text: text}
	var bundle []string
	if group, ok := d.Attribute(sdp.AttrKeyGroup); ok {
		bundle = strings.Fields(group)
	}
	if len(d.MediaDescriptions) == 0 || len(d.MediaDescriptions) > 2 {
		return nil, fmt.Errorf("%w: %d m-lines, want one of audio, one of video, or both", errUnprocessable, len(d.MediaDescriptions))
	}
	for _, m := range d.MediaDescriptions {
		if err := o.media(&d, m, action, bundle); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// parseAnswer reads and judges the answer of a client that watches, of which m-lines may
// be rejected, but not all.
func parseAnswer(text string) (*offer, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return nil, fmt.Errorf("%w: %.100v", errMalformed, err)
	}
	o := &offer{text: text}
	for _, m := range d.MediaDescriptions {
		if m.MediaName.Port.Value == 0 {
			continue
		}
		// What is bundled was the door's to say, and pion checks it.
		if err := o.media(&d, m, Watch, []string{"BUNDLE", attribute(&d, m, "mid")}); err != nil {
			return nil, err
		}
	}
	if o.audio == nil && o.video == nil {
		return nil, fmt.Errorf("%w: the answer rejects all that there is to watch", errUnprocessable)
	}
	return o, nil
}

// section is the m-line of a medium, nil if there is none.
func (o *offer) section(media string) *section {
	if media == "audio" {
		return o.audio
	}
	return o.video
}

// suits reports why a client cannot be shown the streams, by medium, of which it wants
// some; nil if it can.
func (o *offer) suits(streams map[string]region.Stream) (err error) {
	for _, media := range []string{"audio", "video"} {
		stream, flows := streams[media]
		if sec := o.section(media); sec != nil && flows && !sec.has(stream.Codec) {
			err = errors.Join(err, fmt.Errorf("%w: %s is sent as %s, which the client does not take", errUnprocessable, stream.ID, stream.Codec))
		}
	}
	return err
}

func (o *offer) media(d *sdp.SessionDescription, m *sdp.MediaDescription, action Action, bundle []string) error {
	place := map[string]**section{"audio": &o.audio, "video": &o.video}[m.MediaName.Media]
	switch {
	case place == nil:
		return fmt.Errorf("%w: m-line of %.20q, want audio or video", errUnprocessable, m.MediaName.Media)
	case *place != nil:
		return fmt.Errorf("%w: two m-lines of %s", errUnprocessable, m.MediaName.Media)
	}
	s := &section{mid: attribute(d, m, "mid")}
	if len(d.MediaDescriptions) > 1 && (len(bundle) == 0 || bundle[0] != "BUNDLE" || !slices.Contains(bundle[1:], s.mid)) {
		return fmt.Errorf("%w: the %s m-line is not bundled", errUnprocessable, m.MediaName.Media)
	}
	if !present(m, "rtcp-mux") {
		return fmt.Errorf("%w: the %s m-line lacks rtcp-mux", errUnprocessable, m.MediaName.Media)
	}
	if err := judgeDirection(m, action); err != nil {
		return err
	}
	// RFC 9725 wants actpass or active; ffmpeg, as DTLS server, says passive.
	switch setup := attribute(d, m, "setup"); setup {
	case "actpass", "active", "passive":
	default:
		return fmt.Errorf("%w: a=setup:%.20s, want actpass", errUnprocessable, setup)
	}
	if err := o.credentials(attribute(d, m, "ice-ufrag"), attribute(d, m, "ice-pwd")); err != nil {
		return err
	}
	if attribute(d, m, "fingerprint") == "" {
		return fmt.Errorf("%w: no DTLS fingerprint", errUnprocessable)
	}
	s.codecs, s.red = codecsOf(m)
	if len(s.codecs) == 0 {
		return fmt.Errorf("%w: no codec of the %s m-line is known here, want one of %s", errUnprocessable,
			m.MediaName.Media, strings.Join(codecNames(m.MediaName.Media), ", "))
	}
	if action == Publish {
		var err error
		if s.rids, err = ridsOf(m); err != nil {
			return err
		}
	}
	*place = s
	return nil
}

func judgeDirection(m *sdp.MediaDescription, action Action) error {
	direction := "sendrecv"
	for _, d := range []string{"sendonly", "recvonly", "inactive"} {
		if present(m, d) {
			direction = d
		}
	}
	want := map[Action]string{Publish: "sendonly", Watch: "recvonly"}[action]
	if direction != want && direction != "sendrecv" {
		return fmt.Errorf("%w: a=%s in the %s m-line, want %s", errUnprocessable, direction, m.MediaName.Media, want)
	}
	return nil
}

func (o *offer) credentials(ufrag, pwd string) error {
	if ufrag == "" || pwd == "" {
		return fmt.Errorf("%w: no ICE credentials", errUnprocessable)
	}
	if err := set(&o.ufrag, ufrag, 4); err != nil {
		return err
	}
	return set(&o.pwd, pwd, 22)
}

// codecsOf lists the codecs of an m-line that the mesh knows, as the client
// prefers them. red: it likes redundancy better than the first of them by itself.
func codecsOf(m *sdp.MediaDescription) (list []string, red bool) {
	for _, format := range m.MediaName.Formats {
		var name, parameters string
		for _, a := range m.Attributes {
			number, rest, _ := strings.Cut(a.Value, " ")
			if number != format {
				continue
			}
			switch a.Key {
			case "rtpmap":
				name, _, _ = strings.Cut(rest, "/")
			case "fmtp":
				parameters = rest
			}
		}
		known := canonical(m.MediaName.Media, name, parameters)
		if known != "" && !slices.Contains(list, known) {
			list = append(list, known)
		}
		red = red || len(list) == 0 && m.MediaName.Media == "audio" && strings.EqualFold(name, redName)
	}
	return list, red
}

// ridsOf lists the rids that the client wants to send. Of alternatives the first
// counts; a rid that begins paused (~) counts too.
func ridsOf(m *sdp.MediaDescription) ([]string, error) {
	value, ok := m.Attribute("simulcast")
	if !ok {
		return nil, nil
	}
	fields := strings.Fields(value)
	i := slices.Index(fields, "send")
	if i < 0 || i+1 >= len(fields) {
		return nil, nil
	}
	var rids []string
	for _, alternatives := range strings.Split(fields[i+1], ";") {
		rid, _, _ := strings.Cut(alternatives, ",")
		rid = strings.TrimPrefix(rid, "~")
		if rid == "" || slices.Contains(rids, rid) {
			return nil, fmt.Errorf("%w: a=simulcast:%.60s", errMalformed, value)
		}
		rids = append(rids, rid)
	}
	if len(rids) > region.MaxLayers {
		return nil, fmt.Errorf("%w: %d layers of simulcast, at most %d", errUnprocessable, len(rids), region.MaxLayers)
	}
	return rids, nil
}

// attribute of an m-line, or else of the session; "" if neither has it.
func attribute(d *sdp.SessionDescription, m *sdp.MediaDescription, key string) string {
	if v, ok := m.Attribute(key); ok {
		return v
	}
	v, _ := d.Attribute(key)
	return v
}

func present(m *sdp.MediaDescription, key string) bool {
	_, ok := m.Attribute(key)
	return ok
}

// ascending orders rids from the smallest picture to the largest. The names say
// it where they are those in use: q h f, l m h, low mid high; single digits, as OBS
// writes them, begin with the largest. Otherwise the client's order counts.
func ascending(rids []string) []string {
	out := slices.Clone(rids)
	for _, known := range []string{"q h f", "l m h", "low mid high", "low medium high", "9 8 7 6 5 4 3 2 1 0"} {
		order := strings.Fields(known)
		if !slices.ContainsFunc(out, func(r string) bool { return !slices.Contains(order, r) }) {
			slices.SortStableFunc(out, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
			break
		}
	}
	return out
}

// withCredentials is the offer with other ICE credentials and candidates: what a
// client would have said in a full offer that restarts ICE.
func (o *offer) withCredentials(f fragment) string {
	var b strings.Builder
	first := true
	for line := range strings.Lines(o.text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "a=candidate:"), strings.HasPrefix(line, "a=end-of-candidates"):
			continue
		case strings.HasPrefix(line, "a=ice-ufrag:"):
			line = "a=ice-ufrag:" + f.ufrag
		case strings.HasPrefix(line, "a=ice-pwd:"):
			line = "a=ice-pwd:" + f.pwd
		}
		b.WriteString(line + "\r\n")
		if first && strings.HasPrefix(line, "a=mid:") {
			first = false
			for _, c := range f.candidates {
				if c.usable() {
					b.WriteString("a=candidate:" + c.value + "\r\n")
				}
			}
		}
	}
	return b.String()
}
