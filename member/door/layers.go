package door

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/skein-mesh/skein/region"
)

// layersPatience is how long a question for other layers is left open: less than
// proxies do.
const layersPatience = 25 * time.Second

// wanted are the layers of a publisher that anybody watches.
type wanted struct {
	mu      sync.Mutex
	layers  region.LayerMask
	changed chan struct{} // closed, and replaced, when layers is another
}

func (w *wanted) set(layers region.LayerMask) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed != nil && w.layers != layers {
		close(w.changed)
		w.changed = nil
	}
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	w.layers = layers
}

func (w *wanted) get() (layers region.LayerMask, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.layers, w.changed
}

// serveLayers tells a publisher which rids of its simulcast are watched, as a JSON
// object of booleans; of a scalable encoding, which modes: L1T3 is what its smallest picture
// has with three temporal layers. The lowest is always wanted, so that a viewer who comes sees
// something at once. An If-None-Match with the tag of the last answer waits until there
// is another one, and answers 304 after a while. 204: there are no layers to choose from.
func (d *Door) serveLayers(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return
	}
	s := d.session(r.PathValue("id"))
	switch {
	case s == nil:
		refuse(w, http.StatusNotFound, errors.New("there is no such session"))
		return
	case !d.allowed(w, r, s.action, s.name):
		return
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", "GET, OPTIONS")
		refuse(w, http.StatusMethodNotAllowed, errors.New("only GET is for this address"))
		return
	case !s.patches.Allow():
		refuse(w, http.StatusTooManyRequests, errors.New("too many requests for one session"))
		return
	case s.layered == nil:
		w.WriteHeader(http.StatusNoContent)
		return
	}
	timer := time.NewTimer(layersPatience)
	defer timer.Stop()
	for {
		layers, changed := s.layered.wanted.get()
		tag := `"` + number(layers) + `"`
		if r.Header.Get("If-None-Match") != tag {
			answer := make(map[string]bool)
			for i, label := range s.layered.labels() {
				answer[label] = i == 0 || layers>>i&1 != 0
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("ETag", tag)
			_ = json.NewEncoder(w).Encode(answer) // a client that is gone does not care
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			w.WriteHeader(http.StatusNotModified)
			return
		case <-s.ctx.Done():
			refuse(w, http.StatusNotFound, errors.New("the session has ended"))
			return
		case <-r.Context().Done():
			return
		}
	}
}
