package command

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

func (a *app) access() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "access",
		Short: "Say what members may do: publish, subscribe, stand in spaces",
		Long: `Say what members may do. An application signs an access token for each of its
users; coordinators that know its key (skein coordinator --access-keys) then let
members do what their tokens name, and nothing else.

An access token is a JWT signed by EdDSA (Ed25519) with the claims exp, sub (the
member it is for; left out: whoever shows it) and skein, an object of lists:
publish and subscribe name streams, spaces and names the spaces in which members
may stand and what they may call themselves there. Each entry is a name, or the
beginning of names and a star. Applications can make them with any JWT library.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(a.accessKey(), a.accessCreate())
	return cmd
}

// An accessKeyResult is what access key prints.
type accessKeyResult struct {
	Key    string `json:"key"`
	Public string `json:"public"`
}

func (a *app) accessKey() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make the key of an application",
		Long: `Make the key with which an application signs access tokens: access.key, which the
application keeps to itself, and access.pub for the coordinators. A coordinator can
have several: put their access.pub into one file, one after another.`,
		Example: `  skein access key --dir application
  skein coordinator --config cluster/coordinator-1/skein.yaml --access-keys application/access.pub`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := trust.NewAccessKey(dir); err != nil {
				return err
			}
			r := accessKeyResult{filepath.Join(dir, trust.AccessKeyFile), filepath.Join(dir, trust.AccessPublicFile)}
			return a.print(r, func(w io.Writer) {
				row(w, "made "+r.Key+" for the application and "+r.Public+" for the coordinators (--access-keys)")
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "access", "folder to put the keys into; a key that is there is kept")
	markPath(f, "dir")
	return cmd
}

// An accessResult is what access create prints.
type accessResult struct {
	Access  string    `json:"access"`
	Member  string    `json:"member,omitempty"`
	Expires time.Time `json:"expires"`
}

func (a *app) accessCreate() *cobra.Command {
	var (
		access      trust.Access
		key, member string
		ttl         time.Duration
	)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make an access token",
		Long: `Make an access token for a member. What is not named is not allowed. It is shown
with every call; what was begun before it expires goes on.`,
		Example: `  skein access create --key application/access.key --subscribe 'stage/*' --ttl 2h
  skein access create --key application/access.key --publish 'alice/*' --subscribe '*' --space plaza --name alice`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			signer, err := trust.LoadAccessKey(key)
			if err != nil {
				return fmt.Errorf("--key: %w; 'skein access key' makes one", err)
			}
			now := time.Now()
			access.Member, access.Expires = region.MemberID(member), now.Add(ttl).Truncate(time.Second)
			token, err := trust.SignAccess(signer, access, now)
			if err != nil {
				return err
			}
			return a.print(accessResult{token, member, access.Expires}, func(w io.Writer) { row(w, token) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&key, "key", filepath.Join("access", trust.AccessKeyFile), "the application's key")
	f.StringVar(&member, "member", "", "id of the member it is for; without it whoever shows it may use it")
	f.StringSliceVar(&access.Publish, "publish", nil, "streams it may publish, e.g. alice/*")
	f.StringSliceVar(&access.Subscribe, "subscribe", nil, "streams it may subscribe to")
	f.StringSliceVar(&access.Spaces, "space", nil, "spaces in which it may stand")
	f.StringSliceVar(&access.Names, "name", nil, "what it may call itself")
	f.DurationVar(&ttl, "ttl", time.Hour, "how long the token is good")
	markPath(f, "key")
	return cmd
}
