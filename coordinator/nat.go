package coordinator

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/skein-mesh/skein/coordinator/turn"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// turnTTL is how long credentials for TURN are good: a stay that lasts longer asks
// again in the meantime.
const turnTTL = 24 * time.Hour

// openTURN serves STUN and TURN, if Config.TURN says where. Allocations are made at
// the address under which members know this coordinator.
func (s *Server) openTURN(ctx context.Context) error {
	if s.cfg.TURN == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(s.cfg.advertised().GRPC)
	if err != nil {
		return err
	}
	ips, err := new(net.Resolver).LookupNetIP(ctx, "ip", host)
	if err != nil {
		return listenError(s.cfg.TURN, "TURN", "--turn", err)
	}
	cfg := turn.DefaultConfig()
	cfg.Listen, cfg.Private, cfg.Logger = s.cfg.TURN, s.cfg.TURNPrivate, s.logger
	cfg.Secret = s.turnSecret
	for _, ip := range ips {
		cfg.Advertise = append(cfg.Advertise, ip.Unmap())
	}
	if s.turn, err = turn.Serve(ctx, cfg); err != nil {
		return listenError(s.cfg.TURN, "TURN", "--turn", err)
	}
	return nil
}

// turnSecret is what the credentials of a user, REGION/MEMBER, were made with; nil
// if this coordinator has no replica of the region.
func (s *Server) turnSecret(user string) []byte {
	id, _, _ := strings.Cut(user, "/")
	r := s.hosts(region.ID(id))
	if r == nil {
		return nil
	}
	return turnSecretOf(r.group.State().Secrets.SigningSeed)
}

func turnSecretOf(seed []byte) []byte {
	secret, err := hkdf.Key(sha256.New, seed, nil, "skein turn", sha256.Size)
	if err != nil {
		panic(err) // the length is in range
	}
	return secret
}

// iceServers are the STUN and TURN servers of a region's coordinators, for one
// member. All serve at the same port.
func (r *replica) iceServers(member region.MemberID, now time.Time) (list []*skeinv1.IceServer) {
	_, port, err := net.SplitHostPort(r.cfg.TURN)
	if err != nil {
		return nil
	}
	state := r.group.State()
	user := string(state.Region.ID()) + "/" + string(member)
	username, password := turn.Credentials(turnSecretOf(state.Secrets.SigningSeed), user, turnTTL, now)
	for _, p := range r.members() {
		host, _, err := net.SplitHostPort(p.GRPC)
		if err != nil {
			continue
		}
		at := net.JoinHostPort(host, port)
		list = append(list,
			&skeinv1.IceServer{Url: "stun:" + at},
			&skeinv1.IceServer{Url: "turn:" + at + "?transport=udp", Username: username, Credential: password})
	}
	return list
}

// TURNAddr is the address STUN and TURN are served at; the zero value if they are
// not.
func (s *Server) TURNAddr() netip.AddrPort {
	if s.turn == nil {
		return netip.AddrPort{}
	}
	return s.turn.Addr()
}
