package contract

import (
	"net"
	"net/url"
	"strings"
)

// What the upstream gets. Source: Tyk Gateway v5.11.1, measured.

func strip(p probe) {
	p.load(
		p.api("strip", p.path("/a/")),
		p.api("keep", p.path("/b/")).with("proxy.strip_listen_path", false),
		// Templates strip what they matched, or nothing.
		p.api("strip-template", p.path("/c{path_prefix:(?:/|$)}")),
		p.api("keep-template", p.path("/d{path_prefix:(?:/|$)}")).with("proxy.strip_listen_path", false),
	)
	for path, want := range map[string]string{
		"/a/":    "strip /",
		"/a/x/":  "strip /x/",
		"/b/":    "keep " + p.path("/b/"),
		"/b/x/":  "keep " + p.path("/b/x/"),
		"/c":     "strip-template /",
		"/c/x/y": "strip-template /x/y",
		"/d":     "keep-template " + p.path("/d"),
		"/d/x/":  "keep-template " + p.path("/d/x/"),
	} {
		p.expect("", p.path(path), want)
	}
}

// targets: the path of the target comes first, and so does its query.
func targets(p probe) {
	api := func(name, path string) definition {
		return p.api(name, p.path("/"+name+"/")).with("proxy.target_url", p.target(name, path))
	}
	p.load(
		api("bare", ""),
		api("root", "/"),
		api("base", "/base"),
		api("slash", "/base/"),
		api("keep", "/base").with("proxy.strip_listen_path", false),
		api("query", "/base").with("proxy.target_url", p.target("query", "/base")+"&k=v"),
	)
	for request, want := range map[string]string{
		"/bare/x":      "/x?api=bare",
		"/root/x/":     "/x/?api=root",
		"/root/x?":     "/x?api=root",
		"/root/x?z=1":  "/x?api=root&z=1",
		"/base/x":      "/base/x?api=base",
		"/slash/x":     "/base/x?api=slash",
		"/keep/x":      "/base" + p.path("/keep/x") + "?api=keep",
		"/query/x":     "/base/x?api=query&k=v",
		"/query/x?z=1": "/base/x?api=query&k=v&z=1",
	} {
		if s := p.sees(p.path(request)); s.Path+"?"+s.Query != want {
			p.Errorf("GET %s: the upstream sees %s?%s, want %s", request, s.Path, s.Query, want)
		}
	}
}

func hostHeader(p probe) {
	p.load(
		p.api("preserve", p.path("/preserve/")).with("proxy.preserve_host_header", true),
		p.api("target", p.path("/target/")),
	)
	upstream, err := url.Parse(p.upstream)
	if err != nil {
		p.Fatal(err)
	}
	for path, want := range map[string]string{"/preserve/x": p.host("client"), "/target/x": upstream.Host} {
		a, err := p.ask(p.host("client"), p.path(path))
		if s, ok := p.seen(a); !ok || s.Host != want {
			p.Errorf("%s: the upstream sees %q, want %q (%v, %v)", path, s.Host, want, a, err)
		}
	}
}

// upstreamErrors are 500, never 502 or 503.
func upstreamErrors(p probe) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.Fatal(err)
	}
	dead := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		p.Fatal(err)
	}
	p.load(p.api("dead", p.path("/dead/")).with("proxy.target_url", dead))
	p.expect("", p.path("/dead/x"), "500 There was a problem proxying the request")
}

// cleanedPaths: a path with // is not served; the client is sent to the clean one.
func cleanedPaths(p probe) {
	p.load(p.api("a", p.path("/a/")))
	for request, want := range map[string]string{
		p.path("/a//x?q=1"): p.path("/a/x?q=1"),
		p.path("//a/x/"):    p.path("/a/x/"),
	} {
		a, err := p.ask("", request)
		if err != nil {
			p.Fatal(err)
		}
		to, err := url.Parse(a.header.Get("Location"))
		if a.status != 301 || err != nil || to.RequestURI() != want {
			p.Errorf("GET %s: got %v to %q, want 301 to %s", request, a, a.header.Get("Location"), want)
		}
	}
}

// mountedByID: every API is served at /<api_id>/ as well, and nothing is stripped
// there. So an id that is a guessable word may take the path of another API.
func mountedByID(p probe) {
	p.load(
		p.api("a", "/"+p.id("b")+"/"),
		p.api("b", p.path("/a/listen/path/that/is/longer/than/the/other/")),
	)
	p.expect("", "/"+p.id("a")+"/x", "a /"+p.id("a")+"/x")
	p.expect("", "/"+p.id("b")+"/x", "b /"+p.id("b")+"/x")
}

// controlPathsWin on every host: APIs there load and are never reached.
func controlPathsWin(p probe) {
	if p.gateway.DataPlane != p.gateway.URL {
		p.Skip("the control API is not on the listener of the data plane")
	}
	root, hello, tyk := p.host("root"), p.host("hello"), p.host("tyk")
	p.load(
		p.api("root", "/").with("domain", root),
		p.api("hello", "/hello").with("domain", hello),
		p.api("tyk", "/tyk/").with("domain", tyk),
	)
	p.expect(root, "/x", "root /x")
	for _, name := range []string{"root", "hello", "tyk"} {
		if _, ok := p.loaded(p.id(name)); !ok {
			p.Errorf("%s is not listed", name)
		}
	}
	for host, path := range map[string]string{root: "/hello", hello: "/hello"} {
		a, err := p.ask(host, path)
		if err != nil || a.status != 200 || !strings.Contains(a.body, "Tyk GW") {
			p.Errorf("GET %s on %s: got %v, %v", path, host, a, err)
		}
	}
	for _, host := range []string{root, tyk} {
		if a, err := p.ask(host, "/tyk/apis"); err != nil || a.status != 403 {
			p.Errorf("GET /tyk/apis on %s: got %v, %v, want 403", host, a, err)
		}
	}
}
