package e2e

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

// All coordinators are gone for ten seconds, and a relay dies meanwhile. Its
// children heal by themselves; once the coordinators are back, their trees are
// what the members hold.
func TestCoordinatorsTakeUpWhatTheMembersHold(t *testing.T) {
	data := filepath.Join(t.TempDir(), "testnet")
	p := launch(t, "dev", "--members", "8", "--page", "127.0.0.1:0", "--data", data, "--kill", "coordinators@2s+10s,relay@5s")
	eventually(t, "the coordinators' return", func() bool { return p.said("starting coordinator-3 again") })
	page := regexp.MustCompile(`http://127[^/]*/`).FindString(p.log.String())
	_, rest, _ := strings.Cut(p.log.String(), "ask it: skein status ")
	operator := strings.Fields(rest)[:4]

	difference := "nobody has answered"
	for _, stream := range []string{"camera-1/video", "camera-1/audio"} {
		eventually(t, "agreement about "+stream, func() bool {
			r := skein(t, append([]string{"tree", stream, "-o", "json"}, operator...)...)
			if r.code != 0 {
				difference = r.err
				return false
			}
			difference = compare(decode[inspect.Tree](t, r.out), held(t, page))
			return difference == ""
		})
	}
	if t.Failed() {
		t.Log(difference)
	}
	if code := p.end(t); code != 0 || !p.said(" 0 invariants broken") {
		t.Errorf("exit code %d", code)
	}
	for _, line := range regexp.MustCompile(`(?m)^camera-1/.*$`).FindAllString(p.log.String(), -1) {
		if f := strings.Fields(line); len(f) < 6 || f[4] != "0" || f[5] != "0" {
			t.Errorf("lost or duplicated packets: %s", line)
		}
	}
}

// held reads what the members hold from the testnet's page.
func held(t *testing.T, page string) inspect.Snapshot {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page+"state", nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var s inspect.Snapshot
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// compare says how the coordinators' tree differs from what the members hold.
func compare(tree inspect.Tree, s inspect.Snapshot) string {
	parents := make(map[string]string)
	for _, n := range tree.Nodes {
		if n.State != "standing" {
			return n.Member + " is still on its way"
		}
		parents[n.Member] = n.Parent
	}
	for _, m := range s.Members {
		parent, known := parents[m.ID]
		switch {
		case !m.Alive && known:
			return m.Name + " is dead, and in the tree"
		case m.Alive && !known:
			return m.Name + " is not in the tree"
		}
		for _, r := range m.Streams {
			if m.Alive && r.Stream == tree.Stream && r.Parent != parent {
				return m.Name + " draws from " + r.Parent + ", and the coordinators hold " + parent
			}
		}
	}
	return ""
}
