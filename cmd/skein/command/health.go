package command

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-mesh/skein/region"
)

// maxHealth bounds what a node says of its health, in bytes.
const maxHealth = 4 << 10

func (a *app) health() *cobra.Command {
	var addr string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a node whether it can do its job",
		Long: `Ask a node whether it can do its job (/readyz): a coordinator that its group has
a leader, a member that a coordinator is connected. It fails if not, and says what
is wrong. For health checks where there is no other program.`,
		Example: `  skein health
  skein health --http 127.0.0.1:7480 --wait 60s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			said, err := askHealth(cmd.Context(), addr, wait)
			if err != nil {
				return err
			}
			return a.print(map[string]string{"health": said}, func(w io.Writer) { row(w, said) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&addr, "http", "127.0.0.1:7480", "HTTP address of the node")
	f.DurationVar(&wait, "wait", 0, "ask again until it is well, for so long")
	return cmd
}

// askHealth asks until the node is well or the time is over.
func askHealth(ctx context.Context, addr string, wait time.Duration) (string, error) {
	const once, pause = 3 * time.Second, 250 * time.Millisecond
	end := time.Now().Add(wait)
	for {
		said, err := readyz(ctx, addr, once)
		if err == nil || !time.Now().Add(pause).Before(end) {
			return said, err
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

func readyz(ctx context.Context, addr string, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return "", fmt.Errorf("--http %q: %w: want host:port", addr, region.ErrInvalid)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("no node answers at %s: %w", addr, err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, maxHealth))
	if err != nil {
		return "", err
	}
	said := strings.TrimSpace(string(body))
	if r.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the node at %s cannot do its job: %s", addr, said)
	}
	return said, nil
}
