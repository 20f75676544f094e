package door

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/skein-mesh/skein/region"
)

// serveCrowd tells of everybody, if they are known; else it has no content.
func (d *Door) serveCrowd(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodOptions && !d.allowed(w, r, Watch, "") {
		return
	}
	var crowd any
	if d.cfg.Crowd != nil {
		crowd = d.cfg.Crowd()
	}
	if crowd == nil || r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(crowd) // a failing write means that the page is gone
}

// serveLooks sends what there is to see and hear until the page goes.
func (x *walker) serveLooks(w http.ResponseWriter, r *http.Request) {
	x.pages.Add(1)
	defer x.pages.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		text, err := json.Marshal(x.look())
		if err == nil {
			_, err = io.WriteString(w, "data: "+string(text)+"\n\n")
		}
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			return // the page is gone
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		case <-x.door.ctx.Done():
			return
		}
	}
}

func (x *walker) look() look {
	l := look{Radius: walkerRule.Radius, Around: []bystander{}, Streams: []encountered{}}
	for _, b := range x.presence.Around() {
		one := bystander{Who: b.Who, X: b.Place.X, Y: b.Place.Y, Facing: b.Place.Facing, Distance: b.Distance}
		if b.Interested {
			one.Detail = b.Detail.String()
		}
		l.Around = append(l.Around, one)
	}
	slices.SortFunc(l.Around, func(a, b bystander) int { return cmp.Compare(a.Distance, b.Distance) })
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.streams {
		l.Streams = append(l.Streams, encountered{
			Stream: e.Stream, Who: e.Who, Kind: kindName(e.Media), Detail: e.Detail.String(),
			Playable: byName(e.Subscription.Stream().Codec) != nil,
		})
	}
	slices.SortFunc(l.Streams, func(a, b encountered) int { return cmp.Compare(a.Stream, b.Stream) })
	return l
}

func kindName(k region.Kind) string {
	switch k {
	case region.Audio:
		return "audio"
	case region.Video:
		return "video"
	}
	return "data"
}
