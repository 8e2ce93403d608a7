package embedded

import (
	"net/http"
	"slices"

	"github.com/gorilla/mux"
)

// Candidate is an API on the way of a request.
type Candidate struct {
	ID, Domain, ListenPath string
	// Length is that by which the gateway orders listen paths, the longest first.
	Length int
	// Claims tells whether the API takes the request. The first that does gets it.
	Claims bool
}

// Candidates lists the APIs of the gateway's own port whose domain is that of the
// request, or that have none, in the order in which they are asked.
func (g *Gateway) Candidates(r *http.Request) []Candidate {
	rt := &g.now.Load().router
	entries := slices.Clone(rt.hosts[hostOf(r)])
	if full := fullHostOf(r); full != hostOf(r) {
		entries = append(entries, rt.hosts[full]...)
	}
	for _, t := range rt.templates {
		if t.host != nil && t.host.Match(r, &mux.RouteMatch{}) {
			entries = append(entries, t.entries...)
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.rank - b.rank })
	entries = append(entries, rt.any...) // their ranks come last
	all := make([]Candidate, 0, len(entries))
	for _, e := range entries {
		all = append(all, Candidate{
			ID: e.route.api.ID, Domain: e.route.domain, ListenPath: e.route.pattern.text,
			Length: pathLength(e.route.pattern.text), Claims: e.route.claims(r),
		})
	}
	return all
}
