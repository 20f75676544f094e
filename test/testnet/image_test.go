package testnet

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTheImageNeedsNoGoOnTheHost builds the Dockerfile as docker compose up
// --build does. Where there is no registry, the image of Go that it begins with
// is put together from this machine: a shell, Go, and the modules needed.
func TestTheImageNeedsNoGoOnTheHost(t *testing.T) {
	if testing.Short() {
		t.Skip("builds everything anew")
	}
	l := newLab(t)
	base := l.project + "-go"
	l.importGo(base)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := command(ctx, nil, "docker", "image", "rm", base); err != nil {
			t.Error(err)
		}
	})
	l.env = append(l.env, "GO_IMAGE="+base)
	l.composed("build", "init")
	if out := l.docker("run", "--rm", l.project, "version"); !strings.Contains(out, "skein") {
		t.Errorf("the image runs, but says %q", out)
	}
	if size := strings.TrimSpace(l.docker("image", "inspect", "-f", "{{len .RootFS.Layers}}", l.project)); size != "1" {
		t.Errorf("the image has %s layers, want the one that holds the binary", size)
	}
}

// importGo makes the stand-in.
func (l *lab) importGo(name string) {
	l.t.Helper()
	dirs := strings.Fields(l.run(nil, "go", "env", "GOROOT", "GOMODCACHE"))
	if len(dirs) != 2 {
		l.t.Fatalf("go env: %q", dirs)
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", "import", "-c",
		"ENV PATH=/usr/local/go/bin:/bin GOMODCACHE=/modules GOCACHE=/cache GOPROXY=off GOFLAGS=-buildvcs=false", "-", name)
	var said strings.Builder
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	err = writeGo(ctx, in, dirs[0], dirs[1])
	if err := errors.Join(err, in.Close(), cmd.Wait()); err != nil {
		l.t.Fatalf("%v\n%s", err, said.String())
	}
}

// writeGo writes a file system in which Go can build without a network.
func writeGo(ctx context.Context, out io.Writer, goroot, modules string) error {
	w := tar.NewWriter(out)
	const downloads = "cache/download"
	for from, to := range map[string]string{
		goroot: "usr/local/go", filepath.Join(modules, downloads): "modules/" + downloads,
	} {
		if err := addTree(w, from, to); err != nil {
			return err
		}
	}
	if err := addPrograms(ctx, w, "/bin/sh", "/bin/mkdir"); err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o777}); err != nil {
		return err
	}
	return w.Close()
}

// addTree writes the regular files of a folder.
func addTree(w *tar.Writer, from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return addFile(w, path, filepath.Join(to, below))
	})
}

func addFile(w *tar.Writer, from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: to, Size: info.Size(), Mode: int64(info.Mode().Perm())}); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}

// addPrograms writes programs of this machine with the libraries they are linked
// to, each file once.
func addPrograms(ctx context.Context, w *tar.Writer, programs ...string) error {
	libraries, err := command(ctx, nil, "ldd", programs...)
	if err != nil {
		return err
	}
	files := slices.Clone(programs)
	for _, word := range strings.Fields(libraries) {
		if strings.HasPrefix(word, "/") && !strings.HasSuffix(word, ":") {
			files = append(files, word)
		}
	}
	slices.Sort(files)
	for _, f := range slices.Compact(files) {
		if err := addFile(w, f, f[1:]); err != nil {
			return err
		}
	}
	return nil
}
