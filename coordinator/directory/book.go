package directory

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

const (
	// MaxRegions bounds the regions that are known; further ones are refused.
	MaxRegions = 4096
	// silentAfter is when a region whose descriptor was not renewed counts as
	// silent, forgetAfter when it is forgotten.
	silentAfter = 5 * time.Minute
	forgetAfter = 24 * time.Hour
)

// errOld says that a descriptor is known already, or an older one.
var errOld = errors.New("not newer than what is known")

// An Entry is a region in the directory.
type Entry struct {
	region.Descriptor
	// Signed is the descriptor as it is passed on. It must not be modified.
	Signed *skeinv1.SignedDescriptor
	// Heard is when it came.
	Heard time.Time
}

// Silent reports whether nobody has renewed the descriptor for long.
func (e Entry) Silent(now time.Time) bool { return now.Sub(e.Heard) > silentAfter }

// A Book holds descriptors. It is safe for concurrent use.
type Book struct {
	mu      sync.Mutex
	entries map[region.ID]Entry
	// news is closed and replaced when an entry changes.
	news chan struct{}
	// check judges the voucher for another key.
	check func(*skeinv1.SignedDescriptor) error
}

// NewBook makes an empty one. check judges the voucher with which a region that was
// formed anew changes its key.
func NewBook(check func(*skeinv1.SignedDescriptor) error) *Book {
	return &Book{entries: map[region.ID]Entry{}, news: make(chan struct{}), check: check}
}

// take enters a descriptor if it is genuine and news; errOld if it is not news.
func (b *Book) take(s *skeinv1.SignedDescriptor, now time.Time) (Entry, error) {
	d, err := skeinv1.OpenDescriptor(s)
	if err != nil {
		return Entry{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	known, ok := b.entries[d.Region]
	switch {
	case !ok:
		if b.sweep(now); len(b.entries) >= MaxRegions {
			return Entry{}, fmt.Errorf("%d regions: %w", MaxRegions, region.ErrLimit)
		}
	case known.Key != d.Key && (d.Generation <= known.Generation || d.Generation < region.ReformJump):
		return Entry{}, fmt.Errorf("%w: %s has another key", trust.ErrDescriptor, d.Region)
	case !d.Newer(known.Descriptor):
		return Entry{}, errOld
	case known.Key != d.Key:
		if err := b.check(s); err != nil {
			return Entry{}, fmt.Errorf("%s has another key: %w", d.Region, err)
		}
	}
	e := Entry{Descriptor: d, Signed: s, Heard: now}
	b.entries[d.Region] = e
	close(b.news)
	b.news = make(chan struct{})
	return e, nil
}

// Take enters a descriptor if it is genuine; one that is not newer than what is known
// changes nothing and is no error.
func (b *Book) Take(s *skeinv1.SignedDescriptor, now time.Time) error {
	_, err := b.take(s, now)
	if errors.Is(err, errOld) {
		return nil
	}
	return err
}

// sweep forgets what is silent for long; called with mu held.
func (b *Book) sweep(now time.Time) {
	for id, e := range b.entries {
		if now.Sub(e.Heard) > forgetAfter {
			delete(b.entries, id)
		}
	}
}

// List returns all entries by region, those that are over among them.
func (b *Book) List(now time.Time) []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep(now)
	list := make([]Entry, 0, len(b.entries))
	for _, e := range b.entries {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Region, b.Region) })
	return list
}

// Find finds a region.
func (b *Book) Find(id region.ID) (Entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[id]
	return e, ok
}

func (b *Book) changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.news
}
