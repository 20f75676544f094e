package world

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

// How random worlds are run.
const (
	// seedVariable is the seed of the only world.
	seedVariable = "SKEIN_SEED"
	// worldsVariable is how many worlds to run, from a random seed on.
	worldsVariable = "SKEIN_WORLDS"
	// minutesVariable is how many virtual minutes of worlds to run, from seed 1 on,
	// as many worlds at a time as go test -parallel says.
	minutesVariable = "SKEIN_MINUTES"
	// membersVariable is how many members a world begins with. Without it the seed
	// decides.
	membersVariable = "SKEIN_MEMBERS"
	// regionsVariable is 2 for worlds of two regions; else they have one.
	regionsVariable = "SKEIN_REGIONS"
)

// defaultSeeds are run every day.
var defaultSeeds = []uint64{1, 2, 3, 4}

func TestRandomWorlds(t *testing.T) {
	if minutes := number(t, minutesVariable); minutes > 0 {
		lanes(t, time.Duration(minutes)*time.Minute)
		return
	}
	for _, seed := range seeds(t) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { randomWorld(t, seed) })
	}
}

// randomWorld returns how long the world lasted, in virtual time.
func randomWorld(t *testing.T, seed uint64) (lasted time.Duration) {
	return worldOf(t, seed, int(number(t, membersVariable)), number(t, regionsVariable) == 2)
}

// worldOf is a random world with so many members at first, or as many as the seed
// says, in one region or in two.
func worldOf(t *testing.T, seed uint64, size int, two bool) (lasted time.Duration) {
	var more []region.ID
	if two {
		more = append(more, away)
	}
	inWorldOf(t, seed, 3, more, func(w *world) {
		newFate(w, size).play()
		lasted = time.Since(w.journal.began)
	})
	return lasted
}

// Streams cross from one region to the other while everything fails.
func TestTwoRegionsAtRandom(t *testing.T) {
	list := []uint64{1, 2}
	if testing.Short() {
		list = list[:1]
	}
	for _, seed := range list {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { worldOf(t, seed, 12, true) })
	}
}

// lanes runs worlds side by side until they have lasted for so long together.
func lanes(t *testing.T, total time.Duration) {
	var last atomic.Uint64
	var lasted atomic.Int64
	var failed atomic.Bool
	t.Cleanup(func() {
		t.Logf("%d worlds, %v of virtual time", last.Load(), time.Duration(lasted.Load()).Round(time.Second))
	})
	for lane := range 16 { // go test -parallel lets as many of them run as it says
		t.Run(strconv.Itoa(lane), func(t *testing.T) {
			t.Parallel()
			for time.Duration(lasted.Load()) < total && !failed.Load() {
				seed := last.Add(1)
				t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
					defer func() { // also if the world gives up
						if t.Failed() {
							failed.Store(true)
						}
					}()
					lasted.Add(int64(randomWorld(t, seed)))
				})
			}
		})
	}
}

func seeds(t *testing.T) []uint64 {
	if os.Getenv(seedVariable) != "" {
		return []uint64{number(t, seedVariable)}
	}
	count := number(t, worldsVariable)
	if count == 0 {
		if testing.Short() {
			return defaultSeeds[:1]
		}
		return defaultSeeds
	}
	first := rand.Uint64N(1 << 40)
	list := make([]uint64, count)
	for i := range list {
		list[i] = first + uint64(i)
	}
	return list
}

// number reads a variable; 0 if it is not set.
func number(t *testing.T, name string) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
