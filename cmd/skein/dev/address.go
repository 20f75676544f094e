package dev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/skein-mesh/skein/region"
)

// Members live at 127.77.x.y and coordinators at 127.76.n.y, each with the
// default ports. Where the system has only 127.0.0.1 (macOS), everybody shares it
// and gets ports of its own.
const (
	loopback   = 127
	memberNet  = 77
	coordNet   = 76
	perByte    = 250
	sharedHost = "127.0.0.1"
	grpcPort   = 7400
	raftPort   = 7401
)

var errNoOwnIPs = errors.New("--latency and --auto need a loopback address per member (127.77.0.1 and on), which this system does not have; on macOS add them with ifconfig lo0 alias")

// memberIP is the address of the member at a site, and siteOf its inverse.
func memberIP(site int) netip.Addr {
	return netip.AddrFrom4([4]byte{loopback, memberNet, byte(site / perByte), byte(site%perByte) + 1})
}

func siteOf(a netip.Addr) (site int, ok bool) {
	b := a.Unmap()
	if !b.Is4() {
		return 0, false
	}
	q := b.As4()
	if q[0] != loopback || q[1] != memberNet || q[3] == 0 || q[3] > perByte {
		return 0, false
	}
	return int(q[2])*perByte + int(q[3]) - 1, true
}

// An addressPlan says where the nodes of a testnet live.
type addressPlan struct {
	own    bool // every node has an address of its own
	coords []coordAddress
	// claim is held as long as the testnet runs, so that no other one takes
	// the addresses of coordinators that are dead at the moment; nil if the
	// system chose the ports.
	claim net.Listener
}

// release gives up the claim.
func (p addressPlan) release() {
	if p.claim != nil {
		_ = p.claim.Close() // nothing was ever accepted
	}
}

// claimNet claims the addresses that begin like ip, which is one of them.
func claimNet(ctx context.Context, ip netip.Addr) (net.Listener, error) {
	b := ip.As4()
	b[3] = 254
	return new(net.ListenConfig).Listen(ctx, "tcp", at(netip.AddrFrom4(b), grpcPort))
}

type coordAddress struct {
	ip         netip.Addr
	grpc, raft string
}

// planAddresses finds addresses for the coordinators that nobody uses: several
// testnets may run at the same time.
func planAddresses(ctx context.Context, coordinators int) (addressPlan, error) {
	own := canListen(ctx, netip.AddrPortFrom(memberIP(0), 0).String())
	if !own {
		return sharedPlan(ctx, coordinators)
	}
	for n := range perByte {
		claim, err := claimNet(ctx, netip.AddrFrom4([4]byte{loopback, coordNet, byte(n), 1}))
		if err != nil {
			continue
		}
		plan := addressPlan{own: true, claim: claim}
		free := true
		for i := range coordinators {
			ip := netip.AddrFrom4([4]byte{loopback, coordNet, byte(n), byte(i) + 1})
			a := coordAddress{ip: ip, grpc: at(ip, grpcPort), raft: at(ip, raftPort)}
			free = free && canListen(ctx, a.grpc) && canListen(ctx, a.raft)
			plan.coords = append(plan.coords, a)
		}
		if free {
			return plan, nil
		}
		plan.release()
	}
	return addressPlan{}, fmt.Errorf("%w: port 7400 is taken on all of 127.76.0.1 to 127.76.%d.1; end other testnets", region.ErrLimit, perByte-1)
}

// sharedPlan asks the system for free ports. They may be taken by somebody else
// before they are used; starting then fails and says so.
func sharedPlan(ctx context.Context, coordinators int) (addressPlan, error) {
	plan := addressPlan{}
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for range coordinators {
		a := coordAddress{ip: netip.MustParseAddr(sharedHost)}
		for _, p := range []*string{&a.grpc, &a.raft} {
			l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(sharedHost, "0"))
			if err != nil {
				return addressPlan{}, err
			}
			held = append(held, l)
			*p = l.Addr().String()
		}
		plan.coords = append(plan.coords, a)
	}
	return plan, nil
}

// member is the address of a member.
func (p addressPlan) member(site int) netip.Addr {
	if p.own {
		return memberIP(site)
	}
	return netip.MustParseAddr(sharedHost)
}

func (p addressPlan) grpc() []string {
	out := make([]string, len(p.coords))
	for i, c := range p.coords {
		out[i] = c.grpc
	}
	return out
}

func canListen(ctx context.Context, addr string) bool {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func at(ip netip.Addr, port int) string {
	return net.JoinHostPort(ip.String(), strconv.Itoa(port))
}
