package coordinator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	skeinv1 "github.com/skein-mesh/skein/proto/skein/v1"
	"github.com/skein-mesh/skein/region"
)

// Handler serves, for people and their tools:
//
//	/healthz  200 while the process works
//	/readyz   200 if every group has a leader and this replica is well, else 503
//	          with what is wrong
//	/metrics  in the format of Prometheus
//	/state    ?region=R: the structure, as JSON
//	/events   ?region=R&after=N: events as they happen (server-sent events); the
//	          id of each is the revision to resume from
//	/regions  ?region=R: the regions and coordinators known here, as JSON
//
// It asks for no credentials: whoever can reach it can read it.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.meters.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /state", s.serveState)
	mux.HandleFunc("GET /events", s.serveEvents)
	mux.HandleFunc("GET /regions", s.serveRegions)
	return mux
}

func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	for _, r := range s.hosted() {
		status := r.group.Status()
		problem := ""
		switch {
		case s.stopping.Err() != nil:
			problem = "it is stopping"
		case len(status.Problems) > 0:
			problem = health(status)
		case status.Leader == "":
			problem = "its group has no leader"
		case status.Leader == r.self && r.leading.Load() == nil:
			problem = "it is about to lead its group"
		}
		if problem != "" {
			http.Error(w, fmt.Sprintf("region %s: %s", r.region, problem), http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ok")
}

// A stateView is what /state shows.
type stateView struct {
	Status  json.RawMessage   `json:"status"`
	Members []json.RawMessage `json:"members"`
	Trees   []json.RawMessage `json:"trees"`
}

func (s *Server) serveState(w http.ResponseWriter, req *http.Request) {
	r, err := s.replica(req.FormValue("region"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	ctx, inspect := req.Context(), &inspection{server: s}
	view := stateView{}
	members, err := inspect.Members(ctx, &skeinv1.MembersRequest{Region: string(r.region)})
	if err == nil {
		var trees *skeinv1.TreesResponse
		trees, err = inspect.Trees(ctx, &skeinv1.TreesRequest{Region: string(r.region)})
		for _, t := range trees.GetTrees() {
			view.Trees = append(view.Trees, protoJSON(t))
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	view.Status = protoJSON(r.status())
	for _, m := range members.Members {
		view.Members = append(view.Members, protoJSON(m))
	}
	w.Header().Set("Content-Type", "application/json")
	// A failing write means that the reader is gone.
	_ = json.NewEncoder(w).Encode(view)
}

// serveEvents follows the history of a region. Browsers resume by sending the
// last id they saw.
func (s *Server) serveEvents(w http.ResponseWriter, req *http.Request) {
	r, err := s.replica(req.FormValue("region"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	text := req.Header.Get("Last-Event-ID")
	if text == "" {
		text = req.FormValue("after")
	}
	after, err := strconv.ParseUint(text, 10, 64)
	if err != nil && text != "" {
		http.Error(w, "after: want a revision", http.StatusBadRequest)
		return
	}
	place, err := r.history.from(region.Revision(after))
	if err != nil {
		http.Error(w, err.Error(), http.StatusGone)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	for {
		if err := flush.Flush(); err != nil {
			return
		}
		records, revision, err := r.await(req.Context(), s.stopping, place)
		if err != nil {
			return
		}
		if len(records) == 0 {
			fmt.Fprintf(w, ": revision %d\n\n", revision)
		}
		for _, m := range watchResponses(records) {
			if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", m.Revision, protoJSON(m)); err != nil {
				return
			}
		}
	}
}

// protoJSON writes a message with the names of the protocol.
func protoJSON(m proto.Message) json.RawMessage {
	b, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return json.RawMessage("null")
	}
	return b
}
