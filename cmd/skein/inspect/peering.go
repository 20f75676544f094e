package inspect

import (
	"context"

	"github.com/skein-mesh/skein/region"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
)

// An Agreement is what a region has agreed on with another community.
type Agreement struct {
	Region string `json:"region"`
	// Name of the other community here, and Community the hash of its CA.
	Name      string   `json:"name"`
	Community string   `json:"community"`
	Seeds     []string `json:"seeds,omitempty"`
	// Draw names the streams here that it may draw, by so many visitors at a time.
	Draw     []string `json:"draw,omitempty"`
	Visitors uint32   `json:"visitors,omitempty"`
}

// Peerings are the agreements of regions.
type Peerings struct {
	// Community is the own one.
	Community  string      `json:"community"`
	Agreements []Agreement `json:"agreements"`
	// Known are the regions of other communities that were heard of.
	Known []string `json:"known,omitempty"`
}

// Agree begins or changes an agreement of a region with another community; the caller
// must be an operator.
func (c *Client) Agree(ctx context.Context, a Agreement) error {
	return c.agree(ctx, &skeinv1.AgreeRequest{Region: a.Region, Agreement: &skeinv1.Agreement{
		Name: a.Name, Community: a.Community, Seeds: a.Seeds, Draw: a.Draw, Visitors: a.Visitors,
	}})
}

// Disagree ends the agreement of a region with the community of that name; the caller
// must be an operator. region.ErrInvalid if there is none.
func (c *Client) Disagree(ctx context.Context, r region.ID, name string) error {
	return c.agree(ctx, &skeinv1.AgreeRequest{Region: string(r), Agreement: &skeinv1.Agreement{Name: name}, End: true})
}

func (c *Client) agree(ctx context.Context, m *skeinv1.AgreeRequest) error {
	return c.any(ctx, func(ctx context.Context, i skeinv1.InspectionClient) error {
		_, err := i.Agree(ctx, m)
		return err
	})
}

// Agreements adds those of a region to p; the caller must be an operator.
func (c *Client) Agreements(ctx context.Context, r region.ID, p *Peerings) error {
	var answer *skeinv1.AgreementsResponse
	err := c.any(ctx, func(ctx context.Context, i skeinv1.InspectionClient) (err error) {
		answer, err = i.Agreements(ctx, &skeinv1.AgreementsRequest{Region: string(r)})
		return err
	})
	if err != nil {
		return err
	}
	p.Community = answer.GetCommunity()
	for _, a := range answer.GetAgreements() {
		p.Agreements = append(p.Agreements, Agreement{
			Region: string(r), Name: a.GetName(), Community: a.GetCommunity(), Seeds: a.GetSeeds(), Draw: a.GetDraw(), Visitors: a.GetVisitors(),
		})
	}
	p.Known = append(p.Known, answer.GetRegions()...)
	return nil
}
