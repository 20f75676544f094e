package coordinator

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// Bad input gets an error that says what to do, and leaves nothing half done.

func TestAPortInUseIsNamed(t *testing.T) {
	c := newCluster(t, 1, nil)
	for flag, change := range map[string]func(*Config){
		"--grpc": func(cfg *Config) { cfg.GRPC = c.configs[0].GRPC },
		"--raft": func(cfg *Config) { cfg.Raft = c.configs[0].Raft },
	} {
		cfg := c.configs[0]
		cfg.DataDir = t.TempDir()
		cfg.GRPC, cfg.Raft = "127.0.0.1:0", "127.0.0.1:0"
		change(&cfg)
		s, err := Start(t.Context(), cfg)
		if err == nil {
			s.Close()
			t.Fatalf("%s: started on a port in use", flag)
		}
		if !strings.Contains(err.Error(), "port is in use") || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
	// What the failed starts had opened is closed: the same settings work.
	c.kill(0)
	c.start(0)
	c.leader()
}

func TestAConfigThatCannotWorkIsRefused(t *testing.T) {
	c := newCluster(t, 1, nil)
	for field, change := range map[string]func(*Config){
		"DataDir":        func(cfg *Config) { cfg.DataDir = "" },
		"Credentials":    func(cfg *Config) { cfg.Credentials = nil },
		"Groups":         func(cfg *Config) { cfg.Groups = nil },
		"this coord":     func(cfg *Config) { cfg.Credentials = c.credentials(trust.RoleCoordinator) },
		"RaftMultiplier": func(cfg *Config) { cfg.RaftMultiplier = 11 },
		"MaxMembers":     func(cfg *Config) { cfg.MaxMembers = region.MaxMembers + 1 },
		"LeaseTTL":       func(cfg *Config) { cfg.LeaseTTL = time.Millisecond },
		"DefaultConfig":  func(cfg *Config) { cfg.QueueSize = 0 },
	} {
		cfg := c.configs[0]
		change(&cfg)
		if _, err := Start(t.Context(), cfg); !errors.Is(err, region.ErrInvalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestAStreamNameHasBounds(t *testing.T) {
	c := newCluster(t, 1, nil)
	p := c.participant(1000)
	p.join()
	before := c.agree().Hash()
	for _, name := range []string{strings.Repeat("x", 10<<10), "", "with space", "bell\a", "\xff"} {
		_, err := p.leader().Publish(t.Context(), &skeinv1.PublishRequest{
			Region: "r1", RequestId: p.requestID(), Lease: p.lease, Stream: name, Kind: skeinv1.Kind_KIND_DATA, LayerKbps: []uint32{1},
		})
		// What is not UTF-8 does not even get across.
		if name != "\xff" && !errors.Is(skeinv1.FromStatus(err), region.ErrInvalid) || err == nil {
			t.Errorf("%.20q: %v", name, err)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("the error has %d bytes", len(err.Error()))
		}
	}
	if c.agree().Hash() != before {
		t.Error("something has changed")
	}
}

func TestAMemberOfAnotherClusterStaysOut(t *testing.T) {
	c := newCluster(t, 1, nil)
	authority, err := trust.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	id, err := trust.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	creds, err := authority.Issue(id, trust.RoleMember, trust.CertificateTTL, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p := c.participant(1000)
	p.creds = creds
	_, err = p.leader().Join(t.Context(), p.joinRequest())
	if err == nil || !strings.Contains(err.Error(), "another cluster") {
		t.Errorf("join with a certificate of another cluster: %v", err)
	}
	if c.region().MemberCount() != 0 {
		t.Error("it is a member")
	}
}

func TestACallerThatAsksTooOftenIsToldToWait(t *testing.T) {
	c := newCluster(t, 1, func(cfg *Config) { cfg.CallBurst, cfg.CallsPerSecond = 5, 0.001 })
	p, other := c.participant(1000), c.participant(1000)
	p.join()
	client := p.leader()
	var err error
	for range 5 {
		_, err = client.Locate(t.Context(), &skeinv1.LocateRequest{Region: "r1", Lease: p.lease, Stream: "cam"})
	}
	if !errors.Is(skeinv1.FromStatus(err), region.ErrOverloaded) {
		t.Fatalf("the sixth call: %v", err)
	}
	if delay, ok := skeinv1.RetryDelay(err); !ok || delay <= 0 {
		t.Errorf("no advice when to come again: %v", err)
	}
	other.join()
}

func TestWithoutTheCAKeyNobodyIsEnrolled(t *testing.T) {
	c := newCluster(t, 2, func(cfg *Config) { cfg.Authority = nil })
	client := skeinv1.NewEnrolmentClient(c.dial(0, nil))
	_, err := client.Enrol(t.Context(), &skeinv1.EnrolRequest{Token: "skein1", Role: "member"})
	if err == nil || !unavailable(err) || !strings.Contains(err.Error(), c.configs[1].GRPC) {
		t.Errorf("enrol: %v", err)
	}
}

// A connection that never says anything does not keep others out, nor the
// server from closing.
func TestASilentConnectionDoesNoHarm(t *testing.T) {
	c := newCluster(t, 1, nil)
	conn, err := net.Dial("tcp", c.configs[0].GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := c.participant(1000)
	p.join()
	c.kill(0)
}
