// Package svc takes the layers of a scalable encoding (VP9 by RFC 9628, AV1 by the
// dependency descriptor) apart where it enters the mesh, and puts those that were drawn
// together where it leaves. In between each layer is a sub-stream with numbers of its own,
// which relays forward as they do all others.
//
// # The layers
//
// The layers of the mesh are a chain: each builds upon all below it. First come the
// temporal layers of the smallest picture, then one for each larger picture with all its
// temporal layers: a path that narrows makes the picture smaller first, and jerky last.
// L3T3 has five:
//
//	0 S0T0   1 S0T1   2 S0T2   3 S1   4 S2
//
// # The way
//
// A Splitter puts a publisher's packets in order, numbers each layer by itself, and tells
// with each packet where it stood (Place): how far every layer was by then. So a Merger
// knows of each picture what it lacks of which layer, without knowing the codec. It sends
// pictures whole: what is missing of an upper layer it waits for shortly, then goes on
// without that layer until it may begin again, at a keyframe or a switching point.
//
// Both are pure and belong to one goroutine each.
package svc
