//go:build unix

package dev

import (
	"syscall"
	"time"
)

// canPause says whether processes can be paused on this system.
const canPause = true

// pause stops the process and lets it go on after d.
func (p *processNode) pause(d time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	// A process that was killed meanwhile needs no waking.
	time.AfterFunc(d, func() { _ = p.cmd.Process.Signal(syscall.SIGCONT) })
	return nil
}
