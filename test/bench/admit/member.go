package admit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/skein-mesh/skein/member/line"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

const (
	// callTimeout bounds one try of a call.
	callTimeout = 5 * time.Second
	// retryPause is the wait before a call is repeated if the coordinators did
	// not say how long. It doubles up to retryMost: a crowd that asks for a leader
	// all the time keeps coordinators that share its processors from electing one.
	retryPause, retryMost = 50 * time.Millisecond, time.Second
	// maxRounds is how often a refused member computes a new place before it lets
	// the coordinators choose, as in package member.
	maxRounds = 5
	// beatEvery is how often a member holds its lease, a third of its time to live.
	beatEvery = 3 * time.Second
)

// errRefused: there was no place.
var errRefused = errors.New("refused")

// A plane says where members stand, and so their round-trip times. It is made
// before anybody reads it.
type plane map[region.MemberID][2]float64

// rtt is the round-trip time between two members: the way, and both last miles.
func (p plane) rtt(a, b region.MemberID) time.Duration {
	x, y := p[a], p[b]
	return 4*time.Millisecond + time.Duration(math.Hypot(x[0]-y[0], x[1]-y[1])*float64(time.Millisecond))
}

// A member asks the coordinators as a node of package member does.
type member struct {
	creds  *trust.Credentials
	uplink region.Rate
	plane  plane
	// lookup finds the present leader; while there is none, who was asked last.
	lookup func(last string) string
	// The stay; set by join, before there is a session.
	lease, generation uint64
	retries           atomic.Int64
	// outbox holds what the session is to say.
	outbox chan *skeinv1.SessionRequest

	mu      sync.Mutex
	address string
	conn    *grpc.ClientConn // nil while there is none
	line    *line.Line       // over conn
}

func newMember(creds *trust.Credentials, uplink region.Rate, p plane, lookup func(last string) string) *member {
	return &member{
		creds: creds, uplink: uplink, plane: p, lookup: lookup,
		outbox: make(chan *skeinv1.SessionRequest, 16),
	}
}

func (m *member) id() region.MemberID { return m.creds.ID() }

// client is connected to the leader, as far as one is known.
func (m *member) client() (skeinv1.MembershipClient, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if leader := m.lookup(m.address); m.conn == nil || m.address != leader {
		conn, err := dial(leader, m.creds)
		if err != nil {
			return nil, err
		}
		if m.conn != nil {
			m.disconnect() // what is under way fails, and is tried again
		}
		m.address, m.conn, m.line = leader, conn, line.New(conn)
	}
	return m.line, nil
}

func (m *member) hangUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil {
		m.disconnect()
	}
	m.conn = nil
}

// disconnect must be called with mu held.
func (m *member) disconnect() {
	m.line.Close()
	_ = m.conn.Close()
}

// call repeats f, which carries its request id, until it is answered.
func (m *member) call(ctx context.Context, f func(context.Context, skeinv1.MembershipClient) error) error {
	for pause := retryPause; ; pause = min(2*pause, retryMost) {
		client, err := m.client()
		if err != nil {
			return err
		}
		try, cancel := context.WithTimeout(ctx, callTimeout)
		err = f(try, client)
		cancel()
		if err == nil || !passes(err) {
			return skeinv1.FromStatus(err)
		}
		m.retries.Add(1)
		wait, ok := skeinv1.RetryDelay(err)
		if !ok {
			wait = pause
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), skeinv1.FromStatus(err))
		}
	}
}

// passes says whether it is worth asking again.
func passes(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted, codes.Canceled:
		return true
	}
	return errors.Is(skeinv1.FromStatus(err), region.ErrOverloaded)
}

// join begins the member's stay.
func (m *member) join(ctx context.Context, number int) error {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	address := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(number >> 16), byte(number >> 8), byte(number)}), 7500)
	req := &skeinv1.JoinRequest{
		Region: string(regionID), RequestId: rand.Text(), Name: fmt.Sprintf("member-%d", number), UplinkKbps: uint32(m.uplink),
		Endpoint: &skeinv1.Endpoint{Key: key, Media: []string{address.String()}, Gossip: address.String()},
	}
	return m.call(ctx, func(ctx context.Context, c skeinv1.MembershipClient) error {
		resp, err := c.Join(ctx, req)
		if err == nil {
			m.lease, m.generation = resp.Lease, resp.Generation
		}
		return err
	})
}

func (m *member) publish(ctx context.Context, stream string, kbps uint32) error {
	req := &skeinv1.PublishRequest{
		Region: string(regionID), RequestId: rand.Text(), Lease: m.lease, Stream: stream,
		Kind: skeinv1.Kind_KIND_VIDEO, LayerKbps: []uint32{kbps}, Codec: "VP8",
	}
	return m.call(ctx, func(ctx context.Context, c skeinv1.MembershipClient) error {
		_, err := c.Publish(ctx, req)
		return err
	})
}

// find asks for a view, ranks its places and proposes the best; refused, it does
// so anew with the view it was given, and in the end takes what it is given.
// It returns the parent.
func (m *member) find(ctx context.Context, stream string, layers uint32) (parent string, err error) {
	var located *skeinv1.LocateResponse
	err = m.call(ctx, func(ctx context.Context, c skeinv1.MembershipClient) (err error) {
		located, err = c.Locate(ctx, &skeinv1.LocateRequest{Region: string(regionID), Lease: m.lease, Stream: stream, Layers: layers})
		return err
	})
	if err != nil {
		return "", fmt.Errorf("locate: %w", err)
	}
	message := located.View
	for round := range maxRounds + 1 {
		view, err := skeinv1.ToView(message)
		if err != nil {
			return "", err
		}
		proposals := region.Rank(&view, region.Self{ID: m.id(), Free: m.uplink, Forward: region.DefaultForward}, func(peer region.MemberID) (time.Duration, bool) {
			return m.plane.rtt(m.id(), peer), true
		}, nil)
		req := &skeinv1.AdmitRequest{
			Stream: stream, Layers: layers, Base: message.GetRevision(),
			Proposals: skeinv1.FromProposals(proposals), Place: round == maxRounds || len(proposals) == 0,
		}
		resp, err := m.admit(ctx, req)
		if err != nil {
			return "", fmt.Errorf("admit: %w", err)
		}
		if role := resp.GetAccepted(); role != nil {
			return role.GetParent().GetPeer().GetId(), nil
		}
		message = resp.GetRefused().GetView()
	}
	return "", errRefused
}

// admit completes the request and makes it.
func (m *member) admit(ctx context.Context, req *skeinv1.AdmitRequest) (resp *skeinv1.AdmitResponse, err error) {
	req.Region, req.RequestId, req.Lease, req.Cause = string(regionID), rand.Text(), m.lease, skeinv1.Cause_CAUSE_JOINING
	err = m.call(ctx, func(ctx context.Context, c skeinv1.MembershipClient) error {
		resp, err = c.Admit(ctx, req)
		return err
	})
	return resp, err
}

// attend holds a session, in which the member is told its roles, until ctx ends.
// One that breaks is opened anew.
func (m *member) attend(ctx context.Context) {
	for ctx.Err() == nil {
		m.converse(ctx)
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
}

// converse holds one session until it breaks.
func (m *member) converse(ctx context.Context) {
	client, err := m.client()
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	session, err := client.Session(ctx)
	if err != nil {
		cancel()
		return
	}
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	broken := make(chan struct{})
	listening.Go(func() {
		defer close(broken)
		for {
			if _, err := session.Recv(); err != nil {
				return
			}
		}
	})
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	next := &skeinv1.SessionRequest{Hello: &skeinv1.SessionHello{
		Region: string(regionID), Lease: m.lease, Generation: m.generation,
	}}
	for session.Send(next) == nil {
		select {
		case next = <-m.outbox:
		case <-beat.C:
			next = &skeinv1.SessionRequest{Heartbeat: &skeinv1.Heartbeat{}}
		case <-broken:
			return
		}
	}
}

// confirm has the session say that the stream comes from parent. It blocks while
// much is still to be said.
func (m *member) confirm(ctx context.Context, stream, parent string) {
	select {
	case m.outbox <- &skeinv1.SessionRequest{Confirmations: []*skeinv1.Confirmation{{Stream: stream, Parent: parent}}}:
	case <-ctx.Done():
	}
}
