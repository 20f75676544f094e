// Package matrix reads matrices of round-trip times: one row per line, numbers in
// ms separated by spaces or tabs, as the data sets of PlanetLab and King come.
// Empty lines and lines that begin with # are skipped.
package matrix

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/skein-mesh/skein/region"
)

const (
	// MaxSites bounds rows and columns.
	MaxSites = 4096
	// maxLine bounds a row, in bytes.
	maxLine = 1 << 20
)

// Read reads a square matrix of 1 to MaxSites rows with numbers from 0 to limit ms.
// Errors about what it says wrap region.ErrInvalid and name row and column.
func Read(r io.Reader, limit float64) ([][]float64, error) {
	var rows [][]float64
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(rows) == MaxSites || len(fields) > MaxSites {
			return nil, fmt.Errorf("%w: more than %d sites", region.ErrInvalid, MaxSites)
		}
		row, err := parse(fields, len(rows)+1, limit)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("row %d: %w: %w", len(rows)+1, region.ErrInvalid, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%w: no rows", region.ErrInvalid)
	}
	for i, row := range rows {
		if len(row) != len(rows) {
			return nil, fmt.Errorf("%w: row %d has %d columns, the matrix %d rows", region.ErrInvalid, i+1, len(row), len(rows))
		}
	}
	return rows, nil
}

func parse(fields []string, number int, limit float64) ([]float64, error) {
	row := make([]float64, len(fields))
	for i, f := range fields {
		ms, err := strconv.ParseFloat(f, 64)
		if err != nil || !(ms >= 0 && ms <= limit) { // NaN is neither
			return nil, fmt.Errorf("row %d column %d: %w: %.20q is no time from 0 to %g ms", number, i+1, region.ErrInvalid, f, limit)
		}
		row[i] = ms
	}
	return row, nil
}

// ReadMean reads a file with at least two rows and makes it symmetric: the time
// between two sites is the mean of both ways.
func ReadMean(path string, limit float64) ([][]float64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("rtt matrix: %w", err)
	}
	defer file.Close()
	m, err := Read(file, limit)
	if err == nil && len(m) < 2 {
		err = fmt.Errorf("%w: at least 2 rows are needed", region.ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("rtt matrix %s: %w", path, err)
	}
	for i := range m {
		for j := range i {
			mean := (m[i][j] + m[j][i]) / 2
			m[i][j], m[j][i] = mean, mean
		}
	}
	return m, nil
}
