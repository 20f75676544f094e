package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/skein-mesh/skein/member"
	"github.com/skein-mesh/skein/region"
)

const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
	// retryAfter is what clients are told to wait, in seconds, when there is
	// nothing to watch or no room.
	retryAfter = "2"
)

// Handler serves the paths named in the package comment.
func (d *Door) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/whip/{name...}", cors(d.endpoint(Publish)))
	mux.HandleFunc("/whep/{name...}", cors(d.endpoint(Watch)))
	mux.HandleFunc("/door/sessions/{id}", cors(d.serveSession))
	mux.HandleFunc("/door/sessions/{id}/layers", cors(d.serveLayers))
	mux.HandleFunc("/door/streams", cors(d.serveStreams))
	mux.HandleFunc("/door/walkers", cors(d.serveWalkers))
	mux.HandleFunc("/door/walkers/{id}", cors(d.serveWalker))
	mux.HandleFunc("/door/plaza.json", cors(d.serveCrowd))
	mux.Handle("/door/", pages())
	return mux
}

// cors lets pages from anywhere use the door: what protects it is the token,
// which no browser adds by itself.
func cors(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "Location, Link, ETag, Accept-Patch, Accept-Post, Retry-After")
		h.Set("Cache-Control", "no-store")
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match, If-None-Match")
			h.Set("Access-Control-Max-Age", "86400")
		}
		next(w, r)
	}
}

// endpoint serves the path under which an action begins.
func (d *Door) endpoint(action Action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Accept-Post", typeSDP)
		switch r.Method {
		case http.MethodOptions:
			w.WriteHeader(http.StatusOK)
		case http.MethodGet, http.MethodHead:
			if action == Watch {
				w.Header().Set("Content-Type", typeSDP)
			}
			w.WriteHeader(http.StatusOK)
		case http.MethodPost:
			d.begin(w, r, action)
		default:
			w.Header().Set("Allow", "GET, HEAD, OPTIONS, POST")
			refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("%s is not for this address", r.Method))
		}
	}
}

// allowed judges the token of a request, and answers if it does not suffice.
func (d *Door) allowed(w http.ResponseWriter, r *http.Request, action Action, name string) bool {
	token := ""
	if scheme, rest, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		token = strings.TrimSpace(rest)
	}
	err := d.cfg.Authorize(token, action, name)
	if err == nil {
		return true
	}
	status := http.StatusForbidden
	if token == "" {
		status, err = http.StatusUnauthorized, fmt.Errorf("a bearer token is needed to %s %s", action, name)
	}
	refuse(w, status, err)
	return false
}

// body reads a request of one media type, and answers if it is none.
func body(w http.ResponseWriter, r *http.Request, want string) (string, bool) {
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != want {
		refuse(w, http.StatusUnsupportedMediaType, fmt.Errorf("Content-Type: want %s", want))
		return "", false
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Errorf("at most %d bytes", maxBody))
	case err != nil:
		refuse(w, http.StatusBadRequest, errors.New("the body did not arrive whole"))
	default:
		return string(data), true
	}
	return "", false
}

// begin answers a POST: a client with an offer.
func (d *Door) begin(w http.ResponseWriter, r *http.Request, action Action) {
	name := r.PathValue("name")
	if !d.allowed(w, r, action, name) {
		return
	}
	if !d.posts.Allow() {
		refuse(w, http.StatusServiceUnavailable, errors.New("too many clients at once"))
		return
	}
	text, ok := body(w, r, typeSDP)
	if !ok {
		return
	}
	s, local, err := d.negotiate(r, action, name, text)
	if err != nil {
		d.cfg.Logger.Debug("client refused", "action", action, "name", name, "err", err)
		if errors.Is(err, errNothing) {
			w.Header().Set("Retry-After", retryAfter)
		}
		refuse(w, statusOf(err), err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", typeSDP)
	h.Set("Location", "/door/sessions/"+s.id)
	h.Set("ETag", s.tag())
	h.Set("Accept-Patch", typeFragment)
	for _, server := range d.cfg.ICEServers() {
		h.Add("Link", link(server))
	}
	status := http.StatusCreated
	if s.waits.Load() {
		// The client may PATCH an answer to this offer instead.
		status = http.StatusNotAcceptable
		until := time.Now().Add(connectTimeout).UTC().Format(http.TimeFormat)
		h.Set("Content-Type", mime.FormatMediaType(typeSDP, map[string]string{"valid-until": until}))
		h.Set("Accept-Patch", typeSDP+", "+typeFragment)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, local) // a client that is gone does not connect
}

func (d *Door) negotiate(r *http.Request, action Action, name, text string) (*session, string, error) {
	longest := region.StreamID(name + "/video")
	if err := longest.Validate(); err != nil {
		return nil, "", err
	}
	o, err := parseOffer(text, action)
	if err != nil && (action != Watch || !errors.Is(err, errUnprocessable)) {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), negotiationTimeout, errors.New("the mesh did not answer in time"))
	defer cancel()
	stop := context.AfterFunc(d.ctx, cancel)
	defer stop()
	if action == Watch {
		return d.watch(ctx, name, o, err)
	}
	rates, err := d.rates(r.URL.Query())
	if err != nil {
		return nil, "", err
	}
	mode, err := scalability(r.URL.Query(), o)
	if err != nil {
		return nil, "", err
	}
	return d.publish(ctx, name, o, rates, mode)
}

// rates are what a publisher asks for, kbit/s, by medium.
func (d *Door) rates(q url.Values) (map[string]region.Rate, error) {
	rates := map[string]region.Rate{"audio": d.cfg.AudioRate, "video": d.cfg.VideoRate}
	for media := range rates {
		if !q.Has(media) {
			continue
		}
		n, err := strconv.ParseUint(q.Get(media), 10, 32)
		if err != nil || n == 0 || n > uint64(d.cfg.MaxRate) {
			return nil, fmt.Errorf("%w: %s=%.20q, want 1 to %d kbit/s", errMalformed, media, q.Get(media), d.cfg.MaxRate)
		}
		rates[media] = region.Rate(n)
	}
	return rates, nil
}

// link is a server as a Link header says it.
func link(s member.ICEServer) string {
	v := "<" + s.URL + `>; rel="ice-server"`
	if s.Username != "" {
		v += `; username=` + strconv.Quote(s.Username) + `; credential=` + strconv.Quote(s.Credential) + `; credential-type="password"`
	}
	return v
}

// serveSession serves PATCH and DELETE of a session.
func (d *Door) serveSession(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Accept-Patch", typeFragment)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return
	}
	s := d.session(r.PathValue("id"))
	if s == nil {
		refuse(w, http.StatusNotFound, errors.New("there is no such session, or it has ended"))
		return
	}
	if !d.allowed(w, r, s.action, s.name) {
		return
	}
	if !s.patches.Allow() {
		refuse(w, http.StatusTooManyRequests, errors.New("too many requests for one session"))
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		w.WriteHeader(http.StatusNoContent)
	case http.MethodDelete:
		s.close("the client said good-bye")
		w.WriteHeader(http.StatusOK)
	case http.MethodPatch:
		s.servePatch(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS, PATCH, DELETE")
		refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("%s is not for this address", r.Method))
	}
}

// serveAnswer takes the answer to the door's offer.
func (s *session) serveAnswer(w http.ResponseWriter, r *http.Request) {
	text, ok := body(w, r, typeSDP)
	if !ok {
		return
	}
	if match := strings.TrimSpace(r.Header.Get("If-Match")); match != "" && match != "*" && match != s.tag() {
		refuse(w, http.StatusPreconditionFailed, errors.New("the ICE session of that tag is over"))
		return
	}
	if err := s.accept(text); err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// servePatch takes candidates (If-Match: the tag), or restarts ICE (If-Match: *).
func (s *session) servePatch(w http.ResponseWriter, r *http.Request) {
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && got == typeSDP && s.waits.Load() {
		s.serveAnswer(w, r)
		return
	}
	text, ok := body(w, r, typeFragment)
	if !ok {
		return
	}
	f, err := parseFragment(text)
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	match := strings.TrimSpace(r.Header.Get("If-Match"))
	switch match {
	case "":
		refuse(w, http.StatusPreconditionRequired, errors.New("If-Match is missing"))
	case "*":
		ctx, cancel := context.WithTimeoutCause(r.Context(), negotiationTimeout, errors.New("no candidates in time"))
		defer cancel()
		fragment, tag, err := s.restart(ctx, f)
		if err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		w.Header().Set("Content-Type", typeFragment)
		w.Header().Set("ETag", tag)
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, fragment)
	case s.tag():
		if err := s.trickle(f); err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusPreconditionFailed, errors.New("the ICE session of that tag is over"))
	}
}
