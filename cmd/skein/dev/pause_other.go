//go:build !unix

package dev

// canPause says whether processes can be paused on this system.
const canPause = false
