// Package fanout measures what one relay costs that feeds many children, next to
// two yardsticks in the same run: a plain UDP fan-out, and the least that encrypted
// forwarding can cost (SRTP with fixed keys, sendmmsg, GSO, no bookkeeping at all).
//
// Each of the three runs as a hub: a process of its own on one core. Source and
// children share the process of the benchmark on another core. All three get the
// same frames and are judged by what the children count: packets, and the time
// since the source began to write the frame.
//
//	Run         -> startHub -> arm (bare or skein) -> play -> usage, counts
//	Main (hub)  <- orders on standard input, answers on standard output
//
// It needs Linux: other systems neither pin processes nor cut trains.
package fanout
