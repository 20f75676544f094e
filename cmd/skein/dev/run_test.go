package dev

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A whole testnet in this process, so that the race detector sees all of it.
func TestRunKeepsTheBooks(t *testing.T) {
	var lines strings.Builder
	cfg := DefaultConfig()
	cfg.Members, cfg.Duration, cfg.Page, cfg.Progress = 6, 4*time.Second, "127.0.0.1:0", &lines
	cfg.Uplinks = []region.Rate{4000}
	cfg.LatencyFile = Synthetic
	cfg.Kills = []Kill{{What: KillRandom, At: time.Second}}
	s, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if s.InvariantsBroken != 0 || len(s.Streams) != 2 || len(s.Kills) != 1 {
		t.Errorf("%+v", s)
	}
	for _, r := range s.Streams {
		if r.Subscribers != 4 || r.PacketsReceivedMin == 0 || r.DuplicatesDelivered != 0 || r.PacketsSent < r.PacketsReceivedMin {
			t.Errorf("%+v", r)
		}
	}
	for _, want := range []string{"all 6 members receive all streams", "killed random (member-"} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("progress lacks %q:\n%s", want, lines.String())
		}
	}
}

// Of a video in layers every member draws the lowest and one more, and each is
// accounted for.
func TestRunInLayers(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Members, cfg.Duration, cfg.Page, cfg.Door, cfg.Layers = 5, 3*time.Second, "", false, 3
	cfg.Uplinks = []region.Rate{8000}
	s, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	video := s.Streams[0]
	if video.Subscribers != 4 || video.PacketsReceivedMin == 0 || video.PacketsLostMax > 0 || video.DuplicatesDelivered > 0 || len(video.Layers) != 3 {
		t.Fatalf("%+v", video)
	}
	for i, want := range []int{1, 2, 1} { // members 2 to 5 from the middle on
		if l := video.Layers[i]; l.Subscribers != want || l.PacketsReceivedMin == 0 {
			t.Errorf("layer %d: %+v", i, l)
		}
	}
	if s.Streams[1].Layers != nil {
		t.Errorf("the sound has layers: %+v", s.Streams[1])
	}
}

func TestKillsAreRead(t *testing.T) {
	kills, err := ParseKills("leader@15s+5s, relay@10s,random@20s,region@25s")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range kills {
		got = append(got, k.String())
	}
	if text := strings.Join(got, " "); text != "relay@10s leader@15s+5s random@20s region@25s" {
		t.Errorf("in order of time: %s", text)
	}
	for _, bad := range []string{"relay", "relay@", "relay@-1s", "sun@1s", "relay@1s+5s", "region@1s+5s", "leader@1s+0s", ","} {
		if _, err := ParseKills(bad); !errors.Is(err, region.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", bad, err)
		}
	}
}

func TestSitesAndAddressesAreInverse(t *testing.T) {
	for site := range MaxMembers {
		if got, ok := siteOf(memberIP(site)); !ok || got != site {
			t.Fatalf("site %d has address %v, which is site %d (%v)", site, memberIP(site), got, ok)
		}
	}
}
