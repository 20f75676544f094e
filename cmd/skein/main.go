// Skein shares live audio, video and data among many without a central media
// server. This is its one binary; see package command for what it can do.
package main

import (
	"os"

	"github.com/skein-mesh/skein/cmd/skein/command"
)

func main() {
	os.Exit(command.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
