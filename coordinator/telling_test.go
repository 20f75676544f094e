package coordinator

import (
	"testing"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// A parent is told of its children, each of them once: that one of them draws by now
// changes nothing, and how to reach it is known when the next one comes.
func TestWhatIsKnownIsNotToldAgain(t *testing.T) {
	c := newCluster(t, 1, func(cfg *Config) { cfg.Reorganise.Every = 0 })
	origin, first, second := c.participant(9000), c.participant(0), c.participant(0)
	for _, p := range []*participant{origin, first, second} {
		p.join()
	}
	people := origin.watch(0)
	origin.publish("cam")
	down, _ := origin.session()
	next := func() *skeinv1.Role {
		var role *skeinv1.Role
		origin.told(down, func(m *skeinv1.SessionResponse) bool {
			if len(m.Roles) == 1 {
				role = m.Roles[0]
			}
			return role != nil
		})
		return role
	}
	first.admit("cam")
	if role := next(); len(role.Children) != 1 || role.Children[0].Endpoint == nil {
		t.Fatalf("told of the first: %v", role)
	}
	up, _ := first.session()
	first.confirm(up, "cam", string(origin.id()))
	people.until("edge.confirmed", first.id())
	second.admit("cam")
	role := next()
	if len(role.Children) != 2 || role.Stream.Codec != "" {
		t.Fatalf("told of the second: %v", role)
	}
	for _, p := range role.Children {
		if known := p.Id == string(first.id()); known != (p.Endpoint == nil) {
			t.Errorf("told of %v", p)
		}
	}
}
