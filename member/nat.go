package member

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/skein-mesh/skein/member/gossip"
	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// maxICEServers bounds what coordinators name.
const maxICEServers = 32

// An ICEServer is a STUN or TURN server of the region's coordinators.
type ICEServer struct {
	// URL is stun:host:port or turn:host:port?transport=udp.
	URL string
	// Username and Credential are empty for STUN; they are good for a day.
	Username, Credential string
}

// ICEServers are the servers that the coordinators named when the stay began, for
// this member and for those who come to its door. None if they serve none.
func (n *Node) ICEServers() []ICEServer { return n.stay.Load().servers }

func toICEServers(list []*skeinv1.IceServer) ([]ICEServer, error) {
	if len(list) > maxICEServers {
		return nil, fmt.Errorf("%d ICE servers, at most %d: %w", len(list), maxICEServers, region.ErrInvalid)
	}
	var out []ICEServer
	for i, s := range list {
		if len(s.GetUrl()) > 300 || len(s.GetUsername()) > 300 || len(s.GetCredential()) > 300 {
			return nil, fmt.Errorf("ice_servers[%d]: longer than 300 bytes: %w", i, region.ErrInvalid)
		}
		out = append(out, ICEServer{URL: s.GetUrl(), Username: s.GetUsername(), Credential: s.GetCredential()})
	}
	return out, nil
}

// lookOutside finds out how this member is reached from outside, and tells the
// coordinators. That it cannot is no reason not to take part.
func (n *Node) lookOutside(ctx context.Context, socket *gossip.Socket) error {
	changed, err := n.transport.UseServers(ctx, resolve(ctx, n.ICEServers()))
	if err != nil {
		n.log.Warn("no STUN server answers; members beyond a NAT may not be reached", "err", err)
	}
	if !changed {
		return nil
	}
	_, err = n.join(ctx, n.Lease(), socket)
	return err
}

// renewServers is how often new credentials for the servers are asked for: they are good
// for a day. If that fails it is tried again after retryServers.
const renewServers, retryServers = 12 * time.Hour, 10 * time.Minute

// followAddress tells the coordinators when this member is reached elsewhere, and renews
// the credentials for their servers in time.
func (n *Node) followAddress(ctx context.Context) {
	renewal := time.NewTimer(renewServers)
	defer renewal.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-renewal.C:
			renewal.Reset(n.renewServers(ctx))
			continue
		case <-n.transport.Moved():
		}
		n.log.Info("reached at other addresses now", "media", n.transport.Endpoint().Media)
		if _, err := n.join(ctx, n.Lease(), nil); err != nil && ctx.Err() == nil {
			n.log.Warn("the coordinators do not know the new addresses", "err", err)
		}
		n.tellVisited(ctx)
	}
}

// renewServers asks for new credentials and returns when to do so again.
func (n *Node) renewServers(ctx context.Context) time.Duration {
	if len(n.ICEServers()) == 0 {
		return renewServers
	}
	if _, err := n.join(ctx, n.Lease(), nil); err != nil {
		if ctx.Err() == nil {
			n.log.Warn("no new credentials for TURN", "err", err)
		}
		return retryServers
	}
	n.transport.RenewServers(resolve(ctx, n.ICEServers()))
	return renewServers
}

// resolve turns servers into addresses; those that cannot be are left out.
func resolve(ctx context.Context, list []ICEServer) (out []link.Server) {
	for _, s := range list {
		kind, rest, _ := strings.Cut(s.URL, ":")
		at, _, _ := strings.Cut(rest, "?")
		host, port, err := net.SplitHostPort(at)
		if err != nil || kind != "stun" && kind != "turn" {
			continue
		}
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		number, err2 := net.DefaultResolver.LookupPort(ctx, "udp", port)
		if err != nil || err2 != nil || len(ips) == 0 {
			continue
		}
		server := link.Server{Addr: netip.AddrPortFrom(ips[0].Unmap(), uint16(number))}
		if kind == "turn" {
			server.Username, server.Password = s.Username, s.Credential
		}
		out = append(out, server)
	}
	return out
}
