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
	"regexp"
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
	l.importImage(name, func(ctx context.Context, w *tar.Writer) error { return writeGo(ctx, w, dirs[0], dirs[1]) },
		"ENV PATH=/usr/local/go/bin:/bin GOMODCACHE=/modules GOCACHE=/cache GOPROXY=off GOFLAGS=-buildvcs=false")
}

// importImage makes an image of what write writes, which is gone after the test.
func (l *lab) importImage(name string, write func(context.Context, *tar.Writer) error, settings ...string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 5*time.Minute)
	defer cancel()
	args := []string{"import"}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	cmd := exec.CommandContext(ctx, "docker", append(args, "-", name)...)
	var said strings.Builder
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	w := tar.NewWriter(in)
	err = write(ctx, w)
	if err := errors.Join(err, w.Close(), in.Close(), cmd.Wait()); err != nil {
		l.t.Fatalf("%v\n%s", err, said.String())
	}
	l.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := command(ctx, nil, "docker", "image", "rm", "-f", name); err != nil {
			l.t.Error(err)
		}
	})
}

// writeGo writes a file system in which Go can build skein without a network: of Go
// and of the modules at hand what that takes.
func writeGo(ctx context.Context, w *tar.Writer, goroot, modules string) error {
	const downloads = "cache/download"
	needed, err := zips(ctx)
	if err != nil {
		return err
	}
	idle := func(path string) bool {
		return strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "test/") || strings.HasPrefix(path, "api/") || strings.Contains(path, "/testdata/")
	}
	if err := addTree(w, goroot, "usr/local/go", func(path string) bool { return !idle(path) }); err != nil {
		return err
	}
	err = addTree(w, filepath.Join(modules, downloads), "modules/"+downloads, func(path string) bool {
		return !strings.HasSuffix(path, ".zip") || needed[path]
	})
	if err != nil {
		return err
	}
	if err := addPrograms(ctx, w, "/bin/sh", "/bin/mkdir"); err != nil {
		return err
	}
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o777})
}

// zips are the modules that skein is made of, as they are named among the downloads.
func zips(ctx context.Context) (map[string]bool, error) {
	list, err := command(ctx, nil, "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Version}}{{end}}", "./cmd/skein")
	if err != nil {
		return nil, err
	}
	capital := regexp.MustCompile("[A-Z]")
	needed := map[string]bool{}
	for line := range strings.Lines(list) {
		if name, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			path := name + "/@v/" + version + ".zip"
			needed[capital.ReplaceAllStringFunc(path, func(c string) string { return "!" + strings.ToLower(c) })] = true
		}
	}
	return needed, nil
}

// addTree writes the regular files of a folder that are wanted, by their path in it.
func addTree(w *tar.Writer, from, to string, wanted func(path string) bool) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil || !wanted(below) {
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
