package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/region"
)

const (
	ivfMagic       = "DKIF"
	ivfHeaderLen   = 32
	ivfFrameLen    = 12
	maxFrame       = 16 << 20 // bytes of one frame: a limit against broken files
	videoClockRate = 90_000
)

// An ivfHeader is the head of an IVF file. A frame with time stamp t is due after
// t*scale/rate seconds.
type ivfHeader struct {
	fourCC        string
	width, height uint16
	rate, scale   uint32
	frames        uint32
}

func readIVFHeader(r io.Reader) (ivfHeader, error) {
	var b [ivfHeaderLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return ivfHeader{}, fmt.Errorf("%w: IVF header cut short", ErrFormat)
	}
	h := ivfHeader{
		fourCC: string(b[8:12]),
		width:  binary.LittleEndian.Uint16(b[12:]),
		height: binary.LittleEndian.Uint16(b[14:]),
		rate:   binary.LittleEndian.Uint32(b[16:]),
		scale:  binary.LittleEndian.Uint32(b[20:]),
		frames: binary.LittleEndian.Uint32(b[24:]),
	}
	if string(b[:4]) != ivfMagic || binary.LittleEndian.Uint16(b[6:]) != ivfHeaderLen {
		return ivfHeader{}, fmt.Errorf("%w: unknown IVF header", ErrFormat)
	}
	if h.rate == 0 || h.scale == 0 {
		return ivfHeader{}, fmt.Errorf("%w: IVF time base %d/%d", ErrFormat, h.scale, h.rate)
	}
	return h, nil
}

func (h ivfHeader) bytes() []byte {
	b := make([]byte, 0, ivfHeaderLen)
	b = append(b, ivfMagic...)
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint16(b, ivfHeaderLen)
	b = append(b, h.fourCC...)
	b = binary.LittleEndian.AppendUint16(b, h.width)
	b = binary.LittleEndian.AppendUint16(b, h.height)
	b = binary.LittleEndian.AppendUint32(b, h.rate)
	b = binary.LittleEndian.AppendUint32(b, h.scale)
	b = binary.LittleEndian.AppendUint32(b, h.frames)
	return binary.LittleEndian.AppendUint32(b, 0)
}

// readIVFFrame returns the next frame and its time stamp, io.EOF after the last.
func readIVFFrame(r io.Reader) ([]byte, uint64, error) {
	var b [ivfFrameLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, 0, io.EOF
		}
		return nil, 0, fmt.Errorf("%w: IVF frame header cut short", ErrFormat)
	}
	size := binary.LittleEndian.Uint32(b[:])
	if size > maxFrame {
		return nil, 0, fmt.Errorf("%w: IVF frame of %d bytes, at most %d", ErrFormat, size, maxFrame)
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, 0, fmt.Errorf("%w: IVF frame cut short", ErrFormat)
	}
	return frame, binary.LittleEndian.Uint64(b[4:]), nil
}

func ivfFrameHeader(size int, pts uint64) []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, ivfFrameLen), uint32(size))
	return binary.LittleEndian.AppendUint64(b, pts)
}

// An ivfSource cuts the frames of an IVF file into packets.
type ivfSource struct {
	r      io.Reader
	header ivfHeader
	codec  codec
	cut    rtp.Payloader
	rate   region.Rate
	seq    uint16
	first  uint64 // time stamp of the first frame
	begun  bool
	frames int
}

func newIVFSource(r io.Reader, rate region.Rate) (*ivfSource, error) {
	h, err := readIVFHeader(r)
	if err != nil {
		return nil, err
	}
	for _, c := range videoCodecs() {
		if c.fourCC == h.fourCC {
			return &ivfSource{r: r, header: h, codec: c, cut: c.payloader(), rate: rate}, nil
		}
	}
	return nil, fmt.Errorf("%w: IVF with codec %q; VP80, VP90 and AV01 can be published", ErrFormat, h.fourCC)
}

func (s *ivfSource) Track() Track {
	return Track{Kind: region.Video, Codec: s.codec.name, ClockRate: videoClockRate, Rate: s.rate}
}

func (s *ivfSource) Next() (Frame, error) {
	data, pts, err := readIVFFrame(s.r)
	if err != nil {
		return Frame{}, err
	}
	s.frames++
	if !s.begun {
		s.begun, s.first = true, pts
	}
	if pts < s.first {
		return Frame{}, fmt.Errorf("%w: frame %d is earlier than the first one", ErrFormat, s.frames)
	}
	ticks, ok := s.ticks(pts - s.first)
	if !ok {
		return Frame{}, fmt.Errorf("%w: frame %d has an absurd time stamp", ErrFormat, s.frames)
	}
	payloads := s.cut.Payload(MTU, data)
	if len(payloads) == 0 {
		return Frame{}, fmt.Errorf("%w: frame %d is no valid %s frame", ErrFormat, s.frames, s.codec.name)
	}
	f := Frame{
		At:      clock(ticks, videoClockRate),
		Packets: numbered(payloads, s.seq, uint32(ticks), true),
	}
	s.seq += uint16(len(payloads))
	return f, nil
}

// ticks converts an IVF time stamp to the RTP clock, rounded. ok is false
// beyond a year.
func (s *ivfSource) ticks(pts uint64) (uint64, bool) {
	hi, lo := bits.Mul64(pts, uint64(s.header.scale)*videoClockRate)
	if hi != 0 {
		return 0, false
	}
	rate := uint64(s.header.rate)
	t := lo/rate + lo%rate*2/rate
	return t, t < videoClockRate*3600*24*366
}

// clock converts ticks of an RTP clock to time.
func clock(ticks, rate uint64) time.Duration {
	return time.Duration(ticks/rate)*time.Second + time.Duration(ticks%rate)*time.Second/time.Duration(rate)
}
