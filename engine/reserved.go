package engine

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/cuegate/cuegate/engine/internal/listenpath"
)

// warnReserved warns of a path that the gateway keeps for itself on every host: the
// API loads, and requests never reach it (Tyk Gateway v5.11.1, measured).
func (r *routeReader) warnReserved(field, raw, pathType string) {
	path, err := url.PathUnescape(raw)
	if err != nil {
		return // refused elsewhere
	}
	if pathType != string(listenpath.Exact) {
		path = strings.TrimSuffix(path, "/")
	}
	what := "requests of that path"
	switch {
	case path == "/hello", path == "/ready":
	case path == "/tyk", strings.HasPrefix(path, "/tyk/"):
		path, what = "/tyk", "requests of that path and below"
	default:
		return
	}
	r.draft.warnings = append(r.draft.warnings, Reason{
		ID: "path-reserved", Field: field,
		Msg: fmt.Sprintf("The gateway keeps %s for itself on every host, so %s never reach the service.", path, what),
	})
}
