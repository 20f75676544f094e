// Package relay forwards streams: from a parent, to children and local readers.
package relay
