package testnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// root is the top of the repository.
var root = filepath.Join("..", "..")

// coordinators are the names of the testnet's coordinators, members those of its
// members that subscribe.
var (
	coordinators = []string{"coordinator-1", "coordinator-2", "coordinator-3"}
	members      = []string{"member-1", "member-2", "member-3", "member-4", "member-5", "member-6", "member-7", "member-8"}
)

// A lab is a testnet in containers, a Compose project of its own.
type lab struct {
	t       *testing.T
	compose []string
	project string
	env     []string
}

// command runs a program in the root of the repository and returns its output.
func command(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), env...)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, errOut.Bytes())
	}
	return string(out), err
}

// findCompose returns Compose v2, or else v1; nil if there is no Docker.
func findCompose(ctx context.Context) []string {
	if _, err := command(ctx, nil, "docker", "info"); err != nil {
		return nil
	}
	if _, err := command(ctx, nil, "docker", "compose", "version"); err == nil {
		return []string{"docker", "compose"}
	}
	if _, err := exec.LookPath("docker-compose"); err == nil {
		return []string{"docker-compose"}
	}
	return nil
}

// newLab prepares a project; its image is yet to be built. Whatever becomes of
// the test, nothing of it is left in the engine.
func newLab(t *testing.T) *lab {
	t.Helper()
	ctx := t.Context()
	compose := findCompose(ctx)
	if compose == nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no Docker engine with Compose answers; in CI one must")
		}
		t.Skip("no Docker engine with Compose answers")
	}
	project := fmt.Sprintf("skeintest%d", os.Getpid())
	l := &lab{t: t, compose: append(compose, "-p", project), project: project, env: []string{"SKEIN_IMAGE=" + project}}
	for i := range coordinators {
		l.env = append(l.env, fmt.Sprintf("SKEIN_PORT_%d=%d", i+1, freePort(t)))
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if t.Failed() {
			out, _ := command(ctx, l.env, l.compose[0], append(l.compose[1:], "logs", "--tail=200")...)
			t.Log(out)
		}
		_, err := command(ctx, l.env, l.compose[0], append(l.compose[1:], "down", "--volumes", "--remove-orphans", "-t", "2")...)
		_, err2 := command(ctx, nil, "docker", "image", "rm", project)
		_, err3 := command(ctx, nil, "docker", "image", "prune", "-f", "--filter", "label=org.opencontainers.image.title=skein")
		if err := errors.Join(err, err2, err3); err != nil {
			t.Error(err)
		}
	})
	return l
}

func freePort(t *testing.T) int {
	t.Helper()
	s, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.Addr().(*net.TCPAddr).Port
}

// buildImage makes the image as make testnet does.
func (l *lab) buildImage() {
	l.t.Helper()
	dir := l.t.TempDir()
	for _, d := range []string{"cluster", "tokens", "members"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			l.t.Fatal(err)
		}
	}
	l.run([]string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-o", filepath.Join(dir, "skein"), "./cmd/skein")
	l.run(nil, "docker", "build", "-q", "-t", l.project, "-f", filepath.Join("deploy", "host.Dockerfile"), dir)
}

func (l *lab) run(env []string, name string, args ...string) string {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 10*time.Minute)
	defer cancel()
	out, err := command(ctx, env, name, args...)
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

func (l *lab) docker(args ...string) string {
	l.t.Helper()
	return l.run(nil, "docker", args...)
}

func (l *lab) composed(args ...string) {
	l.t.Helper()
	l.run(l.env, l.compose[0], append(l.compose[1:], args...)...)
}

// container is the id of a service's container.
func (l *lab) container(service string) string {
	l.t.Helper()
	out := l.docker("ps", "-aq", "--filter", "label=com.docker.compose.project="+l.project, "--filter", "label=com.docker.compose.service="+service)
	id := strings.TrimSpace(out)
	if id == "" || strings.Contains(id, "\n") {
		l.t.Fatalf("service %s has containers %q, want one", service, id)
	}
	return id
}

// address is where a service answers HTTP, as seen from the host.
func (l *lab) address(service string) string {
	l.t.Helper()
	ip := l.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", l.container(service))
	return net.JoinHostPort(strings.TrimSpace(ip), "7480")
}

// ask runs an inspection command of skein in a coordinator's container, the
// first one that gives an answer.
func ask[T any](l *lab, args ...string) (T, error) {
	l.t.Helper()
	var v T
	var errs []error
	args = append(args, "-o", "json", "--credentials", "/cluster/skein/operator",
		"--coordinators", strings.Join(coordinators, ":7400,")+":7400")
	for _, c := range coordinators {
		ctx, cancel := context.WithTimeout(l.t.Context(), 15*time.Second)
		out, err := command(ctx, nil, "docker", append([]string{"exec", l.container(c), "/skein"}, args...)...)
		cancel()
		if err == nil {
			return v, json.Unmarshal([]byte(out), &v)
		}
		errs = append(errs, err)
	}
	return v, errors.Join(errs...)
}

// leader is the service that leads; empty if none does.
func (l *lab) leader() string {
	l.t.Helper()
	status, err := ask[[]inspect.Coordinator](l, "status")
	if err != nil {
		return ""
	}
	for _, c := range status {
		for _, g := range c.Groups {
			if g.State == "leader" {
				return strings.TrimSuffix(c.Address, ":7400")
			}
		}
	}
	return ""
}
