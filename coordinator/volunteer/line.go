package volunteer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/skein-mesh/skein/coordinator"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

const (
	// callTimeout bounds asking one coordinator, who may knock here for an answer;
	// askMost is how many are asked.
	callTimeout = 6 * time.Second
	askMost     = 6
)

// clients are the services of a coordinator that a volunteer uses.
type clients struct {
	skeinv1.DirectoryClient
	skeinv1.EnrolmentClient
}

// A line leads to the coordinator that answered last.
type line struct {
	cfg     *coordinator.Config
	address string
	conn    *grpc.ClientConn
}

// call asks the coordinator that answered last, the others and whom they name as leader,
// one after the other, until one answers.
func (l *line) call(ctx context.Context, addresses []string, f func(context.Context, clients) error) error {
	queue := addresses
	if l.address != "" {
		queue = append([]string{l.address}, addresses...)
	}
	errs := []error{fmt.Errorf("no coordinator is known: %w", region.ErrUnreachable)}
	tried := map[string]bool{}
	for len(queue) > 0 && len(tried) < askMost {
		address := queue[0]
		queue = queue[1:]
		if tried[address] {
			continue
		}
		tried[address] = true
		err := l.callAt(ctx, address, f)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", address, err))
		if hint, ok := errors.AsType[*region.NotLeaderError](err); ok && hint.Address != "" {
			queue = append([]string{hint.Address}, queue...)
		}
	}
	return errors.Join(errs...)
}

func (l *line) callAt(ctx context.Context, address string, f func(context.Context, clients) error) error {
	if address != l.address || l.conn == nil {
		l.close()
		conn, err := grpc.NewClient("passthrough:///"+address,
			grpc.WithTransportCredentials(credentials.NewTLS(l.cfg.Credentials.ClientTLS())),
			grpc.WithContextDialer(l.cfg.Network.Dial), grpc.WithNoProxy(), grpc.WithDisableServiceConfig())
		if err != nil {
			return err
		}
		l.address, l.conn = address, conn
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return skeinv1.FromStatus(f(ctx, clients{skeinv1.NewDirectoryClient(l.conn), skeinv1.NewEnrolmentClient(l.conn)}))
}

func (l *line) close() {
	if l.conn != nil {
		_ = l.conn.Close()
	}
	l.address, l.conn = "", nil
}

// renew keeps the certificate fresh while no coordinator runs that would.
func (v *Volunteer) renew(ctx context.Context, home Home) {
	creds := v.cfg.Coordinator.Credentials
	if !creds.NeedsRenewal(time.Now()) {
		return
	}
	err := v.line.renew(ctx, slices.Concat(home.Coordinators, v.ways.addresses()), creds)
	if err == nil && v.cfg.Coordinator.CredentialsDir != "" {
		err = creds.Save(v.cfg.Coordinator.CredentialsDir)
	}
	if err != nil && ctx.Err() == nil {
		v.logger.Warn("certificate not renewed", "expires", creds.Expires(), "err", err)
	}
}

func (l *line) renew(ctx context.Context, addresses []string, creds *trust.Credentials) error {
	csr, err := creds.Identity().CSR()
	if err != nil {
		return err
	}
	var chain [][]byte
	err = l.call(ctx, addresses, func(ctx context.Context, c clients) error {
		resp, err := c.Renew(ctx, &skeinv1.RenewRequest{Csr: csr})
		chain = resp.GetChain()
		return err
	})
	if err != nil {
		return err
	}
	return creds.Replace(chain)
}
