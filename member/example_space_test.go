package member_test

import (
	"context"
	"fmt"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

// company is some people who have joined a region and speak, by name.
func company(ctx context.Context, names ...string) (people map[string]*member.Node, end func()) {
	address, token, stop := runCoordinator()
	people = make(map[string]*member.Node)
	for _, name := range names {
		cfg := member.DefaultConfig()
		cfg.Coordinators, cfg.Token, cfg.Name = []string{address}, token, name
		cfg.Media, cfg.Gossip = "127.0.0.1:0", "127.0.0.1:0"
		node := must(member.Join(ctx, cfg))
		voice := must(node.Publish(ctx, member.Stream{Name: region.StreamID(name), Kind: region.Audio, Layers: []region.Rate{64}, Codec: "opus"}))
		go func() {
			for n := uint16(0); ctx.Err() == nil; n++ {
				_ = voice.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: n}, Payload: []byte(name)})
				time.Sleep(20 * time.Millisecond)
			}
		}()
		people[name] = node
	}
	return people, func() {
		for _, node := range people {
			_ = node.Close()
		}
		stop()
	}
}

// hear waits until a stream is of interest, and for its first packet.
func hear(ctx context.Context, p *member.Presence, stream region.StreamID) string {
	for e := range p.Encounters() {
		if e.Kind == member.Came && e.Stream == stream {
			packet := must(e.Subscription.ReadRTP(ctx))
			return fmt.Sprintf("%s in %s", packet.Payload, e.Detail)
		}
	}
	return "nothing"
}

// In a world everybody gets the streams of those around.
func ExampleNearest() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	people, end := company(ctx, "ann", "bob")
	defer end()

	world := region.Space{ID: "plaza"}
	must(people["bob"].Enter(ctx, world, region.Place{X: 50}))
	ann := must(people["ann"].Enter(ctx, world, region.Place{}))
	err := ann.Interest(member.Nearest{Radius: 30, Max: 12})
	err2 := people["bob"].Move(region.Place{X: 5}) // as often as the application draws
	fmt.Println(hear(ctx, ann, "bob"), err, err2)
	// Output: bob in watch <nil> <nil>
}

// In a conference all hear all, and the loudest are large.
func ExampleConference() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	people, end := company(ctx, "ann", "bob", "cid")
	defer end()

	room := member.InRoom("conference")
	must(people["bob"].Enter(ctx, room, region.Place{})).Speak(0.9)
	must(people["cid"].Enter(ctx, room, region.Place{}))
	ann := must(people["ann"].Enter(ctx, room, region.Place{}))
	err := ann.Interest(member.Conference(1)...)
	fmt.Println(err)
	details := make(map[region.StreamID]region.Detail)
	for details["bob"] != region.Watch || details["cid"] != region.Glance {
		e := <-ann.Encounters()
		details[e.Stream] = e.Detail
	}
	fmt.Println(details)
	// Output:
	// <nil>
	// map[bob:watch cid:glance]
}

// In a town hall a few are heard by all.
func ExampleTownHall() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	people, end := company(ctx, "mayor", "ann", "bob")
	defer end()

	hall := member.InRoom("hall")
	mayor := must(people["mayor"].Enter(ctx, hall, region.Place{}))
	must(people["bob"].Enter(ctx, hall, region.Place{}))
	ann := must(people["ann"].Enter(ctx, hall, region.Place{}))
	err := ann.Interest(member.TownHall(mayor.ID())...)
	fmt.Println(hear(ctx, ann, "mayor"), err)
	// Output: mayor in watch <nil>
}

// One broadcasts to all; who has a question looks at the presenter, and is heard there.
func ExamplePresenter() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	people, end := company(ctx, "presenter", "ann")
	defer end()

	studio := member.InRoom("studio")
	presenter := must(people["presenter"].Enter(ctx, studio, region.Place{}))
	err := presenter.Interest(member.Presenter(1)...)
	ann := must(people["ann"].Enter(ctx, studio, region.Place{}))
	err2 := ann.Interest(member.Audience("presenter")...)
	fmt.Println(hear(ctx, ann, "presenter"), err, err2)

	ann.Look(presenter.ID())
	fmt.Println(hear(ctx, presenter, "ann"))
	// Output:
	// presenter in watch <nil> <nil>
	// ann in watch
}

// Rooms have names: who is in one hears those in it, and nobody else.
func ExampleInRoom() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	people, end := company(ctx, "ann", "bob", "cid")
	defer end()

	must(people["bob"].Enter(ctx, member.InRoom("office/kitchen"), region.Place{}))
	must(people["cid"].Enter(ctx, member.InRoom("office/garden"), region.Place{}))
	ann := must(people["ann"].Enter(ctx, member.InRoom("office/garden"), region.Place{}))
	err := ann.Interest(member.Conference(4)...)
	fmt.Println((<-ann.Encounters()).Stream, err)

	ann = must(people["ann"].Enter(ctx, member.InRoom("office/kitchen"), region.Place{}))
	err = ann.Interest(member.Conference(4)...)
	fmt.Println((<-ann.Encounters()).Stream, err)
	// Output:
	// cid <nil>
	// bob <nil>
}
