package contract

import "fmt"

// Listen paths. Source: Tyk Gateway v5.11.1, measured. Each is a prefix, matched on
// the decoded path; what is in braces is read by gorilla/mux.

// A match is what one listen path makes of one request. Both are below a path that
// only the case has.
type match struct {
	listenPath, request string
	// want is the path at the upstream, which has the listen path stripped; or
	// nobody, or a status.
	want string
}

func (p probe) wantMatches(cases []match) {
	p.Helper()
	name := func(i int) string { return fmt.Sprintf("case%d", i) }
	for i, c := range cases {
		p.post(p.api(name(i), p.path("/"+name(i)+c.listenPath)))
	}
	p.reload()
	for i, c := range cases {
		want := c.want
		if want[0] == '/' {
			want = name(i) + " " + want
		}
		if got := p.outcome("", p.path("/"+name(i)+c.request)); got != want {
			p.Logf("the listen path was %s", c.listenPath)
			p.expect("", p.path("/"+name(i)+c.request), want)
		}
	}
}

func plainPaths(p probe) {
	p.wantMatches([]match{
		{"/f/", "/f", nobody},
		{"/f/", "/f/", "/"},
		{"/f/", "/f/x", "/x"},
		{"/f/", "/fx", nobody},
		{"/f", "/f", "/"},
		{"/f", "/f/", "/"},
		{"/f", "/f/x", "/x"},
		{"/f", "/fx", p.ending("404", "/x")},
		{"/v1.0/a+b", "/v1.0/a+b/c", "/c"}, // no regexp
		{"/v1.0/a+b", "/v1x0/a+b/c", nobody},
		{"/f/(a|b)/", "/f/a/x", nobody},
		{"/f/(a|b)/", "/f/(a%7Cb)/x", "/x"},
		{"/café", "/caf%C3%A9/x", "/x"},
		{"/caf%C3%A9", "/caf%C3%A9/x", nobody}, // the encoded form never matches
		{"/f%20g/", "/f%20g/x", nobody},
	})
}

// ending is for plain listen paths that do not end with a slash: strict routes end
// them at an element, and without them /f takes /fx as well.
func (p probe) ending(strict, loose string) string {
	if p.gateway.StrictRoutes {
		return strict
	}
	return loose
}

// templatedPaths behave alike with and without strict routes, which is why cuegate
// writes them.
func templatedPaths(p probe) {
	p.wantMatches([]match{
		{"/f/{id:[0-9]+}/", "/f/12/x", "/x"},
		{"/f/{id:[0-9]+}/", "/f/ab/x", nobody},
		{"/f/{id}/g", "/f/1/gx", "/x"}, // strict routes know nothing of templates

		// Prefix
		{"/foo{p:(?:/|$)}", "/foo", "/"},
		{"/foo{p:(?:/|$)}", "/foo/", "/"},
		{"/foo{p:(?:/|$)}", "/foo/bar", "/bar"},
		{"/foo{p:(?:/|$)}", "/foobar", nobody},
		{"/foo{path_prefix:(?:/|$)}", "/foo/bar?q=1", "/bar"}, // as cuegate writes it
		{"/foo{path_prefix:(?:/|$)}", "/foobar", nobody},
		{"/foo{p:(?:/.*)?$}", "/foo/bar", "/"}, // what the regexp takes is stripped with it
		// Padding
		{"/foo{p:(?:/|$|/aaaaaaaa)}", "/foo/bar", "/bar"},
		{"/foo{p:(?:/|$|/aaaaaaaa)}", "/foobar", nobody},
		// Exact
		{"/foo{x:$}", "/foo", "/"},
		{"/foo{x:$}", "/foo?q=1", "/"},
		{"/foo{x:$}", "/foo/", nobody},
		{"/foo{x:$}", "/foobar", nobody},
		{"/foo{path_exactly:$(?:/|$)}", "/foo", "/"}, // as cuegate writes it
		{"/foo{path_exactly:$(?:/|$)}", "/foo/", nobody},
		{"/foo{path_exactly:$(?:/|$)}", "/foobar", nobody},

		// What is outside the braces is literal there too.
		{"/v1.0/a+b{p:(?:/|$)}", "/v1.0/a+b/c", "/c"},
		{"/v1.0/a+b{p:(?:/|$)}", "/v1x0/a+b/c", nobody},
		{"/café{path_prefix:(?:/|$)}", "/caf%C3%A9/x", "/x"},
		// A space can be had in a variable only.
		{`/crème{c1:\x20}brûlée{path_exactly:$(?:/|$)}`, "/cr%C3%A8me%20br%C3%BBl%C3%A9e", "/"},
		{`/crème{c1:\x20}brûlée{path_exactly:$(?:/|$)}`, "/cr%C3%A8me-br%C3%BBl%C3%A9e", nobody},

		{"/{p:}", "/x", nobody}, // the router refuses it
	})
}

// rootPaths are on hosts of the suite's own, where they take nobody's traffic.
func rootPaths(p probe) {
	for name, listenPath := range map[string]string{
		"plain":    "/",
		"template": "/{p:(?:|/anything)}",
		"cuegate":  "/{path_prefix:(?:|/)}",
		"wildcard": "/{p:/{0}}",
	} {
		p.post(p.api(name, listenPath).with("domain", p.host(name)))
	}
	p.reload()
	for _, name := range []string{"plain", "template", "cuegate", "wildcard"} {
		for _, path := range []string{"/", "/x", "/x/y/"} {
			p.expect(p.host(name), path, name+" "+path)
		}
		p.expect(p.host("other"), p.path("/x"), nobody)
	}
}
