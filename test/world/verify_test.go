package world

import (
	"context"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
)

// happened lists the kinds of events that the leader remembers.
func (w *world) happened() map[string]int {
	w.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+w.leader().cfg.GRPC,
		grpc.WithTransportCredentials(credentials.NewTLS(w.issue(trust.RoleOperator).ClientTLS())),
		grpc.WithContextDialer(w.net.Host("10.3.0.2").Dial))
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	kinds := map[string]int{}
	stream, err := skeinv1.NewInspectionClient(conn).Watch(ctx, &skeinv1.WatchRequest{Region: string(home), After: 1})
	for err == nil {
		var m *skeinv1.WatchResponse
		if m, err = stream.Recv(); err == nil {
			for _, e := range m.Events {
				kinds[e.Kind]++
			}
		}
	}
	w.note("the leader remembers %v", kinds)
	return kinds
}

// shelve copies what all coordinators, none of which runs, have on their disks; what
// it returns puts it back.
func (w *world) shelve() (restore func()) {
	w.t.Helper()
	kept := map[*seat]string{}
	for _, s := range w.coordinators {
		kept[s] = w.folder() + "/copy"
		if err := os.CopyFS(kept[s], os.DirFS(s.cfg.DataDir)); err != nil {
			w.t.Fatal(err)
		}
	}
	return func() {
		for _, s := range w.coordinators {
			if err := os.RemoveAll(s.cfg.DataDir); err != nil {
				w.t.Fatal(err)
			}
			if err := os.CopyFS(s.cfg.DataDir, os.DirFS(kept[s])); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// forget lets the judge begin anew: what the replicas are about to apply is another
// history.
func (j *judge) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	clear(j.hashes)
	j.latest, j.steps, j.holes = nil, nil, true
}

// All coordinators are restored from what they were some time ago. Members know
// better, and what they hold becomes the record; no stream stops for it.
func TestCoordinatorsAreRestoredFromAnOldState(t *testing.T) {
	inTheatre(t, 12, func(w *world, _ []*viewer) {
		each := func(do func(*seat)) {
			for _, s := range w.coordinators {
				do(s)
			}
		}
		each((*seat).kill)
		restore := w.shelve()
		each((*seat).start)
		w.settled()
		// Much happens of which nothing will be known: it takes the log long to come
		// to the same revision again.
		w.hire(6)
		w.office.open()
		time.Sleep(time.Minute)
		w.office.close()
		for range 2 {
			w.relays("stage")[0].kill()
			time.Sleep(20 * time.Second)
		}
		w.settled()
		list := w.audience("stage")
		each((*seat).kill)
		restore()
		w.judge.forget()
		mark(list)
		each((*seat).start)
		w.settled()
		w.unbroken(list, rescue) // parents may have changed
		if kinds := w.happened(); kinds["verify.behind"] == 0 || kinds["verify.contradicted"]+kinds["verify.ghost"] == 0 {
			t.Errorf("people were told of %v only", slices.Sorted(maps.Keys(kinds)))
		}
		// What is decided from now on is obeyed.
		w.relays("stage")[0].kill()
		time.Sleep(20 * time.Second)
		w.settled()
		list = w.audience("stage")
		mark(list)
		time.Sleep(5 * time.Second)
		w.unbroken(list, rescue)
	})
}
