package member_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

func TestPacketsReachEverybodyInOrder(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *cluster) {
		c.film(c.join(2000), "stage")
		var viewers []*viewer
		for range 5 {
			viewers = append(viewers, c.watch(c.join(2000), "stage"))
		}
		for _, v := range viewers {
			c.see(v, 100)
		}
		if err := c.region().Check(); err != nil {
			t.Error(err)
		}
	})
}

func TestMessagesOfADataStream(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		from, to := c.join(1000), c.join(1000)
		pub, err := from.Publish(t.Context(), member.Stream{Name: "chat", Kind: region.Data, Layers: []region.Rate{50}})
		if err != nil {
			t.Fatal(err)
		}
		sub, err := to.Subscribe(t.Context(), "chat")
		if err != nil {
			t.Fatal(err)
		}
		c.until("the link stands", func() bool { return len(from.Stats().Streams[0].Children) == 1 })
		big := make([]byte, member.MaxMessage)
		for i := range big {
			big[i] = byte(i * 7)
		}
		for _, m := range [][]byte{[]byte("hello"), big, []byte("bye")} {
			if err := pub.Send(m); err != nil {
				t.Fatal(err)
			}
			got, err := sub.ReadMessage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, m) {
				t.Fatalf("got %d bytes, want %d", len(got), len(m))
			}
		}
		if err := pub.Send(append(big, 0)); !errors.Is(err, region.ErrInvalid) && !errors.Is(err, region.ErrLimit) {
			t.Errorf("a message that is too long: %v", err)
		}
	})
}

func TestNamesAndLimitsOfStreams(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		first, second := c.join(1000), c.join(1000)
		if _, err := first.Publish(t.Context(), video("stage")); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			name string
			do   func() error
			want error
		}{
			{"taken by somebody else", func() error { _, err := second.Publish(t.Context(), video("stage")); return err }, region.ErrExists},
			{"published already", func() error { _, err := first.Publish(t.Context(), video("stage")); return err }, region.ErrExists},
			{"10 kB long", func() error { _, err := first.Publish(t.Context(), video(string(make([]byte, 10<<10)))); return err }, region.ErrInvalid},
			{"without layers", func() error {
				_, err := first.Publish(t.Context(), member.Stream{Name: "x", Kind: region.Video})
				return err
			}, region.ErrInvalid},
			{"unknown", func() error { _, err := second.Subscribe(t.Context(), "nobody"); return err }, region.ErrUnknownStream},
		} {
			if err := test.do(); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", test.name, err, test.want)
			}
		}
		list, err := second.Streams(t.Context())
		if err != nil || len(list) != 1 || list[0].ID != "stage" || list[0].Origin != first.ID() {
			t.Errorf("streams: %v, %v", list, err)
		}
	})
}

func TestSubscriptionBeforeTheStreamAndAfterItsEnd(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		origin, fan := c.join(2000), c.join(0)
		got := make(chan *member.Subscription, 1)
		go func() {
			sub, err := fan.Await(t.Context(), "late")
			if err != nil {
				t.Error(err)
			}
			got <- sub
		}()
		time.Sleep(5 * time.Second)
		cam := c.film(origin, "late")
		sub := <-got
		if _, err := sub.ReadRTP(t.Context()); err != nil {
			t.Fatal(err)
		}
		cam.end()
		if err := cam.Close(); err != nil {
			t.Fatal(err)
		}
		for {
			_, err := sub.ReadRTP(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestOwnStreamEndsAndComesBack: who reads a stream of its own node waits for its next
// beginning like anybody else, also while the coordinators have not heard of its end.
func TestOwnStreamEndsAndComesBack(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		origin := c.join(2000)
		first := c.film(origin, "stage")
		sub := must(origin.Subscribe(t.Context(), "stage"))
		if _, err := sub.ReadRTP(t.Context()); err != nil {
			t.Fatal(err)
		}
		first.end()
		closed := make(chan error, 1)
		go func() { closed <- first.Close() }()
		for {
			if _, err := sub.ReadRTP(t.Context()); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		again := make(chan *member.Subscription, 1)
		go func() {
			sub, err := origin.Await(t.Context(), "stage")
			if err != nil {
				t.Error(err)
			}
			again <- sub
		}()
		if _, err := origin.Publish(t.Context(), member.Stream{Name: "stage", Kind: region.Data, Layers: []region.Rate{10}}); !errors.Is(err, region.ErrExists) {
			t.Errorf("the name is taken again while it is given back: %v", err)
		}
		if err := <-closed; err != nil {
			t.Fatal(err)
		}
		c.film(origin, "stage")
		if sub := <-again; sub != nil {
			if _, err := sub.ReadRTP(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestPlaceIsGivenBack(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		origin, fan := c.join(2000), c.join(0)
		c.film(origin, "stage")
		for range 3 {
			sub, err := fan.Subscribe(t.Context(), "stage")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sub.ReadRTP(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := sub.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := sub.ReadRTP(t.Context()); !errors.Is(err, io.EOF) {
				t.Errorf("reading what is closed: %v, want EOF", err)
			}
			c.until("the place is free", func() bool { return c.region().NodeCount("stage") == 1 })
		}
	})
}

func TestFullTreeTakesANewcomerWhenRoomComesUp(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		origin, first, second := c.join(1000), c.join(0), c.join(0)
		c.film(origin, "stage")
		c.see(c.watch(first, "stage"), 10)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := second.Subscribe(ctx, "stage"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a full tree: %v, want a deadline", err)
		}
		helper := c.join(2000)
		c.see(c.watch(helper, "stage"), 10)
		c.see(c.watch(second, "stage"), 10)
	})
}

func TestNewcomerTakesTheOnlyPlaceAndFeedsWhoHadIt(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *cluster) {
		origin, first, relay := c.join(1000), c.join(0), c.join(1000)
		c.film(origin, "stage")
		old := c.watch(first, "stage")
		c.see(old, 20)
		c.see(c.watch(relay, "stage"), 20)
		c.agree([]*participant{first, relay})
		if parent(first) != relay.ID() || parent(relay) != origin.ID() {
			t.Errorf("first hangs under %s, relay under %s", parent(first), parent(relay))
		}
		c.see(old, 50)
	})
}
