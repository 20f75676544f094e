package mix

// What a Mixer reckons with.
const (
	// Rate of all audio, samples per second.
	Rate = 48_000
	// FrameSamples is what Frame makes at a time, per channel: 20 ms.
	FrameSamples = Rate / 50
	// maxPacketSamples is the longest audio that one Opus packet can hold: 120 ms
	// (RFC 6716, section 3.2.5).
	maxPacketSamples = Rate * 120 / 1000
	// maxPacket is the largest packet of a voice that is taken, in bytes.
	maxPacket = 1500
)

// A Codec makes decoders and encoders of Opus. Its methods may be called from any
// goroutine; what they make belongs to one.
type Codec interface {
	NewDecoder() (Decoder, error)
	// NewEncoder makes an encoder for stereo at a rate in kbit/s.
	NewEncoder(kbps int) (Encoder, error)
}

// A Decoder decodes one voice, to mono.
type Decoder interface {
	// Decode writes the audio of a packet into pcm, which has room for the longest
	// packet there is, and returns the number of samples.
	Decode(packet []byte, pcm []float32) (int, error)
	// Conceal fills pcm with what might have come, after a loss.
	Conceal(pcm []float32) error
}

// An Encoder encodes one mix.
type Encoder interface {
	// Encode writes one frame of interleaved stereo as a packet and returns its length.
	Encode(pcm []float32, packet []byte) (int, error)
}

// packetSamples returns how much audio an Opus packet holds, in samples at 48 kHz;
// 0 if it is malformed (RFC 6716, section 3.1).
func packetSamples(packet []byte) int {
	if len(packet) == 0 {
		return 0
	}
	toc := packet[0]
	var frame int
	switch config := toc >> 3; {
	case config < 12: // SILK: 10, 20, 40, 60 ms
		frame = [4]int{480, 960, 1920, 2880}[config&3]
	case config < 16: // hybrid: 10, 20 ms
		frame = [2]int{480, 960}[config&1]
	default: // CELT: 2.5, 5, 10, 20 ms
		frame = 120 << (config & 3)
	}
	frames := 2
	switch toc & 3 {
	case 0:
		frames = 1
	case 3:
		if len(packet) < 2 {
			return 0
		}
		frames = int(packet[1] & 0x3f)
	}
	if n := frame * frames; n <= maxPacketSamples {
		return n
	}
	return 0
}
