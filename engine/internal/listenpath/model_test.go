package listenpath

import "strings"

// The model of Kubernetes: what its documentation says, and no code of the
// package under test.

// rule is an Ingress path as its author means it: the path is decoded.
type rule struct {
	host, path string
	pathType   PathType
	isDefault  bool
}

const nobody = -1

// kubernetesBackend returns the index of the rule that Kubernetes wants to serve
// a request, or nobody.
func kubernetesBackend(rules []rule, host, path string) int {
	for _, class := range []string{"exact", "wildcard", "none"} {
		best, bestRank := nobody, -1
		for i, r := range rules {
			if r.isDefault || r.hostClass(host) != class || !r.matchesPath(path) {
				continue
			}
			if rank := r.rank(); rank > bestRank {
				best, bestRank = i, rank
			}
		}
		if best != nobody {
			return best
		}
	}
	for i, r := range rules {
		if r.isDefault {
			return i
		}
	}
	return nobody
}

// hostClass says how the rule's host matches that of a request, or "" if not.
func (r rule) hostClass(host string) string {
	label, parent, _ := strings.Cut(host, ".")
	switch r.host {
	case "":
		return "none"
	case host:
		return "exact"
	case "*." + parent:
		if label != "" {
			return "wildcard"
		}
	}
	return ""
}

func (r rule) matchesPath(path string) bool {
	if r.pathType == Exact {
		return r.path == path
	}
	mine, theirs := r.elements(), strings.Split(path, "/")[1:]
	if len(mine) > len(theirs) {
		return false
	}
	for i := range mine {
		if mine[i] != theirs[i] {
			return false
		}
	}
	return true
}

// elements returns the elements of a Prefix path: a trailing slash is no element.
func (r rule) elements() []string {
	elements := strings.Split(r.path, "/")[1:]
	if last := len(elements) - 1; elements[last] == "" {
		elements = elements[:last]
	}
	return elements
}

// rank orders the rules that match one request: more elements first, and Exact,
// which matches all of the request, before every Prefix.
func (r rule) rank() int {
	if r.pathType == Exact {
		return 1 << 20
	}
	return len(r.elements())
}

// remainder is the part of a request's path that the rule does not name, which
// the upstream sees where the listen path is stripped.
func (r rule) remainder(path string) string {
	if r.isDefault {
		return path
	}
	if r.pathType == Exact {
		return "/"
	}
	return "/" + strings.Join(strings.Split(path, "/")[1+len(r.elements()):], "/")
}
