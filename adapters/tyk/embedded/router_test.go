package embedded

import (
	"fmt"
	"strings"
	"testing"
)

func TestListenPaths(t *testing.T) {
	cases := []struct {
		listenPath string
		loose      bool // strict routes off
		request    string
		want       string // what the upstream sees
	}{
		{"/f/", false, "/f", "404"},
		{"/f/", false, "/f/", "x1 /"},
		{"/f/", false, "/f/x", "x1 /x"},
		{"/f/", false, "/fx", "404"},
		// "listen_path /f, strict routes ON: this is Kubernetes Prefix semantics"
		{"/f", false, "/f", "x1 /"},
		{"/f", false, "/f/", "x1 /"},
		{"/f", false, "/f/x", "x1 /x"},
		{"/f", false, "/fx", "404"},
		{"/f", true, "/fx", "x1 /x"},
		{"/f", true, "/f/x", "x1 /x"},
		{"/f%20g/", false, "/f%20g/", "404"}, // "loads, never matches"
		{"/", false, "/anything/at/all?q=1", "x1 /anything/at/all?q=1"},
		{"/f/{id:[0-9]+}/", false, "/f/12/x", "x1 /x"},
		{"/f/{id:[0-9]+}/", false, "/f/ab/x", "404"},
		{"/f/{id}/g", false, "/f/1/gx", "x1 /x"}, // "strict routes are NOT applied to templated paths"
		{"/f/(a|b)/", false, "/f/a/x", "404"},    // "literal text, not a regexp"
		{"/f/(a|b)/", false, "/f/(a%7Cb)/x", "x1 /x"},
		{"/v1.0/a+b", false, "/v1.0/a+b/c", "x1 /c"},
		{"/v1.0/a+b", false, "/v1x0/a+b/c", "404"},
		{"/café", false, "/caf%C3%A9/x", "x1 /x"}, // "decoded; the encoded form never matches"
		{"/caf%C3%A9", false, "/caf%C3%A9/x", "404"},
	}
	for _, loose := range []bool{false, true} { // "templated listen paths behave the same under both"
		for _, c := range []struct{ listenPath, request, want string }{
			{"/foo{p:(?:/|$)}", "/foo", "x1 /"},
			{"/foo{p:(?:/|$)}", "/foo/", "x1 /"},
			{"/foo{p:(?:/|$)}", "/foo/bar", "x1 /bar"},
			{"/foo{p:(?:/|$)}", "/foobar", "404"},
			{"/foo{p:(?:/.*)?$}", "/foo/bar", "x1 /"}, // "stripping takes the rest of the path away too"
			{"/foo{x:$}", "/foo", "x1 /"},
			{"/foo{x:$}", "/foo?q=1", "x1 /?q=1"},
			{"/foo{x:$}", "/foo/", "404"},
			{"/foo{x:$}", "/foobar", "404"},
			{"/{p:(?:|/anything)}", "/x/y", "x1 /x/y"},
			{"/{p:}", "/x", "404"}, // "refused by the router"
			{"/v1.0/a+b{p:(?:/|$)}", "/v1.0/a+b/c", "x1 /c"},
		} {
			cases = append(cases, struct {
				listenPath string
				loose      bool
				request    string
				want       string
			}{c.listenPath, loose, c.request, c.want})
		}
	}
	for _, c := range cases {
		g := start(t, func(conf *Config) { conf.StrictRoutes = !c.loose })
		g.load(apiOf("x1", c.listenPath), apiOf("zz", "/unrelated/"))
		if got := g.upstream(c.request); got != c.want {
			t.Errorf("%s (loose %v) and %s: got %s, want %s", c.listenPath, c.loose, c.request, got, c.want)
		}
	}
}

// "Control paths win on every host", "listen_path /hello or under /tyk/: loads,
// never reached".
func TestControlPathsWin(t *testing.T) {
	g := start(t)
	g.load(apiOf("all", "/"), apiOf("hello", "/hello"), apiOf("tyk", "/tyk/apis/"), apiOf("host", "/", "domain", "one.test"))
	for _, host := range []string{"gw.test", "one.test"} {
		for _, path := range []string{"/hello", "/ready", "/tyk/apis/", "/tyk/unknown"} {
			if _, text := g.get("http://" + host + path); strings.Contains(text, "host=") {
				t.Errorf("%s%s reached an upstream: %s", host, path, text)
			}
		}
	}
	wantWinner(t, g, "http://gw.test/tyk", "all")
	wantWinner(t, g, "http://gw.test/hello/x", "hello")
}

// "// in a request: 301 to the cleaned path".
func TestCleaning(t *testing.T) {
	g := start(t)
	g.load(apiOf("a1", "/a1/"))
	for path, want := range map[string]string{
		"http://gw.test/a1//x?q=1":   "http://gw.test/a1/x?q=1",
		"http://gw.test//a1/x/":      "http://gw.test/a1/x/",
		"http://gw.test/a1/../tyk/":  "http://gw.test/tyk/",
		"http://gw.test/tyk//apis/x": "http://gw.test/tyk/apis/x",
	} {
		w := g.do(newRequest(path))
		if w.Code != 301 || w.Header().Get("Location") != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Location"))
		}
	}
}

// "Every API is ALSO mounted at /<api_id>/ (nothing stripped): it can shadow
// another API's listen path of that name."
func TestIDMount(t *testing.T) {
	g := start(t)
	g.load(apiOf("k1", "/k2/"), apiOf("k2", "/long/one/"))
	for request, want := range map[string]string{"/k2/x": "k2 /k2/x", "/k1/x": "k1 /k1/x", "/long/one/x": "k2 /x"} {
		if got := g.upstream(request); got != want {
			t.Errorf("%s: got %s, want %s", request, got, want)
		}
	}
}

func TestHosts(t *testing.T) {
	cases := []struct{ domain, host, want string }{
		{"one.example.test", "one.example.test", "x1"},
		{"one.example.test", "one.example.test:8080", "x1"}, // "the request's port is ignored unless the domain names one"
		{"one.example.test:81", "one.example.test:81", "x1"},
		{"one.example.test:81", "one.example.test", "404"},
		{"one.example.test", "ONE.example.test", "404"}, // "case-sensitive"
		{"One.example.test", "one.example.test", "404"},
		{"one.example.test", "two.example.test", "404"},
		{"*.example.test", "a.example.test", "404"}, // "literal"
		{"*.example.test", "*.example.test", "x1"},
		{"{sub:[^.]+}.example.test", "a.example.test", "x1"},
		{"{sub}.example.test", "a.example.test", "x1"},
		{"{sub}.example.test", "a.example.test:8080", "x1"},
		{"{?:[^.]+}.example.test", "a.example.test", "x1"},
		{"{sub:[^.]+}.example.test", "a.b.example.test", "404"}, // "one label only"
		{"{sub:[^.]+}.example.test", "example.test", "404"},
		{"{x.example.test", "a.example.test", "404"}, // "a bad template loads and 404s without any log line"
		{"{x:(a)}.example.test", "a.example.test", "404"},
	}
	for _, c := range cases {
		g := start(t)
		g.load(apiOf("x1", "/", "domain", c.domain))
		if _, ok := g.listed()["x1"]; !ok {
			t.Errorf("%s is not listed", c.domain)
		}
		if got := g.winner("http://" + c.host + "/p"); got != c.want {
			t.Errorf("%s and %s: got %s, want %s", c.domain, c.host, got, c.want)
		}
	}
	t.Run("domain_disabled", func(t *testing.T) {
		g := start(t)
		g.load(apiOf("x1", "/", "domain", "one.test", "domain_disabled", true))
		wantWinner(t, g, "http://two.test/", "x1")
	})
	t.Run("a variable of host and path", func(t *testing.T) {
		g := start(t)
		g.load(apiOf("x1", "/{v}/", "domain", "{v}.test"))
		wantWinner(t, g, "http://one.test/a/b", "404")
	})
}

// "When false it is silently ignored: every host reaches the API, and two APIs with
// one listen_path and different domains load without a collision warning, all hosts
// going to the first."
func TestCustomDomainsOff(t *testing.T) {
	g, log := logged(t, func(c *Config) { c.CustomDomains = false })
	g.load(apiOf("one", "/p/", "domain", "one.test"), apiOf("two", "/p/", "domain", "two.test"), apiOf("wild", "/w/", "domain", "{s}.test"))
	for _, host := range []string{"one.test", "two.test", "three.example"} {
		wantWinner(t, g, "http://"+host+"/p/x", "one")
		wantWinner(t, g, "http://"+host+"/w/x", "wild")
	}
	if strings.Contains(log.String(), "collision") {
		t.Error(log)
	}
}

func TestOrder(t *testing.T) {
	const wild = "{sub:[^.]+}.test"
	on := func(id, domain, path string) string { return apiOf(id, path, "domain", domain) }
	cases := []struct {
		name string
		apis []string
		// requests and who serves them
		want map[string]string
	}{
		{"longer listen path first", []string{apiOf("a", "/p/"), apiOf("b", "/p/long/"), apiOf("c", "/")},
			map[string]string{"/p/x": "a", "/p/long/x": "b", "/x": "c"}},
		{"a domain before none, whatever the length", []string{apiOf("a", "/p/long/"), on("b", "one.test", "/p/")},
			map[string]string{"http://one.test/p/long/x": "b", "http://two.test/p/long/x": "a"}},
		{"what the host's APIs do not claim goes to those without", []string{apiOf("a", "/"), on("b", "one.test", "/p/")},
			map[string]string{"http://one.test/q": "a"}},
		// "No fall-through: /p/long/erx is claimed by listen_path /p/long/er and 404s"
		{"no fall-through", []string{apiOf("a", "/p/"), apiOf("b", "/p/long/"), apiOf("c", "/p/long/er")},
			map[string]string{"/p/long/erx": "404", "/p/long/er/x": "c"}},
		{"no fall-through from a host", []string{apiOf("a", "/"), on("b", "one.test", "/p")},
			map[string]string{"http://one.test/px": "404"}},
		// "An exact host does not beat a wildcard host": the id decides.
		{"wildcard's id first", []string{on("a-wild", wild, "/"), on("x30", "one.test", "/")},
			map[string]string{"http://one.test/": "a-wild", "http://two.test/": "a-wild"}},
		{"wildcard's id last", []string{on("z-wild", wild, "/"), on("x30", "one.test", "/")},
			map[string]string{"http://one.test/": "x30", "http://two.test/": "z-wild"}},
		// "A wildcard API with a longer listen path always beats an exact host with a
		// shorter one."
		{"wildcard with a longer path", []string{on("a", "one.test", "/"), on("b", wild, "/p/")},
			map[string]string{"http://one.test/p/x": "b", "http://one.test/x": "a"}},
		// "Exact host a.example.com with /{p:(?:|/exact_host)} and /foo{p:(?:/|$|/aaaa...)}
		// won over the wildcard."
		{"padded", []string{on("z1", "a.test", "/{p:(?:|/exact_host)}"), on("z2", "a.test", "/foo{p:(?:/|$|/aaaaaaaaaaaaaaaa)}"),
			on("a1", wild, "/foo{p:(?:/|$)}"), on("a2", wild, "/{p:(?:|/)}")},
			map[string]string{"http://a.test/foo/x": "z2", "http://a.test/x": "z1", "http://b.test/foo": "a1", "http://b.test/x": "a2"}},
		{"a port and none", []string{on("a", "one.test", "/"), on("b", "one.test:81", "/p/")},
			map[string]string{"http://one.test:81/p/x": "b", "http://one.test:81/x": "a", "http://one.test/p/x": "a"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := start(t)
			g.load(c.apis...)
			for range 2 {
				for request, want := range c.want {
					wantWinner(t, g, request, want)
				}
				g.reload() // "constant between reloads"
			}
		})
	}
}

// "The number of / in the whole text, plus the length of every /-separated segment
// except a segment that begins with { and ends with }, which counts 0. A / inside
// the braces splits segments too."
func TestPathLength(t *testing.T) {
	for path, want := range map[string]int{
		"": 0, "/": 1, "/f/": 3, "/café": 6,
		"/{p}": 1, "/{p}/x": 3, "/a{p}": 5, "/{p}a": 5,
		"/{p:a/b}":        1 + 1 + len("{p:a") + len("b}"),
		"/{p:/{0}x}":      2 + len("{p:"), // "{0}x}" counts nothing
		"/{p:/x{0}}":      2 + len("{p:") + len("x{0}}"),
		"/foo{p:(?:/|$)}": 2 + len("foo{p:(?:") + len("|$)}"),
	} {
		if got := pathLength(path); got != want {
			t.Errorf("%q: got %d, want %d", path, got, want)
		}
	}
}

// The index by host gives the order of one list of routes.
func TestRouterAgainstOneList(t *testing.T) {
	g := start(t)
	var apis []string
	domains := []string{"", "a.test", "b.test", "{s:[^.]+}.test", "{s}.test", "a.test:81"}
	paths := []string{"/", "/p", "/p/", "/p/q/", "/{v:(?:|/)}", "/p{v:(?:/|$)}"}
	for i, d := range domains {
		for j, p := range paths {
			apis = append(apis, apiOf(fmt.Sprintf("x%d%d", (i*7)%5, i*len(paths)+j), p, "domain", d))
		}
	}
	g.load(apis...)
	now := g.now.Load()
	var list []entry
	for _, entries := range now.router.hosts {
		list = append(list, entries...)
	}
	for _, t := range now.router.templates {
		list = append(list, t.entries...)
	}
	list = append(list, now.router.any...)
	if len(list) != len(apis) {
		t.Fatalf("%d routes of %d APIs", len(list), len(apis))
	}
	for _, host := range []string{"a.test", "b.test", "c.test", "a.test:81", "c.test:81", "x.y.test"} {
		for _, path := range []string{"/", "/p", "/p/", "/p/q/r", "/px", "/z"} {
			r := newRequest("http://" + host + path)
			var want *entry
			for i := range list {
				e := &list[i]
				domain := e.route.domain
				if domain != "" {
					m, err := muxRoute(domain, "")
					if err != nil || !m.Match(r, &muxMatch{}) {
						continue
					}
				}
				if e.route.claims(r) && (want == nil || e.rank < want.rank) {
					want = e
				}
			}
			if got := now.router.find(r); want == nil && got != nil || want != nil && got != want.route {
				t.Errorf("%s%s: the index and the list differ", host, path)
			}
		}
	}
}
