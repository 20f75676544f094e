package command

import (
	"testing"

	"github.com/skein-mesh/skein/cmd/skein/inspect"
)

func TestTreesAreDrawn(t *testing.T) {
	tree := inspect.Tree{Stream: "stage/video", Revision: 42, Nodes: []inspect.Node{
		{Member: "a", State: "standing"},
		{Member: "b", Parent: "a", HopMs: 10, State: "standing", Standbys: []string{"d"}},
		{Member: "c", Parent: "b", HopMs: 2.5, State: "reserved"},
		{Member: "d", Parent: "a", HopMs: 20, State: "standing"},
	}}
	members := []inspect.Member{{ID: "a", Name: "anna"}, {ID: "b", Name: "ben", ForwardMs: 3}}
	want := `stage/video at revision 42, 4 members
anna  0.0 ms
├─ ben  11.0 ms  standbys d
│  └─ c  16.5 ms  (on its way)
└─ d  21.0 ms
`
	if got := drawTree(tree, members); got != want {
		t.Errorf("drawn as\n%swant\n%s", got, want)
	}
}
