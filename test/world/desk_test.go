package world

import (
	"context"
	"errors"
	"fmt"
	"time"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
	"github.com/skein-mesh/skein/test/history"
)

const (
	// desks are the streams over which clerks compete.
	desks = 3
	// deskRate is small: hundreds of clerks have room at a desk.
	deskRate = 1
)

// take publishes a desk.
func (c *clerk) take(desk string) {
	begun, id := time.Now(), c.request()
	a, err := asks(c, func(ctx context.Context, m skeinv1.MembershipClient) (*skeinv1.PublishResponse, error) {
		return m.Publish(ctx, &skeinv1.PublishRequest{
			Region: string(home), RequestId: id, Lease: c.lease, Stream: desk, Kind: skeinv1.Kind_KIND_DATA, LayerKbps: []uint32{deskRate},
		})
	})
	switch {
	case err == nil:
		c.claim(history.Take, desk, begun, time.Now(), false)
		c.holds[desk] = true
		c.told(id, begun, a, func(r *region.Region) error {
			if s, ok := r.Stream(region.StreamID(desk)); !ok || s.Origin != c.id() {
				return fmt.Errorf("%s is published by %.6q", desk, s.Origin)
			}
			return nil
		})
	case errors.Is(err, region.ErrExists):
		c.claim(history.Take, desk, begun, time.Now(), true)
	default:
		c.claim(history.Take, desk, begun, time.Time{}, false)
		c.doubts[desk] = true
		c.ended(err)
	}
}

// give ends the publication of a desk.
func (c *clerk) give(desk string) {
	begun, id := time.Now(), c.request()
	a, err := asks(c, func(ctx context.Context, m skeinv1.MembershipClient) (*skeinv1.UnpublishResponse, error) {
		return m.Unpublish(ctx, &skeinv1.UnpublishRequest{Region: string(home), RequestId: id, Lease: c.lease, Stream: desk})
	})
	switch {
	case err == nil:
		c.claim(history.Give, desk, begun, time.Now(), false)
		delete(c.holds, desk)
		c.told(id, begun, a, func(r *region.Region) error {
			if s, ok := r.Stream(region.StreamID(desk)); ok && s.Origin == c.id() {
				return fmt.Errorf("%s is still published", desk)
			}
			return nil
		})
	case errors.Is(err, region.ErrNotOrigin), errors.Is(err, region.ErrUnknownStream):
		c.claim(history.Give, desk, begun, time.Now(), true)
		delete(c.holds, desk)
	default:
		c.claim(history.Give, desk, begun, time.Time{}, false)
		c.doubts[desk] = true
		c.ended(err)
	}
}

// admit asks for a place at a desk. The place is never used, and taken away again
// when its reservation runs out.
func (c *clerk) admit(desk string) {
	begun, id := time.Now(), c.request()
	a, err := asks(c, func(ctx context.Context, m skeinv1.MembershipClient) (*skeinv1.AdmitResponse, error) {
		return m.Admit(ctx, &skeinv1.AdmitRequest{
			Region: string(home), RequestId: id, Lease: c.lease, Stream: desk, Layers: 1, Cause: skeinv1.Cause_CAUSE_JOINING, Place: true,
		})
	})
	switch {
	case err == nil && a.GetAccepted() != nil:
		c.placed[desk] = true
		ssrc := a.GetAccepted().GetStream().GetSsrc()
		c.told(id, begun, a, func(r *region.Region) error {
			s, ok := r.Stream(region.StreamID(desk))
			if _, placed := r.Node(region.StreamID(desk), c.id()); ok && s.SSRC == ssrc && !placed {
				return fmt.Errorf("it has no place in %s", desk)
			}
			return nil
		})
	case err == nil, errors.Is(err, region.ErrUnknownStream), errors.Is(err, region.ErrInvalid):
	default:
		c.placed[desk] = true // perhaps
		c.ended(err)
	}
}

func (c *clerk) release(desk string) {
	id := c.request()
	_, err := asks(c, func(ctx context.Context, m skeinv1.MembershipClient) (*skeinv1.ReleaseResponse, error) {
		return m.Release(ctx, &skeinv1.ReleaseRequest{Region: string(home), RequestId: id, Lease: c.lease, Stream: desk})
	})
	if err == nil || errors.Is(err, region.ErrUnknownStream) || errors.Is(err, region.ErrInvalid) {
		delete(c.placed, desk)
		return
	}
	c.ended(err)
}

// haunt acts under the lease of a stay that has ended, which must not succeed.
func (c *clerk) haunt(desk string) {
	if c.former == 0 {
		return
	}
	id := c.request()
	_, err := asks(c, func(ctx context.Context, m skeinv1.MembershipClient) (*skeinv1.PublishResponse, error) {
		return m.Publish(ctx, &skeinv1.PublishRequest{
			Region: string(home), RequestId: id, Lease: c.former, Stream: "haunted-" + desk, Kind: skeinv1.Kind_KIND_DATA, LayerKbps: []uint32{deskRate},
		})
	})
	if err == nil {
		c.w.fault("%s published under lease %d, which has ended; it holds %d", c.name, c.former, c.lease)
	}
}
