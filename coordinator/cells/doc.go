// Package cells is what a leader holds of those who stand in spaces: who is in
// which cell, by whose word, until when. A Book is plain data: who uses it holds
// its lock and says what time it is.
//
// It is soft state. Those at home here are known from their sessions; those of
// other regions because their leaders say so, again and again, to the region that
// owns the cell (region.Owner), which tells everybody else who asks.
package cells
