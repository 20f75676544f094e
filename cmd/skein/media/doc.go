// Package media turns files and test patterns into RTP packets, and packets
// back into files.
//
// A Source yields frames: packets that share a timestamp, and when they are
// due. Open reads IVF files (VP8, VP9, AV1) and Ogg files (Opus); NewPattern
// makes packets that carry a counter and the time they were made, so that a
// receiver can account for each of them (ParseMark). Pace sends a Source in
// real time.
//
// A Recorder puts packets together again and writes IVF or Ogg. Without loss
// the file has the input's frames, byte for byte, and their times; a frame of
// which a packet is missing is left out and counted. A recording starts at
// a keyframe, since no player can start elsewhere.
//
// Sequence numbers and timestamps start at zero; whoever publishes sets the SSRC.
// Nothing here is safe for concurrent use.
package media
