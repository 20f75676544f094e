package region

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Describe draws the region as text for tests and people: its members by ID,
// then every tree.
func (r *Region) Describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "region %s, generation %d, revision %d: members %d of %d, streams %d\n",
		r.id, r.generation, r.revision, r.memberIDs.len(), r.maxMembers, r.streamIDs.len())
	for m := range r.Members() {
		fmt.Fprintf(&b, "%s (lease %d) sends %d of %d kbit/s", m.ID, m.Lease, r.Sending(m.ID), m.Uplink)
		if m.Leaf > 0 {
			fmt.Fprintf(&b, ", leaf budget %d", m.Leaf)
		}
		b.WriteByte('\n')
	}
	for s := range r.Streams() {
		b.WriteString(r.DescribeTree(s.ID))
	}
	return b.String()
}

// DescribeTree draws one tree, indented, with the delay of each node from the
// root, what is special about its edge, and its standbys in square brackets.
func (r *Region) DescribeTree(s StreamID) string {
	t := r.tree(s)
	if t == nil {
		return fmt.Sprintf("no stream %s\n", s)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, %d kbit/s, ssrc %d, nodes %d\n",
		s, t.stream.Kind, t.stream.Rate(AllLayers), t.stream.SSRC, t.count)
	r.describeNode(&b, t, t.nodes.at(t.root), "", "", 0)
	return b.String()
}

func (r *Region) describeNode(b *strings.Builder, t *tree, n *node, head, tail string, delay time.Duration) {
	b.WriteString(head + string(r.name(n.member)))
	if n.parent != none {
		fmt.Fprintf(b, " %s", shortDelay(delay))
		if n.layers != t.stream.all() {
			fmt.Fprintf(b, " layers %0*b", len(t.stream.Layers), n.layers)
		}
		if n.state == Reserved {
			fmt.Fprintf(b, " reserved until %s", n.deadline.Format("15:04:05"))
		}
		if n.old != none {
			fmt.Fprintf(b, " from %s", r.name(n.old))
		}
		if n.heir != "" {
			fmt.Fprintf(b, " (heir %s)", n.heir)
		}
		if len(n.standbys) > 0 {
			fmt.Fprintf(b, " %s", r.names(n.standbys))
		}
	}
	b.WriteByte('\n')
	children := slices.SortedFunc(slices.Values(n.children), func(a, b slot) int {
		return strings.Compare(string(r.name(a)), string(r.name(b)))
	})
	forward := r.members.at(n.member).Forward
	for i, c := range children {
		x := t.nodes.at(c)
		if i == len(children)-1 {
			r.describeNode(b, t, x, tail+"└─ ", tail+"   ", delay+forward+x.hop)
		} else {
			r.describeNode(b, t, x, tail+"├─ ", tail+"│  ", delay+forward+x.hop)
		}
	}
}

// shortDelay prints d in milliseconds with at most one digit of their fraction.
func shortDelay(d time.Duration) string {
	text := fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond))
	return strings.TrimSuffix(text, ".0") + " ms"
}

func (k Kind) String() string {
	switch k {
	case Video:
		return "video"
	case Audio:
		return "audio"
	case Data:
		return "data"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

func (s State) String() string {
	switch s {
	case Reserved:
		return "reserved"
	case Standing:
		return "standing"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

func (c Cause) String() string {
	switch c {
	case Orphaned:
		return "orphaned"
	case Gateway:
		return "gateway"
	case Joining:
		return "joining"
	case Improving:
		return "improving"
	}
	return fmt.Sprintf("cause %d", uint8(c))
}

func (r Reason) String() string {
	switch r {
	case Full:
		return "full"
	case Stale:
		return "stale"
	case Loop:
		return "loop"
	case Unknown:
		return "unknown"
	case Unfit:
		return "unfit"
	case Avoided:
		return "avoided"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}
