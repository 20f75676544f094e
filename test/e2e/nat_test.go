package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The kinds of NAT.
const (
	// fullCone lets everybody in at the port that was mapped.
	fullCone = "full cone"
	// portRestricted lets in who was written to, from the port that was written to.
	portRestricted = "port restricted"
	// symmetric maps another port for each destination.
	symmetric = "symmetric"
)

// Members behind NATs of all kinds exchange media: directly where that can be, and
// through a coordinator's TURN server where it cannot.
func TestNAT(t *testing.T) {
	needNamespaces(t)
	for _, c := range []struct {
		a, b   string
		direct bool
	}{
		{fullCone, fullCone, true},
		{portRestricted, portRestricted, true},
		{symmetric, fullCone, true},
		{symmetric, portRestricted, false},
		{symmetric, symmetric, false},
	} {
		t.Run(c.a+" to "+c.b, func(t *testing.T) {
			l := newLab(t, c.a, c.b)
			if c.direct { // whatever goes through TURN's allocations is lost
				l.in("wan", "iptables -A INPUT -p udp -d 203.0.113.1 ! --dport 3478 -j DROP")
			}
			token := strings.TrimSpace(must(t, "token", "create", "--authority", filepath.Join(l.dir, "ca"), "--ttl", "10m"))
			member := func(ns string, args ...string) []string {
				return append(l.enter(ns), append(args, "--coordinators", "203.0.113.1:7400", "--token", token,
					"--media", ":7500", "--gossip", "none", "--log-level", "debug")...)
			}
			spawn(t, member("a", "publish", "pattern", "--stream", "camera")...)
			result := filepath.Join(t.TempDir(), "result")
			player := spawn(t, append([]string{"sh", "-c", `"$@" > ` + result, "sh"}, member("b", "play", "camera/video", "--for", "3s", "-o", "json")...)...)
			eventually(t, "the player ends", func() bool {
				select {
				case <-player.done:
					return true
				default:
					return false
				}
			})
			out, err := os.ReadFile(result)
			if err != nil {
				t.Fatal(err)
			}
			r := decode[struct {
				Received uint64 `json:"packets_received"`
				Lost     uint64 `json:"packets_lost"`
			}](t, string(out))
			if r.Received < 200 || r.Lost > 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// A lab is an internet in network namespaces: a coordinator in wan, and hosts a and b,
// each behind a NAT of its own.
type lab struct {
	t      *testing.T
	prefix string
	dir    string
}

func needNamespaces(t *testing.T) {
	t.Helper()
	why := ""
	for _, program := range []string{"ip", "iptables"} {
		if _, err := exec.LookPath(program); err != nil {
			why = program + " is not installed"
		}
	}
	if why == "" {
		probe := fmt.Sprintf("skein-probe-%d", os.Getpid())
		if out, err := exec.Command("ip", "netns", "add", probe).CombinedOutput(); err != nil {
			why = "no network namespaces can be made here, which takes root: " + strings.TrimSpace(string(out))
		} else {
			_ = exec.Command("ip", "netns", "del", probe).Run()
		}
	}
	switch {
	case why == "":
	case os.Getenv("CI") != "":
		t.Fatal(why + "; in CI it must be possible")
	default:
		t.Skip(why)
	}
}

func newLab(t *testing.T, kindA, kindB string) *lab {
	t.Helper()
	l := &lab{t: t, prefix: fmt.Sprintf("skein-%d-", os.Getpid()), dir: filepath.Join(t.TempDir(), "cluster")}
	for _, ns := range []string{"wan", "nat-a", "nat-b", "a", "b"} {
		run(t, "ip", "netns", "add", l.prefix+ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", l.prefix+ns).Run() })
		l.in(ns, "ip link set lo up")
	}
	l.in("wan", "ip link add br0 type bridge")
	l.in("wan", "ip addr add 203.0.113.1/24 dev br0")
	l.in("wan", "ip link set br0 up")
	for i, site := range []struct{ name, kind string }{{"a", kindA}, {"b", kindB}} {
		nat, outside, inside := "nat-"+site.name, fmt.Sprintf("203.0.113.%d", 10*(i+1)), fmt.Sprintf("10.%d.0", i+1)
		run(t, "ip", "link", "add", "out", "netns", l.prefix+nat, "type", "veth", "peer", "name", "to-"+site.name, "netns", l.prefix+"wan")
		l.in("wan", "ip link set to-%s master br0 up", site.name)
		l.in(nat, "ip addr add %s/24 dev out", outside)
		l.in(nat, "ip link set out up")
		run(t, "ip", "link", "add", "in", "netns", l.prefix+nat, "type", "veth", "peer", "name", "eth0", "netns", l.prefix+site.name)
		l.in(nat, "ip addr add %s.1/24 dev in", inside)
		l.in(nat, "ip link set in up")
		l.in(nat, "sysctl -qw net.ipv4.ip_forward=1")
		l.in(site.name, "ip addr add %s.2/24 dev eth0", inside)
		l.in(site.name, "ip link set eth0 up")
		l.in(site.name, "ip route add default via %s.1", inside)
		// What nobody asked for leaves no trace, as in a router.
		l.in(nat, "iptables -A INPUT -i out -j DROP")
		random := ""
		if site.kind == symmetric {
			random = "--random-fully"
		}
		if site.kind == fullCone {
			l.in(nat, "iptables -t nat -A PREROUTING -i out -p udp --dport 7500 -j DNAT --to %s.2:7500", inside)
		}
		l.in(nat, "iptables -t nat -A POSTROUTING -o out -j MASQUERADE %s", random)
	}
	must(t, "init", "--coordinators", "203.0.113.1", "--dir", l.dir)
	spawn(t, append(l.enter("wan"), "coordinator", "--config", filepath.Join(l.dir, "coordinator-1", "skein.yaml"), "--turn", "203.0.113.1:3478")...)
	return l
}

// enter is the command line that runs skein in a namespace.
func (l *lab) enter(ns string) []string {
	return []string{"ip", "netns", "exec", l.prefix + ns, program}
}

// in runs a command in a namespace.
func (l *lab) in(ns, command string, args ...any) {
	l.t.Helper()
	run(l.t, append([]string{"ip", "netns", "exec", l.prefix + ns}, strings.Fields(fmt.Sprintf(command, args...))...)...)
}

func run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
