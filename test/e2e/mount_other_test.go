//go:build !linux

package e2e

import "errors"

func mountFull(string) error { return errors.ErrUnsupported }

func unmount(string) error { return nil }
