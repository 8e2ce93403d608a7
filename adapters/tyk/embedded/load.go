package embedded

import (
	"bytes"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// A generation is what one load made of the files. It does not change.
type generation struct {
	// byID is what the control API knows. Of two files with one id, it is the one
	// that was loaded last, although both are served.
	byID map[string]*spec
	// certs are those that the APIs name, by id, as far as the store had them.
	certs map[string]*certificate
	// router and pool are those of the gateway's own port.
	router router
	pool   pool
	// ports are the others.
	ports map[int]*port
	// loaded is false until there was an API to load.
	loaded bool
}

// A spec is a definition that is loaded. It does not change after the load that
// made it, and lives on as long as its definition stays the same.
type spec struct {
	def *definition
	// listenPath is the definition's, or what a collision made of it.
	listenPath string
	// pattern is the compiled listenPath.
	pattern *pattern
	// route is nil when the API is listed but not served.
	route *route
}

// load makes a generation of the files and swaps it in. What did not change since
// prev, by default what is loaded now, is taken over as it is.
//
// A collision is settled as the real gateway does it: claimants of one domain and
// listen path are counted; an unchanged one is not looked at; a changed one that
// was loaded under that very path keeps it; the path of any other becomes
// <listen_path>-<api_id>. So two new ones both lose it, and neither gets it back
// before its definition changes or the gateway restarts. Paths change after the
// sort, so that the order follows them one load later.
func (g *Gateway) load(prev *generation) {
	g.loading.Lock()
	defer g.loading.Unlock()
	if prev == nil {
		prev = g.now.Load()
	}
	specs := g.readFiles(prev)
	if len(specs) == 0 && len(prev.byID) == 0 {
		g.log.Warn("No API Definitions found, not reloading")
		g.swapIn(prev)
		return
	}
	slices.SortStableFunc(specs, compareSpecs)
	claims := map[string]int{}
	for _, s := range specs {
		claims[s.claim()]++
	}
	next := &generation{byID: make(map[string]*spec, len(specs)), ports: map[int]*port{}, loaded: true}
	next.certs = g.findCertificates(specs, prev.certs)
	own := make([]*spec, 0, len(specs))
	others := map[int][]*spec{}
	builder := newRouterBuilder(g.config.CustomDomains, &prev.router)
	for _, s := range specs {
		id := s.def.api.ID
		if s != prev.byID[id] {
			g.process(s, claims, prev.byID[id])
		}
		next.byID[id] = s
		if n := g.otherPort(&s.def.api); n != 0 {
			others[n] = append(others[n], s)
			continue
		}
		own = append(own, s)
		builder.add(s.route)
	}
	next.router = builder.router
	next.pool = g.fillPool(own, next.certs)
	for n, specs := range others {
		next.ports[n] = g.makePort(n, specs, prev.ports[n], next.certs)
	}
	g.swapIn(next)
	g.log.Info("API reload complete", "apis", len(specs))
}

// swapIn serves a generation from now on, and leaves what only the one before
// needed.
func (g *Gateway) swapIn(next *generation) {
	g.now.Store(next)
	g.upstreams.keep(next.certs)
	g.listen(next.ports)
}

// readFiles gives a spec for each file that can be loaded, in the order of file
// names; the very spec of prev where the definition is the same.
func (g *Gateway) readFiles(prev *generation) []*spec {
	files := g.store.snapshot()
	specs := make([]*spec, 0, len(files))
	patterns := newPatterns(prev)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".json") || strings.HasSuffix(name, "-oas.json") {
			continue
		}
		d, err := files[name].definition(g.store.fields)
		if err != nil {
			g.log.Error("Couldn't unmarshal read file", "file", name, "error", err)
			continue
		}
		if old := prev.byID[d.api.ID]; old != nil && (old.def == d || bytes.Equal(old.def.text, d.text)) {
			specs = append(specs, old)
			continue
		}
		if s := g.newSpec(d, patterns); s != nil {
			specs = append(specs, s)
		}
	}
	return specs
}

// newSpec returns nil for what the gateway does not even list.
func (g *Gateway) newSpec(d *definition, patterns patterns) *spec {
	log := g.log.With("api_id", d.api.ID)
	if isTCP(d.api.Protocol) && d.api.ListenPort == 0 {
		log.Error("missing listening port")
		return nil
	}
	listenPath := d.api.Proxy.ListenPath
	p, err := patterns.compile(listenPath)
	if err != nil {
		log.Error("Invalid listen path when creating router", "error", err)
		return nil
	}
	return &spec{def: d, listenPath: listenPath, pattern: p}
}

// process finds the listen path of a new or changed spec and makes its route. old
// is what was loaded under its id.
func (g *Gateway) process(s *spec, claims map[string]int, old *spec) {
	log := g.log.With("api_id", s.def.api.ID)
	if why := unfit(&s.def.api); why != "" {
		log.Error(why)
		log.Warn("Spec not valid, skipped!")
		return
	}
	if isTCP(s.def.api.Protocol) {
		return
	}
	if claims[s.claim()] > 1 && (old == nil || old.listenPath != s.listenPath) {
		s.listenPath += "-" + s.def.api.ID
		for claims[s.claim()] > 1 {
			s.listenPath += "_"
		}
		log.Error("Listen path collision, changed to " + s.listenPath)
		p, err := compilePattern(s.listenPath)
		if err != nil {
			log.Error("Invalid listen path when creating router", "error", err)
			return
		}
		s.pattern = p
	}
	if s.def.api.Internal {
		return
	}
	s.route = g.newRoute(s)
}

// claim is what no two APIs can have: domain and listen path, even where domains
// are ignored.
func (s *spec) claim() string { return s.def.api.domain() + s.listenPath }

func isTCP(protocol string) bool { return protocol == "tcp" || protocol == "tls" }

// unfit says why an API is listed and not served.
func unfit(a *api) string {
	switch a.Protocol {
	case "", "http", "https":
		if a.Proxy.ListenPath == "" {
			return "Listen path is empty"
		}
		if strings.Contains(a.Proxy.ListenPath, " ") {
			return "Listen path contains spaces, is invalid"
		}
	}
	if _, err := url.Parse(a.Proxy.Target); err != nil {
		return "couldn't parse target URL: " + err.Error()
	}
	return ""
}
