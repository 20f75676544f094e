package matrix

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skein-mesh/skein/region"
)

func TestMeanOfBothWays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rtt")
	if err := os.WriteFile(path, []byte("# two sites\n1 10\n\n20\t2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := ReadMean(path, 100)
	if err != nil || m[0][1] != 15 || m[1][0] != 15 || m[0][0] != 1 || m[1][1] != 2 {
		t.Errorf("%v, %v", m, err)
	}
	if err := os.WriteFile(path, []byte("0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMean(path, 100); !errors.Is(err, region.ErrInvalid) || !strings.Contains(err.Error(), path) {
		t.Errorf("one row: %v", err)
	}
	if _, err := ReadMean(path+"-not", 100); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// What is read is square, and within the limit.
func FuzzRead(f *testing.F) {
	f.Add("0 1\n1 0\n")
	f.Add("# only words\n\n0 1 2\n1 0\n")
	f.Add("0 NaN\nInf -1\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Read(strings.NewReader(text), 100)
		if err != nil {
			if !errors.Is(err, region.ErrInvalid) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		for _, row := range m {
			for _, ms := range row {
				if len(row) != len(m) || math.IsNaN(ms) || ms < 0 || ms > 100 {
					t.Errorf("%q is read as %v", text, m)
				}
			}
		}
	})
}
