package group

import "github.com/hashicorp/raft"

// A disk is what a replica keeps its log and its vote on.
type disk interface {
	raft.LogStore
	raft.StableStore
	Close() error
}
