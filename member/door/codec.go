package door

import (
	"strings"

	"github.com/pion/webrtc/v4"

	"github.com/skein-mesh/skein/member/svc"
	"github.com/skein-mesh/skein/region"
)

// A codec of the mesh: its name in region.Stream.Codec, and its RTP payload type
// on the way between members, which says nothing to anybody but is the same always.
type codec struct {
	name        string
	media       string // "audio" or "video"
	clock       uint32
	channels    uint16
	payloadType uint8
	// parameters that the door offers to browsers, one payload type for each.
	parameters []string
}

// codecs are all that the door takes. H.264 travels in packetization mode 1; a
// decoder takes any profile, whichever was agreed on.
var codecs = []codec{
	{name: "opus", media: "audio", clock: 48000, channels: 2, payloadType: 111, parameters: []string{""}},
	{name: "VP8", media: "video", clock: 90000, payloadType: 96, parameters: []string{""}},
	{name: "H264", media: "video", clock: 90000, payloadType: 102, parameters: []string{
		"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
		"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
		"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f",
		"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f",
	}},
	{name: "VP9", media: "video", clock: 90000, payloadType: 98, parameters: []string{"profile-id=0"}},
	{name: "AV1", media: "video", clock: 90000, payloadType: 45, parameters: []string{""}},
}

// redName is that of redundant audio in SDP: no codec of its own, but another way of
// sending one (package red).
const redName = "red"

// byName finds a codec of the mesh; nil if the door does not know it.
func byName(name string) *codec {
	for i := range codecs {
		if strings.EqualFold(codecs[i].name, name) {
			return &codecs[i]
		}
	}
	return nil
}

func codecNames(media string) (list []string) {
	for _, c := range codecs {
		if c.media == media {
			list = append(list, c.name)
		}
	}
	return list
}

// canonical is the mesh's name of an offered codec, "" if it is none of the mesh's.
func canonical(media, name, parameters string) string {
	c := byName(name)
	if c == nil || c.media != media {
		return ""
	}
	p := fmtp(parameters)
	switch {
	case c.name == "H264" && p["packetization-mode"] != "1":
		return ""
	case c.name == "VP9" && p["profile-id"] != "" && p["profile-id"] != "0":
		return ""
	case c.name == "AV1" && p["profile"] != "" && p["profile"] != "0":
		return ""
	}
	return c.name
}

func fmtp(parameters string) map[string]string {
	m := make(map[string]string)
	for _, p := range strings.Split(parameters, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		m[strings.ToLower(k)] = v
	}
	return m
}

// nameOf is the mesh's name of a codec that was negotiated.
func nameOf(mime string) string {
	_, name, _ := strings.Cut(mime, "/")
	return name
}

// Header extensions that reach viewers, by the ids they have between members.
// All others end at the door: they belong to one connection.
const (
	levelURI         = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	captureURI       = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
	orientationURI   = "urn:3gpp:video-orientation"
	levelID          = 1
	orientationID    = 4
	descriptorURI    = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
	transportURI     = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	midURI           = "urn:ietf:params:rtp-hdrext:sdes:mid"
	ridURI           = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	repairedURI      = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
	firstDynamicType = 96
)

// travelling are the extensions that cross the mesh. Capture times do so in a way of
// their own (link.Stamp).
var travelling = map[string]uint8{levelURI: levelID, orientationURI: orientationID, descriptorURI: svc.DescriptorID}

// newMediaEngine knows the codecs and extensions of the mesh; dependency descriptors only
// if they are wanted.
func newMediaEngine(descriptors bool) (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	feedback := []webrtc.RTCPFeedback{{Type: "transport-cc"}, {Type: "ccm", Parameter: "fir"}, {Type: "nack"}, {Type: "nack", Parameter: "pli"}}
	next := webrtc.PayloadType(firstDynamicType)
	for _, c := range codecs {
		for _, p := range c.parameters {
			params := webrtc.RTPCodecParameters{
				RTPCodecCapability: webrtc.RTPCodecCapability{
					MimeType: c.media + "/" + c.name, ClockRate: c.clock, Channels: c.channels, SDPFmtpLine: p, RTCPFeedback: feedback,
				},
				PayloadType: next,
			}
			repair := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: c.clock, SDPFmtpLine: "apt=" + number(next)}
			if c.media == "audio" {
				params.RTCPFeedback = feedback[:1]
				repair = webrtc.RTPCodecCapability{
					MimeType: c.media + "/" + redName, ClockRate: c.clock, Channels: c.channels, SDPFmtpLine: number(next) + "/" + number(next),
				}
			}
			for _, p := range []webrtc.RTPCodecParameters{params, {RTPCodecCapability: repair, PayloadType: next + 1}} {
				if err := m.RegisterCodec(p, kindOf(c.media)); err != nil {
					return nil, err
				}
			}
			next += 2
		}
	}
	return m, registerExtensions(m, descriptors)
}

func registerExtensions(m *webrtc.MediaEngine, descriptors bool) error {
	for _, e := range []struct {
		uri   string
		media []string
	}{
		{midURI, []string{"audio", "video"}},
		{transportURI, []string{"audio", "video"}},
		{captureURI, []string{"audio", "video"}},
		{levelURI, []string{"audio"}},
		{orientationURI, []string{"video"}},
		{ridURI, []string{"video"}},
		{repairedURI, []string{"video"}},
		{descriptorURI, []string{"video"}},
	} {
		if e.uri == descriptorURI && !descriptors {
			continue
		}
		for _, media := range e.media {
			if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: e.uri}, kindOf(media)); err != nil {
				return err
			}
		}
	}
	return nil
}

func kindOf(media string) webrtc.RTPCodecType {
	if media == "audio" {
		return webrtc.RTPCodecTypeAudio
	}
	return webrtc.RTPCodecTypeVideo
}

// regionKind is the kind of a stream that carries media.
func regionKind(media string) region.Kind {
	if media == "audio" {
		return region.Audio
	}
	return region.Video
}
