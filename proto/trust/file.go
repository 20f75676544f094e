package trust

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	pemKey  = "PRIVATE KEY"
	pemCert = "CERTIFICATE"
	// maxFile bounds what is read from a credentials file.
	maxFile = 64 << 10
)

// saveKey writes key to a new file that only its owner may read.
func saveKey(path string, key ed25519.PrivateKey) error {
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("save key: %s: %w; remove it first if another one is to take its place", path, fs.ErrExist)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("save key: %w", err)
	}
	return WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), 0o600)
}

func loadKey(path string) (ed25519.PrivateKey, error) {
	blocks, err := readPEM(path, pemKey)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(blocks[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w (%v)", path, ErrDamaged, err)
	}
	ed, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: %w (want an Ed25519 key)", path, ErrDamaged)
	}
	return ed, nil
}

func saveCerts(path string, certs ...[]byte) error {
	var out []byte
	for _, der := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: der})...)
	}
	return WriteFile(path, out, 0o644)
}

// readPEM returns the contents of all PEM blocks of path, at least one, all of
// the given type.
func readPEM(path, kind string) ([][]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: %w (more than %d bytes)", path, ErrDamaged, maxFile)
	}
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var blocks [][]byte
	for block, tail := pem.Decode(rest); block != nil; block, tail = pem.Decode(tail) {
		if block.Type != kind {
			return nil, fmt.Errorf("%s: %w (it holds a %s)", path, ErrDamaged, block.Type)
		}
		blocks = append(blocks, block.Bytes)
	}
	if len(blocks) == 0 {
		return nil, fmt.Errorf("%s: %w (no %s in it)", path, ErrDamaged, kind)
	}
	return blocks, nil
}

// WriteFile puts data at path whole or not at all, and for good: also if the
// machine stops midway. The folder is made if need be.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	if err := replace(path, data, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func replace(path string, data []byte, mode fs.FileMode) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // in vain once it has its final name
	err = f.Chmod(mode)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
