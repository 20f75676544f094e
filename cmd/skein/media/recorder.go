package media

import (
	"bytes"
	"fmt"
	"io"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/region"
)

// RecordStats counts what a Recorder has done.
type RecordStats struct {
	// Frames written.
	Frames uint64
	// Dropped frames: a packet was missing or malformed.
	Dropped uint64
	// Skipped frames: before the first keyframe.
	Skipped uint64
}

// A Recorder writes the packets of one stream to a file. Packets must come in
// order and without duplicates; it keeps none of them.
type Recorder interface {
	WriteRTP(p *rtp.Packet) error
	Stats() RecordStats
	// Close completes the file; it does not close the writer.
	Close() error
}

// NewRecorder returns the Recorder for a stream's codec: IVF for VP8, VP9 and
// AV1, Ogg for opus. If w is an io.WriterAt (a file), the number of frames is
// put into the IVF header on Close. Another codec fails with region.ErrInvalid.
func NewRecorder(w io.Writer, codec string) (Recorder, error) {
	if codec == "opus" {
		return &oggRecorder{w: w}, nil
	}
	for _, c := range videoCodecs() {
		if c.name == codec {
			return &ivfRecorder{w: w, codec: c}, nil
		}
	}
	return nil, fmt.Errorf("%w: %q cannot be recorded; VP8, VP9, AV1 and opus can", region.ErrInvalid, codec)
}

// An ivfRecorder puts frames together and writes them.
type ivfRecorder struct {
	w      io.Writer
	codec  codec
	stats  RecordStats
	header ivfHeader

	// The frame that is being put together.
	parts     rtp.Depacketizer
	frame     []byte
	timestamp uint32
	open      bool // packets of the frame have come, its end has not
	broken    bool // one is missing

	begun   bool // a packet has come
	lastSeq uint16
	base    uint64 // RTP timestamp of the first frame written
	pts     uint64 // of the last frame written
}

func (r *ivfRecorder) WriteRTP(p *rtp.Packet) error {
	gap := r.begun && p.SequenceNumber != r.lastSeq+1
	if !r.open || p.Timestamp != r.timestamp {
		if r.open {
			r.stats.Dropped++ // its end never came
		}
		r.open, r.timestamp = true, p.Timestamp
		r.parts, r.frame = r.codec.depacketizer(), bytes.Clone(r.codec.prefix)
		r.broken = (gap || !r.begun) && !r.codec.head(p.Payload)
	} else if gap {
		r.broken = true
	}
	r.begun, r.lastSeq = true, p.SequenceNumber
	if part, err := r.parts.Unmarshal(p.Payload); err != nil || len(r.frame)+len(part) > maxFrame {
		r.broken = true
	} else {
		r.frame = append(r.frame, part...)
	}
	if !p.Marker {
		return nil
	}
	r.open = false
	if r.broken {
		r.stats.Dropped++
		return nil
	}
	return r.write()
}

func (r *ivfRecorder) write() error {
	if r.stats.Frames == 0 {
		key, width, height := r.codec.keyframe(r.frame)
		if !key {
			r.stats.Skipped++
			return nil
		}
		r.header = ivfHeader{fourCC: r.codec.fourCC, width: width, height: height, rate: videoClockRate, scale: 1}
		r.base = uint64(r.timestamp)
		if _, err := r.w.Write(r.header.bytes()); err != nil {
			return err
		}
	}
	r.pts += uint64(r.timestamp - uint32(r.base+r.pts))
	r.stats.Frames++
	if _, err := r.w.Write(ivfFrameHeader(len(r.frame), r.pts)); err != nil {
		return err
	}
	_, err := r.w.Write(r.frame)
	return err
}

func (r *ivfRecorder) Close() error {
	at, ok := r.w.(io.WriterAt)
	if !ok || r.stats.Frames == 0 {
		return nil
	}
	r.header.frames = uint32(r.stats.Frames)
	_, err := at.WriteAt(r.header.bytes(), 0)
	return err
}

func (r *ivfRecorder) Stats() RecordStats { return r.stats }
