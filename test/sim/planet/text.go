package planet

import (
	"compress/gzip"
	"io"
	"os"
	"strings"
)

// readText reads a file, which is unpacked if its name ends in .gz.
func readText(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	var r io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		unpacked, err := gzip.NewReader(file)
		if err != nil {
			return "", err
		}
		defer unpacked.Close()
		r = unpacked
	}
	text, err := io.ReadAll(r)
	return string(text), err
}
