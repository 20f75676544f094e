// Package house executes the rules of the house: who may import whom, what the
// pure rooms may not do, that every package says what it is for, and how long
// files and functions are. It is all tests.
package house
