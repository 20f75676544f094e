package world

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// SKEIN_SEED runs one random world, SKEIN_WORLDS that many from a random seed on.
const (
	seedVariable   = "SKEIN_SEED"
	worldsVariable = "SKEIN_WORLDS"
)

// defaultSeeds are run every day.
var defaultSeeds = []uint64{1, 2, 3, 4}

func TestRandomWorlds(t *testing.T) {
	for _, seed := range seeds(t) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			inWorld(t, seed, 3, func(w *world) { newFate(w).play() })
		})
	}
}

func seeds(t *testing.T) []uint64 {
	if text := os.Getenv(seedVariable); text != "" {
		return []uint64{number(t, seedVariable, text)}
	}
	text := os.Getenv(worldsVariable)
	if text == "" {
		if testing.Short() {
			return defaultSeeds[:1]
		}
		return defaultSeeds
	}
	first := rand.Uint64N(1 << 40)
	list := make([]uint64, number(t, worldsVariable, text))
	for i := range list {
		list[i] = first + uint64(i)
	}
	return list
}

func number(t *testing.T, name, text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
