package member

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// findCredentials finds the member's certificate: the one given, the one kept in
// DataDir, or a new one for the token.
func findCredentials(ctx context.Context, cfg Config) (*trust.Credentials, error) {
	creds := cfg.Credentials
	if creds == nil && cfg.DataDir != "" {
		var err error
		creds, err = trust.LoadCredentials(cfg.DataDir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("member: read identity: %w", err)
		}
	}
	if creds != nil {
		switch expired := !time.Now().Before(creds.Expires()); {
		case creds.Role() != trust.RoleMember:
			return nil, fmt.Errorf("member: the certificate is that of a %s, a member needs one of its own: %w", creds.Role(), trust.ErrPeer)
		case !expired:
			return creds, nil
		case cfg.Token == "":
			return nil, fmt.Errorf("member: the certificate ended %s: give a new join token: %w", creds.Expires().Format(time.RFC3339), trust.ErrPeer)
		}
	}
	if cfg.Token == "" {
		return nil, fmt.Errorf("member: no certificate and no join token: make a token with 'skein token create': %w", region.ErrInvalid)
	}
	return enrol(ctx, cfg)
}

// enrol turns the token into a certificate, and keeps it in DataDir.
func enrol(ctx context.Context, cfg Config) (*trust.Credentials, error) {
	token, err := trust.ParseToken(cfg.Token)
	if err != nil {
		return nil, fmt.Errorf("member: %w", err)
	}
	if token.Role != trust.RoleMember {
		return nil, fmt.Errorf("member: token for a %s: %w", token.Role, trust.ErrTokenRole)
	}
	identity, err := keptIdentity(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	csr, err := identity.CSR()
	if err != nil {
		return nil, fmt.Errorf("member: %w", err)
	}
	group := newCoordinators(cfg, trust.PinnedTLS(token.CAHash))
	defer group.close()
	request := &skeinv1.EnrolRequest{Token: cfg.Token, Csr: csr, Role: string(trust.RoleMember)}
	var chain [][]byte
	err = group.call(ctx, func(ctx context.Context, c client) error {
		response, err := c.Enrol(ctx, request)
		chain = response.GetChain()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("member: enrol: %w", err)
	}
	creds, err := trust.NewCredentials(identity, chain)
	if err != nil {
		return nil, fmt.Errorf("member: enrol: %w", err)
	}
	if creds.CAHash() != token.CAHash {
		return nil, fmt.Errorf("member: enrol: %w", trust.ErrTokenForeign)
	}
	if cfg.DataDir != "" {
		if err := creds.Save(cfg.DataDir); err != nil {
			return nil, fmt.Errorf("member: keep certificate: %w", err)
		}
	}
	return creds, nil
}

// keptIdentity loads the key in dir, or makes one and keeps it there. Without a
// dir the identity is as long as the process.
func keptIdentity(dir string) (*trust.Identity, error) {
	if dir != "" {
		identity, err := trust.LoadIdentity(dir)
		if err == nil {
			return identity, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("member: read identity: %w", err)
		}
	}
	identity, err := trust.NewIdentity()
	if err != nil {
		return nil, fmt.Errorf("member: %w", err)
	}
	if dir != "" {
		if err := identity.Save(dir); err != nil {
			return nil, fmt.Errorf("member: keep identity: %w", err)
		}
	}
	return identity, nil
}

// A certificate's age is looked at after a quarter of the time it has left, at
// most every 10 min and at least every second.
func nextRenewal(expires, now time.Time) time.Duration {
	return min(max(expires.Sub(now)/4, time.Second), 10*time.Minute)
}

// renewal keeps the certificate fresh until ctx ends. What fails is tried again
// at the next look: half of the lifetime is left at the first.
func (n *Node) renewal(ctx context.Context) {
	for {
		timer := time.NewTimer(nextRenewal(n.creds.Expires(), time.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case now := <-timer.C:
			if !n.creds.NeedsRenewal(now) {
				continue
			}
			if err := n.renew(ctx); err != nil && ctx.Err() == nil {
				n.log.Warn("certificate not renewed", "expires", n.creds.Expires(), "err", err)
			}
		}
	}
}

func (n *Node) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.CallTimeout)
	defer cancel()
	csr, err := n.creds.Identity().CSR()
	if err != nil {
		return err
	}
	var chain [][]byte
	err = n.group.call(ctx, func(ctx context.Context, c client) error {
		response, err := c.Renew(ctx, &skeinv1.RenewRequest{Csr: csr})
		chain = response.GetChain()
		return err
	})
	if err != nil {
		return err
	}
	if err := n.creds.Replace(chain); err != nil {
		return err
	}
	if n.cfg.DataDir != "" {
		return n.creds.Save(n.cfg.DataDir)
	}
	return nil
}
