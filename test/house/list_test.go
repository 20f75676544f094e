package house

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// module is the path of this module, and root its folder, seen from this one.
const (
	module = "github.com/skein-mesh/skein"
	root   = "../.."
)

// A pkg is a package of the module as `go list` describes it.
type pkg struct {
	ImportPath   string
	Name         string
	Dir          string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

// room is the path of the package inside the module.
func (p pkg) room() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

// in reports whether the package is one of the rooms or inside one.
func (p pkg) in(rooms ...string) bool { return within(p.room(), rooms...) }

func within(path string, rooms ...string) bool {
	for _, r := range rooms {
		if path == r || strings.HasPrefix(path, r+"/") {
			return true
		}
	}
	return false
}

// packages lists the packages of the module.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Dir,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports,Deps", "./...")
	cmd.Dir = root
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// A source is a parsed file.
type source struct {
	path string // relative to the module
	file *ast.File
	set  *token.FileSet
}

func (s source) generated() bool { return ast.IsGenerated(s.file) }

// line is where something is, as path:line.
func (s source) line(n ast.Node) string { return s.set.Position(n.Pos()).String() }

// sources parses files of a package.
func sources(t *testing.T, p pkg, files ...[]string) []source {
	t.Helper()
	var out []source
	for _, list := range files {
		for _, name := range list {
			set := token.NewFileSet()
			path := filepath.Join(p.Dir, name)
			f, err := parser.ParseFile(set, path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, source{filepath.Join(p.room(), name), f, set})
		}
	}
	return out
}
