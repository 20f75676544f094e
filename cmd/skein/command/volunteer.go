package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/coordinator/volunteer"
	"github.com/skein-mesh/skein/region"
)

// volunteerFlags say whether and how a member's node coordinates when it is needed.
type volunteerFlags struct {
	mode, data, token, tokenFile string
	advertise                    string
	cfg                          coordinator.Config
}

// The values of --coordinator.
const (
	coordinateNever = "none"
	coordinateAuto  = "auto"
)

const (
	// enrolTimeout bounds having the coordinator's certificate made.
	enrolTimeout = 30 * time.Second
	// resignTimeout bounds handing over what is coordinated: nobody may be there for it.
	resignTimeout = time.Minute
)

func (v *volunteerFlags) add(f *pflag.FlagSet) {
	v.cfg = coordinator.DefaultConfig()
	f.StringVar(&v.mode, "coordinator", coordinateNever, "auto: coordinate when the region's group has lost a replica and no other coordinator can take its place; none: never")
	f.StringVar(&v.data, "coordinator-data", "", "folder for the coordinator's key, certificate and logs; it must last (default: coordinator in --data)")
	f.StringVar(&v.token, "coordinator-token", "", "join token for a coordinator, needed the first time; see 'skein token create --role coordinator'")
	f.StringVar(&v.tokenFile, "coordinator-token-file", "", "file with that token, instead of --coordinator-token")
	f.StringVar(&v.cfg.GRPC, "coordinator-grpc", v.cfg.GRPC, "address at which the coordinator would serve members")
	f.StringVar(&v.cfg.Raft, "coordinator-raft", v.cfg.Raft, "address for the other replicas")
	f.StringVar(&v.advertise, "coordinator-advertise", "", "these addresses for others, host:port/host:port for gRPC and Raft; needed with --coordinator=auto")
	f.StringVar(&v.cfg.Site, "site", "", "where this node stands; replicas of a group are spread over sites")
	f.StringVar(&v.cfg.Operator, "operator", "", "who runs this node; replicas of a group are spread over operators")
	markPath(f, "coordinator-data", "coordinator-token-file")
}

// complete makes sense of the flags; wanted if the node is to offer itself.
func (v *volunteerFlags) complete(m *memberFlags) (wanted bool, err error) {
	switch v.mode {
	case coordinateNever:
		return false, nil
	case coordinateAuto:
	default:
		return false, fmt.Errorf("--coordinator %.20q: %w: want auto or none", v.mode, region.ErrInvalid)
	}
	if v.data == "" && m.cfg.DataDir == "" {
		return false, fmt.Errorf("--coordinator=auto: %w: it needs a folder that lasts: give --data, or --coordinator-data", region.ErrInvalid)
	}
	if v.data == "" {
		v.data = filepath.Join(m.cfg.DataDir, "coordinator")
	}
	grpc, raft, ok := strings.Cut(v.advertise, "/")
	for _, address := range []string{grpc, raft} {
		if _, _, err := net.SplitHostPort(address); err != nil || !ok {
			return false, fmt.Errorf("--coordinator-advertise %.80q: %w: want host:7400/host:7401, as others reach this node", v.advertise, region.ErrInvalid)
		}
	}
	v.cfg.Advertise = coordinator.Peer{GRPC: grpc, Raft: raft}
	if v.tokenFile != "" && v.token == "" {
		data, err := os.ReadFile(v.tokenFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("--coordinator-token-file: %w", err)
		}
		v.token = strings.TrimSpace(string(data))
	}
	return true, nil
}

// volunteer offers a member's node to its region's group.
func (a *app) volunteer(ctx context.Context, v *volunteerFlags, j *joined, name string) (*volunteer.Volunteer, error) {
	enrolling, cancel := context.WithTimeout(ctx, enrolTimeout)
	defer cancel()
	creds, err := volunteer.Credentials(enrolling, v.data, v.token, coordinator.SystemNetwork{}, j.node.Coordinators())
	if err != nil {
		return nil, fmt.Errorf("--coordinator=auto: %w", err)
	}
	cfg := v.cfg
	cfg.Name, cfg.DataDir, cfg.Logger = name, v.data, a.log
	cfg.Credentials, cfg.CredentialsDir = creds, v.data
	n := j.node
	return volunteer.Start(ctx, volunteer.Config{Coordinator: cfg, Home: func() volunteer.Home {
		return volunteer.Home{Region: n.Region(), Member: n.ID(), Coordinators: n.Coordinators()}
	}})
}
