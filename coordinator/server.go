package coordinator

import (
	"context"
	"net"
	"net/http"

	"github.com/skein-mesh/skein/region"
)

// A Server hosts replicas of region groups and answers for those it leads.
type Server struct{}

// Start opens the sockets, starts the replicas and serves until Close or
// Shutdown. It returns once the sockets are open, not once a leader is known;
// an address in use is an error that names the setting. ctx bounds starting
// only.
func Start(ctx context.Context, cfg Config) (*Server, error) { panic("todo") }

// ID is the coordinator's id, as in its certificate.
func (s *Server) ID() region.MemberID { panic("todo") }

// GRPCAddr is the address gRPC listens on.
func (s *Server) GRPCAddr() net.Addr { panic("todo") }

// Handler serves /healthz, /readyz, /metrics, /state and /events.
func (s *Server) Handler() http.Handler { panic("todo") }

// Leading reports whether this coordinator leads the group of a region and is
// ready to decide.
func (s *Server) Leading(r region.ID) bool { panic("todo") }

// Region returns the latest structure this replica has applied, which the
// caller may keep; nil if it hosts no such region.
func (s *Server) Region(r region.ID) *region.Region { panic("todo") }

// Shutdown drains: leadership goes to a follower that has caught up, calls in
// flight are answered, then everything is closed. It is Close if ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { panic("todo") }

// Close stops at once and waits for everything it started.
func (s *Server) Close() error { panic("todo") }
