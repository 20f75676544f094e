package world

import (
	"context"
	"crypto/ed25519"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skein-mesh/skein/coordinator"
	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/proto/trust"
	"github.com/skein-mesh/skein/region"
)

// A pass is what an application lets a participant do; it can be changed.
type pass struct {
	w     *world
	key   ed25519.PrivateKey
	token atomic.Pointer[string]
}

func (w *world) pass(p *participant, key ed25519.PrivateKey, a trust.Access) *pass {
	d := &pass{w: w, key: key}
	d.say(a, time.Hour)
	p.cfg.Access = func(context.Context) (string, error) { return *d.token.Load(), nil }
	return d
}

func (d *pass) say(a trust.Access, ttl time.Duration) {
	a.Expires = time.Now().Add(ttl)
	s, err := trust.SignAccess(d.key, a, time.Now())
	d.w.must(err)
	d.token.Store(&s)
}

// Members publish, subscribe and stand where their application lets them. What it
// allows can change, what was begun goes on when the token ends, and a change of
// leaders forgets nothing of it.
func TestApplicationsSayWhoMayDoWhat(t *testing.T) {
	Bubble(t, standstill, func(t *testing.T) {
		w := newWorld(t, 21)
		public, key, err := ed25519.GenerateKey(nil)
		w.must(err)
		w.tune = func(cfg *coordinator.Config) { cfg.Access = trust.AccessKeys{public} }
		w.found(3)

		speaker, listener, stranger := w.participant(5000), w.participant(5000), w.participant(5000)
		if err := stranger.enter(); !errors.Is(err, region.ErrUnauthenticated) {
			w.fault("without a token: %v", err)
		}
		w.pass(speaker, key, trust.Access{Publish: []string{"stage", "m1/*"}, Spaces: []string{"plaza"}, Names: []string{"m1"}})
		ear := w.pass(listener, key, trust.Access{Subscribe: []string{"stage"}, Names: []string{"m2"}})
		speaker.join()
		listener.join()
		w.show(speaker, "stage")
		v := listener.views["stage"]

		refused := func(what string, do func(context.Context) error) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := do(ctx); !errors.Is(err, region.ErrForbidden) {
				w.fault("%s: %v", what, err)
			}
		}
		data := member.Stream{Name: "m2/data", Kind: region.Data, Layers: []region.Rate{8}, Codec: member.Datagrams}
		publishes := func(ctx context.Context) error {
			pub, err := listener.node.Publish(ctx, data)
			if err == nil {
				err = pub.Close()
			}
			return err
		}
		refused("it publishes", publishes)
		enters := func(ctx context.Context) error {
			p, err := listener.node.Enter(ctx, plaza, region.Place{})
			if err == nil {
				err = p.Leave()
			}
			return err
		}
		refused("it enters", enters)
		w.must(speaker.film(w.camera("m1/other")))
		refused("it subscribes", func(ctx context.Context) error {
			_, err := listener.node.Subscribe(ctx, "m1/other")
			return err
		})

		w.leader().kill()
		w.until("another leader", func() bool { return w.leader() != nil })
		refused("it publishes after a change of leaders", publishes)
		ear.say(trust.Access{Publish: []string{"m2/*"}, Subscribe: []string{"stage", "m1/*"}, Spaces: []string{"plaza"}, Names: []string{"m2"}}, 30*time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		w.must(publishes(ctx))
		w.must(enters(ctx))
		other := listener.watch("m1/other")
		w.seen([]*viewer{v, other}, 20)

		time.Sleep(time.Minute)
		if err := publishes(ctx); !errors.Is(err, trust.ErrAccessExpired) {
			w.fault("after its end: %v", err)
		}
		w.seen([]*viewer{v, other}, 20)
	})
}
