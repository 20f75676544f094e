package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
)

const (
	// renewEvery is how often the certificate's age is looked at. It is renewed
	// when half of its time is over, so there are many tries.
	renewEvery = 10 * time.Minute
	// renewTimeout bounds asking one other coordinator.
	renewTimeout = 10 * time.Second
)

// renewal keeps the coordinator's certificate fresh until ctx ends. Connections
// made from then on show the new one.
func (s *Server) renewal(ctx context.Context) {
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	for {
		if creds := s.cfg.Credentials; creds.NeedsRenewal(time.Now()) {
			if err := s.renew(ctx); err != nil && ctx.Err() == nil {
				s.logger.Warn("certificate not renewed", "expires", creds.Expires(), "err", err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) renew(ctx context.Context) error {
	creds := s.cfg.Credentials
	csr, err := creds.Identity().CSR()
	if err != nil {
		return err
	}
	chain, err := s.sign(ctx, csr)
	if err != nil {
		return err
	}
	if err := creds.Replace(chain); err != nil {
		return err
	}
	if s.cfg.CredentialsDir == "" {
		return nil
	}
	return creds.Save(s.cfg.CredentialsDir)
}

// sign has the certificate made by the CA if it is held here, or else by another
// coordinator.
func (s *Server) sign(ctx context.Context, csr []byte) ([][]byte, error) {
	if a := s.cfg.Authority; a != nil {
		return a.Sign(csr, trust.RoleCoordinator, trust.CertificateTTL, time.Now())
	}
	errs := []error{errors.New("no other coordinator renews it")}
	asked := map[string]bool{}
	for _, address := range s.colleagues() {
		if asked[address] {
			continue
		}
		asked[address] = true
		chain, err := s.askToSign(ctx, address, csr)
		if err == nil {
			return chain, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", address, err))
	}
	return nil, errors.Join(errs...)
}

// colleagues are the gRPC addresses of other coordinators, those of the configuration
// first.
func (s *Server) colleagues() (list []string) {
	known := slices.Clone(s.cfg.Seeds)
	for _, g := range s.cfg.Groups {
		known = append(known, g.Peers...)
	}
	for _, c := range s.directory.Coordinators() {
		known = append(known, Peer{ID: c.ID, GRPC: c.GRPC})
	}
	for _, p := range known {
		if p.ID != s.ID() && p.GRPC != "" {
			list = append(list, p.GRPC)
		}
	}
	return list
}

func (s *Server) askToSign(ctx context.Context, address string, csr []byte) ([][]byte, error) {
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(s.cfg.Credentials.ClientTLS())),
		grpc.WithContextDialer(s.cfg.Network.Dial), grpc.WithNoProxy(), grpc.WithDisableServiceConfig())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	resp, err := skeinv1.NewEnrolmentClient(conn).Renew(ctx, &skeinv1.RenewRequest{Csr: csr})
	return resp.GetChain(), skeinv1.FromStatus(err)
}
