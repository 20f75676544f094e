// Package testnet tests Skein in containers: every node has a file system, a
// process and an address of its own, and is killed, cut off and restarted by the
// engine. It needs Docker with Compose, and no registry.
package testnet
