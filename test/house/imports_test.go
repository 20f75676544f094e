package house

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A rule forbids packages of some rooms to import some paths, and says why.
type rule struct {
	rooms   []string
	forbids []string
	except  []string // rooms, or imports, that the rule does not bind
	why     string
}

// rules are those of ARCHITECTURE.md.
var rules = []rule{
	{
		rooms:   []string{"coordinator"},
		forbids: []string{module + "/member"},
		why:     "coordinator and member meet on the wire only; either must be replaceable",
	},
	{
		rooms:   []string{"member"},
		forbids: []string{module + "/coordinator", module + "/reorg", "github.com/hashicorp/raft"},
		why:     "applications link the SDK; it decides nothing and needs no log",
	},
	{
		rooms:   []string{"proto"},
		forbids: []string{module + "/coordinator", module + "/member", module + "/reorg"},
		why:     "the border knows the model only, or both sides would see each other through it",
	},
	{
		rooms:   []string{""},
		forbids: []string{"github.com/hashicorp/raft", "go.etcd.io/bbolt"},
		except:  []string{"coordinator"},
		why:     "Raft is an implementation of the authority, hidden in its room",
	},
	{
		rooms:   []string{""},
		forbids: []string{"github.com/hashicorp/memberlist"},
		except:  []string{"member/gossip", "coordinator", "test"},
		why:     "memberlist stays in as few places as possible: its versions are pinned",
	},
	{
		rooms:   []string{""},
		forbids: []string{"github.com/spf13/cobra", "go.yaml.in/yaml"},
		except:  []string{"cmd"},
		why:     "flags, environment and files are read at the door and nowhere else",
	},
	{
		rooms:   []string{""},
		forbids: []string{module + "/test"},
		except:  []string{"test", "cmd/skein/command", "cmd/skein/dev"},
		why:     "what ships does not depend on its tests",
	},
	{
		rooms:   []string{"cmd/skein/command", "cmd/skein/dev"},
		forbids: []string{module + "/test/world", module + "/test/e2e", module + "/test/house"},
		why:     "of the tests only test/sim ships, as skein sim and for the bounds of skein dev",
	},
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, r := range rules {
			if r.rooms[0] != "" && !p.in(r.rooms...) || p.in(r.except...) {
				continue
			}
			for _, imp := range p.Imports {
				if within(imp, r.forbids...) {
					t.Errorf("%s imports %s: %s", p.room(), imp, r.why)
				}
			}
		}
	}
}

// pure are the rooms without time, chance, input or output.
var pure = map[string][]string{
	// Imports of the standard library that a pure room may not have.
	"region": {"os", "net", "net/http", "log", "log/slog", "context", "sync", "sync/atomic", "math/rand", "math/rand/v2", "runtime", "io/fs", "os/exec", "unsafe"},
	// The planner takes its chance as an argument of type *rand.Rand.
	"reorg": {"os", "net", "net/http", "log", "log/slog", "context", "sync", "sync/atomic", "math/rand", "runtime", "io/fs", "os/exec", "unsafe"},
}

func TestPureRoomsImportNothing(t *testing.T) {
	for _, p := range packages(t) {
		for room, banned := range pure {
			if !p.in(room) {
				continue
			}
			for _, imp := range p.Imports {
				own := within(imp, module+"/region") || room == "reorg" && within(imp, module+"/reorg")
				if strings.Contains(strings.Split(imp, "/")[0], ".") && !own {
					t.Errorf("%s imports %s: the model and the planner use the standard library only", p.room(), imp)
				}
				if slices.Contains(banned, imp) {
					t.Errorf("%s imports %s: time, chance and the world are arguments here", p.room(), imp)
				}
			}
		}
	}
}

func TestNoPackageIsADrawer(t *testing.T) {
	for _, p := range packages(t) {
		for _, part := range strings.Split(p.room(), "/") {
			if slices.Contains([]string{"util", "utils", "common", "types", "pkg", "helpers", "misc"}, part) {
				t.Errorf("%s: a package is named after what it holds", p.room())
			}
		}
	}
}

func TestNoReplace(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "replace") {
			t.Errorf("go.mod: %q: others import this module, and replace does not reach them", line)
		}
	}
}
