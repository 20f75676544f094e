package fanout

import (
	"fmt"
	"time"

	"github.com/skein-mesh/skein/region"
)

// HubCommand is the argument with which the executable must call Main.
const HubCommand = "bench-hub"

// A Config says what is measured. Start from DefaultConfig.
type Config struct {
	// Children of the relay. Default 100.
	Children int
	// Kbps of the stream, kbit/s, sent as FPS frames per second. Default 1000, 30.
	Kbps, FPS int
	// Packet is the size of an RTP packet as its application wrote it, bytes.
	// Default 1100, 100 to 1200.
	Packet int
	// For is how long each of the measurements lasts. Default 4 s.
	For time.Duration
	// Load is the share of the hub's core at which delays are measured. Default 0.7.
	Load float64
	// Executable is started with HubCommand as its only argument.
	Executable string
}

// DefaultConfig returns the defaults named above, without Executable.
func DefaultConfig() Config {
	return Config{Children: 100, Kbps: 1000, FPS: 30, Packet: 1100, For: 4 * time.Second, Load: 0.7}
}

func (c Config) validate() error {
	switch {
	case c.Children < 1 || c.Children > 1000:
		return fmt.Errorf("%w: %d children, want 1 to 1000", region.ErrInvalid, c.Children)
	case c.Packet < 100 || c.Packet > 1200:
		return fmt.Errorf("%w: packets of %d bytes, want 100 to 1200", region.ErrInvalid, c.Packet)
	case c.Kbps < 1 || c.FPS < 1 || c.FPS > 1000 || c.For <= 0 || c.Load <= 0 || c.Load >= 1:
		return fmt.Errorf("%w: want a rate, 1 to 1000 frames per second, a time and a load between 0 and 1", region.ErrInvalid)
	}
	return nil
}

// LiveKit 1.13 once took livekitUS of CPU per forwarded packet where a plain UDP fan-out
// took livekitUDP: two cores of an AMD EPYC, packets of 1100 bytes.
const livekitUS, livekitUDP = 13.2, 4.6

// A Result is what one run found. Times of the processor are those of the hub's
// process, user and system, by packets that children received.
type Result struct {
	Children int `json:"children"`
	Kbps     int `json:"kbps"`
	Packet   int `json:"packet"`

	// USPerPacket is processor time per packet forwarded by a relay of Skein, then
	// by the yardsticks.
	USPerPacket      float64 `json:"us_per_packet"`
	UDPUSPerPacket   float64 `json:"udp_us_per_packet"`
	LimitUSPerPacket float64 `json:"limit_us_per_packet"`
	// OverLimit is the first by the third, the median of several turns; then the least and
	// the most.
	OverLimit      float64 `json:"over_limit"`
	OverLimitLeast float64 `json:"over_limit_least"`
	OverLimitMost  float64 `json:"over_limit_most"`
	// LiveKitUSPerPacket is what LiveKit took on a machine of this kind (livekitUS), in
	// proportion to what plain UDP takes here; UnderLiveKit is that by the first.
	LiveKitUSPerPacket float64 `json:"livekit_us_per_packet_scaled"`
	UnderLiveKit       float64 `json:"under_livekit"`
	// PacketsPerSecond and Loss (share of the packets, 0 to 1) are those of the
	// relay while USPerPacket was measured.
	PacketsPerSecond float64 `json:"packets_per_s"`
	Loss             float64 `json:"loss"`
	// AllocsPerPacket are the allocations in the relay's process by packets
	// forwarded.
	AllocsPerPacket float64 `json:"allocs_per_packet"`
	// RSSPerChild is the resident memory per child whose link carries nothing.
	RSSPerChild float64 `json:"rss_per_child_kib"`

	// Delays from the source to the children while each hub was busy for Load of
	// the time, with Streams streams of Kbps each. Load is less than was asked for
	// where source and children, on the other core, could take no more: EndsLoad.
	Load          float64 `json:"load"`
	UDPLoad       float64 `json:"udp_load"`
	LimitLoad     float64 `json:"limit_load"`
	EndsLoad      float64 `json:"ends_load"`
	Streams       int     `json:"streams_at_load"`
	LoadPackets   float64 `json:"packets_per_s_at_load"`
	LoadLoss      float64 `json:"loss_at_load"`
	LoadUS        float64 `json:"us_per_packet_at_load"`
	DelayP50      float64 `json:"added_delay_ms_p50"`
	DelayP99      float64 `json:"added_delay_ms_p99"`
	UDPStreams    int     `json:"udp_streams_at_load"`
	UDPLoadLoss   float64 `json:"udp_loss_at_load"`
	UDPDelayP50   float64 `json:"udp_added_delay_ms_p50"`
	UDPDelayP99   float64 `json:"udp_added_delay_ms_p99"`
	LimitStreams  int     `json:"limit_streams_at_load"`
	LimitDelayP50 float64 `json:"limit_added_delay_ms_p50"`
	LimitDelayP99 float64 `json:"limit_added_delay_ms_p99"`
	// LimitLoadUS is LimitUSPerPacket at Load of one core.
	LimitLoadUS float64 `json:"limit_us_per_packet_at_load"`
}
