package relay

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/skein-mesh/skein/member/link"
	"github.com/skein-mesh/skein/region"
)

// A crowd speaks: each of its members publishes a voice whose level is set from
// outside, 50 packets a second.
type crowd struct {
	streams []region.Stream
	levels  []atomic.Int32 // dB below overload
	sources []*Source
}

// gather makes a crowd of n, published by one node each.
func (w *world) gather(n int) (*crowd, []*node) {
	c := &crowd{levels: make([]atomic.Int32, n)}
	var nodes []*node
	for i := range n {
		o := w.node()
		s := region.Stream{
			ID: region.StreamID(fmt.Sprintf("plaza/voice-%02d", i)), Origin: o.identity.ID(), Kind: region.Audio,
			Layers: []region.Rate{32}, SSRC: uint32(8000 + 8*i), Codec: "opus",
		}
		c.levels[i].Store(127)
		c.streams, nodes = append(c.streams, s), append(nodes, o)
	}
	return c, nodes
}

// speak publishes until the test ends.
func (c *crowd) speak(t *testing.T, nodes []*node) {
	t.Helper()
	for i, n := range nodes {
		src, err := n.Publish(c.streams[i])
		if err != nil {
			t.Fatal(err)
		}
		c.sources = append(c.sources, src)
		untilTheEnd(t, 20*time.Millisecond, func(n uint16) {
			seq := 65000 + n
			p := &rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: seq, Timestamp: 960 * uint32(seq)}, Payload: make([]byte, 60)}
			if err := p.SetExtension(link.LevelID, []byte{byte(c.levels[i].Load())}); err != nil {
				t.Error(err)
			}
			if err := src.WriteRTP(0, p, time.Time{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// listen reads all of them at a node, as voices, and returns one clock each.
func (c *crowd) listen(t *testing.T, n *node, most int) []*stopwatch {
	t.Helper()
	n.SetVoices(most)
	var clocks []*stopwatch
	for _, s := range c.streams {
		k := clock(t, n, s.ID, 300*time.Millisecond)
		k.sink.Want(Wish{Voice: true})
		clocks = append(clocks, k)
	}
	return clocks
}

// heard tells who came through, and how many packets, in a second that begins now.
func heard(clocks []*stopwatch) (who []int, packets int) {
	for _, k := range clocks {
		k.forget()
	}
	time.Sleep(time.Second)
	for i, k := range clocks {
		if n := k.within(0, time.Hour); n > 25 {
			who = append(who, i)
			packets += n
		} else {
			packets += n
		}
	}
	return who, packets
}

// sums adds up the statistics of a node's streams.
func (n *node) sums() (s StreamStats) {
	for _, st := range n.Stats().Streams {
		s.PacketsReceived += st.PacketsReceived
		s.PacketsSent += st.PacketsSent
		s.Duplicates += st.Duplicates
		s.Lost += st.Lost
		s.DuplicatesDelivered += st.DuplicatesDelivered
		s.GapMax = max(s.GapMax, st.GapMax)
	}
	return s
}

// Twelve voices go through two relays to a listener that wants three of them: the
// loudest come, all the way only those are sent that are loud enough, whoever raises
// the voice is heard from the first word on, and silence counts as no loss.
func TestOnlyTheLoudestVoicesAreSent(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		quiet(w)
		c, origins := w.gather(12)
		upper, lower, leaf := w.node(), w.node(), w.node()
		for i, s := range c.streams {
			w.assign(s, role{n: origins[i]}, role{n: upper, parent: origins[i]}, role{n: lower, parent: upper}, role{n: leaf, parent: lower})
			c.levels[i].Store(int32(60 - 3*i)) // the last ones are the loudest
		}
		c.speak(t, origins)
		clocks := c.listen(t, leaf, 3)
		time.Sleep(8 * time.Second)

		before := lower.sums().PacketsReceived
		who, packets := heard(clocks)
		if fmt.Sprint(who) != "[9 10 11]" || packets > 155 {
			t.Errorf("heard are %v, %d packets in a second", who, packets)
		}
		if n := lower.sums().PacketsReceived - before; n > 260 {
			t.Errorf("the relay above received %d packets in a second, for three voices", n)
		}

		c.levels[11].Store(127)
		c.levels[0].Store(20)
		clocks[0].forget()
		time.Sleep(400 * time.Millisecond)
		if n := clocks[0].within(0, 250*time.Millisecond); n < 15 {
			t.Errorf("of the first 20 packets of a voice that was raised %d came in time", n)
		}
		time.Sleep(3 * time.Second)
		if who, _ := heard(clocks); fmt.Sprint(who) != "[0 9 10]" {
			t.Errorf("heard are %v", who)
		}

		for i := range c.levels {
			c.levels[i].Store(127)
		}
		time.Sleep(6 * time.Second)
		if who, packets := heard(clocks); packets > 0 {
			t.Errorf("all are silent, %d packets of %v came", packets, who)
		}
		time.Sleep(time.Minute) // nobody takes the silence for a failure
		c.levels[5].Store(30)
		time.Sleep(time.Second)
		if who, _ := heard(clocks); fmt.Sprint(who) != "[5]" {
			t.Errorf("heard are %v", who)
		}
		for _, n := range []*node{lower, leaf} {
			if s := n.sums(); s.Lost > 0 || s.DuplicatesDelivered > 0 || s.GapMax > 500*time.Millisecond || s.Duplicates > 100 {
				t.Errorf("%d packets lost, %d twice, %d duplicates dropped, the longest gap %v", s.Lost, s.DuplicatesDelivered, s.Duplicates, s.GapMax)
			}
		}
		if st := leaf.Stats(); st.Streams[3].Parent != lower.identity.ID() {
			t.Errorf("the parent of a silent voice is %q", st.Streams[3].Parent)
		}
	})
}

// Two listeners hang on one relay: who wants all of everybody gets it, while the other
// one gets two voices; and who wants no voices but the stream is not muted.
func TestVoicesOfOneAreNotThoseOfAnother(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		quiet(w)
		c, origins := w.gather(6)
		relay, few, all := w.node(), w.node(), w.node()
		for i, s := range c.streams {
			w.assign(s, role{n: origins[i]}, role{n: relay, parent: origins[i]}, role{n: few, parent: relay}, role{n: all, parent: relay})
			c.levels[i].Store(int32(40 - 2*i))
		}
		c.speak(t, origins)
		clocks := c.listen(t, few, 2)
		var whole []*stopwatch
		for _, s := range c.streams {
			whole = append(whole, clock(t, all, s.ID, 300*time.Millisecond))
		}
		time.Sleep(8 * time.Second)
		if who, _ := heard(clocks); fmt.Sprint(who) != "[4 5]" {
			t.Errorf("heard are %v", who)
		}
		if who, packets := heard(whole); len(who) != 6 || packets < 290 {
			t.Errorf("who wants everybody heard %v, %d packets", who, packets)
		}
		clocks[0].sink.Want(Wish{})
		time.Sleep(time.Second)
		if who, _ := heard(clocks); fmt.Sprint(who) != "[0 4 5]" {
			t.Errorf("heard are %v, and the first was to be had in full", who)
		}
		if s := all.sums(); s.Lost > 0 || s.DuplicatesDelivered > 0 {
			t.Errorf("%d packets lost, %d twice", s.Lost, s.DuplicatesDelivered)
		}
	})
}

// The relay of a crowd dies: the standby sends the loudest alone.
func TestVoicesSurviveTheirRelay(t *testing.T) {
	onNetwork(t, func(t *testing.T, w *world) {
		quiet(w)
		c, origins := w.gather(8)
		first, second, leaf := w.node(), w.node(), w.node()
		for i, s := range c.streams {
			w.assign(s, role{n: origins[i]}, role{n: first, parent: origins[i]}, role{n: second, parent: origins[i]},
				role{n: leaf, parent: first, standbys: []*node{second}})
			c.levels[i].Store(int32(60 - 5*i))
		}
		c.speak(t, origins)
		clocks := c.listen(t, leaf, 2)
		time.Sleep(8 * time.Second)
		if who, _ := heard(clocks); fmt.Sprint(who) != "[6 7]" {
			t.Fatalf("heard are %v", who)
		}
		first.kill()
		time.Sleep(10 * time.Second)
		if who, packets := heard(clocks); fmt.Sprint(who) != "[6 7]" || packets > 105 {
			t.Errorf("heard are %v, %d packets in a second", who, packets)
		}
		if s := leaf.sums(); s.Lost > 0 || s.DuplicatesDelivered > 0 || s.GapMax > 500*time.Millisecond {
			t.Errorf("%d packets lost, %d twice, the longest gap %v", s.Lost, s.DuplicatesDelivered, s.GapMax)
		}
	})
}
