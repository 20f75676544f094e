package group

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	// logFile is the name of the log in a group's folder.
	logFile = "raft.db"
	// lockTimeout is how long another process may take to release it.
	lockTimeout = time.Second
)

// openDisk opens the log in folder, or says what is wrong with it and what to do.
func openDisk(folder string) (disk, error) {
	path := filepath.Join(folder, logFile)
	var store *raftboltdb.BoltStore
	err := safely(func() error {
		err := inspect(path)
		if err != nil {
			return err
		}
		store, err = raftboltdb.New(raftboltdb.Options{
			Path: path,
			BoltOptions: &bbolt.Options{
				Timeout:        lockTimeout,
				NoFreelistSync: true,
				FreelistType:   bbolt.FreelistMapType,
			},
			MsgpackUseNewTimeFormat: true,
		})
		return err
	})
	switch {
	case err == nil:
		return store, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s is in use by another process: stop that one, or choose another data folder: %w", path, err)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%s cannot be opened: let this user own it: %w", path, err)
	case errors.Is(err, syscall.ENOSPC):
		return nil, fmt.Errorf("%s: the disk is full: make room: %w", path, err)
	default:
		return nil, fmt.Errorf("%s is damaged: %w; %s", path, err, damagedAdvice(folder))
	}
}

// inspect reads a log that exists from end to end. Without it a damaged one would
// end the process: opened for writing, the library looks for free pages in a
// goroutine of its own, and panics there.
func inspect(path string) error {
	if info, err := os.Stat(path); errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if err != nil {
		return err
	}
	err = safely(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
				return b.ForEach(func(_, _ []byte) error { return nil })
			})
		})
	})
	return errors.Join(err, db.Close())
}

// damagedAdvice is the only safe way out: a replica that forgot its vote must not
// come back under its old name.
func damagedAdvice(folder string) string {
	return fmt.Sprintf("remove this node from the group, move %s away, and add the node again under a new identity", folder)
}

// bootstrap writes the first configuration into a folder that is new.
func (r *replica) bootstrap(rc *raft.Config, snapshots raft.SnapshotStore) error {
	used, err := raft.HasExistingState(r.store, r.store, snapshots)
	if err != nil {
		return err
	}
	if used {
		halfBorn, err := r.halfBorn(snapshots)
		if err != nil || !halfBorn {
			return err
		}
		if err := r.store.SetUint64(termKey, 0); err != nil {
			return err
		}
	}
	var first raft.Configuration
	for _, v := range r.group.cfg.Voters {
		first.Servers = append(first.Servers, raft.Server{ID: raft.ServerID(v.Node), Address: raft.ServerAddress(v.Address)})
	}
	if genesis := r.group.cfg.Genesis; genesis != nil {
		return r.beget(genesis, snapshots, first)
	}
	return raft.BootstrapCluster(rc, r.store, r.store, snapshots, r.transport, first)
}

// beget writes what the group begins with as the snapshot that a log of one entry
// would have led to. Who is added later is thereby sent it, too. Killed on the way
// it is half born.
func (r *replica) beget(genesis *State, snapshots raft.SnapshotStore, first raft.Configuration) error {
	data, err := encodeState(genesis)
	if err != nil {
		return err
	}
	if err := r.store.SetUint64(termKey, 1); err != nil {
		return err
	}
	sink, err := snapshots.Create(1, uint64(genesis.Revision), 1, first, uint64(genesis.Revision), r.transport)
	if err != nil {
		return err
	}
	if _, err := sink.Write(data); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// The library's names of what it keeps in the stable store.
var (
	termKey = []byte("CurrentTerm")
	voteKey = []byte("LastVoteTerm")
)

// halfBorn recognises a folder whose process was killed inside BootstrapCluster,
// which saves the first term before the first configuration. As it has neither
// voted nor heard of a later term, it may begin again.
func (r *replica) halfBorn(snapshots raft.SnapshotStore) (bool, error) {
	last, err := r.store.LastIndex()
	if err != nil || last > 0 {
		return false, err
	}
	if list, err := snapshots.List(); err != nil || len(list) > 0 {
		return false, err
	}
	term, err := r.store.GetUint64(termKey)
	if err != nil || term != 1 {
		return false, err
	}
	_, err = r.store.Get(voteKey)
	if errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return true, nil
	}
	return false, err
}

// tidy removes what a killed process left half written.
func tidy(folder string) error {
	var errs []error
	for _, pattern := range []string{"snapshots/*.tmp", "probe-*"} {
		left, err := filepath.Glob(filepath.Join(folder, pattern))
		errs = append(errs, err)
		for _, path := range left {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}

// probe finds out whether the disk of a folder takes writes again. It blocks for
// as long as the disk does.
func probe(folder string) error {
	f, err := os.CreateTemp(folder, "probe-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 1<<20))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}
