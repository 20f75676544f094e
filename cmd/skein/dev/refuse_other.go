//go:build !linux

package dev

import (
	"errors"
	"net"
	"net/netip"
)

// canRefuse says whether this system can keep members apart.
const canRefuse = false

func refuse(_ *net.UDPConn, from []netip.Addr) error {
	if len(from) == 0 {
		return nil
	}
	return errors.ErrUnsupported
}
