package group

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

func (a *actor) says(text string) bool {
	return strings.Contains(strings.Join(a.Status().Problems, "\n"), text)
}

func TestALeaderWhoseDiskStallsIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		stalled := c.leader()
		stalled.join(1, 5)
		start := time.Now()
		stalled.disk.hang()
		_, err := stalled.Propose(t.Context(), join(stalled.State().Region.Revision(), 6))
		if !errors.Is(err, region.ErrOutcomeUnknown) {
			t.Errorf("proposal on a stalled disk: %v", err)
		}
		next := c.leader(stalled)
		t.Logf("new leader %v after the stall", time.Since(start))
		next.join(7, 10)
		if s := stalled.Status(); s.Role != "stopped" || !stalled.says("did not answer for 10s") {
			t.Errorf("the stalled replica says %s, %q", s.Role, s.Problems)
		}

		stalled.disk.heal()
		until(t, "the replica runs again", func() bool { return stalled.Status().Restarts == 1 })
		c.agreed()
		if problems := stalled.Status().Problems; len(problems) > 0 {
			t.Errorf("problems remain: %q", problems)
		}
	})
}

func TestAFollowerWhoseDiskStallsHoldsNobodyUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		leader.join(1, 1)
		stalled := c.followers()[0]
		stalled.disk.hang()
		leader.join(2, 20)
		until(t, "the follower stops", func() bool { return stalled.Status().Role == "stopped" })
		if !leader.leads() {
			t.Error("the leader changed")
		}
		stalled.disk.heal()
		c.agreed()
	})
}

func TestCloseDoesNotWaitForADiskThatHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		stalled := c.leader()
		stalled.disk.hang()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := stalled.Propose(ctx, join(stalled.State().Region.Revision(), 1)); !errors.Is(err, region.ErrOutcomeUnknown) {
			t.Errorf("proposal on a stalled disk: %v", err)
		}
		if err := stalled.Close(); err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("close: %v", err)
		}
	})
}

func TestAFullDiskStopsTheReplicaNotTheProcess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		leader.join(1, 5)
		leader.disk.fail(syscall.ENOSPC)
		_, err := leader.Propose(t.Context(), join(leader.State().Region.Revision(), 6))
		if !errors.Is(err, region.ErrOutcomeUnknown) {
			t.Errorf("proposal on a full disk: %v", err)
		}
		c.leader(leader).join(7, 8)
		if !leader.says("no space left on device") {
			t.Errorf("it says %q", leader.Status().Problems)
		}
		leader.disk.heal()
		c.agreed()
	})
}

// The library panics when it cannot save a vote; with one group's disk, the
// process and its other groups would go.
func TestAReplicaThatCannotSaveItsVoteStops(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		leader.join(1, 5)
		c.agreed()
		voters := c.followers()
		for _, a := range voters {
			a.disk.fail(syscall.EIO)
		}
		leader.die() // the others stand for election, and must save their votes
		until(t, "one of them stops", func() bool {
			return voters[0].says("input/output error") || voters[1].says("input/output error")
		})
		for _, a := range voters {
			a.disk.heal()
		}
		c.leader().join(6, 7)
		leader.start(c.voters())
		c.agreed()
	})
}

// raw puts bytes into the log past all checks, as a newer version might.
func (a *actor) raw(data []byte) {
	a.cast.t.Helper()
	r, _ := a.current()
	if err := r.raft.Load().Apply(data, time.Second).Error(); err != nil {
		a.cast.t.Fatal(err)
	}
}

func TestAnEntryThatIsNotUnderstoodStopsTheReplica(t *testing.T) {
	for name, spoil := range map[string]func(*skeinv1.Entry){
		"a newer version": func(e *skeinv1.Entry) { e.Version = 2 },
		"a newer edit":    func(e *skeinv1.Entry) { e.Change.Edits[0].Kind = nil },
		"an impossible change": func(e *skeinv1.Entry) {
			e.Change.Edits[0] = skeinv1.FromEdit(region.DropMember{Member: id(99), Lease: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newCast(t, 3)
				c.startAll()
				leader := c.leader()
				leader.join(1, 5)
				before := c.agreed()
				e := join(leader.State().Region.Revision(), 6)
				spoil(e)
				data, err := proto.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				leader.raw(data)
				// The last one need not learn that the entry is committed: with the
				// others gone, nobody can tell it.
				stopped := func() (n int) {
					for _, a := range c.nodes {
						if a.Status().Role == "stopped" && a.says("cannot be applied") {
							n++
						}
					}
					return n
				}
				until(t, "most stop", func() bool { return stopped() >= 2 })
				time.Sleep(3 * time.Minute)
				if stopped() < 2 || leader.Status().Restarts > 0 {
					t.Error("a replica was opened again")
				}
				for _, a := range c.nodes {
					if a.State().Hash() != before || a.leads() {
						t.Errorf("%s went on", a.name)
					}
				}
			})
		})
	}
}

func TestAnOvertakenEntryIsRefusedByAllAlike(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		leader.join(1, 5)
		data, err := proto.Marshal(join(leader.State().Region.Revision()-1, 6))
		if err != nil {
			t.Fatal(err)
		}
		leader.raw(data)
		leader.join(7, 7)
		c.agreed()
		if got := leader.State().Region.MemberCount(); got != 6 {
			t.Errorf("%d members, want 6", got)
		}
	})
}

func TestBadFoldersAreNamedWithARemedy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 1)
		a := c.nodes[0]
		a.start(c.voters())
		c.leader().join(1, 50)
		other := DefaultListenerConfig()
		other.Address, other.Credentials, other.Network = "10.0.0.1:9999", a.creds, a.host
		second, err := Listen(t.Context(), other)
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		cfg := a.config(c.voters())
		cfg.Listener = second
		file := filepath.Join(a.dir, "r1", logFile)
		wants := func(what string, words ...string) {
			t.Helper()
			g, err := Open(cfg)
			if err == nil {
				g.Close()
				t.Fatalf("%s: opened", what)
			}
			for _, w := range words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%s: %q lacks %q", what, err, w)
				}
			}
		}
		wants("in use", file, "another process", "stop that one")
		a.stop()

		sound, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		damage := func(b []byte) {
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		damage([]byte("not a database"))
		wants("foreign file", file, "damaged", "new identity")
		damage(sound[:len(sound)/3])
		wants("cut short", filepath.Dir(file), "new identity")
		scrambled := append([]byte(nil), sound...)
		for i := 2 * 4096; i < len(scrambled); i++ {
			scrambled[i] ^= 0x5a
		}
		damage(scrambled)
		wants("scrambled", filepath.Dir(file), "new identity")

		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(file, 0o700); err != nil {
			t.Fatal(err)
		}
		wants("a folder", file)
	})
}

func TestAFolderThatWasKilledAtBirthBeginsAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 1)
		a := c.nodes[0]
		folder := filepath.Join(a.dir, "r1")
		left := filepath.Join(folder, "snapshots", "2-8-1.tmp")
		if err := os.MkdirAll(left, 0o700); err != nil {
			t.Fatal(err)
		}
		d, err := openDisk(folder)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(d.SetUint64(termKey, 1), d.Close()); err != nil {
			t.Fatal(err)
		}
		a.start(c.voters())
		c.leader().join(1, 1)
		if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("half a snapshot is left: %v", err)
		}
	})
}

func TestADamagedSnapshotIsNotRestored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 1)
		a := c.nodes[0]
		a.start(c.voters(), func(cfg *Config) { cfg.TrailingLogs = 0 })
		c.leader().join(1, 20)
		if err := a.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.stop()
		files, err := filepath.Glob(filepath.Join(a.dir, "r1", "snapshots", "*", "state.bin"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		data, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(files[0], data, 0o600); err != nil {
			t.Fatal(err)
		}
		a.listen()
		if g, err := Open(a.config(c.voters())); err == nil {
			g.Close()
			t.Fatal("opened")
		} else if !strings.Contains(err.Error(), "snapshot") || !strings.Contains(err.Error(), "new identity") {
			t.Errorf("%v", err)
		}
	})
}

func TestALyingSnapshotIsFoundOut(t *testing.T) {
	s := newState("r1", 10)
	data, err := encodeState(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeState(data); err != nil {
		t.Errorf("sound: %v", err)
	}
	var m skeinv1.Snapshot
	if err := proto.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	m.Index++
	lying, err := proto.Marshal(&m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeState(lying); !errors.Is(err, region.ErrInvalid) {
		t.Errorf("lying: %v", err)
	}
	f := &fsm{feed: newFeed(s, 8), work: s, progress: newMark()}
	if err := f.Restore(io.NopCloser(strings.NewReader("junk"))); err == nil || f.work != s {
		t.Errorf("junk: %v", err)
	}
}

// A transfer that hangs turns everything away for ever (raft#696).
func TestAWedgedTransferIsGivenUpAfterThreeElectionTimeouts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := &replica{group: &Group{cfg: DefaultConfig()}, stopping: make(chan struct{})}
		start := time.Now()
		wedged := func() error { return raft.ErrLeadershipTransferInProgress }
		if err := r.untilAccepted(wedged); !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
			t.Errorf("wedged: %v", err)
		}
		if took := time.Since(start); took != 4500*time.Millisecond {
			t.Errorf("gave up after %v", took)
		}
		tries := 0
		passing := func() error {
			if tries++; tries < 5 {
				return raft.ErrLeadershipTransferInProgress
			}
			return nil
		}
		if err := r.untilAccepted(passing); err != nil {
			t.Errorf("passing: %v", err)
		}
	})
}

func TestAReplicaThatIsWedgedIsOpenedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCast(t, 3)
		c.startAll()
		leader := c.leader()
		leader.join(1, 5)
		r, _ := leader.current()
		r.fail(breakage{err: raft.ErrLeadershipTransferInProgress})
		until(t, "a restart", func() bool { return leader.Status().Restarts == 1 })
		c.leader().join(6, 10)
		c.agreed()
	})
}

func TestFollowersInTroubleAreNamed(t *testing.T) {
	now := time.Unix(1000, 0)
	ago := func(s int) time.Time { return now.Add(-time.Duration(s) * time.Second) }
	for _, tt := range []struct {
		name string
		f    follower
		want string
	}{
		{"well", follower{match: 9, heard: ago(0)}, ""},
		{"slow for a moment", follower{match: 9, heard: ago(0), behind: ago(3)}, ""},
		{"gone", follower{match: 9, heard: ago(60), behind: ago(60)}, ""},
		{"wedged pipeline", follower{match: 9, heard: ago(1), behind: ago(60)}, "takes no entries"},
		{"two snapshots", follower{heard: ago(0), snapshots: []time.Time{ago(9), ago(1)}}, ""},
		{"snapshot livelock", follower{heard: ago(0), snapshots: []time.Time{ago(50), ago(9), ago(1)}}, "one snapshot after the other"},
		{"three in an hour", follower{heard: ago(0), snapshots: []time.Time{ago(3000), ago(2000), ago(1)}}, ""},
	} {
		got := tt.f.trouble(now, 15*time.Second)
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
