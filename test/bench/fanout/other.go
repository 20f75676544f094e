//go:build !linux

package fanout

import (
	"context"
	"errors"
	"io"
)

var errSystem = errors.New("this benchmark needs Linux")

// Run is not available on this system.
func Run(context.Context, Config) (Result, error) { return Result{}, errSystem }

// Main is not available on this system.
func Main(io.Reader, io.Writer) error { return errSystem }
