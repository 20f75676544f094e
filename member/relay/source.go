package relay

import (
	"time"

	"github.com/pion/rtp"
)

// A Source is where a stream begins. It may be used by several goroutines.
type Source struct{}

// WriteRTP sends a packet of a layer down the tree, verbatim but for the SSRC and
// an element of Skein's own in the header extension. captured is when the media was
// captured; zero means now. The packet is not kept. It reports
// region.ErrInvalid for a packet that cannot be sent, net.ErrClosed after Close.
func (s *Source) WriteRTP(layer int, p *rtp.Packet, captured time.Time) error {
	panic("unfinished")
}

// WriteMessage sends a message of at most MaxMessage bytes on a data stream.
func (s *Source) WriteMessage(data []byte) error { panic("unfinished") }

// WriteReport sends an RTCP sender report of the application down the tree.
func (s *Source) WriteReport(rtcp []byte) error { panic("unfinished") }

// Close ends the stream.
func (s *Source) Close() error { panic("unfinished") }
