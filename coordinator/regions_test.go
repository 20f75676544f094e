package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// entry asks coordinator i for a region until holds is content with it.
func (c *cluster) entry(i int, id region.ID, holds func(region.Descriptor) bool) *skeinv1.RegionEntry {
	c.t.Helper()
	client := skeinv1.NewDirectoryClient(c.dial(i, c.credentials(trust.RoleMember)))
	var entry *skeinv1.RegionEntry
	c.until("the directory knows the region as it is", func() bool {
		resp, err := client.Regions(c.t.Context(), &skeinv1.RegionsRequest{Region: string(id)})
		if err != nil {
			c.t.Fatal(err)
		}
		for _, e := range resp.Regions {
			d, err := skeinv1.OpenDescriptor(e.Signed)
			if err != nil {
				c.t.Fatal(err)
			}
			if holds(d) {
				entry = e
			}
		}
		return entry != nil
	})
	return entry
}

func TestEveryCoordinatorTellsOfEveryRegion(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.leader()
	// A region that only coordinator 0 hosts.
	alone := Group{Region: "r2", Peers: c.configs[0].Groups[0].Peers[:1]}
	if err := c.running()[0].Host(alone); err != nil {
		t.Fatal(err)
	}
	for i := range c.running() {
		c.entry(i, "r1", func(d region.Descriptor) bool { return len(d.Replicas) == 3 })
		c.entry(i, "r2", func(d region.Descriptor) bool {
			return len(d.Replicas) == 1 && d.Replicas[0].GRPC == c.configs[0].GRPC
		})
	}
	if e := c.entry(0, "r2", func(region.Descriptor) bool { return true }); e.RttUs != 0 {
		t.Errorf("the host of a region says it is %d us away", e.RttUs)
	}
	m := c.participant(1000)
	m.join()
	c.entry(2, "r1", func(d region.Descriptor) bool { return d.Members == 1 && d.Uplink == 1000 && len(d.Probes) == 1 })

	// Who asks the wrong coordinator is told where the region is.
	client := skeinv1.NewMembershipClient(c.dial(1, c.credentials(trust.RoleMember)))
	_, err := client.Join(t.Context(), &skeinv1.JoinRequest{Region: "r2", RequestId: "1"})
	e, ok := errors.AsType[*region.ElsewhereError](skeinv1.FromStatus(err))
	if !ok || !errors.Is(e, region.ErrElsewhere) || len(e.Now) != 1 || e.Now[0].Replicas[0].GRPC != c.configs[0].GRPC {
		t.Errorf("a call to the wrong coordinator: %v", err)
	}
	// Who speaks of another generation is told what it is.
	stream, err := m.leader().Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&skeinv1.SessionRequest{Hello: &skeinv1.SessionHello{Region: "r1", Lease: m.lease, Generation: 9}}); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	e, ok = errors.AsType[*region.ElsewhereError](skeinv1.FromStatus(err))
	if !ok || !errors.Is(e, region.ErrGeneration) || e.Now[0].Generation != 1 {
		t.Errorf("a session of another generation: %v", err)
	}
}

func TestRegionsAreShownAsJSON(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.leader()
	c.entry(0, "r1", func(region.Descriptor) bool { return true })
	w := httptest.NewRecorder()
	c.running()[0].Handler().ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/regions", nil))
	var view struct {
		Regions []struct {
			Descriptor struct {
				Region   string
				Replicas []struct{ Grpc string }
			}
		}
		Coordinators []struct{ Groups int }
	}
	if err := json.NewDecoder(strings.NewReader(w.Body.String())).Decode(&view); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if len(view.Regions) != 1 || view.Regions[0].Descriptor.Replicas[0].Grpc != c.configs[0].GRPC || len(view.Coordinators) != 1 || view.Coordinators[0].Groups != 1 {
		t.Errorf("shown: %s", w.Body)
	}
}
