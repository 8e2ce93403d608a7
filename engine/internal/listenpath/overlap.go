package listenpath

import "strings"

// ParseKey reads what MatchKey writes.
func ParseKey(key string) (Route, bool) {
	if key == "default" {
		return DefaultBackend(), true
	}
	host, rest, _ := strings.Cut(key, " ")
	how, path, ok := strings.Cut(rest, " ")
	if !ok || how != "=" && how != "^" || !strings.HasPrefix(path, "/") {
		return Route{}, false
	}
	r := Route{host: host, path: path, exact: how == "=", kind: ExactHost}
	switch {
	case host == "":
		r.kind = AnyHost
	case strings.HasPrefix(host, "*."):
		r.kind = WildcardHost
	}
	return r, true
}

// Host returns the route's host, "" for every host.
func (r Route) Host() string { return r.host }

// Parent returns the host without its first label: hosts of one parent are covered
// by one wildcard.
func (r Route) Parent() string {
	_, parent, _ := strings.Cut(r.host, ".")
	return parent
}

// Beats tells whether Kubernetes prefers r to other for a request that both match,
// and whether there is such a request at all.
func (r Route) Beats(other Route) (beats, overlap bool) {
	if !hostsOverlap(r, other) || !pathsOverlap(r, other) {
		return false, false
	}
	switch {
	case r.kind != other.kind:
		return r.kind > other.kind, true
	case r.isDefault() != other.isDefault():
		return other.isDefault(), true
	case r.exact != other.exact:
		return r.exact, true
	}
	return len(r.path) > len(other.path), true
}

// hostsOverlap: routes without a host are asked last by the gateway itself, so that
// they are apart from all others.
func hostsOverlap(a, b Route) bool {
	if a.kind == b.kind {
		return a.host == b.host
	}
	return a.kind != AnyHost && b.kind != AnyHost && a.Parent() == b.Parent()
}

func pathsOverlap(a, b Route) bool {
	switch {
	case a.isDefault() || b.isDefault():
		return true
	case a.exact && b.exact:
		return a.path == b.path
	case a.exact:
		return below(a.path, b.path)
	case b.exact:
		return below(b.path, a.path)
	}
	return below(a.path, b.path) || below(b.path, a.path)
}

// below tells whether a Prefix matches the path.
func below(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/' || prefix == "/")
}
