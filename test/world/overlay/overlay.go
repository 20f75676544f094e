package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrMismatch says that a patch is for other sources.
var ErrMismatch = errors.New("overlay: the patch is for other sources")

// A Patch is a set of changes to files.
type Patch struct {
	// Comment says what the patch is for.
	Comment string
	hunks   []hunk
}

// A hunk replaces lines of a file.
type hunk struct{ path, old, new string }

// Parse reads a patch.
func Parse(text string) (Patch, error) {
	head, rest, found := strings.Cut("\n"+text, "\n@ ")
	if !found {
		return Patch{}, fmt.Errorf("overlay: a patch names no file")
	}
	p := Patch{Comment: strings.TrimSpace(head)}
	for file := range strings.SplitSeq(rest, "\n@ ") {
		path, body, _ := strings.Cut(file, "\n")
		for part := range strings.SplitSeq(strings.Trim(body, "\n"), "\n\n") {
			h := hunk{path: strings.TrimSpace(path)}
			for line := range strings.SplitSeq(part, "\n") {
				if line == "" {
					return Patch{}, fmt.Errorf("overlay: %s: an empty line too many", h.path)
				}
				switch text := line[1:] + "\n"; line[0] {
				case '-':
					h.old += text
				case '+':
					h.new += text
				case ' ':
					h.old, h.new = h.old+text, h.new+text
				default:
					return Patch{}, fmt.Errorf("overlay: %s: line %q begins with none of '-', '+' and ' '", h.path, line)
				}
			}
			p.hunks = append(p.hunks, h)
		}
	}
	return p, nil
}

// Roots says where the files of a patch are.
type Roots struct{ Module, Go string }

func (r Roots) file(path string) string {
	if inside, ok := strings.CutPrefix(path, "go:"); ok {
		return filepath.Join(r.Go, "src", inside)
	}
	return filepath.Join(r.Module, path)
}

// Apply returns the changed files, by path.
func (p Patch) Apply(r Roots) (map[string]string, error) {
	files := map[string]string{}
	for _, h := range p.hunks {
		path := r.file(h.path)
		if _, known := files[path]; !known {
			data, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("overlay: %w", err)
			}
			files[path] = string(data)
		}
		if n := strings.Count(files[path], h.old); n != 1 || h.old == "" {
			return nil, fmt.Errorf("%w: %s has %d times, not once:\n%s", ErrMismatch, h.path, n, h.old)
		}
		files[path] = strings.Replace(files[path], h.old, h.new, 1)
	}
	return files, nil
}

// Write puts the changed files into dir and returns the name of the file for
// go build -overlay.
func (p Patch) Write(r Roots, dir string) (string, error) {
	files, err := p.Apply(r)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for path, text := range files {
		copied := filepath.Join(dir, strconv.Itoa(len(replace))+"-"+filepath.Base(path))
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("overlay: %w", err)
		}
		replace[path] = copied
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("overlay: %w", err)
	}
	name := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		return "", fmt.Errorf("overlay: %w", err)
	}
	return name, nil
}
