// Package link joins two members: one link per pair, over each member's one UDP
// socket.
package link
