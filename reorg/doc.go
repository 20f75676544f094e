// Package reorg plans how the trees of a region could become better.
package reorg
