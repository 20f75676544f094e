//go:build !linux

package link

import "net"

// NewSender returns the best sender there is for conn. It does not close it.
func NewSender(conn net.PacketConn) Sender { return packetSender{conn} }
