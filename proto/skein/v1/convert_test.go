package skeinv1

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"

	"github.com/skein-mesh/skein/region"
)

// Values whose every field is set come back as they were, so no field can be
// forgotten on either side.
func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		roundTrip(t, rng, FromEndpoint, ToEndpoint)
		roundTrip(t, rng, FromMember, ToMember)
		roundTrip(t, rng, FromStream, ToStream)
		roundTrip(t, rng, FromNode, ToNode)
		roundTrip(t, rng, FromTree, ToTree)
		roundTrip(t, rng, FromSnapshot, ToSnapshot)
		roundTrip(t, rng, FromChange, ToChange)
		roundTrip(t, rng, FromCandidate, ToCandidate)
		roundTrip(t, rng, FromView, ToView)
		roundTrip(t, rng, FromProposal, ToProposal)
		roundTrip(t, rng, FromRefusal, ToRefusal)
		roundTrip(t, rng, FromTestimony, ToTestimony)
	}
}

func roundTrip[R any, W proto.Message](t *testing.T, rng *rand.Rand, from func(R) W, to func(W) (R, error)) {
	t.Helper()
	var in R
	fill(t, rng, reflect.ValueOf(&in).Elem())
	sent := from(in)
	raw, err := proto.Marshal(sent)
	if err != nil {
		t.Fatalf("marshal %T: %v", in, err)
	}
	received := sent.ProtoReflect().New().Interface().(W)
	if err := proto.Unmarshal(raw, received); err != nil {
		t.Fatalf("unmarshal %T: %v", in, err)
	}
	out, err := to(received)
	if err != nil {
		t.Fatalf("%T: %v\n%+v", in, err, in)
	}
	if diff := cmp.Diff(in, out, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Fatalf("%T comes back different (-in +out):\n%s", in, diff)
	}
}

// edits holds one of each kind.
var edits = []region.Edit{
	region.PutMember{}, region.DropMember{}, region.PutStream{}, region.DropStream{}, region.SetNode{},
	region.DropNode{}, region.SetStandbys{}, region.Confirm{}, region.SetGeneration{},
	region.Divide{}, region.SetFate{}, region.Absorb{}, region.SetGateways{},
}

// fill sets all of v to values that are allowed, none of them zero.
func fill(t *testing.T, rng *rand.Rand, v reflect.Value) {
	t.Helper()
	switch p := v.Addr().Interface().(type) {
	case *region.ID:
		*p = region.ID(text(rng, "abc-XYZ_0.9", region.MaxName))
	case *region.MemberID:
		*p = region.MemberID(text(rng, "abcdefghijklmnopqrstuvwxyz234567", region.MaxName))
	case *region.StreamID:
		*p = region.StreamID(text(rng, "plaza/camera-1 §é世", region.MaxStreamName/3))
	case *string:
		*p = text(rng, "Anna's camera §é世", region.MaxName/3)
	case *region.Kind:
		*p = 1 + below(rng, region.Data)
	case *region.State:
		*p = 1 + below(rng, region.Standing)
	case *region.Cause:
		*p = 1 + below(rng, region.Improving)
	case *region.Reason:
		*p = 1 + below(rng, region.Avoided)
	case *region.LayerMask:
		*p = 1 + below(rng, region.AllLayers)
	case *region.Rate:
		*p = 1 + below(rng, region.MaxRate)
	case *time.Duration:
		*p = (1 + below(rng, region.MaxDelay)).Truncate(time.Microsecond) + time.Microsecond
		*p = min(*p, region.MaxDelay)
	case *time.Time:
		*p = time.UnixMilli(1 + rng.Int64N(maxTime)).UTC()
	case *netip.AddrPort:
		addr := netip.AddrFrom4([4]byte{127, 77, byte(below(rng, 256)), byte(below(rng, 256))})
		if below(rng, 2) == 0 {
			addr = netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", below(rng, 1<<16)))
		}
		*p = netip.AddrPortFrom(addr, uint16(1+below(rng, math.MaxUint16)))
	case *float64:
		*p = rng.ExpFloat64()
	case *int:
		*p = 1 + below(rng, region.MaxMembers)
	case *uint32: // an SSRC
		*p = (1 + rng.Uint32N(1<<20)) * region.MaxLayers
	case *region.Edit:
		e := reflect.New(reflect.TypeOf(edits[below(rng, len(edits))])).Elem()
		fill(t, rng, e)
		*p = e.Interface().(region.Edit)
	case *region.Member:
		fillFields(t, rng, v)
		p.Leaf = 1 + below(rng, p.Uplink)
		if below(rng, 2) == 0 {
			p.Home = ""
		} else {
			p.Uplink, p.Leaf = 0, 0 // a visitor
		}
	case *region.Stream:
		fillFields(t, rng, v)
		if p.Kind != region.Video {
			p.Layers, p.Scalable = p.Layers[:1], false
		}
	default:
		fillAny(t, rng, v)
	}
}

func below[N ~int | ~uint8 | ~uint16 | ~uint32 | ~int64](rng *rand.Rand, n N) N {
	return N(rng.Uint64N(uint64(n)))
}

func fillAny(t *testing.T, rng *rand.Rand, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		fillFields(t, rng, v)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+below(rng, 5), 5))
		for i := range v.Len() {
			fill(t, rng, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(1 + rng.Uint64N(255))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint64:
		v.SetUint(1 + rng.Uint64N(math.MaxUint64))
	default:
		t.Fatalf("no value for a %v", v.Type())
	}
}

func fillFields(t *testing.T, rng *rand.Rand, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		fill(t, rng, v.Field(i))
	}
}

// text begins with the first letter of alphabet, which every rule allows, and
// leaves out its spaces where they would be at odds with one.
func text(rng *rand.Rand, alphabet string, most int) string {
	letters := []rune(strings.ReplaceAll(alphabet, " ", ""))
	out := letters[:1:1]
	for range below(rng, most) {
		out = append(out, letters[below(rng, len(letters))])
	}
	return string(out)
}

// The least that is allowed passes, too: optional fields may be unset.
func TestOptionalFields(t *testing.T) {
	for _, e := range []region.Endpoint{{}, {Media: []netip.AddrPort{netip.MustParseAddrPort("[::1]:1")}}} {
		if out, err := ToEndpoint(FromEndpoint(e)); err != nil || !reflect.DeepEqual(out, e) {
			t.Errorf("endpoint %+v comes back as %+v, %v", e, out, err)
		}
	}
	root := region.Node{Member: "m1", State: region.Standing}
	if out, err := ToNode(FromNode(root)); err != nil || !reflect.DeepEqual(out, root) {
		t.Errorf("root %+v comes back as %+v, %v", root, out, err)
	}
	p := region.Proposal{Parent: "m1"}
	if out, err := ToProposal(FromProposal(p)); err != nil || out != p {
		t.Errorf("proposal %+v comes back as %+v, %v", p, out, err)
	}
	c := region.Change{}
	if out, err := ToChange(FromChange(c)); err != nil || !reflect.DeepEqual(out, c) {
		t.Errorf("change %+v comes back as %+v, %v", c, out, err)
	}
}

// Finer times are cut once and for all: what was received is sent on unchanged.
func TestTruncation(t *testing.T) {
	in := region.Node{
		Member: "m1", Parent: "m2", State: region.Reserved,
		Hop: 1234567 * time.Nanosecond, Deadline: time.Unix(1, 2_345_678).UTC(),
	}
	once, err := ToNode(FromNode(in))
	if err != nil {
		t.Fatal(err)
	}
	if once.Hop != 1234*time.Microsecond || !once.Deadline.Equal(time.UnixMilli(1002)) {
		t.Errorf("received %v, %v", once.Hop, once.Deadline)
	}
	if twice, err := ToNode(FromNode(once)); err != nil || !reflect.DeepEqual(once, twice) {
		t.Errorf("received again %+v, %v, want %+v", twice, err, once)
	}
}

// A candidate at the end of a chain of slow members makes no view unreadable.
func TestLongDelay(t *testing.T) {
	in := region.Candidate{Member: "m1", Delay: 100 * region.MaxDelay}
	if out, err := ToCandidate(FromCandidate(in)); err != nil || out.Delay != region.MaxDelay {
		t.Errorf("delay comes back as %v, %v", out.Delay, err)
	}
}

// Every kind of edit the model has can be logged, and each in its own way.
func TestEditKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range edits {
		sent := FromEdit(e)
		if sent.Kind == nil {
			t.Fatalf("%T has no message", e)
		}
		seen[fmt.Sprintf("%T", sent.Kind)] = true
	}
	if n := (&Edit{}).ProtoReflect().Descriptor().Oneofs().Get(0).Fields().Len(); n != len(seen) || n != len(edits) {
		t.Errorf("%d kinds of messages, %d of them used by %d kinds of edits", n, len(seen), len(edits))
	}
	methods := 0
	for _, file := range parse(t, "../../../region") {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil && f.Name.Name == "edit" && f.Type.Params.NumFields() == 0 {
				methods++
			}
		}
	}
	if methods != len(edits) {
		t.Errorf("region has %d kinds of edits, the border knows %d", methods, len(edits))
	}
	if e, err := ToEdit(&Edit{}); e != nil || !errors.Is(err, region.ErrInvalid) {
		t.Errorf("unknown kind of edit: %v, %v, want ErrInvalid", e, err)
	}
}

// Enums convert by number; their names must therefore agree.
func TestEnumNames(t *testing.T) {
	for _, e := range []struct {
		prefix string
		names  map[int32]string
		want   []string // from 1
	}{
		{"KIND_", Kind_name, []string{region.Video - 1: "VIDEO", region.Audio - 1: "AUDIO", region.Data - 1: "DATA"}},
		{"STATE_", State_name, []string{region.Reserved - 1: "RESERVED", region.Standing - 1: "STANDING"}},
		{"CAUSE_", Cause_name, []string{
			region.Orphaned - 1: "ORPHANED", region.Gateway - 1: "GATEWAY",
			region.Joining - 1: "JOINING", region.Improving - 1: "IMPROVING",
		}},
		{"REASON_", Reason_name, []string{
			region.Full - 1: "FULL", region.Stale - 1: "STALE", region.Loop - 1: "LOOP",
			region.Unknown - 1: "UNKNOWN", region.Unfit - 1: "UNFIT", region.Avoided - 1: "AVOIDED",
		}},
	} {
		want := map[int32]string{0: e.prefix + "UNSPECIFIED"}
		for i, name := range e.want {
			want[int32(i)+1] = e.prefix + name
		}
		if !maps.Equal(want, e.names) {
			t.Errorf("messages have %v, the model %v", e.names, want)
		}
	}
}

func parse(t *testing.T, dir string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no source in %s: %v", dir, err)
	}
	var files []*ast.File
	for _, name := range slices.DeleteFunc(names, func(n string) bool { return strings.HasSuffix(n, "_test.go") }) {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}
