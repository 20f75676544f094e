// Package red reads redundant audio (RFC 2198): packets that repeat the audio of those
// before them, so that a lost one costs nothing.
//
// A stream of audio keeps its codec's name; those of its packets that carry redundancy
// have PayloadType between members, and relays pass them like all others. Who plays a
// stream calls Unwrap, or hands whole packets to a browser that knows RED.
package red
