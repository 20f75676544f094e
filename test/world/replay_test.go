package world

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/skein-mesh/skein/test/world/simnet"
)

// repeatable makes keys and nonces follow from the seed, if the run is to be one
// that repeats. It must be called outside of the bubble.
func repeatable(t *testing.T, seed uint64) {
	if os.Getenv(replayVariable) != "" {
		cryptotest.SetGlobalRandom(t, seed)
	}
}

// trace returns the fingerprint of everything the network will have done.
func (w *world) trace() func() string {
	hash, events := fnv.New64a(), 0
	w.net.Trace(func(op simnet.Op, src, dst netip.AddrPort, size int) {
		events++
		var b []byte
		b = binary.LittleEndian.AppendUint64(b, uint64(time.Now().UnixNano()))
		b = append(append(b, op...), src.String()...)
		b = append(b, dst.String()...)
		_, _ = hash.Write(binary.LittleEndian.AppendUint64(b, uint64(size)))
	})
	return func() string { return fmt.Sprintf("%016x of %d events", hash.Sum64(), events) }
}
