// Package member is the SDK: Join makes a program a member of a region, which
// publishes and receives live streams and relays them for others.
//
//	cfg := member.DefaultConfig()
//	cfg.Coordinators = []string{"192.0.2.1:7400"}
//	cfg.Token = os.Getenv("SKEIN_TOKEN")
//	node, err := member.Join(ctx, cfg)
//	...
//	camera, err := node.Publish(ctx, member.Stream{Name: "plaza/camera-1", Kind: region.Video, Layers: []region.Rate{1500}, Codec: "VP8"})
//	err = camera.WriteRTP(packet)
//	...
//	sub, err := node.Subscribe(ctx, "plaza/camera-2")
//	packet, err := sub.ReadRTP(ctx)
//
// A Node stands on three planes, and none waits for another. Media: the relay
// (package relay) draws streams over links (package link) and forwards them; when
// a parent falls silent it goes on with a standby by itself. Gossip (package
// gossip) measures distances and hears of deaths. Authority: one session with
// the leader of the region's group, whoever that is, carries reports up and roles
// down; while no coordinator answers, the other two go on, and the session tries
// for ever.
//
// # Who owns what
//
// The session is one goroutine. What is to be told waits in the outbox, which
// outlives sessions; what was told is in assignments, ordered by revision.
// Each subscribed stream has a placement, one goroutine that alone asks the
// coordinators about this member's place in that tree: at first by proposals it
// computes (Locate, probes, region.Rank, Admit), after the loss of a parent by
// naming the standby that feeds it already. Everybody else leaves it a note.
// All queues and maps are bounded, see the constants.
//
// A member whose subscriptions change all the time is fed by neighbours without asking
// the coordinators (leaf.go); its placements end some seconds after they are wanted last.
//
// A member may be asked by its own region to draw a stream from another one, as
// its gateway or that one's standby: then it visits there (visit), with a session,
// an outbox and placements of its own. Both are a residence; duties makes one
// assignment for the relay of what the two regions want.
//
// # What an application sees
//
// Nothing, if all goes well: a lost coordinator, a change of leader, another
// parent, a stay that had to begin anew show in Events and Stats, not in the
// packets. A Subscription ends (io.EOF) when its stream has been unknown to the
// coordinators for 10 s. Errors are those of package region and of proto/trust;
// their texts say what to do.
//
// Leave ends in good order, Close at once. A crash looks to everybody else like
// Close, but without the links' farewell.
package member
