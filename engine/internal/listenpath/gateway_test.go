package listenpath

import (
	"cmp"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/mux"
)

// The double of the gateway: the router it uses, in the order it uses.

// api is the part of an API definition that routes requests.
type api struct {
	domain, listenPath string
}

type gateway struct {
	apis   []api
	strict bool         // strict routes: a plain listen path ends at a slash
	router *mux.Router  // in one of the orders the gateway may have
	routes []*mux.Route // of each API, to ask for every order
	strip  []*regexp.Regexp
}

// newGateway loads the APIs in the gateway's order, equal ones in random order.
func newGateway(t *testing.T, rng *rand.Rand, apis []api, strict bool) *gateway {
	t.Helper()
	g := &gateway{apis: apis, strict: strict, router: mux.NewRouter()}
	g.routes = make([]*mux.Route, len(apis))
	g.strip = make([]*regexp.Regexp, len(apis))
	order := rng.Perm(len(apis))
	slices.SortStableFunc(order, func(i, j int) int { return compareAPIs(apis[i], apis[j]) })
	for _, i := range order {
		route := g.router.NewRoute()
		if apis[i].domain != "" {
			route.Host(apis[i].domain)
		}
		route.PathPrefix(apis[i].listenPath).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.(*answer).backend = g.admit(i, r.URL.Path)
		})
		if err := route.GetError(); err != nil {
			t.Fatalf("the router refuses %q %q: %v", apis[i].domain, apis[i].listenPath, err)
		}
		g.routes[i] = route
		text, err := new(mux.Route).PathPrefix(apis[i].listenPath).GetPathRegexp()
		if err != nil {
			t.Fatal(err)
		}
		g.strip[i] = regexp.MustCompile(text)
	}
	return g
}

// compareAPIs is the measured order: domain before none, then longest first.
func compareAPIs(a, b api) int {
	if (a.domain != "") != (b.domain != "") {
		return cmp.Compare(b.domain, a.domain)
	}
	return cmp.Compare(Length(b.listenPath), Length(a.listenPath))
}

// admit applies strict routes, which know no templates.
func (g *gateway) admit(i int, path string) int {
	listenPath := g.apis[i].listenPath
	if !g.strict || strings.Contains(listenPath, "{") || strings.HasSuffix(listenPath, "/") {
		return i
	}
	if path == listenPath || strings.HasPrefix(path, listenPath+"/") {
		return i
	}
	return nobody
}

// claimed reports whether strict routes may have refused a path: a listen path
// ends inside one of its elements.
func (g *gateway) claimed(path string) bool {
	return slices.ContainsFunc(g.apis, func(a api) bool {
		rest, found := strings.CutPrefix(path, a.listenPath)
		return found && !strings.HasSuffix(a.listenPath, "/") && rest != "" && rest[0] != '/'
	})
}

// serve returns the backend that answers in this gateway's order, or nobody, or
// redirected.
func (g *gateway) serve(r *http.Request) int {
	a := answer{backend: nobody, header: http.Header{}}
	g.router.ServeHTTP(&a, r)
	return a.backend
}

// possible returns every backend that may answer, whatever the order of equals.
func (g *gateway) possible(r *http.Request) []int {
	var first []int
	for i, route := range g.routes {
		if !route.Match(r, &mux.RouteMatch{}) {
			continue
		}
		order := 0
		if len(first) > 0 {
			order = compareAPIs(g.apis[i], g.apis[first[0]])
		}
		switch {
		case order < 0:
			first = []int{i}
		case order == 0:
			first = append(first, i)
		}
	}
	for k, i := range first {
		first[k] = g.admit(i, r.URL.Path)
	}
	return first
}

// stripped does what strip_listen_path does to a path.
func (g *gateway) stripped(i int, path string) string {
	rest, found := strings.CutPrefix(path, g.apis[i].listenPath)
	if !found {
		rest = g.strip[i].ReplaceAllString(path, "")
	}
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	return rest
}

// answer is a response writer that only knows who answered.
type answer struct {
	backend int
	header  http.Header
}

const redirected = -2

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(b []byte) (int, error) { return len(b), nil }
func (a *answer) WriteHeader(status int) {
	if status == http.StatusMovedPermanently {
		a.backend = redirected
	}
}

// request returns a request as a server sees it, for a decoded path.
func request(t *testing.T, host, path string) *http.Request {
	t.Helper()
	escaped := (&url.URL{Path: path}).EscapedPath()
	u, err := url.ParseRequestURI(escaped)
	if err != nil {
		t.Fatalf("path %q: %v", path, err)
	}
	if u.Path != path {
		t.Fatalf("path %q became %q", path, u.Path)
	}
	return &http.Request{Method: http.MethodGet, Host: host, URL: u, Header: http.Header{}}
}
