package coordinator

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// second is a further group on all coordinators of a cluster.
func (c *cluster) second(id region.ID) Group {
	return Group{Region: id, Peers: c.configs[0].Groups[0].Peers}
}

func (c *cluster) host(g Group) {
	c.t.Helper()
	for i, s := range c.running() {
		if err := s.Host(g); err != nil {
			c.t.Fatalf("coordinator %d: %v", i, err)
		}
	}
	c.until("a coordinator leads the new group", func() bool {
		for _, s := range c.running() {
			if s.Leading(g.Region) {
				return true
			}
		}
		return false
	})
}

func TestGroupsComeAndGoAtRunTime(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.leader()
	c.host(c.second("r2"))
	for i, s := range c.running() {
		if err := s.Host(c.second("r2")); err != nil {
			t.Errorf("hosting twice on coordinator %d: %v", i, err)
		}
	}
	// A replica that came at run time is there after a restart, too.
	c.kill(1)
	c.start(1)
	if s := c.running()[1]; s.Region("r2") == nil || s.Region("r1") == nil {
		t.Fatalf("after a restart coordinator 1 hosts %v", s.Regions())
	}
	for i, s := range c.running() {
		if err := s.Drop("r2"); err != nil {
			t.Fatalf("coordinator %d: %v", i, err)
		}
		if _, err := os.Stat(filepath.Join(c.configs[i].DataDir, "r2")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the data of r2 are left on coordinator %d: %v", i, err)
		}
		if err := s.Drop("r2"); err != nil {
			t.Errorf("dropping twice: %v", err)
		}
	}
	c.kill(1)
	c.start(1)
	if ids := c.running()[1].Regions(); len(ids) != 1 || ids[0] != "r1" {
		t.Errorf("after Drop and a restart coordinator 1 hosts %v", ids)
	}
	c.leader()
}

func TestADroppedGroupOfTheConfigurationStaysAway(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.leader()
	if err := c.running()[0].Drop("r1"); err != nil {
		t.Fatal(err)
	}
	c.kill(0)
	c.start(0)
	if ids := c.running()[0].Regions(); len(ids) != 0 {
		t.Errorf("hosts %v", ids)
	}
	// Hosted again it begins anew.
	c.host(c.second("r1"))
}

func TestWatchersOfADroppedRegionAreSentAway(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.leader()
	c.host(c.second("r2"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := skeinv1.NewInspectionClient(c.dial(0, c.credentials(trust.RoleOperator)))
	watch, err := client.Watch(ctx, &skeinv1.WatchRequest{Region: "r2"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := watch.Recv(); err != nil {
				ended <- skeinv1.FromStatus(err)
				return
			}
		}
	}()
	time.Sleep(10 * time.Millisecond) // whether it has begun to wait by then makes no difference
	if err := c.running()[0].Drop("r2"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, region.ErrClosed) && !errors.Is(err, region.ErrInvalid) {
		t.Errorf("the watch ended with %v", err)
	}
}

func TestAStrangerToAGroupIsNotHosted(t *testing.T) {
	c := newCluster(t, 1, nil)
	peers := []Peer{{ID: "somebody", Raft: "127.0.0.1:1", GRPC: "127.0.0.1:2"}}
	if err := c.running()[0].Host(Group{Region: "r2", Peers: peers}); !errors.Is(err, region.ErrInvalid) {
		t.Errorf("hosted a group it is no peer of: %v", err)
	}
	if err := c.running()[0].Drop("r2"); err != nil {
		t.Error(err)
	}
}
