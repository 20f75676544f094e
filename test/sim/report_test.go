package sim

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The same seed gives the same figures, whoever runs it, and all fields that
// readers of the JSON rely on are there.
func TestReportsAreReproducible(t *testing.T) {
	c := DefaultTreeConfig()
	c.Members, c.Runs, c.Slots, c.Streams = 40, 2, "mixed", 2
	report := func() map[string]any {
		r, err := CompareTrees(c)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		return fields
	}
	a, b := report(), report()
	for _, field := range []string{"n", "bound_avg_ms", "bound_max_ms", "bound_relay_avg_ms", "direct_avg_ms", "algorithms", "runs"} {
		if a[field] == nil {
			t.Errorf("no %s", field)
		}
	}
	first, second := a["algorithms"].(map[string]any), b["algorithms"].(map[string]any)
	if len(first) != len(Algorithms()) {
		t.Errorf("%d algorithms, want %d", len(first), len(Algorithms()))
	}
	for name, result := range first {
		for _, field := range []string{"avg_over_bound", "max_over_bound", "avg_ms", "p95_ms", "max_ms", "depth_max", "moves"} {
			x, y := result.(map[string]any)[field], second[name].(map[string]any)[field]
			if x == nil || x != y {
				t.Errorf("%s %s: %v, then %v", name, field, x, y)
			}
		}
	}
}

func TestPlots(t *testing.T) {
	c := DefaultTreeConfig()
	c.Members, c.Runs = 30, 1
	trees, err := CompareTrees(c)
	if err != nil {
		t.Fatal(err)
	}
	k := churn("mass10")
	k.Members, k.Hours, k.Runs = 30, 3, 1
	stays, err := ReplayChurn(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, plot := range map[string]func(string) error{
		"trees.svg": func(path string) error { return trees.Plot(path, nil) },
		"churn.svg": stays.Plot,
	} {
		path := filepath.Join(dir, name)
		if err := plot(path); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), "</svg>") {
			t.Errorf("%s is no drawing: %v", name, err)
		}
	}
	if err := stays.Plot(filepath.Join(dir, "no", "such", "folder.svg")); err == nil {
		t.Error("a folder that does not exist is no error")
	}
}
