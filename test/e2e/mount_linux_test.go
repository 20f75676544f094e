package e2e

import "syscall"

// mountFull mounts a file system of 8 kB, into which no Raft log fits.
func mountFull(dir string) error {
	return syscall.Mount("skein-test", dir, "tmpfs", 0, "size=8k")
}

func unmount(dir string) error { return syscall.Unmount(dir, 0) }
