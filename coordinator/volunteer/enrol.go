package volunteer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/skein-mesh/skein/coordinator"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Credentials finds the coordinator's certificate in dir, or has one made for a token and
// keeps it there. addresses are gRPC addresses of coordinators. It blocks until one of
// them has answered, or all have failed.
func Credentials(ctx context.Context, dir, token string, network coordinator.Network, addresses []string) (*trust.Credentials, error) {
	creds, err := trust.LoadCredentials(dir)
	switch {
	case err == nil && creds.Role() != trust.RoleCoordinator:
		return nil, fmt.Errorf("%s: %w: the certificate is that of a %s, a coordinator needs one of its own", dir, trust.ErrPeer, creds.Role())
	case err == nil && time.Now().Before(creds.Expires()):
		return creds, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case token == "":
		return nil, fmt.Errorf("%s: %w: it holds no certificate of a coordinator that is valid, and there is no token: make one with 'skein token create --role coordinator'", dir, region.ErrInvalid)
	}
	parsed, err := trust.ParseToken(token)
	if err != nil {
		return nil, err
	}
	if parsed.Role != trust.RoleCoordinator {
		return nil, fmt.Errorf("token for a %s: %w", parsed.Role, trust.ErrTokenRole)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	identity, err := trust.LoadIdentity(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if identity, err = trust.NewIdentity(); err == nil {
			err = identity.Save(dir)
		}
	}
	if err != nil {
		return nil, err
	}
	chain, err := enrol(ctx, identity, parsed.CAHash, token, network, addresses)
	if err != nil {
		return nil, fmt.Errorf("enrol a coordinator: %w", err)
	}
	if creds, err = trust.NewCredentials(identity, chain); err != nil {
		return nil, err
	}
	if creds.CAHash() != parsed.CAHash {
		return nil, trust.ErrTokenForeign
	}
	return creds, creds.Save(dir)
}

// enrol asks one coordinator after the other.
func enrol(ctx context.Context, identity *trust.Identity, ca, token string, network coordinator.Network, addresses []string) ([][]byte, error) {
	csr, err := identity.CSR()
	if err != nil {
		return nil, err
	}
	errs := []error{fmt.Errorf("no coordinator enrols it: %w", region.ErrUnreachable)}
	for _, address := range addresses {
		conn, err := grpc.NewClient("passthrough:///"+address,
			grpc.WithTransportCredentials(credentials.NewTLS(trust.PinnedTLS(ca))),
			grpc.WithContextDialer(network.Dial), grpc.WithNoProxy(), grpc.WithDisableServiceConfig())
		if err != nil {
			return nil, err
		}
		attempt, cancel := context.WithTimeout(ctx, callTimeout)
		resp, err := skeinv1.NewEnrolmentClient(conn).Enrol(attempt, &skeinv1.EnrolRequest{Token: token, Csr: csr, Role: string(trust.RoleCoordinator)})
		cancel()
		_ = conn.Close()
		if err == nil {
			return resp.Chain, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", address, skeinv1.FromStatus(err)))
	}
	return nil, errors.Join(errs...)
}
