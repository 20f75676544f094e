package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

const (
	// callTimeout bounds one question to one coordinator, so that a dead one
	// does not hold up the others.
	callTimeout = 2 * time.Second
	// maxAnswer bounds an answer: the trees of a large region have some MB.
	maxAnswer = 64 << 20
)

// A Client asks the coordinators of a cluster. It may be used by any goroutine.
type Client struct {
	addrs []string
	conns []*grpc.ClientConn
	// witness tells a stranger from one that is down.
	witness witness

	// search looks for a leader, once: only it knows how members are, and that
	// what it knows is not old. Status finds the next one.
	search sync.Once
	mu     sync.Mutex
	first  int // index of the one to ask first: a leader if one is known
}

// Dial prepares connections to coordinators; it does not wait for them.
func Dial(addrs []string, creds *trust.Credentials) (*Client, error) {
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%w: no coordinator address; name one with --coordinators host:7400", region.ErrInvalid)
	}
	c := &Client{addrs: slices.Clone(addrs), witness: newWitness(credentials.NewTLS(creds.ClientTLS()))}
	for _, a := range addrs {
		conn, err := grpc.NewClient("passthrough:///"+a,
			grpc.WithTransportCredentials(c.witness),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
				MinConnectTimeout: callTimeout,
			}),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("coordinator %s: %w", a, err), c.Close())
		}
		c.conns = append(c.conns, conn)
	}
	return c, nil
}

// Close closes all connections.
func (c *Client) Close() error {
	var errs []error
	for _, conn := range c.conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// any asks one coordinator after the other, leaders first, until one answers.
// Errors that another coordinator would give as well end it.
func (c *Client) any(ctx context.Context, ask func(context.Context, skeinv1.InspectionClient) error) error {
	return c.within(ctx, callTimeout, ask)
}

// within is any with another limit on each answer.
func (c *Client) within(ctx context.Context, limit time.Duration, ask func(context.Context, skeinv1.InspectionClient) error) error {
	c.search.Do(func() {
		// If nobody answers, neither will anybody below, and that says why.
		_, _ = c.Status(ctx)
	})
	c.mu.Lock()
	first := c.first
	c.mu.Unlock()
	var tried []string
	for i := range c.conns {
		at := (first + i) % len(c.conns)
		callCtx, cancel := context.WithTimeout(ctx, limit)
		err := skeinv1.FromStatus(ask(callCtx, skeinv1.NewInspectionClient(c.conns[at])))
		cancel()
		if err == nil || final(err) {
			return err
		}
		tried = append(tried, fmt.Sprintf("%s: %v", c.addrs[at], err))
	}
	return c.witness.unreachable(fmt.Errorf("coordinators %w (%s)", region.ErrUnreachable, strings.Join(tried, "; ")))
}

// final reports whether err is an answer rather than the lack of one.
func final(err error) bool {
	for _, e := range []error{region.ErrInvalid, region.ErrUnknownStream, region.ErrUnknownMember, region.ErrForbidden, region.ErrUnauthenticated, region.ErrLimit, region.ErrRevision, region.ErrExists} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Status asks every coordinator. One that does not answer has its Error set;
// only if none answers, Status fails.
func (c *Client) Status(ctx context.Context) ([]Coordinator, error) {
	out := make([]Coordinator, len(c.conns))
	var wait sync.WaitGroup
	for i, conn := range c.conns {
		wait.Go(func() {
			callCtx, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			answer, err := skeinv1.NewInspectionClient(conn).Status(callCtx, &skeinv1.StatusRequest{})
			out[i] = coordinatorFrom(c.addrs[i], answer, skeinv1.FromStatus(err))
		})
	}
	wait.Wait()
	var down []string
	for i, s := range out {
		if s.Error != "" {
			down = append(down, s.Address+": "+s.Error)
		}
		if slices.ContainsFunc(s.Groups, func(g Group) bool { return g.State == "leader" }) {
			c.mu.Lock()
			c.first = i
			c.mu.Unlock()
		}
	}
	if len(down) == len(out) {
		return out, c.witness.unreachable(fmt.Errorf("coordinators %w (%s)", region.ErrUnreachable, strings.Join(down, "; ")))
	}
	return out, nil
}

// Members lists the members of a region, by id.
func (c *Client) Members(ctx context.Context, r region.ID) ([]Member, error) {
	var answer *skeinv1.MembersResponse
	err := c.any(ctx, func(ctx context.Context, i skeinv1.InspectionClient) (err error) {
		answer, err = i.Members(ctx, &skeinv1.MembersRequest{Region: string(r)})
		return err
	})
	if err != nil {
		return nil, err
	}
	return mapped(answer.GetMembers(), memberFrom), nil
}

// Streams lists the streams of a region, by name.
func (c *Client) Streams(ctx context.Context, r region.ID) ([]Stream, error) {
	var answer *skeinv1.StreamsResponse
	err := c.any(ctx, func(ctx context.Context, i skeinv1.InspectionClient) (err error) {
		answer, err = i.Streams(ctx, &skeinv1.StreamsRequest{Region: string(r)})
		return err
	})
	if err != nil {
		return nil, err
	}
	return mapped(answer.GetStreams(), streamFrom), nil
}

// Trees returns the tree of one stream, or of all if the name is empty.
func (c *Client) Trees(ctx context.Context, r region.ID, s region.StreamID) ([]Tree, error) {
	var answer *skeinv1.TreesResponse
	err := c.any(ctx, func(ctx context.Context, i skeinv1.InspectionClient) (err error) {
		answer, err = i.Trees(ctx, &skeinv1.TreesRequest{Region: string(r), Stream: string(s)})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]Tree, len(answer.GetTrees()))
	for i, t := range answer.GetTrees() {
		out[i] = treeFrom(answer.GetRevision(), t)
	}
	return out, nil
}

// Watch calls each for what happens in a region after a revision (0 = from
// now on), oldest first, until ctx ends or each fails. It follows the region
// from one coordinator to the next when one stops.
func (c *Client) Watch(ctx context.Context, r region.ID, after uint64, each func(Event) error) error {
	for {
		var stopped error
		err := c.watchOnce(ctx, r, &after, func(e Event) error {
			stopped = each(e)
			return stopped
		})
		switch {
		case stopped != nil:
			return stopped
		case ctx.Err() != nil:
			return ctx.Err()
		case final(err):
			return err
		}
		c.mu.Lock()
		c.first++
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (c *Client) watchOnce(ctx context.Context, r region.ID, after *uint64, each func(Event) error) error {
	c.mu.Lock()
	at := c.first % len(c.conns)
	c.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := skeinv1.NewInspectionClient(c.conns[at]).Watch(ctx, &skeinv1.WatchRequest{Region: string(r), After: *after})
	if err != nil {
		return skeinv1.FromStatus(err)
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return skeinv1.FromStatus(err)
		}
		for _, e := range answer.GetEvents() {
			if err := each(eventFrom(answer, e)); err != nil {
				return err
			}
		}
		*after = max(*after, answer.GetRevision())
	}
}

// CreateToken makes a join token; the caller must be an operator.
func (c *Client) CreateToken(ctx context.Context, role trust.Role, ttl time.Duration, uses uint32) (string, error) {
	var answer *skeinv1.CreateTokenResponse
	err := c.any(ctx, func(ctx context.Context, i skeinv1.InspectionClient) (err error) {
		answer, err = i.CreateToken(ctx, &skeinv1.CreateTokenRequest{Role: string(role), TtlMs: ttl.Milliseconds(), Uses: uses})
		return err
	})
	return answer.GetToken(), err
}

func mapped[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}
