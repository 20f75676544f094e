package volunteer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

const (
	// soon is when an offer is repeated that was not complete.
	soon = time.Second
	// defaultIdle is longer than it takes from an invitation to a replica.
	defaultIdle = time.Minute
)

// A Home is where a member lives.
type Home struct {
	Region region.ID
	Member region.MemberID
	// Coordinators are gRPC addresses of that region's, as far as they are known.
	Coordinators []string
}

// A Config describes a volunteer.
type Config struct {
	// Coordinator is the one that is started when it is needed. Its addresses, which
	// are knocked at before, must be set, Advertise among them. Groups is empty.
	Coordinator coordinator.Config
	// Home tells where the member lives now. It does not block.
	Home func() Home
	// Idle is how long a coordinator that hosts nothing goes on; 0 = a minute, and
	// not shorter than it takes to be given a replica, some 20 s.
	Idle time.Duration
}

// A Volunteer is a node that coordinates when it is needed. It is safe for concurrent
// use.
type Volunteer struct {
	cfg    Config
	logger *slog.Logger
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	server *coordinator.Server // nil while it is not needed
	closed bool

	// Of run.
	ports  *ports // nil while the coordinator has them
	disk   *disk
	line   line
	ways   ways
	idle   time.Time // since when nothing is hosted; zero = something is
	reason string    // what the leader said last
}

// Start begins to offer, or, if the node coordinated when it was stopped, to coordinate.
// It returns when the ports are open. ctx bounds starting only.
func Start(ctx context.Context, cfg Config) (*Volunteer, error) {
	if cfg.Home == nil || len(cfg.Coordinator.Groups) > 0 {
		return nil, fmt.Errorf("volunteer: %w: Config.Home is not set, or Config.Coordinator.Groups is", region.ErrInvalid)
	}
	if cfg.Coordinator.Credentials == nil {
		return nil, fmt.Errorf("volunteer: %w: Config.Coordinator has no Credentials", region.ErrInvalid)
	}
	if cfg.Coordinator.Network == nil {
		cfg.Coordinator.Network = coordinator.SystemNetwork{}
	}
	if cfg.Coordinator.Logger == nil {
		cfg.Coordinator.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Idle == 0 {
		cfg.Idle = defaultIdle
	}
	cfg.Coordinator.Volunteer = true
	v := &Volunteer{
		cfg: cfg, disk: newDisk(cfg.Coordinator),
		logger: cfg.Coordinator.Logger.With("volunteer", string(cfg.Coordinator.Credentials.ID())),
	}
	v.line.cfg = &v.cfg.Coordinator
	given, err := coordinator.Hosted(cfg.Coordinator.DataDir)
	if err != nil {
		return nil, fmt.Errorf("volunteer: %w", err)
	}
	if len(given) > 0 {
		err = v.serve(ctx, nil)
	} else {
		v.ports, err = openPorts(ctx, &v.cfg.Coordinator)
	}
	if err != nil {
		return nil, fmt.Errorf("volunteer: %w", err)
	}
	life, cancel := context.WithCancel(context.Background())
	v.cancel = cancel
	v.wg.Go(func() { v.run(life) })
	return v, nil
}

// Server is the coordinator while it runs, or else nil.
func (v *Volunteer) Server() *coordinator.Server {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.server
}

// run offers until ctx ends.
func (v *Volunteer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(v.turn(ctx))
	}
}

// turn looks after everything once, and says when to do so again.
func (v *Volunteer) turn(ctx context.Context) time.Duration {
	home := v.cfg.Home()
	v.rest(ctx, time.Now())
	if err := v.disk.measure(home.Region); err != nil {
		v.logger.Warn("the disk cannot be measured", "err", err)
	}
	if v.Server() == nil {
		v.renew(ctx, home)
	}
	answer, err := v.offer(ctx, home)
	if err != nil {
		if ctx.Err() == nil {
			v.logger.Debug("nobody hears the offer to coordinate", "region", home.Region, "err", err)
		}
		return coordinator.OfferEvery
	}
	if answer.Reason != v.reason {
		v.reason = answer.Reason
		v.logger.Debug("what is thought of the offer to coordinate", "region", home.Region, "lacks", answer.Reason)
	}
	server := v.Server()
	switch {
	case server != nil:
		server.SetRetiring(answer.Dismissed)
	case answer.Invited:
		if err := v.serve(ctx, answer.Replicas); err != nil {
			v.logger.Error("cannot coordinate although it is needed", "region", home.Region, "err", err)
			break
		}
		return soon // so that the leader knows
	}
	if v.ways.measure(ctx, v.cfg.Coordinator.Network, answer.Replicas) || v.disk.young() {
		return soon
	}
	return coordinator.OfferEvery
}

// offer tells the leader how the node stands.
func (v *Volunteer) offer(ctx context.Context, home Home) (*skeinv1.OfferResponse, error) {
	cfg := &v.cfg.Coordinator
	req := &skeinv1.OfferRequest{
		Region: string(home.Region), Member: string(home.Member),
		Host: &skeinv1.ReplicaHost{Grpc: cfg.Advertise.GRPC, Raft: cfg.Advertise.Raft},
		Site: cfg.Site, Operator: cfg.Operator, Rtts: v.ways.list(), Serving: v.Server() != nil,
	}
	writes, p99 := v.disk.standing()
	req.Writes, req.WriteP99Us = uint32(writes), p99.Microseconds()
	var answer *skeinv1.OfferResponse
	err := v.line.call(ctx, slices.Concat(home.Coordinators, v.ways.addresses()), func(ctx context.Context, c clients) (err error) {
		answer, err = c.Offer(ctx, req)
		return err
	})
	return answer, err
}

// serve starts the coordinator; replicas are whom it meets first.
func (v *Volunteer) serve(ctx context.Context, replicas []*skeinv1.ReplicaHost) error {
	cfg := v.cfg.Coordinator
	for _, r := range v.ways.living(replicas) {
		cfg.Seeds = append(cfg.Seeds, coordinator.Peer{ID: region.MemberID(r.Id), GRPC: r.Grpc, Raft: r.Raft})
	}
	if v.ports != nil {
		v.ports.close()
		v.ports = nil
	}
	server, err := coordinator.Start(ctx, cfg)
	if err != nil {
		var again error
		v.ports, again = openPorts(ctx, &v.cfg.Coordinator)
		return errors.Join(err, again)
	}
	v.mu.Lock()
	v.server = server
	v.mu.Unlock()
	v.idle = time.Now()
	v.logger.Info("coordinates, because it is needed")
	return nil
}

// rest stops the coordinator if it has not been needed for a while.
func (v *Volunteer) rest(ctx context.Context, now time.Time) {
	server := v.Server()
	switch {
	case server == nil:
		if v.ports == nil { // they could not be opened
			v.ports, _ = openPorts(ctx, &v.cfg.Coordinator)
		}
	case len(server.Regions()) > 0:
		v.idle = time.Time{}
	case v.idle.IsZero():
		v.idle = now
	case now.Sub(v.idle) >= v.cfg.Idle:
		v.mu.Lock()
		v.server = nil
		v.mu.Unlock()
		if err := server.Close(); err != nil {
			v.logger.Warn("the coordinator did not end well", "err", err)
		}
		v.logger.Info("does not coordinate any more: it is not needed")
		var err error
		if v.ports, err = openPorts(ctx, &v.cfg.Coordinator); err != nil {
			v.logger.Warn("cannot be reached, and so not be invited", "err", err)
		}
	}
}

// Shutdown hands what it hosts to others, as far as there are any and ctx allows, and
// stops.
func (v *Volunteer) Shutdown(ctx context.Context) error {
	if server := v.Server(); server != nil {
		v.halt()
		if err := server.Retire(ctx); err != nil {
			v.logger.Warn("what it hosts is missing from its groups until they have replaced it", "err", err)
		}
	}
	return v.Close()
}

// halt ends run.
func (v *Volunteer) halt() {
	v.cancel()
	v.wg.Wait()
}

// Close stops everything at once. A coordinator that hosts something is missing from its
// group until it is started again, or replaced.
func (v *Volunteer) Close() error {
	v.halt()
	v.mu.Lock()
	server, closed := v.server, v.closed
	v.server, v.closed = nil, true
	v.mu.Unlock()
	if closed {
		return nil
	}
	v.line.close()
	if v.ports != nil {
		v.ports.close()
	}
	if server != nil {
		return server.Close()
	}
	return nil
}
