package coordinator

import (
	"sync"
	"time"

	"github.com/skein-mesh/skein/coordinator/directory"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// abroad is what this coordinator knows of the regions of other communities: a book for
// each that a region here has an agreement with.
type abroad struct {
	mu    sync.Mutex
	books map[string]*directory.Book
}

// book is that of a community; nil if there is none and make is false.
func (a *abroad) book(community string, make bool) *directory.Book {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.books[community]
	if b == nil && make {
		if a.books == nil {
			a.books = map[string]*directory.Book{}
		}
		// Who brings a descriptor is one of the community's coordinators, which is as good
		// as a voucher for another key.
		b = directory.NewBook(func(*skeinv1.SignedDescriptor) error { return nil })
		a.books[community] = b
	}
	return b
}

// take writes down a descriptor; one that is known already is no error.
func (a *abroad) take(community string, s *skeinv1.SignedDescriptor, now time.Time) error {
	return a.book(community, true).Take(s, now)
}

func (a *abroad) regions(community string, now time.Time) []directory.Entry {
	if b := a.book(community, false); b != nil {
		return b.List(now)
	}
	return nil
}

// keep forgets the communities with which nothing is agreed any more.
func (a *abroad) keep(agreed func(community string) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for community := range a.books {
		if !agreed(community) {
			delete(a.books, community)
		}
	}
}

// known is what is known of a region, of this community or of another one.
func (s *Server) known(id region.ID) (directory.Entry, bool) {
	community := id.Community()
	if community == "" {
		return s.directory.Region(id)
	}
	if b := s.abroad.book(community, false); b != nil {
		return b.Find(id.Local())
	}
	return directory.Entry{}, false
}
