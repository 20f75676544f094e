package group

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/skein-mesh/skein/region"
)

const (
	// channelMark begins the names of channels; no region's name does.
	channelMark = "@"
	// maxChannelConns bounds the accepted connections of a channel.
	maxChannelConns = 1024
)

// A Channel is what coordinators tell each other besides the logs of groups, over
// the same port and with the same credentials: any coordinator of the cluster may
// use it.
type Channel struct{ layer *layer }

// Channel opens the channel of that name, which must begin with "@".
func (l *Listener) Channel(name string) (*Channel, error) {
	if !strings.HasPrefix(name, channelMark) || len(name) > region.MaxName {
		return nil, fmt.Errorf("channel %.80q: %w: want %q and a name", name, region.ErrInvalid, channelMark)
	}
	layer, err := l.open(region.ID(name), func(region.MemberID) bool { return true })
	if err != nil {
		return nil, err
	}
	return &Channel{layer}, nil
}

// Accept waits for a connection of another coordinator. After Close it reports
// net.ErrClosed.
func (c *Channel) Accept() (net.Conn, error) { return c.layer.Accept() }

// Dial connects to the same channel of another coordinator, which must be node
// unless that is empty.
func (c *Channel) Dial(ctx context.Context, node region.MemberID, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !c.layer.watch(ctx, cancel) {
		return nil, net.ErrClosed
	}
	conn, err := c.layer.dial(ctx, node, address)
	if err != nil {
		return nil, fmt.Errorf("dial %s at %s: %w", node, address, err)
	}
	return conn, nil
}

// Close ends all connections of the channel.
func (c *Channel) Close() error { return c.layer.Close() }
