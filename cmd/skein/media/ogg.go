package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member/red"
	"github.com/skein-mesh/skein/region"
)

const (
	oggMagic      = "OggS"
	oggHeaderLen  = 27
	oggFirst      = 0x02 // header type: first page of a logical stream
	oggLast       = 0x04 // header type: last page
	opusClockRate = 48_000
	maxOpus       = 120 * opusClockRate / 1000 // ticks of one packet
)

// An oggPage is a page of an Ogg file.
type oggPage struct {
	kind    byte
	granule uint64
	serial  uint32
	number  uint32
	lacing  []byte
	body    []byte
}

func readOggPage(r io.Reader) (oggPage, error) {
	head := make([]byte, oggHeaderLen, oggHeaderLen+255)
	if _, err := io.ReadFull(r, head); err != nil {
		if errors.Is(err, io.EOF) {
			return oggPage{}, io.EOF
		}
		return oggPage{}, fmt.Errorf("%w: Ogg page header cut short", ErrFormat)
	}
	if string(head[:4]) != oggMagic {
		return oggPage{}, fmt.Errorf("%w: no Ogg page where one should begin", ErrFormat)
	}
	lacing := make([]byte, head[26])
	if _, err := io.ReadFull(r, lacing); err != nil {
		return oggPage{}, fmt.Errorf("%w: Ogg page cut short", ErrFormat)
	}
	size := 0
	for _, l := range lacing {
		size += int(l)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return oggPage{}, fmt.Errorf("%w: Ogg page cut short", ErrFormat)
	}
	p := oggPage{
		kind:    head[5],
		granule: binary.LittleEndian.Uint64(head[6:]),
		serial:  binary.LittleEndian.Uint32(head[14:]),
		number:  binary.LittleEndian.Uint32(head[18:]),
		lacing:  lacing,
		body:    body,
	}
	if binary.LittleEndian.Uint32(head[22:]) != binary.LittleEndian.Uint32(p.bytes()[22:]) {
		return oggPage{}, fmt.Errorf("%w: checksum of Ogg page %d", ErrFormat, p.number)
	}
	return p, nil
}

func (p oggPage) bytes() []byte {
	b := make([]byte, 0, oggHeaderLen+len(p.lacing)+len(p.body))
	b = append(b, oggMagic...)
	b = append(b, 0, p.kind)
	b = binary.LittleEndian.AppendUint64(b, p.granule)
	b = binary.LittleEndian.AppendUint32(b, p.serial)
	b = binary.LittleEndian.AppendUint32(b, p.number)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = append(b, byte(len(p.lacing)))
	b = append(b, p.lacing...)
	b = append(b, p.body...)
	binary.LittleEndian.PutUint32(b[22:], oggChecksum(b))
	return b
}

// oggChecksum is CRC-32 with polynomial 04c11db7, unreflected, which hash/crc32
// does not have.
func oggChecksum(b []byte) uint32 {
	var crc uint32
	for _, c := range b {
		crc ^= uint32(c) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// lace is the segment table of a page that holds one packet of size bytes, at
// most 255*254.
func lace(size int) []byte {
	return append(bytes.Repeat([]byte{255}, size/255), byte(size%255))
}

// An oggSource takes the Opus packets out of an Ogg file.
type oggSource struct {
	r       io.Reader
	rate    region.Rate
	serial  uint32
	waiting [][]byte // packets of the last page
	partial []byte   // a packet that goes on in the next page
	seq     uint16
	ticks   uint64
}

func newOggSource(r io.Reader, rate region.Rate) (*oggSource, error) {
	p, err := readOggPage(r)
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: empty Ogg file", ErrFormat)
	}
	if err != nil {
		return nil, err
	}
	if p.kind&oggFirst == 0 || !bytes.HasPrefix(p.body, []byte("OpusHead")) {
		return nil, fmt.Errorf("%w: Ogg whose first stream is not Opus", ErrFormat)
	}
	return &oggSource{r: r, rate: rate, serial: p.serial}, nil
}

func (s *oggSource) Track() Track {
	return Track{Kind: region.Audio, Codec: "opus", ClockRate: opusClockRate, Rate: s.rate}
}

func (s *oggSource) Next() (Frame, error) {
	packet, err := s.packet()
	if err != nil {
		return Frame{}, err
	}
	ticks, ok := opusTicks(packet)
	if !ok {
		return Frame{}, fmt.Errorf("%w: packet %d is no Opus packet", ErrFormat, s.seq)
	}
	f := Frame{
		At:      clock(s.ticks, opusClockRate),
		Packets: numbered([][]byte{packet}, s.seq, uint32(s.ticks), false),
	}
	s.seq++
	s.ticks += ticks
	return f, nil
}

// packet returns the next packet of the logical stream, without its comments.
func (s *oggSource) packet() ([]byte, error) {
	for {
		for len(s.waiting) > 0 {
			p := s.waiting[0]
			s.waiting = s.waiting[1:]
			if len(p) > 0 && !bytes.HasPrefix(p, []byte("OpusTags")) {
				return p, nil
			}
		}
		page, err := readOggPage(s.r)
		if err != nil {
			return nil, err
		}
		if page.serial != s.serial {
			continue
		}
		if err := s.split(page); err != nil {
			return nil, err
		}
	}
}

// split cuts a page into packets; what its last segment leaves open goes on in
// the next page.
func (s *oggSource) split(p oggPage) error {
	at := 0
	for _, l := range p.lacing {
		s.partial = append(s.partial, p.body[at:at+int(l)]...)
		at += int(l)
		if len(s.partial) > maxFrame {
			return fmt.Errorf("%w: Ogg packet of more than %d bytes", ErrFormat, maxFrame)
		}
		if l < 255 {
			s.waiting = append(s.waiting, s.partial)
			s.partial = nil
		}
	}
	return nil
}

// opusTicks is the duration of an Opus packet in ticks of 48 kHz (RFC 6716, 3.1).
func opusTicks(p []byte) (uint64, bool) {
	if len(p) == 0 {
		return 0, false
	}
	frames := 1
	switch p[0] & 3 {
	case 1, 2:
		frames = 2
	case 3:
		if len(p) < 2 {
			return 0, false
		}
		frames = int(p[1] & 0x3f)
	}
	var frame int
	switch config := int(p[0] >> 3); {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		frame = []int{480, 960, 1920, 2880}[config%4]
	case config < 16: // hybrid: 10, 20 ms
		frame = 480 << (config % 2)
	default: // CELT: 2.5, 5, 10, 20 ms
		frame = 120 << (config % 4)
	}
	ticks := frames * frame
	return uint64(ticks), ticks > 0 && ticks <= maxOpus
}

// An oggRecorder writes Opus packets, one per page.
type oggRecorder struct {
	w     io.Writer
	stats RecordStats
	page  oggPage // the last packet, kept to mark it as the last page
	// base is added to the RTP timestamps, so that the recording begins at 0
	// and goes on over their wrap-around.
	base, last uint64
}

func (o *oggRecorder) WriteRTP(p *rtp.Packet) error {
	plain := *p
	unwrapped := red.Unwrap(&plain)
	p = &plain
	ticks, ok := opusTicks(p.Payload)
	if !ok || !unwrapped {
		o.stats.Dropped++
		return nil
	}
	if o.stats.Frames == 0 {
		if err := o.begin(p); err != nil {
			return err
		}
	} else if _, err := o.w.Write(o.page.bytes()); err != nil {
		return err
	}
	o.last += uint64(p.Timestamp - uint32(o.last+o.base))
	o.page = oggPage{
		granule: o.last + ticks,
		serial:  o.page.serial,
		number:  o.page.number + 1,
		lacing:  lace(len(p.Payload)),
		body:    bytes.Clone(p.Payload),
	}
	o.stats.Frames++
	return nil
}

// begin writes the two header pages.
func (o *oggRecorder) begin(p *rtp.Packet) error {
	channels := byte(1)
	if p.Payload[0]&4 != 0 {
		channels = 2
	}
	head := append([]byte("OpusHead"), 1, channels, 0, 0) // pre-skip 0: a recording begins in the middle
	head = binary.LittleEndian.AppendUint32(head, opusClockRate)
	head = append(head, 0, 0, 0)
	tags := binary.LittleEndian.AppendUint32([]byte("OpusTags"), uint32(len("skein")))
	tags = append(tags, "skein"...)
	tags = binary.LittleEndian.AppendUint32(tags, 0)
	o.base = uint64(p.Timestamp)
	first := oggPage{kind: oggFirst, serial: p.SSRC, lacing: lace(len(head)), body: head}
	o.page = oggPage{serial: p.SSRC, number: 1, lacing: lace(len(tags)), body: tags}
	_, err := o.w.Write(append(first.bytes(), o.page.bytes()...))
	return err
}

func (o *oggRecorder) Close() error {
	if o.stats.Frames == 0 {
		return nil
	}
	o.page.kind |= oggLast
	_, err := o.w.Write(o.page.bytes())
	return err
}

func (o *oggRecorder) Stats() RecordStats { return o.stats }
