package history

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// A Claim is a call about a thing which one client at a time may hold, such as
// the name of a stream.
type Claim struct {
	// Client is a stay: who comes back is another one.
	Client string
	// Thing is what the claim is about; an End is about everything.
	Thing string
	Deed  Deed
	// Begun is before the call, Ended after its answer; zero if none ever came.
	Begun, Ended time.Time
	// Refused says that the answer was no: another client held the thing, or, to
	// Give, this one did not.
	Refused bool
}

// A Deed is what a claim is.
type Deed int

// Deeds.
const (
	// Take makes the client the holder if nobody else is.
	Take Deed = iota
	// Give makes the thing free if the client is the holder.
	Give
	// End frees everything the client holds.
	End
)

// Linearizable is a second opinion, which knows neither revisions nor the log:
// it searches an order of the claims, each between its beginning and its end,
// that explains all answers. It may take exponential time in the number of
// claims at a time.
func Linearizable(claims []Claim) error {
	things := map[string][]porcupine.Operation{}
	wanted := map[[2]string]bool{}
	for _, c := range claims {
		if c.Deed != End {
			things[c.Thing] = nil
			wanted[[2]string{c.Client, c.Thing}] = true
		}
	}
	for _, c := range claims {
		o := porcupine.Operation{Input: c, Call: c.Begun.UnixNano(), Return: c.Ended.UnixNano()}
		if c.Ended.IsZero() {
			o.Return = math.MaxInt64
		}
		if c.Deed != End {
			things[c.Thing] = append(things[c.Thing], o)
			continue
		}
		for name := range things {
			if wanted[[2]string{c.Client, name}] {
				things[name] = append(things[name], o)
			}
		}
	}
	for name, operations := range things {
		if !porcupine.CheckOperations(holder, operations) {
			return fmt.Errorf("no order explains the claims on %s:%s", name, list(operations))
		}
	}
	return nil
}

// holder is a thing as it should be; its state is the client that holds it.
var holder = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		has, c := state.(string), input.(Claim)
		mine := has == c.Client
		switch {
		case c.Deed == End && mine:
			return true, ""
		case c.Deed == End:
			return true, has
		case c.Ended.IsZero(): // it may have been refused
			c.Refused = c.Deed == Take && has != "" || c.Deed == Give && !mine
		}
		switch {
		case c.Deed == Take && !c.Refused:
			return has == "" || mine, c.Client
		case c.Deed == Take:
			return has != "" && !mine, has
		case !c.Refused:
			return mine, ""
		}
		return !mine, has
	},
}

func list(operations []porcupine.Operation) string {
	var b strings.Builder
	for _, o := range operations {
		c := o.Input.(Claim)
		fmt.Fprintf(&b, "\n  %s to %s: %s %s, refused %v", c.Begun.Format("15:04:05.000"), c.Ended.Format("15:04:05.000"),
			c.Client, [...]string{"takes", "gives", "ends"}[c.Deed], c.Refused)
	}
	return b.String()
}
