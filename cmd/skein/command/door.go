package command

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/member/door"
	"github.com/skein-mesh/skein/region"
)

// doorMedia is the UDP port of a door that stays, so that a firewall can know it.
const doorMedia = ":7501"

// doorFlags are the settings of a member's door for browsers and encoders.
type doorFlags struct {
	open           bool
	cfg            door.Config
	publish, watch string
}

func (d *doorFlags) add(f *pflag.FlagSet, open bool, media string) {
	f.BoolVar(&d.open, "door", open, "let browsers, OBS, ffmpeg and GStreamer in at --http: WHIP, WHEP, and pages at /door/")
	d.addRest(f, media)
}

// addRest defines the flags of a door that is open anyway.
func (d *doorFlags) addRest(f *pflag.FlagSet, media string) {
	d.cfg = door.DefaultConfig()
	f.StringVar(&d.cfg.Media, "door-media", media, "UDP address for the door's clients; port 0 for any")
	f.StringVar(&d.publish, "door-publish-token", "", "bearer token of those who may publish (and watch); needed unless --http is loopback")
	f.StringVar(&d.watch, "door-watch-token", "", "bearer token of those who may watch; empty lets everybody")
}

// serve opens the door of a member.
func (d *doorFlags) serve(n *member.Node, http string, a *app, advertise []string) (*door.Door, error) {
	host, _, err := net.SplitHostPort(http)
	ip, _ := netip.ParseAddr(host)
	switch {
	case err != nil:
		return nil, fmt.Errorf("--door wants --http, an address to listen at: %w", region.ErrInvalid)
	case d.publish == "" && host != "localhost" && !ip.IsLoopback():
		return nil, fmt.Errorf("--door at %s would let anybody publish: set --door-publish-token: %w", http, region.ErrInvalid)
	}
	cfg := d.cfg
	cfg.Node, cfg.Logger = n, a.log
	for _, text := range advertise {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("--advertise %q is no IP address: %w", text, region.ErrInvalid)
		}
		cfg.Advertise = append(cfg.Advertise, ip)
	}
	if d.publish != "" || d.watch != "" {
		tokens := door.Tokens(d.publish, d.watch)
		loopback := d.publish == ""
		cfg.Authorize = func(token string, action door.Action, name string) error {
			if loopback && action == door.Publish {
				return nil
			}
			return tokens(token, action, name)
		}
	}
	opened, err := door.New(cfg)
	if err != nil {
		return nil, err
	}
	a.log.Info("the door is open", "page", "http://"+strings.Replace(http, "0.0.0.0", "127.0.0.1", 1)+"/door/")
	return opened, nil
}
