package door

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/skein-mesh/skein/region"
)

// A listed stream is what there is to watch under a name.
type listed struct {
	Name  string `json:"name"`
	Audio string `json:"audio,omitempty"` // codec
	Video string `json:"video,omitempty"`
}

// serveStreams lists the names that can be watched.
func (d *Door) serveStreams(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET, OPTIONS")
		refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("%s is not for this address", r.Method))
		return
	}
	if !d.allowed(w, r, Watch, "") {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), negotiationTimeout)
	defer cancel()
	all, err := d.cfg.Node.Streams(ctx)
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list(all))
}

// list joins the streams of one publisher under their name.
func list(all []region.Stream) []listed {
	out := []listed{}
	at := make(map[string]int)
	for _, s := range all {
		c := byName(s.Codec)
		if c == nil || regionKind(c.media) != s.Kind {
			continue
		}
		name := strings.TrimSuffix(string(s.ID), "/"+c.media)
		i, ok := at[name]
		if !ok {
			i = len(out)
			at[name] = i
			out = append(out, listed{Name: name})
		}
		if c.media == "audio" {
			out[i].Audio = c.name
		} else {
			out[i].Video = c.name
		}
	}
	return out
}
