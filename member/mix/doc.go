// Package mix makes one stereo stream of the loudest voices around a place, for
// listeners that cannot, or need not, draw them one by one (what others call an
// MCU).
//
// A Mixer owns Voices. Whoever receives a voice's packets puts them in; a ticker
// calls Frame every 20 ms. Of all voices only those that are among the loudest
// where the Mixer listens are decoded, weakened by their distance, panned to
// their side and added up. A limiter keeps the sum from clipping; nothing else
// changes it, so as long as it fits it is the exact sum.
//
// Gains change linearly within one frame, so that voices which come, go and move do
// not click. What is late is concealed by the codec for up to 100 ms. Each voice
// holds at most queueLimit packets; who sends faster than real time loses the
// oldest.
//
// A Mixer and its Voices belong to one goroutine. Frame allocates nothing. Serve has one
// listen in a space, and publishes the mix for others.
//
// # Codec
//
// Packets in and out are Opus at 48 kHz. The codec is an argument (Codec), since
// Skein's own binary is built without cgo. Package libopus offers the reference
// implementation to binaries that are built with the tag opus. Of codecs in pure Go
// pion/opus v0.1.0 decodes: what it makes of voice and music equals libopus's to 66 dB
// and better, in 2 to 3 times the processor time (a frame of stereo at 64 kbit/s in
// 105 µs to 50, of voice at 24 kbit/s in 108 to 42); but its encoder is not exported,
// so a mix could not leave. Hence libopus by tag, or no mixing; the choice of
// the loudest streams (region.Loudest) needs no codec at all.
//
// A voice in a mix costs about 20 µs of a core per 20 ms, the mix itself 60
// (go test -tags opus,nolibopusfile -bench Mix ./member/mix/libopus).
package mix
