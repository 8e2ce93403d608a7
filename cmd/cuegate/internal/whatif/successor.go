package whatif

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cuegate/cuegate/engine"
)

// requestsMoved is the id of the rule.
const requestsMoved = "requests-moved"

// byHost holds what is served for Ingresses by host, in the order of ids.
type byHost map[string][]*served

func newByHost(all map[string]*served) byHost {
	hosts := byHost{}
	for _, s := range all {
		if s.def.Scope == "" {
			host, _, _ := cutMatch(s.def.Match)
			hosts[host] = append(hosts[host], s)
		}
	}
	for _, list := range hosts {
		slices.SortFunc(list, func(a, b *served) int { return cmp.Compare(a.def.ID, b.def.ID) })
	}
	return hosts
}

// successor finds the definition that gets the requests of one that is gone: the first by
// the precedence of Kubernetes of those that match all of them. It is nil where requests
// get no answer any more.
func (h byHost) successor(gone *served) *served {
	host, _, _ := cutMatch(gone.def.Match)
	hosts := []string{host}
	if _, parent, ok := strings.Cut(host, "."); ok {
		hosts = append(hosts, "*."+parent)
	}
	for _, x := range append(hosts, "") {
		var best *served
		for _, s := range h[x] {
			if s.def.ID != gone.def.ID && coversMatch(s.def.Match, gone.def.Match) && (best == nil || coversMatch(best.def.Match, s.def.Match)) {
				best = s
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// coversMatch tells of two forms of engine.Definition.Match whether all requests for b
// match a.
func coversMatch(a, b string) bool {
	hostA, kindA, pathA := cutMatch(a)
	hostB, kindB, pathB := cutMatch(b)
	if !coversHost(hostA, hostB) {
		return false
	}
	switch {
	case pathA == "" || pathA == "/" && kindA == "^":
		return pathB != "" || pathA == ""
	case kindA == "=":
		return kindB == "=" && pathA == pathB
	}
	return pathA == pathB || strings.HasPrefix(pathB, pathA+"/")
}

// moved says what it means that requests fall to another definition, or nothing.
func moved(gone, to *served) string {
	was, is := gone.doc.credentials(), to.doc.credentials()
	switch {
	case strength(is) < strength(was) && len(is) == 0:
		return fmt.Sprintf("Requests fall to %s, which needs no credentials; they needed %s.", whose(gone, to), listed(was))
	case strength(is) < strength(was):
		return fmt.Sprintf("Requests fall to %s, which needs %s; they needed %s.", whose(gone, to), listed(is), listed(was))
	case gone.owner.Namespace != to.owner.Namespace:
		return fmt.Sprintf("Requests fall to %s, of another namespace.", to.owner)
	case gone.def.Match == to.def.Match && gone.owner != to.owner:
		return fmt.Sprintf("Requests fall to %s, which has the same host and path.", to.owner)
	}
	return ""
}

// whose names the one that requests fall to.
func whose(gone, to *served) string {
	if gone.owner == to.owner {
		return place(to.def.Match, "") + " of the same object"
	}
	return to.owner.String()
}

// served is a definition that one side serves.
type served struct {
	owner    engine.Ref
	def      engine.Definition
	doc      definition
	template string
}
