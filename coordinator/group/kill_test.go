package group

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// A process that is killed while it writes comes back on its folder with
// everything it has acknowledged, and goes on.
func TestAKilledProcessLosesNothingAcknowledged(t *testing.T) {
	if dir := os.Getenv("SKEIN_KILL_TEST_DIR"); dir != "" {
		joinForEver(t, dir)
	}
	dir := t.TempDir()
	id, err := trust.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Save(dir); err != nil {
		t.Fatal(err)
	}
	acknowledged := 0
	for round := range 8 {
		held, last := killAfter(t, dir, 5+3*round)
		if held < acknowledged {
			t.Fatalf("round %d: %d members after the restart, %d were acknowledged", round, held, acknowledged)
		}
		acknowledged = last
	}
	if acknowledged < 40 {
		t.Errorf("only %d joins in all rounds", acknowledged)
	}
}

// killAfter runs the child until it has acknowledged some joins, and kills it.
// It returns how many members it found at first, and how many it had at last.
func killAfter(t *testing.T, dir string, joins int) (held, last int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestAKilledProcessLosesNothingAcknowledged$")
	cmd.Env = append(os.Environ(), "SKEIN_KILL_TEST_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	held = -1
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = append(said, lines.Text())
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "held %d", &n); err == nil {
			held, last = n, n
		}
		if _, err := fmt.Sscanf(lines.Text(), "joined %d", &n); err == nil {
			if last = n; n >= held+joins {
				break
			}
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
	if held < 0 || last < held+joins {
		t.Fatalf("the child said:\n%s", strings.Join(said, "\n"))
	}
	return held, last
}

// joinForEver is the child: a group of one that lets members join and says so.
func joinForEver(t *testing.T, dir string) {
	id, err := trust.LoadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	g := aloneAt(t, id, dir)
	for l := range g.Leadership() {
		if l.Leading {
			break
		}
	}
	n := g.State().Region.MemberCount()
	fmt.Printf("held %d\n", n)
	for {
		n++
		e := join(g.State().Region.Revision(), n)
		if _, err := g.Propose(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("joined %d\n", n)
	}
}

// aloneAt opens a group of one on real files and a real socket.
func aloneAt(t testing.TB, id *trust.Identity, dir string) *Group {
	t.Helper()
	ca, err := trust.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	creds, err := ca.Issue(id, trust.RoleCoordinator, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	lc := DefaultListenerConfig()
	lc.Address, lc.Credentials = "127.0.0.1:0", creds
	l, err := Listen(t.Context(), lc)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Region, cfg.Node, cfg.Dir, cfg.Listener, cfg.RaftMultiplier = "r1", creds.ID(), dir, l, 1
	cfg.MaxMembers = region.MaxMembers
	cfg.SnapshotThreshold, cfg.SnapshotInterval = 16, 50*time.Millisecond
	cfg.Voters = []Peer{{Node: creds.ID(), Address: l.Addr()}}
	g, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
