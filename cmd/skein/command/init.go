package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// The default ports, and what is added to a coordinator's gRPC port if it is
// another one, so that several coordinators fit on one host.
const (
	grpcPort = 7400
	raftStep = 1
	httpStep = 80
)

// An initResult says what init has made.
type initResult struct {
	Dir          string   `json:"dir"`
	CAHash       string   `json:"ca_hash"`
	Operator     string   `json:"operator"`
	Coordinators []string `json:"coordinators"`
	// Found is true if the cluster was there already.
	Found bool `json:"found,omitempty"`
}

// initFlags say what init makes.
type initFlags struct {
	dir, region, memberToken string
	addrs                    []string
	ifMissing                bool
}

func (a *app) init() *cobra.Command {
	var i initFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a new cluster: its CA, an operator and its coordinators",
		Long: `Make a new cluster in a folder:

  ca/              the cluster's CA. Whoever has it can admit anybody: keep it safe
  operator/        credentials for status, members, streams, tree, events and token
  coordinator-1/   one folder per coordinator: its key, certificate, the CA and its
                   settings. Move it to the coordinator's machine and run there:
                   skein coordinator --config coordinator-1/skein.yaml

--coordinators lists the addresses under which coordinators and members reach
them: host or host:port, where the port is that of gRPC (7400). Raft uses the
next port, HTTP the one 80 above, on loopback.

Where a machine starts everything by itself, --if-missing keeps a cluster that is
there, and --member-token writes a fresh token for 'skein member --token-file'.`,
		Example: `  skein init --coordinators 10.0.0.1,10.0.0.2,10.0.0.3
  skein init --dir lab --coordinators 127.0.0.1:7400,127.0.0.1:7410,127.0.0.1:7420`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			r, err := i.run(time.Now())
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) {
				if r.Found {
					row(w, "there is a cluster in "+r.Dir+" already: it is kept as it is")
					return
				}
				row(w, "made a new cluster in "+r.Dir)
				row(w, "Next:")
				for _, c := range r.Coordinators {
					row(w, "  skein coordinator --config "+filepath.Join(r.Dir, c, settingsName))
				}
				row(w, "  skein token create --authority "+filepath.Join(r.Dir, authorityName))
				row(w, "  skein member --coordinators "+strings.Join(i.addrs, ",")+" --token skein1....")
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&i.dir, "dir", defaultClusterDir, "folder to make; it must not exist")
	f.StringSliceVar(&i.addrs, "coordinators", []string{defaultCoordinator}, "addresses of the coordinators (1, 3, 5 or 7), host or host:port")
	f.StringVar(&i.region, "region", defaultRegion, "name of the first region")
	f.BoolVar(&i.ifMissing, "if-missing", false, "keep the folder as it is if it exists")
	f.StringVar(&i.memberToken, "member-token", "", "also write a join token for members to this file, good for a day")
	markPath(f, "dir", "member-token")
	return cmd
}

const (
	settingsName  = "skein.yaml"
	authorityName = "ca"
	operatorName  = "operator"
)

// memberTokenTTL is how long a token that init writes is good: as long as it may
// take until all machines are up.
const memberTokenTTL = 24 * time.Hour

// run makes the cluster, unless it may be there and is, and the token.
func (i *initFlags) run(now time.Time) (initResult, error) {
	r := initResult{Dir: i.dir, Coordinators: []string{}, Found: true}
	_, err := os.Stat(filepath.Join(i.dir, authorityName))
	if !i.ifMissing || err != nil {
		if r, err = initCluster(i.dir, i.addrs, i.region, now); err != nil {
			return r, err
		}
	}
	if i.memberToken == "" {
		return r, nil
	}
	ca, err := loadAuthority(filepath.Join(i.dir, authorityName))
	if err != nil {
		return r, err
	}
	token, err := ca.NewToken(trust.RoleMember, memberTokenTTL, 0, now)
	if err != nil {
		return r, err
	}
	r.CAHash = ca.Hash()
	return r, os.WriteFile(i.memberToken, []byte(token+"\n"), 0o600)
}

// initCluster makes the folder of a new cluster, whole or not at all.
func initCluster(dir string, addrs []string, name string, now time.Time) (initResult, error) {
	if len(addrs)%2 == 0 || len(addrs) > 7 {
		return initResult{}, fmt.Errorf("--coordinators: %w: %d addresses; a group has 1, 3, 5 or 7 coordinators", region.ErrInvalid, len(addrs))
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return initResult{}, fmt.Errorf("--dir %s: %w: name a folder that does not exist, or remove that one if its cluster is not needed any more", dir, fs.ErrExist)
	}
	parent := filepath.Dir(filepath.Clean(dir))
	tmp, err := os.MkdirTemp(parent, ".skein-init-")
	if err != nil {
		return initResult{}, err
	}
	r, err := fillCluster(tmp, addrs, name, now)
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		return initResult{}, errors.Join(err, os.RemoveAll(tmp))
	}
	r.Dir = dir
	return r, nil
}

func fillCluster(dir string, addrs []string, name string, now time.Time) (initResult, error) {
	ca, err := trust.NewAuthority(now)
	if err != nil {
		return initResult{}, err
	}
	r := initResult{CAHash: ca.Hash()}
	if err := saveAuthority(ca, filepath.Join(dir, authorityName)); err != nil {
		return initResult{}, err
	}
	operator, err := newCredentials(ca, trust.RoleOperator, operatorTTL, filepath.Join(dir, operatorName), now)
	if err != nil {
		return initResult{}, err
	}
	r.Operator = string(operator.ID())
	var peers []string
	var settings []map[string]any
	for i, a := range addrs {
		c := fmt.Sprintf("coordinator-%d", i+1)
		r.Coordinators = append(r.Coordinators, c)
		creds, err := newCredentials(ca, trust.RoleCoordinator, coordinatorTTL, filepath.Join(dir, c), now)
		if err != nil {
			return initResult{}, err
		}
		if err := saveAuthority(ca, filepath.Join(dir, c, authorityName)); err != nil {
			return initResult{}, err
		}
		own, peer, err := coordinatorSettings(a, name, creds.ID())
		if err != nil {
			return initResult{}, err
		}
		settings, peers = append(settings, own), append(peers, peer)
	}
	for i, c := range r.Coordinators {
		settings[i]["peers"] = peers
		data, err := yaml.Marshal(settings[i])
		if err != nil {
			return initResult{}, err
		}
		if err := os.WriteFile(filepath.Join(dir, c, settingsName), data, 0o600); err != nil {
			return initResult{}, err
		}
	}
	return r, nil
}

// Certificates that init makes last longer than those of members: nobody is
// there yet to renew them, and the files are kept by hand.
const (
	operatorTTL    = 365 * 24 * time.Hour
	coordinatorTTL = 365 * 24 * time.Hour
)

func newCredentials(ca *trust.Authority, role trust.Role, ttl time.Duration, dir string, now time.Time) (*trust.Credentials, error) {
	id, err := trust.NewIdentity()
	if err != nil {
		return nil, err
	}
	creds, err := ca.Issue(id, role, ttl, now)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := id.Save(dir); err != nil {
		return nil, err
	}
	return creds, creds.Save(dir)
}

func saveAuthority(ca *trust.Authority, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return ca.Save(dir)
}

// coordinatorSettings returns the settings of the coordinator at an address, and
// how its peers name it.
func coordinatorSettings(addr, regionName string, id region.MemberID) (map[string]any, string, error) {
	host, port := addr, grpcPort
	if h, p, err := net.SplitHostPort(addr); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 || n+httpStep > 65535 {
			return nil, "", fmt.Errorf("--coordinators: %w: port of %q is not 1 to %d", region.ErrInvalid, addr, 65535-httpStep)
		}
		host, port = h, int(n)
	}
	if host == "" || strings.ContainsAny(host, " @,/") {
		return nil, "", fmt.Errorf("--coordinators: %w: %q is not host or host:port", region.ErrInvalid, addr)
	}
	at := func(host string, step int) string { return net.JoinHostPort(host, strconv.Itoa(port+step)) }
	listen := "0.0.0.0"
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		listen = host
	}
	return map[string]any{
		"credentials": ".",
		"authority":   authorityName,
		"data":        "data",
		"region":      regionName,
		"grpc":        at(listen, 0),
		"raft":        at(listen, raftStep),
		"http":        at("127.0.0.1", httpStep),
	}, fmt.Sprintf("%s=%s/%s", id, at(host, 0), at(host, raftStep)), nil
}
