package contract

// The order in which APIs are asked. Source: Tyk Gateway v5.11.1, measured: those
// with a domain first, then the longer listen path. Of a path with templates counts
// the number of "/", and the length of each segment between them, but for segments
// that begin with "{" and end with "}". Equals are in no defined order, so nothing
// is said of them here.

// wantOrder looks at it twice: a reload without a change must not shuffle it.
func (p probe) wantOrder(check func()) {
	p.Helper()
	check()
	p.reload()
	check()
}

func longerFirst(p probe) {
	p.load(
		p.api("short", p.path("/p/")),
		p.api("long", p.path("/p/long/")),
		p.api("longer", p.path("/p/long/er")),
		p.api("padded", p.path("/q{p:(?:/|$|/aaaaaaaaaaaaaaaa)}")),
		p.api("bare", p.path("/q{p:(?:/|$)}")),
	)
	p.wantOrder(func() {
		p.expect("", p.path("/p/x"), "short /x")
		p.expect("", p.path("/p/long/x"), "long /x")
		p.expect("", p.path("/p/long/er/x"), "longer /x")
		p.expect("", p.path("/q/x"), "padded /x")
		// No fall-through: the longest has claimed it, and strict routes refuse it then.
		p.expect("", p.path("/p/long/erx"), p.ending("404", "longer /x"))
	})
}

// domainFirst: whatever the lengths are.
func domainFirst(p probe) {
	p.load(
		p.api("none", p.path("/p/long/")),
		p.api("domain", p.path("/p/")).with("domain", p.host("one")),
		p.api("left", p.path("/q/")),
	)
	p.wantOrder(func() {
		p.expect(p.host("one"), p.path("/p/long/x"), "domain /long/x")
		p.expect(p.host("two"), p.path("/p/long/x"), "none /x")
		p.expect(p.host("one"), p.path("/q/x"), "left /x") // what its APIs do not claim
	})
}

// wildcardAndExactHost: the gateway has no opinion on which is the better match. Only
// the length of the listen path decides, and padding is how to have a say.
func wildcardAndExactHost(p probe) {
	exact := func(zone string) string { return "a." + p.host(zone) }
	wild := func(zone string) string { return "{sub:[^.]+}." + p.host(zone) }
	p.load(
		p.api("plain-exact", "/").with("domain", exact("plain")),
		p.api("plain-wild", "/p/").with("domain", wild("plain")),

		p.api("exact-root", "/{p:(?:|/exact_host)}").with("domain", exact("padded")),
		p.api("exact-foo", "/foo{p:(?:/|$|/aaaaaaaaaaaaaaaa)}").with("domain", exact("padded")),
		p.api("wild-foo", "/foo{p:(?:/|$)}").with("domain", wild("padded")),
	)
	p.wantOrder(func() {
		p.expect(exact("plain"), "/p/x", "plain-wild /x") // not what Kubernetes wants
		p.expect(exact("plain"), "/x", "plain-exact /x")

		p.expect(exact("padded"), "/foo/x", "exact-foo /x")
		p.expect(exact("padded"), "/x", "exact-root /x")
		p.expect("b."+p.host("padded"), "/foo/x", "wild-foo /x")
	})
}

// kubernetesOrder: an exact host before a wildcard before none, Exact before Prefix,
// longer before shorter. The listen paths are those that cuegate renders.
func kubernetesOrder(p probe) {
	bakery, anyBakery := "rye."+p.host("bakery"), "{?:[^.]+}."+p.host("bakery")
	p.load(
		p.api("today", "/bread{path_exactly:$(?:/|$)}").with("domain", bakery),
		p.api("bread", "/bread{path_prefix:(?:/|$)}").with("domain", bakery),
		p.api("sliced", "/bread/x/y{path_prefix:(?:/|$)}").with("domain", bakery),
		p.api("creme", `/crème{c1:\x20}brûlée{path_exactly:$(?:/|$)}`).with("domain", bakery),
		p.api("root", "/{path_prefix:(?:|/)}").with("domain", bakery),

		p.api("wild-root", "/{p:/{0}}").with("domain", anyBakery),
		p.api("wild-bread", `/{p_:/{0}bread(?:\x2f|$)}`).with("domain", anyBakery),
		p.api("wild-today", `/{p__:/{0}bread$}`).with("domain", anyBakery),
		p.api("wild-sliced", `/{p___:/{0}bread\x2fx\x2fy(?:\x2f|$)}`).with("domain", anyBakery),

		p.api("rootless", "/bread{path_prefix:(?:/|$)}").with("domain", "a."+p.host("mill")),
		p.api("mill", "/{p:/{0}}").with("domain", "{?:[^.]+}."+p.host("mill")),

		p.api("healthz", p.path("/healthz{path_exactly:$(?:/|$)}")),
		p.api("rest", p.path("{path_prefix:(?:/|$)}")),
	)
	p.wantOrder(func() {
		p.expect(bakery, "/bread", "today /")
		p.expect(bakery, "/bread?q=1", "today /")
		p.expect(bakery, "/bread/", "bread /")
		p.expect(bakery, "/bread/rye", "bread /rye")
		p.expect(bakery, "/bread/x/yz", "bread /x/yz")
		p.expect(bakery, "/bread/x/y/z", "sliced /z")
		p.expect(bakery, "/breadcrumbs", "root /breadcrumbs")
		p.expect(bakery, "/cr%C3%A8me%20br%C3%BBl%C3%A9e", "creme /")
		p.expect(bakery, "/", "root /")
		p.expect(bakery, p.path("/healthz"), "root "+p.path("/healthz"))

		berlin := "berlin." + p.host("bakery")
		p.expect(berlin, "/bread", "wild-today /")
		p.expect(berlin, "/bread/rye", "wild-bread /rye")
		p.expect(berlin, "/bread/x/y/z", "wild-sliced /z")
		p.expect(berlin, "/breadcrumbs", "wild-root /breadcrumbs")
		p.expect(berlin, p.path("/healthz"), "wild-root "+p.path("/healthz"))

		p.expect("a."+p.host("mill"), "/bread/x", "rootless /x")
		p.expect("a."+p.host("mill"), "/x", "mill /x") // the exact host has nothing for it

		// Neither more labels nor fewer.
		for _, host := range []string{"a.berlin." + p.host("bakery"), p.host("bakery"), p.host("other")} {
			p.expect(host, p.path("/healthz"), "healthz /")
			p.expect(host, p.path("/healthz/x"), "rest /healthz/x")
			p.expect(host, p.path("/x"), "rest /x")
		}
	})
}
