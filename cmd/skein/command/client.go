package command

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/pflag"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Where things are unless said otherwise.
const (
	defaultCoordinator = "127.0.0.1:7400"
	defaultClusterDir  = "cluster"
	defaultRegion      = "r1"
)

// clientFlags say how to reach coordinators as an operator.
type clientFlags struct {
	coordinators []string
	credentials  string
	region       string
}

func (c *clientFlags) add(f *pflag.FlagSet) {
	f.StringSliceVar(&c.coordinators, "coordinators", []string{defaultCoordinator}, "gRPC addresses of coordinators, host:port")
	f.StringVar(&c.credentials, "credentials", defaultClusterDir+"/operator", "folder with the operator's key and certificate")
	f.StringVar(&c.region, "region", defaultRegion, "region to ask about")
	markPath(f, "credentials")
}

// dial prepares a client; the caller closes it.
func (c *clientFlags) dial() (*inspect.Client, error) {
	creds, err := trust.LoadCredentials(c.credentials)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no credentials in %s: %w; 'skein init' makes an operator folder, --credentials names it", c.credentials, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	return inspect.Dial(c.coordinators, creds)
}

func (c *clientFlags) regionID() region.ID { return region.ID(c.region) }
