package planet

import (
	"crypto/ed25519"
	"fmt"
	"math"
	"net/netip"
	"time"

	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// replicas of a region. There are as many coordinators as regions: each leads
	// one and follows in two others.
	replicas = 3
	// A leader tells the world of its region after announceEvery epochs at the
	// earliest, if announceShare of the members have changed or announceLeast is over.
	announceEvery = 2
	announceLeast = time.Minute
	announceShare = 0.1
	// Coordinators gossip as memberlist does over the Internet: what is new is sent
	// on so many times for each power of ten of them, everything is exchanged with
	// somebody now and then, and somebody is probed.
	retransmits    = 4
	exchangeEvery  = 60 * time.Second
	exchangeSmall  = 32
	directoryProbe = 5 * time.Second
)

var (
	regionKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	hosts     = []region.Host{{ID: id24, GRPC: address, Raft: address}, {ID: id24, GRPC: address, Raft: address}, {ID: id24, GRPC: address, Raft: address}}
	probe     = netip.MustParseAddrPort(address)
)

// announce tells the world of the region if there is something to tell.
func (r *realm) announce() error {
	changed := math.Abs(float64(r.members() - r.toldMembers))
	if r.now.Sub(r.told) < announceLeast && changed < announceShare*float64(max(r.toldMembers, 1)) {
		return nil
	}
	d := r.region.Descriptor(func(m region.MemberID) float64 { return r.w.geo.rtt(&r.centre, r.where(m)) })
	d.Term, d.Sequence, d.Issued, d.Replicas = 1, uint64(r.turn), r.now, hosts
	d.Probes = []netip.AddrPort{probe, probe, probe, probe}
	signed, err := skeinv1.SignDescriptor(regionKey, d)
	if err != nil {
		return fmt.Errorf("realm %d: %w", r.id, err)
	}
	r.told, r.toldMembers = r.now, r.members()
	r.counts.announced++
	r.counts.descriptors += proto.Size(signed)
	return nil
}

// directoryBytes is what a coordinator says and hears in a second in the gossip of
// n coordinators of as many regions, if all announced so many descriptors a second
// with so many bytes each.
func directoryBytes(n int, announced, size float64) float64 {
	spread := retransmits * math.Ceil(math.Log10(float64(n+1)))
	every := exchangeEvery.Seconds()
	if n > exchangeSmall {
		every *= math.Ceil(math.Log2(float64(n))-math.Log2(exchangeSmall)) + 1
	}
	sent := announced*(size+frame)*min(spread, float64(n-1)) + 2*float64(n)*size/every + 2*bytesPing/directoryProbe.Seconds()
	return 2 * sent
}
