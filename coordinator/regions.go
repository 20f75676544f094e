package coordinator

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/skein-mesh/skein/coordinator/directory"
	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// atlas serves skein.v1.Directory from what this coordinator has heard.
type atlas struct {
	skeinv1.UnimplementedDirectoryServer
	server *Server
}

// Regions lists the regions and coordinators that are known here.
func (a *atlas) Regions(_ context.Context, req *skeinv1.RegionsRequest) (*skeinv1.RegionsResponse, error) {
	d, now := a.server.directory, time.Now()
	resp := &skeinv1.RegionsResponse{}
	for _, e := range d.Regions() {
		if req.Region != "" && req.Region != string(e.Region) {
			continue
		}
		resp.Regions = append(resp.Regions, &skeinv1.RegionEntry{
			Signed: e.Signed, HeardMs: now.Sub(e.Heard).Milliseconds(), RttUs: rttMessage(d.Distance(e.Descriptor)),
		})
	}
	for _, c := range d.Coordinators() {
		resp.Coordinators = append(resp.Coordinators, &skeinv1.CoordinatorEntry{
			Coordinator: &skeinv1.Coordinator{Id: string(c.ID), Address: c.GRPC}, Raft: c.Raft,
			Groups: uint32(c.Groups), MaxGroups: uint32(c.MaxGroups), RttUs: rttMessage(c.RTT, c.Known),
			Site: c.Site, Operator: c.Operator, Volunteer: c.Volunteer,
		})
	}
	return resp, nil
}

func rttMessage(rtt time.Duration, known bool) int64 {
	if !known {
		return -1
	}
	return rtt.Microseconds()
}

// openDirectory takes part in the coordinators' pool.
func (s *Server) openDirectory(ctx context.Context) error {
	self := s.cfg.advertised()
	raft, err := numeric(ctx, self.Raft)
	if err != nil {
		return fmt.Errorf("config Advertise or Groups: the Raft address of this coordinator: %w", err)
	}
	cfg := directory.Config{
		Self: region.Host{ID: self.ID, GRPC: self.GRPC, Raft: raft}, MaxGroups: s.cfg.maxGroups(), Logger: s.logger,
		Vouched: s.vouched, Site: s.cfg.Site, Operator: s.cfg.Operator, Volunteer: s.cfg.Volunteer,
	}
	for _, p := range s.cfg.Seeds {
		cfg.Seeds = append(cfg.Seeds, region.Host{ID: p.ID, GRPC: p.GRPC, Raft: p.Raft})
	}
	for _, g := range s.roster.groups() {
		for _, p := range g.Peers {
			cfg.Seeds = append(cfg.Seeds, region.Host{ID: p.ID, GRPC: p.GRPC, Raft: p.Raft})
		}
	}
	if cfg.Channel, err = s.raft.Channel(directory.ChannelName); err != nil {
		return err
	}
	s.directory, err = directory.Open(cfg)
	return err
}

// vouched judges a coordinator's word on the new key of a region.
func (s *Server) vouched(d *skeinv1.SignedDescriptor) error {
	return s.cfg.Credentials.CheckVoucher(d.GetVoucher().GetCertificate(), d.GetBody(), d.GetVoucher().GetSignature(), time.Now())
}

// numeric is an address with an IP in it, which is what the pool passes on.
func numeric(ctx context.Context, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || net.ParseIP(host) != nil {
		return address, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(ips[0].Unmap().String(), port), nil
}

// elsewhere says what is known of a region that is not hosted here.
func (s *Server) elsewhere(id region.ID, cause error) error {
	e := &region.ElsewhereError{Region: id, Cause: cause}
	for next := id; next != "" && len(e.Now) < 2; {
		found, ok := s.directory.Region(next)
		if !ok {
			break
		}
		e.Now = append(e.Now, found.Descriptor)
		next = found.Into
	}
	if len(e.Now) == 0 {
		return nil
	}
	return e
}

// A regionView is a region as /regions shows it.
type regionView struct {
	Descriptor json.RawMessage `json:"descriptor"`
	HeardMs    int64           `json:"heard_ms"`
	RTTUs      int64           `json:"rtt_us"`
}

func (s *Server) serveRegions(w http.ResponseWriter, req *http.Request) {
	resp, err := (&atlas{server: s}).Regions(req.Context(), &skeinv1.RegionsRequest{Region: req.FormValue("region")})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	view := struct {
		Regions      []regionView      `json:"regions"`
		Coordinators []json.RawMessage `json:"coordinators"`
	}{Regions: []regionView{}}
	for _, e := range resp.Regions {
		d, err := skeinv1.DecodeDescriptor(e.Signed)
		if err != nil {
			continue
		}
		view.Regions = append(view.Regions, regionView{protoJSON(d), e.HeardMs, e.RttUs})
	}
	for _, c := range resp.Coordinators {
		view.Coordinators = append(view.Coordinators, protoJSON(c))
	}
	w.Header().Set("Content-Type", "application/json")
	// A failing write means that the reader is gone.
	_ = json.NewEncoder(w).Encode(view)
}
