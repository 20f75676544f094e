package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

func (a *app) token() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make join tokens",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(a.tokenCreate())
	return cmd
}

// A tokenResult is what token create prints.
type tokenResult struct {
	Token   string    `json:"token"`
	Role    string    `json:"role"`
	Expires time.Time `json:"expires"`
	Uses    uint32    `json:"uses"`
}

func (a *app) tokenCreate() *cobra.Command {
	var (
		c         clientFlags
		authority string
		role      string
		ttl       time.Duration
		uses      uint32
	)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a join token",
		Long: `Make a join token, with which a node gets its certificate. It pins the
cluster's CA, expires, and is good for one role. With the CA at hand (--authority)
no coordinator is needed; otherwise one is asked, with the operator's credentials.`,
		Example: `  skein token create --authority cluster/ca
  skein token create --ttl 10m --uses 1 --coordinators 10.0.0.1:7400`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := trust.Role(role)
			if r != trust.RoleMember && r != trust.RoleCoordinator && r != trust.RoleOperator {
				return fmt.Errorf("--role %q: %w: want member, coordinator or operator", role, region.ErrInvalid)
			}
			if ttl < time.Second || ttl > trust.MaxTokenTTL {
				return fmt.Errorf("--ttl %v: %w: want 1s to %v", ttl, region.ErrInvalid, trust.MaxTokenTTL)
			}
			t, err := createToken(cmd.Context(), &c, authority, r, ttl, uses)
			if err != nil {
				return err
			}
			return a.print(tokenResult{t, role, time.Now().Add(ttl).Truncate(time.Second), uses}, func(w io.Writer) { row(w, t) })
		},
	}
	f := cmd.Flags()
	c.add(f)
	f.StringVar(&authority, "authority", "", "folder with the cluster's CA; without it a coordinator is asked")
	f.StringVar(&role, "role", string(trust.RoleMember), "what the node may become: member, coordinator or operator")
	f.DurationVar(&ttl, "ttl", time.Hour, "how long the token is good")
	f.Uint32Var(&uses, "uses", 0, "how often it may be used; 0 = without limit until it expires")
	markPath(f, "authority")
	return cmd
}

func createToken(ctx context.Context, c *clientFlags, authority string, role trust.Role, ttl time.Duration, uses uint32) (string, error) {
	if authority != "" {
		ca, err := loadAuthority(authority)
		if err != nil {
			return "", err
		}
		return ca.NewToken(role, ttl, uses, time.Now())
	}
	client, err := c.dial()
	if err != nil {
		return "", err
	}
	defer client.Close()
	return client.CreateToken(ctx, role, ttl, uses)
}

func loadAuthority(dir string) (*trust.Authority, error) {
	ca, err := trust.LoadAuthority(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("--authority %s: %w: 'skein init' makes the ca folder of a cluster", dir, fs.ErrNotExist)
	}
	return ca, err
}
