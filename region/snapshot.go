package region

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"time"
)

// A Snapshot is a region as plain data, in canonical order.
type Snapshot struct {
	ID         ID
	Generation Generation
	Revision   Revision
	LastLease  Lease
	MaxMembers int
	Fate       Fate
	Members    []Member // by ID
	Trees      []Tree   // by stream ID
}

// A Tree is a stream and its nodes, parents before children and siblings by ID.
type Tree struct {
	Stream Stream
	Nodes  []Node
}

// Snapshot returns the region as plain data that does not change any more. Its
// slices are shared with r and must not be modified.
func (r *Region) Snapshot() Snapshot {
	s := Snapshot{
		ID: r.id, Generation: r.generation, Revision: r.revision, LastLease: r.lastLease, MaxMembers: r.maxMembers, Fate: r.fate,
		Members: make([]Member, 0, r.memberIDs.len()),
		Trees:   make([]Tree, 0, r.streamIDs.len()),
	}
	for m := range r.Members() {
		s.Members = append(s.Members, m)
	}
	for stream := range r.Streams() {
		t := Tree{Stream: stream, Nodes: make([]Node, 0, r.NodeCount(stream.ID))}
		for n := range r.Nodes(stream.ID) {
			t.Nodes = append(t.Nodes, n)
		}
		s.Trees = append(s.Trees, t)
	}
	return s
}

// Load rebuilds a region from its parts and checks it. A snapshot that no region
// can have made is ErrInvalid, whatever else is wrong with it.
func Load(s Snapshot) (*Region, error) {
	d := &draft{}
	if err := d.load(s); err != nil {
		return nil, fmt.Errorf("%w snapshot of region %s: %w", ErrInvalid, s.ID, err)
	}
	return d.Region, nil
}

func (d *draft) load(s Snapshot) error {
	if s.MaxMembers < 1 || s.MaxMembers > MaxMembers {
		return invalid("members of a region", "want 1 to %d, have %d", MaxMembers, s.MaxMembers)
	}
	if s.Generation == 0 {
		return invalid("generation", "want at least 1")
	}
	d.Region = New(s.ID, s.MaxMembers)
	if err := d.loadMembers(s.Members); err != nil {
		return err
	}
	for _, t := range s.Trees {
		if err := d.loadTree(t); err != nil {
			return err
		}
	}
	d.touched, d.suspects = nil, nil
	d.generation, d.revision, d.lastLease, d.fate = s.Generation, s.Revision, s.LastLease, s.Fate
	return d.Check()
}

func (d *draft) loadMembers(members []Member) error {
	for _, m := range members {
		if d.memberIDs.slot(m.ID) != none {
			return fmt.Errorf("member %s: %w", m.ID, ErrExists)
		}
		d.lastLease = 0
		if err := d.putMember(m); err != nil {
			return err
		}
		if m.Joined.After(d.clock) {
			d.clock = instant(m.Joined)
		}
	}
	return nil
}

// loadTree sets nodes in two rounds: standbys and old parents may come later in
// the tree than the nodes that name them.
func (d *draft) loadTree(t Tree) error {
	if err := d.putStream(t.Stream); err != nil {
		return err
	}
	for _, n := range t.Nodes {
		n.State, n.Deadline, n.Old, n.OldHop, n.Heir, n.Standbys = Standing, time.Time{}, "", 0, "", nil
		if n.Member == t.Stream.Origin {
			continue
		}
		if d.node(t.Stream.ID, n.Member) != nil {
			return fmt.Errorf("node %s: %w", n.Member, ErrExists)
		}
		if err := d.setNode(t.Stream.ID, n); err != nil {
			return err
		}
	}
	for _, n := range t.Nodes {
		if n.Member == t.Stream.Origin {
			continue
		}
		if err := d.setNode(t.Stream.ID, n); err != nil {
			return err
		}
	}
	return nil
}

// Hash is a SHA-256 over the canonical form; equal structures have equal hashes.
func (r *Region) Hash() [32]byte {
	w := digest{Hash: sha256.New()}
	w.text(string(r.id))
	w.text(string(r.fate.Into))
	w.numbers(uint64(r.fate.Attempt), bit(r.fate.Over))
	w.numbers(uint64(r.generation), uint64(r.revision), uint64(r.lastLease), uint64(r.maxMembers), uint64(r.memberIDs.len()))
	for m := range r.Members() {
		w.text(string(m.ID))
		w.text(m.Name)
		w.numbers(uint64(m.Lease), uint64(m.Uplink), uint64(m.Leaf), uint64(m.Forward), millis(m.Joined))
		w.Write(m.Endpoint.Key[:])
		w.numbers(uint64(len(m.Endpoint.Media)))
		for _, a := range m.Endpoint.Media {
			w.text(a.String())
		}
		w.text(m.Endpoint.Gossip.String())
		w.text(string(m.Home))
	}
	w.numbers(uint64(r.streamIDs.len()))
	for s := range r.Streams() {
		w.text(string(s.ID))
		w.text(string(s.Origin))
		w.text(s.Codec)
		w.text(string(s.From))
		if s.From != "" {
			w.text(string(s.Standby))
		}
		w.numbers(uint64(s.Kind)|bit(s.Scalable)<<8, uint64(s.SSRC), uint64(len(s.Layers)))
		for _, rate := range s.Layers {
			w.numbers(uint64(rate))
		}
		w.numbers(uint64(r.NodeCount(s.ID)))
		for n := range r.Nodes(s.ID) {
			w.node(n)
		}
	}
	return [32]byte(w.Sum(nil))
}

// A digest writes values so that no two sequences of values look alike.
type digest struct {
	hash.Hash
	buf []byte
}

func (w *digest) numbers(ns ...uint64) {
	w.buf = w.buf[:0]
	for _, n := range ns {
		w.buf = binary.BigEndian.AppendUint64(w.buf, n)
	}
	w.Write(w.buf)
}

func (w *digest) text(s string) {
	w.buf = binary.BigEndian.AppendUint64(w.buf[:0], uint64(len(s)))
	w.buf = append(w.buf, s...)
	w.Write(w.buf)
}

func (w *digest) node(n Node) {
	w.text(string(n.Member))
	w.text(string(n.Parent))
	w.text(string(n.Old))
	w.text(string(n.Heir))
	w.numbers(uint64(n.Layers), uint64(n.Hop), uint64(n.OldHop), uint64(n.State), millis(n.Deadline), uint64(len(n.Standbys)))
	for _, s := range n.Standbys {
		w.text(string(s))
	}
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func millis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixMilli())
}
