// Package door lets browsers, OBS, ffmpeg and GStreamer into a mesh: WHIP (RFC
// 9725) brings streams in, WHEP (draft-ietf-wish-whep-03) takes them out.
//
//	d, err := door.New(door.Config{Node: node})
//	http.Handle("/", d.Handler())
//
//	POST          /whip/NAME           publish NAME/video and NAME/audio
//	POST          /whep/NAME           watch them
//	PATCH, DELETE /door/sessions/ID    the session either of them began
//	GET           /door/sessions/ID/layers  which layers of its picture are watched
//	GET           /door/               pages to publish and to watch
//	GET           /door/streams        what there is to watch, as JSON
//	POST          /door/walkers        somebody enters a space, see walker.go
//	PUT, GET, DELETE /door/walkers/ID  it walks, looks around (events), leaves
//
// A viewer whose offer has not got what is sent is answered 406 with an offer of the
// door's, to which it may PATCH an answer.
//
// # The media
//
// Between members packets travel verbatim; the door is the one place where they
// are rewritten. On the way in, payload types and header extensions get the
// numbers of the mesh (codec.go), and each packet the time it was captured, by this
// machine's clock (clock.go); viewers are told it with each packet, if they wish
// (abs-capture-time). Audio that repeats in each packet what the last one had (RED) is
// passed to those who know that, and taken apart for others. Each rid of a simulcast becomes a layer, and
// so does each layer of one scalable encoding (scalable.go) whose publisher says its mode; a
// publisher that asks (layers.go) is told which of them nobody watches, so that it need not encode
// them. On the way
// out, an outlet writes one m-line for as long as its viewer watches. Behind it
// the parent may change (which the relay hides), the layer, or the whole stream when
// its origin begins anew, even elsewhere: a splice continues SSRC, sequence numbers, timestamps and
// picture numbers over the seam, so nothing is ever renegotiated.
//
// A viewer gets the best layer that its path carries (chooser.go): the send-side
// estimate takes it down, trying takes it up again.
//
// # The goroutines
//
// Each session has one that waits for its end, one per incoming track and layer,
// and two per outlet: one reads the subscription and alone owns the splice, one
// reads what the viewer reports. Session.close ends and awaits them. Everything a client can cause is
// bounded by a constant in config.go.
package door
