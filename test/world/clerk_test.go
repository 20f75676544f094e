package world

import (
	"context"
	"crypto/ecdh"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/history"
	"github.com/skein-mesh/skein/test/world/simnet"
)

// attempt bounds one try to reach a coordinator.
const attempt = 3 * time.Second

var errNoAnswer = errors.New("no answer")

// A clerk is a member that only talks to the coordinators, by calls of its own
// making, and writes down what it asked and what it was told. It carries no
// media. One goroutine at a time owns it.
type clerk struct {
	w      *world
	name   string
	chance *rand.Rand
	host   *simnet.Host
	creds  *trust.Credentials
	key    [32]byte
	conns  []*grpc.ClientConn
	at     int // the coordinator that answered last
	asked  int // numbers the requests

	lease      uint64    // 0: no stay
	generation uint64    // of the region, as told with the lease
	sure       time.Time // when the last call began that proves the stay
	former     uint64    // lease of the stay before
	again      answer    // to the last request, when it was repeated; nil: it was not
	no         error     // the answer instead, if it was an error
	ending     bool      // the stay may have ended, or not
	holds      map[string]bool
	placed     map[string]bool
	doubts     map[string]bool // desks of which it does not know whether it holds them

	calls  []history.Call
	claims []history.Claim
}

func (w *world) clerk(n int) *clerk {
	host := w.net.Host(netip.AddrFrom4([4]byte{10, 2, 0, byte(n)}).String())
	c := &clerk{
		w: w, name: fmt.Sprintf("clerk%d", n), host: host, creds: w.issue(trust.RoleMember),
		chance: rand.New(rand.NewPCG(w.seed, 100+uint64(n))),
	}
	c.key = [32]byte(must(ecdh.X25519().GenerateKey(crand.Reader)).PublicKey().Bytes())
	c.forget()
	for _, s := range w.coordinators {
		c.conns = append(c.conns, must(grpc.NewClient("passthrough:///"+s.cfg.GRPC,
			grpc.WithTransportCredentials(credentials.NewTLS(c.creds.ClientTLS())),
			grpc.WithContextDialer(host.Dial), grpc.WithNoProxy(), grpc.WithDisableServiceConfig())))
	}
	return c
}

func (c *clerk) id() region.MemberID { return c.creds.ID() }

func (c *clerk) close() {
	c.host.Kill()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// forget is for a new stay.
func (c *clerk) forget() {
	c.former, c.lease, c.ending = c.lease, 0, false
	c.holds, c.placed, c.doubts = map[string]bool{}, map[string]bool{}, map[string]bool{}
}

// stay names the present stay.
func (c *clerk) stay() string { return fmt.Sprintf("%s/%d", c.name, c.lease) }

func (c *clerk) request() string {
	c.asked++
	return fmt.Sprintf("%s-%d", c.name, c.asked)
}

// An answer tells at which revision it holds.
type answer interface{ GetRevision() uint64 }

// asks repeats a call, always the same, until it is answered, and returns what it
// was: a nil error, a refusal, or errNoAnswer.
func asks[T answer](c *clerk, call func(context.Context, skeinv1.MembershipClient) (T, error)) (answer T, err error) {
	for began := time.Now(); time.Since(began) < patience; {
		ctx, cancel := context.WithTimeout(context.Background(), attempt)
		answer, err = call(ctx, skeinv1.NewMembershipClient(c.conns[c.at%len(c.conns)]))
		cancel()
		if err == nil {
			if c.again, c.no = nil, nil; c.chance.IntN(4) == 0 {
				repeat(c, call)
			}
			return answer, nil
		}
		err = skeinv1.FromStatus(err)
		for _, final := range []error{region.ErrExists, region.ErrNotOrigin, region.ErrUnknownStream, region.ErrUnknownMember,
			region.ErrLease, region.ErrInvalid, region.ErrLimit} {
			if errors.Is(err, final) {
				return answer, err
			}
		}
		c.at++
		time.Sleep(100 * time.Millisecond)
	}
	return answer, fmt.Errorf("%w: %w", errNoAnswer, err)
}

// repeat asks once more what was answered just now, as if the answer had been
// lost on its way. What it is told goes into the books together with the first.
func repeat[T answer](c *clerk, call func(context.Context, skeinv1.MembershipClient) (T, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), attempt)
	defer cancel()
	again, err := call(ctx, skeinv1.NewMembershipClient(c.conns[c.at%len(c.conns)]))
	c.no = skeinv1.FromStatus(err)
	if err == nil {
		c.again = again
	}
}

// told writes down a call that changed something.
func (c *clerk) told(request string, begun time.Time, a answer, holds func(*region.Region) error) {
	c.sure = begun
	c.calls = append(c.calls, history.Call{
		Request: request, Begun: begun, Ended: time.Now(), Revision: region.Revision(a.GetRevision()), Holds: holds,
	})
	for _, no := range []error{region.ErrExists, region.ErrNotOrigin, region.ErrUnknownStream, region.ErrInvalid} {
		if errors.Is(c.no, no) {
			c.w.fault("%s was told yes, and when it asked the same again, no: %v", c.name, c.no)
		}
	}
	if c.again != nil {
		c.calls = append(c.calls, history.Call{Request: request, Begun: begun, Ended: time.Now(), Revision: region.Revision(c.again.GetRevision())})
	}
}

func (c *clerk) claim(d history.Deed, desk string, begun, ended time.Time, refused bool) {
	c.claims = append(c.claims, history.Claim{Client: c.stay(), Thing: desk, Deed: d, Begun: begun, Ended: ended, Refused: refused})
}

// over notes that the stay has ended at some time since it was last proved.
func (c *clerk) over() {
	c.claim(history.End, "", c.sure, time.Now(), false)
	c.forget()
}

// ended says whether err tells that the stay has ended, and notes it.
func (c *clerk) ended(err error) bool {
	if !errors.Is(err, region.ErrLease) && !errors.Is(err, region.ErrUnknownMember) {
		return false
	}
	c.w.note("%s: its stay has ended: %v", c.name, err)
	c.over()
	return true
}

func (c *clerk) join(uplink region.Rate) error {
	begun, id := time.Now(), c.request()
	endpoint := region.Endpoint{Key: c.key, Media: []netip.AddrPort{netip.AddrPortFrom(c.host.Addr(), 7500)}}
	a, err := asks(c, func(ctx context.Context, m skeinv1.MembershipClient) (*skeinv1.JoinResponse, error) {
		return m.Join(ctx, &skeinv1.JoinRequest{
			Region: string(home), RequestId: id, Name: c.name, UplinkKbps: uint32(uplink),
			Endpoint: skeinv1.FromEndpoint(endpoint),
		})
	})
	if err != nil {
		return err
	}
	if c.ending {
		c.over() // a new stay ends the old one
	}
	c.lease, c.generation = a.Lease, a.Generation
	c.told(id, begun, a, func(r *region.Region) error {
		if m, ok := r.Member(c.id()); !ok || uint64(m.Lease) != a.Lease {
			return fmt.Errorf("it holds lease %d, told %d", m.Lease, a.Lease)
		}
		return nil
	})
	return nil
}

func (c *clerk) leave() {
	begun, id, lease := time.Now(), c.request(), c.lease
	a, err := asks(c, func(ctx context.Context, m skeinv1.MembershipClient) (*skeinv1.LeaveResponse, error) {
		return m.Leave(ctx, &skeinv1.LeaveRequest{Region: string(home), RequestId: id, Lease: lease})
	})
	switch {
	case err == nil:
		c.told(id, begun, a, func(r *region.Region) error {
			if m, ok := r.Member(c.id()); ok && uint64(m.Lease) == lease {
				return errors.New("it is still there")
			}
			return nil
		})
		c.over()
	case !c.ended(err):
		c.ending = true
	}
}
