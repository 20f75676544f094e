package member_test

import (
	"context"
	"net"
	"os"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/proto/trust"
)

// runCoordinator runs one coordinator on loopback. It panics if it cannot: an
// example has nobody to report to.
func runCoordinator() (address, token string, stop func()) {
	dir := must(os.MkdirTemp("", "skein"))
	ca := must(trust.NewAuthority(time.Now()))
	cfg := coordinator.DefaultConfig()
	cfg.DataDir, cfg.Authority = dir, ca
	cfg.Credentials = must(ca.Issue(must(trust.NewIdentity()), trust.RoleCoordinator, time.Hour, time.Now()))
	cfg.GRPC, cfg.Raft = freePort(), freePort()
	cfg.Groups = []coordinator.Group{{Region: "r1", Peers: []coordinator.Peer{
		{ID: cfg.Credentials.ID(), Raft: cfg.Raft, GRPC: cfg.GRPC},
	}}}
	server := must(coordinator.Start(context.Background(), cfg))
	return cfg.GRPC, must(ca.NewToken(trust.RoleMember, time.Hour, 0, time.Now())), func() {
		_ = server.Close()
		_ = os.RemoveAll(dir)
	}
}

// freePort is a TCP address on loopback that was free a moment ago.
func freePort() string {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	return l.Addr().String()
}
