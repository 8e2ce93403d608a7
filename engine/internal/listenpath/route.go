package listenpath

import (
	"fmt"
	"strings"
)

// PathType is the pathType of an Ingress path, spelled as in Kubernetes.
type PathType string

// The path types.
const (
	Exact                  PathType = "Exact"
	Prefix                 PathType = "Prefix"
	ImplementationSpecific PathType = "ImplementationSpecific" // taken as Prefix
)

// Route is what one Ingress path matches: a validated host and path. The zero
// Route is the default backend.
type Route struct {
	host  string // in lower case; "*.example.com" for a wildcard
	kind  HostKind
	path  string // decoded; of type Prefix without trailing slash, but "/" for the root
	exact bool
}

// DefaultBackend returns the route of the default backend: it has no host,
// matches every request, and comes after every other route.
func DefaultBackend() Route { return Route{} }

// Parse validates the host, path and type of an Ingress path. Host may be empty;
// path may be empty where the type is ImplementationSpecific, and means "/" then.
// The error says which of the three is wrong and why, in one sentence with no
// more than 64 bytes of it.
func Parse(host, path string, pathType PathType) (Route, error) {
	switch pathType {
	case Exact, Prefix, ImplementationSpecific:
	default:
		return Route{}, fmt.Errorf("path type %s is not known", quote(string(pathType)))
	}
	host, kind, err := parseHost(host)
	if err != nil {
		return Route{}, err
	}
	decoded, err := parsePath(path, pathType)
	if err != nil {
		return Route{}, err
	}
	exact := pathType == Exact
	if !exact && decoded != "/" {
		decoded = strings.TrimSuffix(decoded, "/")
	}
	return Route{host: host, kind: kind, path: decoded, exact: exact}, nil
}

// HostKind returns the kind of the route's host.
func (r Route) HostKind() HostKind { return r.kind }

// MatchKey returns a canonical text of what the route matches. Two routes have
// the same key if and only if they match the same requests with the same
// precedence, that is, if they conflict. (The default backend and the Prefix "/"
// of no host match the same requests, but the latter comes first.)
//
// The form is HOST, a space, "=" for Exact or "^" for Prefix, a space, and the
// decoded path, which is not safe for a terminal; or "default".
func (r Route) MatchKey() string {
	switch {
	case r.isDefault():
		return "default"
	case r.exact:
		return r.host + " = " + r.path
	default:
		return r.host + " ^ " + r.path
	}
}

func (r Route) isDefault() bool { return r.path == "" }

// elements returns the number of elements of the path; the root has none, and a
// trailing slash adds none.
func (r Route) elements() int {
	trimmed := strings.Trim(r.path, "/")
	if trimmed == "" {
		return 0
	}
	return strings.Count(trimmed, "/") + 1
}
