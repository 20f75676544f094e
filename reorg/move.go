package reorg

import (
	"fmt"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
)

// A Kind names the shape of a move.
type Kind uint8

// The kinds of moves.
const (
	// Reparent hangs one member, with all below it, under another parent.
	Reparent Kind = iota + 1
	// SubtreeSwap exchanges two members, each with all below it.
	SubtreeSwap
	// PositionSwap exchanges two members; what hangs below stays where it is.
	PositionSwap
	// Promotion lifts a member above another, often above its own parent.
	Promotion
	// Chain is any other set of steps that only pays, or only fits, together.
	Chain
)

var kinds = [...]string{"none", "reparent", "subtree swap", "position swap", "promotion", "chain"}

func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// A Move is a set of steps that are carried out together or not at all, in the
// order given: region.Move turns them into edits, if the region still allows it.
type Move struct {
	Kind  Kind
	Steps []region.Step
	// Gain is what the move takes off the total cost once the moves before it
	// are carried out. It is negative only for a move that makes room in one tree
	// for a later move in another; only annealing finds such.
	Gain time.Duration
	// Needs lists the earlier moves of the round without which this one is not
	// possible, by index, ascending. Most need none.
	Needs []int
}

// Members lists those whose agreement m needs, by ID: every member that moves
// and every new parent.
func (m Move) Members() []region.MemberID {
	var ids []region.MemberID
	for _, s := range m.Steps {
		ids = append(ids, s.Member, s.To)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
