package embedded

import (
	"io"
	"net/http"

	"github.com/gorilla/mux"
)

// A router finds the first API, in the order of compareSpecs, that claims a
// request. APIs on a literal host are found by host, because there may be
// thousands; the ranks keep the order across the three kinds.
type router struct {
	hosts     map[string][]entry // by literal domain; may name a port
	templates []*hostTemplate    // domains with {}
	any       []entry            // no domain
}

// entry is a route and its place in the order.
type entry struct {
	rank  int
	route *route
}

type hostTemplate struct {
	domain  string
	host    *mux.Route // nil for a template that the router refuses
	entries []entry
}

func (rt *router) find(r *http.Request) *route {
	host, full := hostOf(r), fullHostOf(r)
	best := first(rt.hosts[host], r, nil)
	if full != host {
		best = first(rt.hosts[full], r, best)
	}
	for _, t := range rt.templates {
		if best != nil && t.entries[0].rank > best.rank {
			break
		}
		if t.host != nil && t.host.Match(r, &mux.RouteMatch{}) {
			best = first(t.entries, r, best)
		}
	}
	if best == nil {
		best = first(rt.any, r, nil)
	}
	if best == nil {
		return nil
	}
	return best.route
}

// first returns the first entry that claims the request, or best when that comes
// before.
func first(entries []entry, r *http.Request, best *entry) *entry {
	for i := range entries {
		e := &entries[i]
		if best != nil && e.rank > best.rank {
			break
		}
		if e.route.claims(r) {
			return e
		}
	}
	return best
}

// serve is the data plane of the gateway's own port.
func (g *generation) serve(w http.ResponseWriter, r *http.Request) {
	if !g.loaded {
		http.NotFound(w, r)
		return
	}
	g.router.serve(w, r)
}

func (rt *router) serve(w http.ResponseWriter, r *http.Request) {
	route := rt.find(r)
	if route == nil || !route.admits(r.URL.Path) {
		notFound(w)
		return
	}
	route.serve(w, r)
}

func notFound(w http.ResponseWriter) {
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, http.StatusText(http.StatusNotFound))
}

// routerBuilder makes a router of routes that come in order.
type routerBuilder struct {
	router
	domains   bool // domains count
	rank      int
	templated map[string]*hostTemplate
	// compiled are the domains of the router before.
	compiled map[string]*mux.Route
}

func newRouterBuilder(domains bool, before *router) *routerBuilder {
	b := &routerBuilder{
		router:    router{hosts: map[string][]entry{}},
		domains:   domains,
		templated: map[string]*hostTemplate{},
		compiled:  map[string]*mux.Route{},
	}
	for _, t := range before.templates {
		b.compiled[t.domain] = t.host
	}
	return b
}

// add takes nil for an API that is not served.
func (b *routerBuilder) add(rt *route) {
	if rt == nil {
		return
	}
	b.rank++
	e := entry{b.rank, rt}
	switch {
	case rt.domain == "" || !b.domains:
		b.any = append(b.any, e)
	case !isTemplate(rt.domain):
		b.hosts[rt.domain] = append(b.hosts[rt.domain], e)
	default:
		t := b.template(rt.domain)
		t.entries = append(t.entries, e)
	}
}

func (b *routerBuilder) template(domain string) *hostTemplate {
	if t := b.templated[domain]; t != nil {
		return t
	}
	host, ok := b.compiled[domain]
	if !ok {
		var err error
		if host, err = muxRoute(domain, ""); err != nil {
			host = nil
		}
	}
	t := &hostTemplate{domain: domain, host: host}
	b.templated[domain] = t
	b.templates = append(b.templates, t)
	return t
}
