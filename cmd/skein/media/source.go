package media

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/region"
)

// MTU bounds the payload of a packet, so that it and all headers on its way
// (RTP and its extensions, SRTP, UDP, IPv6) fit into 1280 bytes.
const MTU = 1150

// ErrFormat is wrapped by every complaint about the content of a file.
var ErrFormat = errors.New("not a playable media file")

// A Track says what a Source carries.
type Track struct {
	Kind region.Kind
	// Codec is the RTP encoding name, e.g. "VP8" or "opus".
	Codec string
	// ClockRate of the RTP timestamps, in Hz.
	ClockRate uint32
	// Rate in kbit/s that the stream needs at its peaks.
	Rate region.Rate
}

// A Frame is what is sent at one time.
type Frame struct {
	// At is when the frame is due, after the first one.
	At time.Duration
	// Packets in order; the caller may keep them.
	Packets []*rtp.Packet
}

// A Source yields the frames of one track, in order of time.
type Source interface {
	Track() Track
	// Next returns the next frame, or io.EOF after the last. It may block on
	// the file, never on time.
	Next() (Frame, error)
}

// A File is a Source that reads a media file.
type File struct {
	Source
	file *os.File
}

// Open opens an IVF or Ogg file; its first bytes tell which. The whole file is
// read once to learn the rate it needs. Errors wrap ErrFormat if the file can be
// read but not played, and say what can.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s, err := probe(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return &File{Source: s, file: f}, nil
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// probe measures the source and opens it again from the start.
func probe(f io.ReadSeeker) (Source, error) {
	s, err := newSource(f, 0)
	if err != nil {
		return nil, err
	}
	rate, err := peakRate(s)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return newSource(f, rate)
}

func newSource(r io.Reader, rate region.Rate) (Source, error) {
	br := bufio.NewReaderSize(r, 1<<16)
	magic, err := br.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("%w: it has no 4 bytes", ErrFormat)
	}
	switch string(magic) {
	case ivfMagic:
		return newIVFSource(br, rate)
	case oggMagic:
		return newOggSource(br, rate)
	default:
		return nil, fmt.Errorf("%w: it is neither IVF (VP8, VP9, AV1) nor Ogg (Opus); convert it, e.g. with ffmpeg -i in.mp4 -c:v libvpx out.ivf", ErrFormat)
	}
}

// peakRate is the largest rate over one second in kbit/s, headers included.
func peakRate(s Source) (region.Rate, error) {
	const overhead = 12 + 24 // RTP header, our extension and the SRTP tag
	type sent struct {
		at    time.Duration
		bytes int
	}
	var window []sent
	sum, peak := 0, 0
	for {
		f, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		n := 0
		for _, p := range f.Packets {
			n += len(p.Payload) + overhead
		}
		window, sum = append(window, sent{f.At, n}), sum+n
		for f.At-window[0].at >= time.Second {
			sum -= window[0].bytes
			window = window[1:]
		}
		peak = max(peak, sum)
	}
	return region.Rate(max(1, peak*8/1000)), nil
}

// Pace sends s in real time: each packet is written when its frame is due, or
// at once if that is past. It returns nil after the last frame, ctx's error, or
// that of s or write.
func Pace(ctx context.Context, s Source, write func(*rtp.Packet) error) error {
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		f, err := s.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		timer.Reset(time.Until(start.Add(f.At)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		for _, p := range f.Packets {
			if err := write(p); err != nil {
				return err
			}
		}
	}
}

// numbered makes the packets of one frame; seq is the number of its first packet.
func numbered(payloads [][]byte, seq uint16, timestamp uint32, markLast bool) []*rtp.Packet {
	out := make([]*rtp.Packet, len(payloads))
	for i, p := range payloads {
		out[i] = &rtp.Packet{
			Header: rtp.Header{
				Version:        2,
				PayloadType:    96,
				Marker:         markLast && i == len(payloads)-1,
				SequenceNumber: seq + uint16(i),
				Timestamp:      timestamp,
			},
			Payload: p,
		}
	}
	return out
}
