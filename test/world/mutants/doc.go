// Package mutants asks whether test/world would notice. Each patch in patches breaks
// one promise of the product; a binary of test/world is built with it (package
// overlay), and must fail within a minute of simulation.
//
// make mutants prints a table of what was broken, which check noticed, and how
// soon. Patches that do not fit the code any more fail in go test.
package mutants
