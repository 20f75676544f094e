package link

import (
	"encoding/binary"
	"hash/fnv"
	"io"
	"math"
	"time"

	"github.com/skein-mesh/skein/region"
)

// Control messages travel one per datagram (control.go): unordered, and lost now
// and then. What needs an answer is asked again until it comes.
//
// Numbers are big-endian; "name" is one byte of length, then that many bytes;
// u48 is six bytes. Anything after the last field makes a message invalid.
//
//	 1 Heartbeat  -
//	 2 Ping       id u32, rtt u32 (us; 0: not known), loss u16 (of 65535)
//	 3 Pong       id u32
//	 4 Draw       id u32, stream name, layers u16, priority u8, flags u8 (1 extra, 2 voice),
//	              failed name, grant (u16 length), tips
//	 5 DrawReply  id u32, stream name, fault u8 (0 = accepted), path, tips, known u8, and if
//	              that is 1: origin name, kind u8, count u8, kbit/s u32 each, ssrc u32, codec name
//	 6 Drop       id u32, stream name
//	 7 Nack       ssrc u32, base u48, mask u64 (bit i: base+1+i is missing too)
//	 8 Keyframe   ssrc u32
//	 9 Path       stream name, layers u16, path
//	10 Tips       tips
//	11 Report     ssrc u32, RTCP sender report (rest of the message)
//	12 Dismiss    stream name
//	13 Feedback   count u8, then for each sample ssrc u32, index u48, arrival u32 (us,
//	              wraps), packets u32 and bytes u32 received so far (wrap)
//
//	14 Believe    question u8, free u32 (kbit/s), count u8, then for each stream its mark u32, yours
//	              u8, delay u32 (us)
//
//	15 Bye        -
//	17 Have       free u32 (kbit/s), count u8, mark u32 each
//
//	16 Voices     max u8 (0: any number), floor u8 (dB below overload)
//
//	path          count u8, names: members from the root to the sender
//	tips          count u8, then ssrc u32 and index u48 each

// A Kind tells control messages apart.
type Kind uint8

// The kinds of control messages.
const (
	Heartbeat Kind = iota + 1
	Ping
	Pong
	// Draw asks the peer to forward a stream; Tips say where to resume.
	Draw
	// DrawReply accepts a Draw, or refuses it with a Fault. To who asked with a permit it
	// tells what the stream is and no Path, or, in Path, who else may have it.
	DrawReply
	// Drop ends the Draw of that ID, or any if it is 0. It has no answer: who gets
	// packets it does not draw drops again.
	Drop
	// Nack asks for missing packets.
	Nack
	// Keyframe asks for a keyframe.
	Keyframe
	// Path tells a child on which path it hangs, and which layers it is given for now.
	Path
	// Tips tell a child what the next index of each layer is, so that it
	// notices the loss of the last packets before a pause.
	Tips
	// Report carries an RTCP sender report down.
	Report
	// Dismiss tells a child that it is not fed any more.
	Dismiss
	// Feedback tells when samples of the peer's packets arrived. The link sees to
	// it itself.
	Feedback
	// Believe tells a neighbour what the sender holds for true of its places.
	Believe
	// Bye ends the session. The link sees to it itself.
	Bye
	// Voices says how many of the streams that were drawn as voices are to be sent at a
	// time, and how loud they must be.
	Voices
	// Have tells a neighbour which streams the sender could feed it by itself.
	Have

	kinds
)

// Limits of control messages.
const (
	MaxMessage = 1200 // bytes
	MaxPath    = 32   // members; with the longest stream name they fit a message
	MaxReport  = 256  // bytes
	MaxGrant   = 680  // bytes
	// MaxHave bounds the streams of one Have; of others a neighbour can still be asked.
	MaxHave = 240
	maxTips = region.MaxLayers
)

// MarkOf is how Have names a stream: FNV-1a of its name. Two may share one, which
// costs a refused Draw.
func MarkOf(id region.StreamID) uint32 {
	h := fnv.New32a()
	_, _ = io.WriteString(h, string(id)) // never fails
	return h.Sum32()
}

// A Tip is the next index of one layer.
type Tip struct {
	SSRC  uint32
	Index uint64
}

// A Message is a control message; which fields count depends on Kind.
type Message struct {
	Kind   Kind
	ID     uint32
	Stream region.StreamID
	SSRC   uint32
	// Layers that a Draw asks for; none is a pause. A Path tells those that are sent. Of streams that share a narrow link
	// those of the lowest Priority give way first.
	Layers   region.LayerMask
	Priority uint8
	// Extra marks a Draw of a second copy: a parent with better use for its uplink ends it.
	Extra bool
	// Voice marks a Draw of a stream that is wanted only while it is among the loudest.
	Voice bool
	// Most voices at a time, 0 for any number, and the Floor below which none is sent, in
	// dB below overload.
	Most, Floor uint8
	// Failed is the parent that a Draw is to replace; empty if it still feeds
	// the sender, or never did.
	Failed region.MemberID
	Fault  Fault
	Grant  []byte
	Path   []region.MemberID
	Tips   []Tip
	Base   uint64
	Mask   uint64
	Report []byte
	// RTT and Loss, 0 to 1, are what the sender of a Ping has measured.
	RTT  time.Duration
	Loss float64
	// Samples of a Feedback.
	Samples []arrival
	// Beliefs of a Believe; Question asks the peer for its own of the same streams.
	Beliefs  []Belief
	Question bool
	// Record is what a stream is; nil if the reply does not tell. Its ID is Stream.
	Record *region.Stream
	// Free is what the sender of a Believe could still send; that of a Have could feed by
	// itself, and Marks what of.
	Free  region.Rate
	Marks []uint32
}

// append encodes m. It panics if m exceeds a limit: that is the sender's mistake.
func (m *Message) append(b []byte) []byte {
	b = append(b, byte(m.Kind))
	switch m.Kind {
	case Heartbeat, Bye:
	case Voices:
		b = append(b, m.Most, m.Floor)
	case Ping:
		b = binary.BigEndian.AppendUint32(b, m.ID)
		b = binary.BigEndian.AppendUint32(b, uint32(min(m.RTT.Microseconds(), math.MaxUint32)))
		b = binary.BigEndian.AppendUint16(b, uint16(m.Loss*math.MaxUint16+0.5))
	case Pong:
		b = binary.BigEndian.AppendUint32(b, m.ID)
	case Draw:
		b = binary.BigEndian.AppendUint32(b, m.ID)
		b = appendName(b, string(m.Stream))
		b = binary.BigEndian.AppendUint16(b, uint16(m.Layers))
		b = append(b, m.Priority, flag(m.Extra)|flag(m.Voice)<<1)
		b = appendName(b, string(m.Failed))
		b = binary.BigEndian.AppendUint16(b, uint16(len(m.Grant)))
		b = append(b, m.Grant...)
		b = appendTips(b, m.Tips)
	case DrawReply:
		b = binary.BigEndian.AppendUint32(b, m.ID)
		b = appendName(b, string(m.Stream))
		b = append(b, byte(m.Fault))
		b = appendPath(b, m.Path)
		b = appendTips(b, m.Tips)
		b = appendRecord(b, m.Record)
	case Have:
		b = binary.BigEndian.AppendUint32(b, uint32(m.Free))
		b = append(b, byte(len(m.Marks)))
		for _, mark := range m.Marks {
			b = binary.BigEndian.AppendUint32(b, mark)
		}
	case Drop:
		b = binary.BigEndian.AppendUint32(b, m.ID)
		b = appendName(b, string(m.Stream))
	case Dismiss:
		b = appendName(b, string(m.Stream))
	case Nack:
		b = binary.BigEndian.AppendUint32(b, m.SSRC)
		b = appendU48(b, m.Base)
		b = binary.BigEndian.AppendUint64(b, m.Mask)
	case Keyframe:
		b = binary.BigEndian.AppendUint32(b, m.SSRC)
	case Path:
		b = appendName(b, string(m.Stream))
		b = binary.BigEndian.AppendUint16(b, uint16(m.Layers))
		b = appendPath(b, m.Path)
	case Tips:
		b = appendTips(b, m.Tips)
	case Report:
		b = binary.BigEndian.AppendUint32(b, m.SSRC)
		b = append(b, m.Report...)
	case Believe:
		b = appendBeliefs(b, m)
	case Feedback:
		b = append(b, byte(len(m.Samples)))
		for _, a := range m.Samples {
			b = appendU48(binary.BigEndian.AppendUint32(b, a.SSRC), a.Index)
			b = binary.BigEndian.AppendUint32(b, a.At)
			b = binary.BigEndian.AppendUint32(b, a.Received.packets)
			b = binary.BigEndian.AppendUint32(b, a.Received.bytes)
		}
	}
	return b
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

func appendName(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

func appendU48(b []byte, v uint64) []byte {
	return binary.BigEndian.AppendUint32(append(b, byte(v>>40), byte(v>>32)), uint32(v))
}

func appendPath(b []byte, path []region.MemberID) []byte {
	b = append(b, byte(len(path)))
	for _, id := range path {
		b = appendName(b, string(id))
	}
	return b
}

func appendTips(b []byte, tips []Tip) []byte {
	b = append(b, byte(len(tips)))
	for _, t := range tips {
		b = appendU48(binary.BigEndian.AppendUint32(b, t.SSRC), t.Index)
	}
	return b
}
