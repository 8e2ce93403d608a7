package embedded

import (
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
)

// A route is one API, ready to serve.
type route struct {
	gateway *Gateway
	api     *api
	domain  string
	pattern *pattern
	// port is what a request has to come in on, 0 for any. It counts without
	// Config.Listen; with it, each port has a router of its own.
	port int
	// idPath is /<api_id>/, where every API is mounted as well.
	idPath string
	strict bool
	// chokes is true for an API whose every request makes the gateway panic.
	chokes bool

	targets []*url.URL
	turn    atomic.Uint32 // round robin over the targets
	proxy   httputil.ReverseProxy
}

// newRoute returns nil where the router refuses domain and listen path together,
// which it does without a word: they share a variable.
func (g *Gateway) newRoute(s *spec) *route {
	a := &s.def.api
	rt := &route{
		gateway: g, api: a, domain: a.domain(), pattern: s.pattern,
		idPath: "/" + a.ID + "/", strict: g.config.StrictRoutes,
		chokes: chokes(a), targets: targets(a),
	}
	if g.config.Listen == nil {
		rt.port = a.ListenPort
	}
	if g.config.CustomDomains && s.pattern.re != nil && isTemplate(rt.domain) {
		if _, err := muxRoute(rt.domain, s.listenPath); err != nil {
			return nil
		}
	}
	rt.proxy = httputil.ReverseProxy{
		Rewrite:      rt.rewrite,
		Transport:    g.transportOf(rt),
		ErrorHandler: proxyError,
		ErrorLog:     discard,
	}
	return rt
}

// claims tells whether the request is this API's, its host apart. An API of
// another protocol or port than the listener's is not served by that listener.
func (rt *route) claims(r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, rt.idPath) && !rt.pattern.match(r.URL.Path) {
		return false
	}
	if p := rt.api.Protocol; p != "" && p != protocolOf(r) {
		return false
	}
	return rt.port == 0 || rt.port == portOf(r)
}

// admits tells whether strict routes let a request through that the API has
// claimed. No other API is asked then.
func (rt *route) admits(path string) bool {
	return !rt.strict || strings.HasPrefix(path, rt.idPath) || rt.pattern.admits(path)
}

// serve asks for the version, then for the caller's certificate and key, and then
// the upstream.
func (rt *route) serve(w http.ResponseWriter, r *http.Request) {
	if rt.chokes {
		panic(http.ErrAbortHandler)
	}
	if why := rt.api.refuseVersion(r); why != "" {
		deny(w, http.StatusForbidden, why)
		return
	}
	if why := rt.gateway.refuseCaller(rt.api, r); why != "" {
		deny(w, http.StatusForbidden, why)
		return
	}
	if status, why := rt.gateway.refuseKey(rt.api, r); why != "" {
		deny(w, status, why)
		return
	}
	rt.proxy.ServeHTTP(w, r)
}

// deny answers as the data plane does; texts are the gateway's own.
func deny(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"error": "`+text+`"}`)
}

// refuseVersion says why a request reaches no version of the API.
func (a *api) refuseVersion(r *http.Request) string {
	versions := a.VersionData.Versions
	if a.VersionData.NotVersioned {
		if len(versions) == 1 {
			return ""
		}
		for _, name := range []string{"Default", "default", ""} {
			if _, ok := versions[name]; ok {
				return ""
			}
		}
		return "No default API version for this non-versioned API found"
	}
	name := ""
	switch a.Versioning.Location {
	case "header":
		name = r.Header.Get(a.Versioning.Key)
	case "url-param":
		name = r.URL.Query().Get(a.Versioning.Key)
	}
	if name == "" {
		name = a.VersionData.Default
	}
	if name == "" {
		return "Version information not found"
	}
	if _, ok := versions[name]; !ok {
		return "This API version does not seem to exist"
	}
	return ""
}

// pathVariable is how the gateway writes a variable in a path of a white list.
var pathVariable = regexp.MustCompile(`\{[^}]*\}`)

// chokes tells whether a white list has a path that is no regexp: the API loads,
// and each of its requests panics.
func chokes(a *api) bool {
	for _, v := range a.VersionData.Versions {
		for _, p := range v.Paths.WhiteList {
			if p.Disabled {
				continue
			}
			if _, err := regexp.Compile(pathVariable.ReplaceAllString(p.Path, `([^/]+)`)); err != nil {
				return true
			}
		}
	}
	return false
}

func protocolOf(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// portOf is the port that the request came in on, 0 when nobody listens.
func portOf(r *http.Request) int {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return 0
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(port)
	return n
}
