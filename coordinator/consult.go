package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// consultTimeout bounds asking one coordinator, consultMost how many are asked.
	consultTimeout = time.Second
	consultMost    = 6
	// maxConns bounds the connections to other coordinators.
	maxConns = 256
)

// switchboard keeps connections to other coordinators.
type switchboard struct {
	mu     sync.Mutex
	closed bool
	conns  map[string]*grpc.ClientConn
}

// dial returns the connection to a coordinator, which is made when it is used.
func (s *Server) dial(address string) (*grpc.ClientConn, error) { return s.connect("", address) }

// connect is dial for a coordinator of another community; empty is this one.
func (s *Server) connect(community, address string) (*grpc.ClientConn, error) {
	b, key := &s.others, community+"/"+address
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, region.ErrClosed
	}
	if conn := b.conns[key]; conn != nil {
		return conn, nil
	}
	if b.conns == nil {
		b.conns = map[string]*grpc.ClientConn{}
	}
	for old, conn := range b.conns {
		if len(b.conns) < maxConns {
			break
		}
		delete(b.conns, old)
		_ = conn.Close() // what was asked over it is asked of another
	}
	trusted := s.cfg.Credentials.ClientTLS()
	if community != "" {
		trusted = s.cfg.Credentials.CommunityTLS(community)
	}
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(trusted)),
		grpc.WithContextDialer(s.cfg.Network.Dial), grpc.WithNoProxy(), grpc.WithDisableServiceConfig())
	if err == nil {
		b.conns[key] = conn
	}
	return conn, err
}

// close ends all connections.
func (b *switchboard) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, conn := range b.conns {
		_ = conn.Close()
	}
	clear(b.conns)
}

// living are the regions that are not over, this coordinator's own among them.
func (s *Server) living() []region.ID {
	var list []region.ID
	now := time.Now()
	for _, e := range s.directory.Regions() {
		if !e.Over() && !e.Silent(now) {
			list = append(list, e.Region)
		}
	}
	return list
}

// consult turns to the leader of a region: here, if that is this coordinator, and
// otherwise at the replicas the directory knows of, following their hints.
func (s *Server) consult(ctx context.Context, id region.ID, here func(*leadership) error,
	there func(context.Context, skeinv1.DirectoryClient) error) error {
	if r := s.hosts(id); r != nil {
		if l := r.leading.Load(); l != nil {
			return here(l)
		}
	}
	e, ok := s.directory.Region(id)
	if !ok {
		return fmt.Errorf("region %s: %w: nothing was heard of it", id, region.ErrUnreachable)
	}
	var addresses []string
	for _, h := range e.Replicas {
		if h.ID != s.ID() {
			addresses = append(addresses, h.GRPC)
		}
	}
	if e.Over() {
		// Whoever keeps what is left of it.
		for _, c := range s.directory.Coordinators() {
			if c.ID != s.ID() {
				addresses = append(addresses, c.GRPC)
			}
		}
	}
	var last error
	for asked := 0; asked < len(addresses) && asked < consultMost; asked++ {
		err := s.consultAt(ctx, addresses[asked], there)
		if err == nil {
			return nil
		}
		hint, hinted := errors.AsType[*region.NotLeaderError](err)
		switch {
		case hinted && hint.Address != "" && hint.Leader != s.ID():
			addresses = append(addresses[:asked+1], append([]string{hint.Address}, addresses[asked+1:]...)...)
		case !hinted && !passing(err):
			return err
		}
		last = err
	}
	// Not wrapped: whoever leads that region is no news for the caller.
	return fmt.Errorf("region %s: %w: none of its coordinators answers: %v", id, region.ErrUnreachable, last)
}

// passing says whether another coordinator may answer differently.
func passing(err error) bool {
	return errors.Is(err, region.ErrUnreachable) ||
		errors.Is(err, region.ErrClosed) || errors.Is(err, region.ErrElsewhere) || errors.Is(err, region.ErrOverloaded)
}

func (s *Server) consultAt(ctx context.Context, address string, there func(context.Context, skeinv1.DirectoryClient) error) error {
	conn, err := s.dial(address)
	if err != nil {
		return err
	}
	return asking(ctx, func(ctx context.Context) error { return there(ctx, skeinv1.NewDirectoryClient(conn)) })
}

// asking bounds a question to another coordinator, and says what came of it.
func asking(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, consultTimeout)
	defer cancel()
	if err := ask(ctx); err != nil {
		told := skeinv1.FromStatus(err)
		silent := status.Code(err) == codes.Unavailable && !errors.Is(told, region.ErrNotLeader) && !passing(told)
		if ctx.Err() != nil || silent {
			return fmt.Errorf("%w: %v", region.ErrUnreachable, err)
		}
		return told
	}
	return nil
}
