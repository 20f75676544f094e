package world

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// relocate has an operator ask who leads to move a replica.
func (w *world) relocate(role trust.Role, from, to string) error {
	leader := w.leads()
	if leader == nil {
		return region.ErrNotLeader
	}
	conn := must(grpc.NewClient("passthrough:///"+leader.cfg.GRPC,
		grpc.WithTransportCredentials(credentials.NewTLS(w.issue(role).ClientTLS())),
		grpc.WithContextDialer(w.net.Host("10.3.0.1").Dial)))
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := skeinv1.NewInspectionClient(conn).MoveReplica(ctx, &skeinv1.MoveReplicaRequest{Region: string(home), From: from, To: to})
	return skeinv1.FromStatus(err)
}

// An operator moves replicas one by one until none of the first coordinators hosts the
// region, the leader among them. They stay there, and nobody misses a packet.
func TestAnOperatorMovesReplicas(t *testing.T) {
	inWorld(t, 1, 3, func(w *world) {
		w.populate(mixed(4)...)
		w.stage("stage")
		w.recruit(3)
		time.Sleep(time.Minute)
		for _, c := range []struct {
			role     trust.Role
			from, to string
			want     error
		}{
			{trust.RoleMember, "", w.elsewhere[0].cfg.GRPC, region.ErrForbidden},
			{trust.RoleOperator, "", "10.9.9.9:7400", region.ErrInvalid},
			{trust.RoleOperator, w.elsewhere[0].cfg.GRPC, "", region.ErrInvalid},
			{trust.RoleOperator, w.coordinators[0].cfg.GRPC, w.coordinators[1].cfg.GRPC, region.ErrInvalid},
		} {
			if err := w.relocate(c.role, c.from, c.to); !errors.Is(err, c.want) {
				t.Errorf("a %s moves %q to %q: %v, want %v", c.role, c.from, c.to, err, c.want)
			}
		}
		mark(w.audience("stage"))
		first := w.leads()
		for i, s := range w.coordinators {
			w.within(time.Minute, "the replica of "+s.name+" is moved", func() error {
				return w.relocate(trust.RoleOperator, string(s.cfg.Credentials.ID()), w.elsewhere[i].cfg.GRPC)
			})
			voters := w.leads().server.Replicas(home)
			if len(voters) != 3 || slices.Contains(voters, s.cfg.Credentials.ID()) || !slices.Contains(voters, w.elsewhere[i].cfg.Credentials.ID()) {
				w.fault("the replica of %s is to be at %s: %v", s.name, w.elsewhere[i].name, voters)
			}
		}
		if w.leads() == first {
			w.fault("%s leads still", first.name)
		}
		time.Sleep(2 * time.Minute)
		if hosts := w.hosts(home); !slices.Equal(hosts, []string{"c4", "c5", "c6"}) {
			w.fault("hosted by %v", hosts)
		}
		w.unbroken(w.audience("stage"), steady)
	})
}
