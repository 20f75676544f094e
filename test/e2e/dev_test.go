package e2e

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/skein-mesh/skein/cmd/skein/dev"
)

// testnet runs skein dev to its end and returns the summary.
func testnet(t *testing.T, args ...string) dev.Summary {
	t.Helper()
	return decode[dev.Summary](t, must(t, append([]string{"dev", "-o", "json", "--page", ""}, args...)...))
}

// nothingLost judges the books of all surviving subscribers.
func nothingLost(t *testing.T, s dev.Summary, survivors int) {
	t.Helper()
	if s.InvariantsBroken != 0 {
		t.Errorf("%d invariants broken", s.InvariantsBroken)
	}
	if len(s.Streams) != 2 {
		t.Errorf("%d streams, want a camera's two", len(s.Streams))
	}
	for _, r := range s.Streams {
		if r.Subscribers != survivors || r.PacketsReceivedMin == 0 || r.PacketsLostMax != 0 || r.DuplicatesDelivered != 0 {
			t.Errorf("%+v, want all packets once at %d subscribers", r, survivors)
		}
		if r.DelayMsP50 <= 0 || r.DelayMsP99 < r.DelayMsP50 {
			t.Errorf("%s: delays p50 %g, p99 %g ms", r.Name, r.DelayMsP50, r.DelayMsP99)
		}
	}
}

func TestATestnetLosesNothing(t *testing.T) {
	s := testnet(t, "--members", "8", "--for", "8s")
	nothingLost(t, s, 7)
	if s.Coordinators != 3 || s.Members != 8 || s.Admissions.Accepted < 14 || len(s.Kills) != 0 {
		t.Errorf("%+v, want 3 coordinators, 8 members, an admission per subscriber and stream, no kill", s)
	}
}

func TestKillsCostNoPacket(t *testing.T) {
	s := testnet(t, "--members", "10", "--latency", "synthetic", "--for", "22s", "--kill", "relay@4s,leader@9s+4s,random@15s")
	nothingLost(t, s, 7)
	var what []string
	for _, k := range s.Kills {
		what = append(what, k.What)
	}
	if !slices.Equal(what, []string{"relay", "leader", "random"}) || s.Kills[0].Orphans == 0 {
		t.Errorf("kills %+v, want relay with orphans, leader, random", s.Kills)
	}
}

func TestProcessesAreKilledForReal(t *testing.T) {
	s := testnet(t, "--processes", "--members", "6", "--for", "14s", "--kill", "relay@3s,leader@6s+3s")
	nothingLost(t, s, 4)
}

// All coordinators are gone for a while, and a relay dies meanwhile: its children
// heal by themselves, and the coordinators that come back take up what is.
func TestStreamsOutliveAllCoordinators(t *testing.T) {
	s := testnet(t, "--members", "8", "--for", "28s", "--kill", "coordinators@3s+10s,relay@7s")
	nothingLost(t, s, 6)
	if len(s.Kills) != 2 || s.Kills[1].Orphans == 0 {
		t.Errorf("kills %+v, want a relay with orphans among them", s.Kills)
	}
}

// All coordinators of a region are killed for good, and their data deleted: others form it
// anew, out of what its members hold, while these go on.
func TestALostRegionIsFormedAnew(t *testing.T) {
	s := testnet(t, "--processes", "--regions", "2", "--coordinators", "6", "--members", "8", "--for", "28s", "--kill", "region@3s")
	nothingLost(t, s, 7)
	if len(s.Kills) != 1 || s.Kills[0].Reformed == nil {
		t.Fatalf("kills %+v, want that of a region, which was formed anew", s.Kills)
	}
	if r := s.Kills[0].Reformed; r.Edges == 0 || r.EdgesChanged != 0 {
		t.Errorf("%+v, want the same edges as before", r)
	}
	t.Logf("formed anew after %.1f s", s.Kills[0].Reformed.AfterS)
}

func TestATestnetComesBackOnItsFolder(t *testing.T) {
	data := filepath.Join(t.TempDir(), "testnet")
	for range 2 {
		nothingLost(t, testnet(t, "--members", "4", "--for", "4s", "--data", data), 3)
	}
	wrong(t, 2, []string{"3 coordinators", "--coordinators 3"}, "dev", "--coordinators", "1", "--data", data)
}

// A testnet that is interrupted ends cleanly and sums up.
func TestInterruptingATestnet(t *testing.T) {
	p := launch(t, "dev", "--members", "4", "--page", "", "--data", filepath.Join(t.TempDir(), "testnet"))
	eventually(t, "the testnet", func() bool { return p.said("receive all streams") })
	if code := p.end(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	if !p.said("camera-1/video") {
		t.Error("no summary after SIGTERM")
	}
}
