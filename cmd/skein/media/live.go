package media

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/region"
)

// liveBuffer of a socket that an encoder sends to, in bytes: a keyframe comes in
// one burst.
const liveBuffer = 2 << 20

// A Live receives one track as plain RTP over UDP, as ffmpeg and GStreamer send it.
type Live struct {
	track Track
	kind  uint8 // payload type
	conn  *net.UDPConn

	// Strays counts datagrams that were no RTP.
	Strays uint64

	started bool
	source  uint32
	seq     uint16 // added to the sender's numbers
	last    uint16
}

// ListenLive opens a socket for CODEC@HOST:PORT, for instance VP8@127.0.0.1:5004.
// Codecs are those that browsers play: VP8, VP9, H264, AV1 and opus.
func ListenLive(spec string, rate region.Rate) (*Live, error) {
	codec, addr, ok := strings.Cut(spec, "@")
	l := &Live{track: Track{Kind: region.Video, ClockRate: 90000, Rate: rate}, kind: 96}
	switch strings.ToLower(codec) {
	case "vp8", "vp9", "h264", "av1":
		l.track.Codec = strings.ToUpper(codec)
	case "opus":
		l.track.Kind, l.track.Codec, l.track.ClockRate, l.kind = region.Audio, "opus", 48000, 111
	default:
		ok = false
	}
	if !ok {
		return nil, fmt.Errorf("%.60q: %w: want CODEC@HOST:PORT with VP8, VP9, H264, AV1 or opus", spec, region.ErrInvalid)
	}
	at, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("%.60q: %w: %w", spec, region.ErrInvalid, err)
	}
	if l.conn, err = net.ListenUDP("udp", at); err != nil {
		return nil, err
	}
	_ = l.conn.SetReadBuffer(liveBuffer) // the kernel may grant less
	return l, nil
}

// Track says what is received.
func (l *Live) Track() Track { return l.track }

// Addr is where the encoder has to send.
func (l *Live) Addr() net.Addr { return l.conn.LocalAddr() }

// Close closes the socket.
func (l *Live) Close() error { return l.conn.Close() }

// Pump gives every packet to write until ctx ends or write fails. An encoder that
// begins anew goes on where the last one ended. The packet is valid during the
// call.
func (l *Live) Pump(ctx context.Context, write func(*rtp.Packet) error) error {
	stop := context.AfterFunc(ctx, func() { _ = l.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 64<<10)
	var p rtp.Packet
	for {
		n, err := l.conn.Read(buf)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		p = rtp.Packet{}
		// RTCP on the same port has payload types that media never have.
		if p.Unmarshal(buf[:n]) != nil || p.Version != 2 || p.PayloadType >= 64 && p.PayloadType < 96 {
			l.Strays++
			continue
		}
		l.continued(&p)
		if err := write(&p); err != nil {
			return err
		}
	}
}

// continued gives p the number it has in the stream.
func (l *Live) continued(p *rtp.Packet) {
	if l.started && p.SSRC != l.source {
		l.seq = l.last + 1 - p.SequenceNumber
	}
	l.started, l.source = true, p.SSRC
	p.SequenceNumber += l.seq
	p.PayloadType = l.kind
	p.Extension, p.ExtensionProfile, p.Extensions = false, 0, nil
	l.last = p.SequenceNumber
}
