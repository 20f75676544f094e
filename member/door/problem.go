package door

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/skein-mesh/skein/region"
)

// A problem is an error as RFC 9457 has it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// refuse answers with a problem.
func refuse(w http.ResponseWriter, status int, err error) {
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="skein"`)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		w.Header().Set("Retry-After", retryAfter)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// A failing write means that the client is gone.
	_ = json.NewEncoder(w).Encode(problem{"about:blank", http.StatusText(status), status, err.Error()})
}

// statusOf is the HTTP status of an error.
func statusOf(err error) int {
	switch {
	case errors.Is(err, errMalformed):
		return http.StatusBadRequest
	case errors.Is(err, errUnprocessable), errors.Is(err, region.ErrInvalid):
		return http.StatusUnprocessableEntity
	case errors.Is(err, errNothing), errors.Is(err, region.ErrExists), errors.Is(err, region.ErrUnknownStream):
		return http.StatusConflict
	default:
		return http.StatusServiceUnavailable
	}
}
