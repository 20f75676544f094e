package world

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/skein-mesh/skein/region"
)

const (
	logFile = "raft.db"
	page    = 4096 // of the log's file
	sector  = 512  // what a disk writes whole
	metas   = 2    // pages that say which others count
)

var errNoPower = errors.New("no power")

// A disk carries what a coordinator writes to its log, as well as fate lets it.
type disk struct {
	seat *seat

	mu    sync.Mutex
	delay time.Duration // of each write
	full  bool
	stuck chan struct{} // not nil: writes wait until it is closed
	tear  *rand.Rand    // not nil: the next write is the last one
	dead  bool          // the machine has lost its power
	torn  []byte        // what is left of the log then; nil: all of it
}

// carry is for coordinator.Config.Disk.
func (d *disk) carry(_ region.ID, write func() error) error {
	d.mu.Lock()
	delay, stuck, tear := d.delay, d.stuck, d.tear
	d.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	if delay > 0 {
		time.Sleep(delay)
	}
	d.mu.Lock()
	dead, full := d.dead, d.full
	d.mu.Unlock()
	switch {
	case dead:
		return errNoPower
	case full:
		return &os.PathError{Op: "write", Path: d.path(), Err: syscall.ENOSPC}
	case tear != nil:
		return d.die(tear, write)
	}
	return write()
}

func (d *disk) path() string { return filepath.Join(d.seat.cfg.DataDir, string(home), logFile) }

// die carries out a write that a power cut interrupts: nobody hears of it any
// more, and of what it changed in the file anything may be there or not.
func (d *disk) die(chance *rand.Rand, write func() error) error {
	before, err := os.ReadFile(d.path())
	if err != nil {
		return err
	}
	if err := write(); err != nil {
		return err
	}
	d.seat.host.PowerOff()
	after, err := os.ReadFile(d.path())
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead, d.tear = true, nil
	d.torn = tear(before, after, chance)
	return errNoPower
}

// tear mixes a file's sectors of before and after a write. The log's pages are
// synced before those that make them count, so either the former are torn and the
// latter old, or the former are whole and of the latter the beginning is new.
func tear(before, after []byte, chance *rand.Rand) []byte {
	torn := bytes.Clone(after)
	if len(before) < metas*page {
		return torn // the file was about to be born
	}
	if chance.IntN(2) == 0 {
		for m := range metas {
			cut := m*page + chance.IntN(128)
			copy(torn[cut:(m+1)*page], before[cut:])
		}
		return torn
	}
	copy(torn[:metas*page], before)
	for at := metas * page; at < len(torn); at += sector {
		if at+sector <= len(before) && chance.IntN(2) == 0 {
			copy(torn[at:at+sector], before[at:])
		}
	}
	return torn
}

// set changes how the disk is.
func (d *disk) set(change func(*disk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

// mend makes the disk as good as new. What waited for it goes on.
func (d *disk) mend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stuck != nil {
		close(d.stuck)
	}
	d.delay, d.full, d.stuck, d.tear = 0, false, nil, nil
}

// powered says whether the machine is still running.
func (d *disk) powered() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.dead
}

// cut is the end of power for what is still to be written.
func (d *disk) cut() {
	d.set(func(d *disk) { d.dead = true })
	d.mend()
}

// replug puts what is left on the disk back into the machine.
func (d *disk) replug() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	torn := d.torn
	d.dead, d.torn = false, nil
	if torn == nil {
		return nil
	}
	return os.WriteFile(d.path(), torn, 0o600)
}

// tears lets a coordinator lose its power in the middle of a write. If it writes
// nothing for a while, it loses it then.
func (s *seat) tears(chance *rand.Rand) {
	if s.server == nil {
		return
	}
	s.w.note("%s is to lose its power in a write", s.name)
	s.disk.set(func(d *disk) { d.tear = chance })
	for range 100 {
		if !s.disk.powered() {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.powerOff()
}

// sickens draws what ails a coordinator's disk.
func (d *disk) sickens(chance *rand.Rand) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch chance.IntN(3) {
	case 0:
		d.delay = time.Duration(5+chance.IntN(400)) * time.Millisecond
		return fmt.Sprintf("takes %v for a write", d.delay)
	case 1:
		d.full = true
		return "is full"
	default:
		if d.stuck == nil {
			d.stuck = make(chan struct{})
		}
		return "does not answer"
	}
}
