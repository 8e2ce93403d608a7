package contract

// What becomes of a definition that POST took. Source: Tyk Gateway v5.11.1, measured.
// There is almost no validation, so it is the loader that a bad one meets, and only
// the gateway's log tells.

// A fate is what a reload makes of one changed definition.
type fate struct {
	name string
	// path and value of what differs from one that serves
	path  string
	value any
	// want is the outcome of a request below the usual listen path; "" for the
	// upstream's.
	want string
	// listed by the control API
	listed bool
}

const (
	isListed = true
	unlisted = false
)

// wantFates loads all definitions with one reload, so a bad one among them must not
// keep the good ones from loading either.
func (p probe) wantFates(fates []fate) {
	p.Helper()
	for _, f := range fates {
		p.post(p.api(f.name, p.path("/"+f.name+"/")).with(f.path, f.value))
	}
	p.reload()
	for _, f := range fates {
		if _, ok := p.loaded(p.id(f.name)); ok != f.listed {
			p.Errorf("%s: listed: %v", f.name, ok)
		}
		want := f.want
		if want == "" {
			want = f.name + " /x"
		}
		p.expect("", p.path("/"+f.name+"/x"), want)
	}
}

func whatLoads(p probe) {
	p.wantFates([]fate{
		{"usual", "name", p.prefix + " usual", "", isListed},
		// The gateway does not look at it: to take an API away, delete it.
		{"inactive", "active", false, "", isListed},
		{"no-active", "active", absent, "", isListed},
		{"no-org", "org_id", absent, "", isListed},
		{"tags", "tags", []string{"edge"}, "", isListed}, // not filtered in file mode
		{"unknown-certificate", "certificates", []string{p.id("nobody")}, "", isListed},
		{"protocol-http", "protocol", "http", "", isListed},

		// It never opens by accident.
		{"no-keyless", "use_keyless", absent, "401 Authorization field missing", isListed},
		{"not-keyless", "use_keyless", false, "401 Authorization field missing", isListed},

		{"no-target", "proxy.target_url", absent, "500 There was a problem proxying the request", isListed},
		{"no-proxy", "proxy", absent, nobody, isListed},
		{"no-listen-path", "proxy.listen_path", "", nobody, isListed},
		{"internal", "internal", true, nobody, isListed},
		{"no-scheme", "proxy.target_url", "127.0.0.1:9191", nobody, isListed},
		{"unparsable-target", "proxy.target_url", "http://[::1", nobody, isListed},
		{"protocol-bogus", "protocol", "bogus", nobody, isListed},

		// The loader chokes on these, so not even the control API has them: PUT and
		// DELETE are 404. Only a POST of the same api_id gets a good one in their place.
		{"no-slash", "proxy.listen_path", p.space + "/no-slash/", nobody, unlisted},
		{"unbalanced", "proxy.listen_path", p.path("/unbalanced/{"), nobody, unlisted},
		{"bad-regexp", "proxy.listen_path", p.path("/bad-regexp/{x:[}"), nobody, unlisted},
	})

	p.load(p.api("space", p.path("/spa ce/")))
	p.expect("", p.path("/spa%20ce/x"), nobody)
	p.wantListenPath(p.id("space"), p.path("/spa ce/"))

	p.load(p.api("no-slash", p.path("/mended/")))
	p.expect("", p.path("/mended/x"), "no-slash /x")
}

// versions: an API without versions has one all the same, and needs to say so.
func versions(p probe) {
	const (
		noVersion = "403 Version information not found"
		noDefault = "403 No default API version for this non-versioned API found"
	)
	one := func(name string, version object) object { return object{name: version} }
	p.wantFates([]fate{
		{"no-data", "version_data", absent, noVersion, isListed},
		{"empty-data", "version_data", object{}, noVersion, isListed},
		{"versioned", "version_data.not_versioned", false, noVersion, isListed},
		{"none", "version_data.versions", object{}, noDefault, isListed},
		{"null", "version_data.versions", nil, noDefault, isListed},
		{"any-name", "version_data.versions", one("v9", object{"name": "v9", "use_extended_paths": true}), "", isListed},
		{"two", "version_data.versions", object{"a": object{"name": "a"}, "b": object{"name": "b"}}, noDefault, isListed},
		{"without-name", "version_data.versions", one("Default", object{"use_extended_paths": true}), "", isListed},
		{"legacy-paths", "version_data.versions", one("Default", object{"name": "Default"}), "", isListed},
	})
}

// panickingAPI: a regexp in a white list is first read when a request comes, and each
// of them ends without an answer. Others are served on.
func panickingAPI(p probe) {
	list := func(path string) object {
		return object{"Default": object{"name": "Default", "use_extended_paths": true, "extended_paths": object{
			"white_list": []any{object{"path": path, "method_actions": object{}}},
		}}}
	}
	p.load(
		p.api("bad", p.path("/bad/")).with("version_data.versions", list("/[")),
		p.api("good", p.path("/good/")),
	)
	if _, ok := p.loaded(p.id("bad")); !ok {
		p.Error("not listed")
	}
	for range 2 {
		p.expect("", p.path("/bad/x"), closed)
		p.expect("", p.path("/good/x"), "good /x")
	}
}
