package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/skein-mesh/skein/cmd/skein/latency"
	"github.com/skein-mesh/skein/cmd/skein/media"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// The exit codes. They are part of the interface.
const (
	exitOK          = 0
	exitFailed      = 1 // whatever has no code of its own
	exitUsage       = 2 // a flag, argument, setting or input file is wrong
	exitUnreachable = 3 // no coordinator answers, or none leads
	exitNotFound    = 4 // no such stream, member or region
	exitForbidden   = 5 // token, certificate or role does not allow it
)

const exitCodes = `Exit codes:
  0  done
  1  failed
  2  wrong usage: a flag, argument, setting or input file
  3  no coordinator could be reached, or none leads
  4  no such stream, member or region
  5  not allowed: join token, certificate or role`

// A usageError is a mistake in what was typed.
type usageError struct {
	err error
	// command is the path of the command whose help explains it.
	command string
}

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// A failure pairs errors with their exit code and with what to do next. Texts of
// trust errors already say it.
type failure struct {
	err    error
	code   int
	advice string
}

// failures lists what is known about errors, the specific before the general.
func failures() []failure {
	return []failure{
		{syscall.EADDRINUSE, exitFailed, "stop what listens there, or choose another address with the flag for it (see --help)"},
		{syscall.EADDRNOTAVAIL, exitUsage, "this machine does not have that address; name one of its own, or 0.0.0.0 for all"},
		{syscall.ENOSPC, exitFailed, "the disk is full: free some space and start again; nothing that was acknowledged is lost"},
		{syscall.EROFS, exitFailed, "the file system is read-only; name a folder that can be written"},
		{fs.ErrPermission, exitFailed, "run as the owner of the file, or name another"},
		{trust.ErrTokenMalformed, exitForbidden, ""},
		{trust.ErrTokenForged, exitForbidden, ""},
		{trust.ErrTokenForeign, exitForbidden, ""},
		{trust.ErrTokenExpired, exitForbidden, ""},
		{trust.ErrTokenRole, exitForbidden, ""},
		{trust.ErrTokenSpent, exitForbidden, ""},
		{trust.ErrAccess, exitForbidden, ""},
		{trust.ErrAccessExpired, exitForbidden, ""},
		{trust.ErrDamaged, exitFailed, ""},
		{trust.ErrPeer, exitForbidden, "the two sides belong to different clusters, or a certificate has expired: check --coordinators and --credentials, or enrol again with a new join token"},
		{region.ErrUnauthenticated, exitForbidden, "give credentials of this cluster with --credentials, or a join token with --token, and where applications say what members may do an access token with --access-file"},
		{region.ErrForbidden, exitForbidden, "use credentials with the role for it, such as those in the operator folder of 'skein init', or an access token that allows it (skein access create)"},
		{region.ErrUnreachable, exitUnreachable, "check --coordinators, and that coordinators run there; 'skein status' shows which answer"},
		{region.ErrNotLeader, exitUnreachable, "no coordinator leads at the moment: a majority of them must run; 'skein status' shows which answer"},
		{region.ErrUnknownStream, exitNotFound, "'skein streams' lists the streams there are"},
		{region.ErrUnknownMember, exitNotFound, "'skein members' lists the members there are"},
		{region.ErrExists, exitFailed, "choose another name"},
		{region.ErrLimit, exitFailed, ""},
		{media.ErrFormat, exitUsage, ""},
		{latency.ErrMatrix, exitUsage, ""},
		{region.ErrInvalid, exitUsage, ""},
		{fs.ErrNotExist, exitUsage, ""},
		{fs.ErrExist, exitUsage, ""},
		{context.DeadlineExceeded, exitUnreachable, "it took too long: check that a majority of the coordinators runs; 'skein status' shows which answer"},
	}
}

// report prints err and its advice, and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	// A broken standard error cannot be reported anywhere.
	_, _ = fmt.Fprintf(w, "skein: %v\n", err)
	if u, ok := errors.AsType[usageError](err); ok {
		_, _ = fmt.Fprintf(w, "'%s --help' shows how it is used.\n", u.command)
		return exitUsage
	}
	for _, f := range failures() {
		if !errors.Is(err, f.err) {
			continue
		}
		if f.advice != "" {
			_, _ = fmt.Fprintf(w, "What to do: %s.\n", f.advice)
		}
		return f.code
	}
	return exitFailed
}
