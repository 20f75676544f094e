package admit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/skein-mesh/skein/region"
)

// An EtcdReport is what the program in test/bench/etcd prints.
type EtcdReport struct {
	Version  string  `json:"version"`
	TLS      bool    `json:"tls"`
	Puts     int     `json:"puts"`
	Failed   int     `json:"failed"`
	PutsPerS float64 `json:"puts_per_s"`
	P50MS    float64 `json:"p50_ms"`
	P99MS    float64 `json:"p99_ms"`
}

const (
	etcdModule = "test/bench/etcd"
	// buildTimeout bounds building the program, which downloads etcd.
	buildTimeout = 10 * time.Minute
)

// BuildEtcd builds the program from the source tree that holds the working
// directory, into dir, and returns its path.
func BuildEtcd(ctx context.Context, dir string) (string, error) {
	if _, err := os.Stat(filepath.Join(etcdModule, "go.mod")); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no %s here: %w: run it in Skein's source tree, or name the program with --etcd (go build in %s makes it)",
			etcdModule, region.ErrInvalid, etcdModule)
	}
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	program := filepath.Join(dir, "etcd")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	cmd.Dir = etcdModule
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", etcdModule, err, bytes.TrimSpace(out))
	}
	return program, nil
}

// RunEtcd has the program measure etcd, with the members, clients and times of c,
// and its data in the same folder.
func RunEtcd(ctx context.Context, program string, c Rate, tls bool) (report *EtcdReport, err error) {
	dir, err := os.MkdirTemp(c.Dir, "skein-bench-etcd-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cmd := exec.CommandContext(ctx, program, "-dir", dir,
		"-members", fmt.Sprint(c.Coordinators), "-clients", fmt.Sprint(c.Clients), "-conns", fmt.Sprint(c.Clients),
		"-warmup", c.Warmup.String(), "-duration", c.Duration.String(), fmt.Sprintf("-tls=%v", tls))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", program, err, bytes.TrimSpace(stderr.Bytes()))
	}
	report = &EtcdReport{TLS: tls}
	if err := json.Unmarshal(out, report); err != nil {
		return nil, fmt.Errorf("%s said %.200q: %w", program, out, err)
	}
	return report, nil
}
