package dev

import (
	"context"
	"fmt"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/coordinator/volunteer"
	"github.com/skein-mesh/skein/member"
)

// In a testnet with volunteers everything that takes minutes elsewhere takes seconds.
const (
	volunteerUptime = 5 * time.Second
	replaceAfter    = 10 * time.Second
	settleFor       = 5 * time.Second
)

// A VolunteerSpec makes a member coordinate when it is needed.
type VolunteerSpec struct {
	// Token is for a coordinator, Dir the folder for what that keeps.
	Token, Dir string
}

// hasten lets coordinators replace one another, and call volunteers, while people watch.
func hasten(cfg *coordinator.Config) {
	cfg.Healing.ReplaceAfter, cfg.Healing.Settle = replaceAfter, settleFor
	cfg.Healing.Volunteers.Uptime = volunteerUptime
	// A testnet is a machine that is busy, and members may be anywhere.
	cfg.Healing.Volunteers.Write, cfg.Healing.Volunteers.RTT = time.Second, time.Second
}

// volunteer offers the member's node to its region.
func (m *memberNode) volunteer(ctx context.Context, n *member.Node) error {
	spec := m.spec.Member.Volunteer
	creds, err := volunteer.Credentials(ctx, spec.Dir, spec.Token, m.cable, n.Coordinators())
	if err != nil {
		return fmt.Errorf("%s is to coordinate when needed: %w", m.spec.Name, err)
	}
	cfg := coordinator.DefaultConfig()
	cfg.Name, cfg.DataDir, cfg.Credentials = m.spec.Name, spec.Dir, creds
	cfg.GRPC, cfg.Raft = at(m.spec.IP, grpcPort), at(m.spec.IP, raftPort)
	cfg.Advertise = coordinator.Peer{GRPC: cfg.GRPC, Raft: cfg.Raft}
	cfg.Network, cfg.Logger = m.cable, m.log
	hasten(&cfg)
	v, err := volunteer.Start(ctx, volunteer.Config{Coordinator: cfg, Home: func() volunteer.Home {
		return volunteer.Home{Region: n.Region(), Member: n.ID(), Coordinators: n.Coordinators()}
	}})
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.helper = v
	m.mu.Unlock()
	return nil
}
