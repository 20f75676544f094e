// Package e2e tests skein as its users meet it: the built binary, with real
// processes, sockets, files and signals. It is all tests.
//
// What needs more than Go (root, for a disk that is full) is skipped with the
// reason where it is missing, and never in CI.
package e2e
