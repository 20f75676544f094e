package world

import (
	"fmt"
	"sync"
	"time"

	"github.com/skein-mesh/skein/test/history"
)

// act does one thing.
func (c *clerk) act() {
	if c.lease == 0 || c.ending {
		if err := c.join(1000); err != nil {
			c.w.note("%s cannot join: %v", c.name, err)
		}
		return
	}
	desk := fmt.Sprintf("desk%d", 1+c.chance.IntN(desks))
	switch n := c.chance.IntN(16); {
	case n == 0:
		c.leave()
	case n == 1:
		c.haunt(desk)
	case c.doubts[desk]:
		time.Sleep(time.Second)
	case c.holds[desk]:
		c.give(desk)
	case n < 9:
		c.take(desk)
	case c.placed[desk]:
		c.release(desk)
	default:
		c.admit(desk)
	}
}

// An office is where clerks work.
type office struct {
	clerks []*clerk
	quit   chan struct{} // not nil: they work
	work   sync.WaitGroup
}

func (w *world) hire(count int) {
	for range count {
		w.office.clerks = append(w.office.clerks, w.clerk(len(w.office.clerks)+1))
	}
}

// open lets the clerks work.
func (o *office) open() {
	o.quit = make(chan struct{})
	quit := o.quit
	for _, c := range o.clerks {
		o.work.Go(func() {
			for {
				select {
				case <-quit:
					for c.lease != 0 && !c.ending {
						c.leave()
					}
					return
				case <-time.After(time.Duration(100+c.chance.IntN(1500)) * time.Millisecond):
					c.act()
				}
			}
		})
	}
}

// close ends the stays of all clerks, and waits for it.
func (o *office) close() {
	if o.quit != nil {
		close(o.quit)
		o.quit = nil
		o.work.Wait()
	}
}

// end is for the end of the world.
func (o *office) end() {
	for _, c := range o.clerks {
		c.host.Kill()
	}
	if o.quit != nil {
		close(o.quit)
		o.quit = nil
	}
	o.work.Wait()
	for _, c := range o.clerks {
		c.close()
	}
}

// records are what all clerks have written down.
func (o *office) records() (calls []history.Call, claims []history.Claim) {
	for _, c := range o.clerks {
		calls, claims = append(calls, c.calls...), append(claims, c.claims...)
	}
	return calls, claims
}
