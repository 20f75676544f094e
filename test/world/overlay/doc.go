// Package overlay builds with sources that are not in the tree: it applies a
// patch to copies of some files and writes what go build -overlay needs, so that
// neither the tree nor the Go installation is touched.
//
// A patch is text. Lines before the first "@" say what it is for, "@ path" names a
// file (of the module, or "go:runtime/..." of the Go installation), and what
// follows are hunks, parted by empty lines: lines that begin with "-" are taken
// away, those with "+" are put in their place, those with a blank stay. The lines
// that were there must occur in the file exactly once.
package overlay
