package nginx

// Which requests, and what of their path the service sees.

func pathRows() []Row {
	const redirect = "The gateway would send the requests to the service instead of redirecting them. Make a template of your own that answers with mock_response, or redirect before the gateway."
	return []Row{
		{Name: "rewrite-target", Outcome: Mapped, Note: "strip_listen_path and the path of target_url where the rewrite takes a prefix off, else url_rewrites (approximated). Variables of nginx other than $1 to $9, and rewrites to another host, leave the Ingress out.", convert: rewriteTarget},
		{Name: "use-regex", Outcome: Mapped, Note: "The paths become listen paths with the same regular expression: without regard to case, from the beginning, longer texts first. So do all paths of the host, in whatever Ingress.", convert: boolean},
		{Name: "x-forwarded-prefix", Outcome: Mapped, Note: "global_headers. ingress-nginx sets the header only beside rewrite-target.", convert: forwardedPrefix},
		{Name: "app-root", Outcome: Unsupported, Note: "The gateway does not redirect /. Let the service do it."},
		{Name: "server-alias", Outcome: Unsupported, Note: "The further hosts are not served. Add a rule for each."},
		{Name: "default-backend", Outcome: Unsupported, Note: "The gateway knows no service for the time when another has no endpoints."},
		{Name: "custom-http-errors", Outcome: Unsupported, Note: "Answers with errors pass as the service gives them."},
		{Name: "disable-proxy-intercept-errors", Outcome: Needless, Note: "Answers with errors pass as the service gives them."},
		{Name: "permanent-redirect", Outcome: LeftOut, Note: redirect},
		{Name: "permanent-redirect-code", Outcome: LeftOut, Note: "A detail of permanent-redirect: see there.", convert: withRedirect("permanent-redirect")},
		{Name: "temporal-redirect", Outcome: LeftOut, Note: redirect},
		{Name: "temporal-redirect-code", Outcome: LeftOut, Note: "A detail of temporal-redirect: see there.", convert: withRedirect("temporal-redirect")},
		{Name: "from-to-www-redirect", Outcome: Unsupported, Note: "The other of the two hosts is not served. Redirect it before the gateway.", convert: boolean},
		{Name: "relative-redirects", Outcome: Needless, Note: "The gateway makes no redirects of its own."},
		{Name: "use-port-in-redirects", Outcome: Needless, Note: "The gateway makes no redirects of its own."},
		{Name: "preserve-trailing-slash", Outcome: Needless, Note: "The gateway makes no redirects of its own."},
	}
}

// boolean: what is switched off needs nothing.
func boolean(_ *draft, value string) verdict {
	if value == "true" {
		return verdict{}
	}
	return verdict{outcome: Needless, note: "It is switched off."}
}

func withRedirect(name string) func(*draft, string) verdict {
	return func(d *draft, _ string) verdict {
		if d.in.annotations[name] == "" {
			return verdict{outcome: Needless, note: "There is no " + name + "."}
		}
		return verdict{}
	}
}

// rewriteTarget: the paths were planned before, and have entries of their own.
func rewriteTarget(d *draft, _ string) verdict {
	if d.approximated {
		return verdict{outcome: Approximated, note: "See the paths."}
	}
	return verdict{note: "See the paths."}
}

func forwardedPrefix(d *draft, value string) verdict {
	if d.in.annotations["rewrite-target"] == "" {
		return verdict{outcome: Needless, note: "There is no rewrite-target, and ingress-nginx sets the header only beside one."}
	}
	if !isHeaderValue(value) {
		return verdict{outcome: Unsupported, note: "The value has a variable, or characters that a header cannot have."}
	}
	d.overrides[versionPath+"global_headers.X-Forwarded-Prefix"] = value
	return verdict{}
}
