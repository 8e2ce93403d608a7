package nginx

import (
	"strconv"
	"strings"
)

// What browsers, and answers to them, depend on.

const corsDetail = "A detail of enable-cors; without that nothing comes of it."

func browserRows() []Row {
	snippet := func(name string) Row {
		return Row{Name: name, Outcome: Unsupported, Accept: "snippets", Closes: true, Hidden: true, Note: "Configuration of nginx may do anything, also decide who may call. Write what it does as a template, then remove it; or accept snippets to go on without."}
	}
	return []Row{
		{Name: "enable-cors", Outcome: Mapped, Note: "CORS, with ingress-nginx's defaults for what is not said. With any origin, credentials are off: no browser took them from ingress-nginx either.", convert: cors},
		{Name: "cors-allow-origin", Outcome: Mapped, Note: corsDetail + " A wildcard covers any depth of names in the gateway, and one label in ingress-nginx: accept cors-wildcard.", convert: corsOrigin},
		{Name: "cors-allow-methods", Outcome: Mapped, Note: corsDetail, convert: withCORS},
		{Name: "cors-allow-headers", Outcome: Mapped, Note: corsDetail, convert: withCORS},
		{Name: "cors-expose-headers", Outcome: Mapped, Note: corsDetail, convert: withCORS},
		{Name: "cors-allow-credentials", Outcome: Mapped, Note: corsDetail, convert: withCORS},
		{Name: "cors-max-age", Outcome: Mapped, Note: corsDetail, convert: withCORS},

		{Name: "custom-headers", Outcome: Unsupported, Accept: "custom-headers", Note: "The ConfigMap lists headers of answers, which often protect browsers. Set them as version_data.versions.Default.global_response_headers in cuegate.dev/override, then remove it; or accept custom-headers to go on without."},
		snippet("configuration-snippet"),
		snippet("server-snippet"),
		snippet("stream-snippet"),

		{Name: "enable-modsecurity", Outcome: Unsupported, Accept: "modsecurity", Closes: true, Note: "The gateway has no such firewall. Put one before it, then accept modsecurity.", convert: boolean},
		{Name: "enable-owasp-core-rules", Outcome: Unsupported, Accept: "modsecurity", Closes: true, Note: "See enable-modsecurity.", convert: boolean},
		{Name: "modsecurity-snippet", Outcome: Unsupported, Accept: "modsecurity", Closes: true, Hidden: true, Note: "See enable-modsecurity."},
		{Name: "modsecurity-transaction-id", Outcome: Needless, Note: "A detail of enable-modsecurity."},

		{Name: "http2-push-preload", Outcome: Needless, Note: "Browsers no longer take what is pushed."},
	}
}

func withCORS(d *draft, _ string) verdict {
	if d.in.annotations["enable-cors"] != "true" {
		return verdict{outcome: Needless, note: "There is no enable-cors beside it."}
	}
	return verdict{}
}

func corsOrigin(d *draft, value string) verdict {
	if v := withCORS(d, value); v.outcome != "" {
		return v
	}
	for _, o := range list(value) {
		if o != "*" && strings.Contains(o, "*") {
			if !d.accepts("cors-wildcard") {
				return verdict{outcome: LeftOut, accept: "cors-wildcard", note: "The wildcard of " + quoteShort(o) + " would cover any depth of names, and one label in ingress-nginx. List the origins, or accept cors-wildcard."}
			}
			return verdict{outcome: Approximated, note: "The wildcard covers any depth of names: accepted."}
		}
	}
	return verdict{}
}

// cors writes what ingress-nginx answers by default where nothing is said.
func cors(d *draft, value string) verdict {
	if v := boolean(d, value); v.outcome != "" {
		return v
	}
	a := d.in.annotations
	or := func(name, otherwise string) []string {
		if v := list(a[name]); len(v) > 0 {
			return v
		}
		return list(otherwise)
	}
	origins := or("cors-allow-origin", "*")
	credentials := a["cors-allow-credentials"] != "false"
	note := ""
	for _, o := range origins {
		if o == "*" {
			origins, note = []string{"*"}, "Credentials are off: with any origin no browser took them."
			if !credentials {
				note = ""
			}
			credentials = false
			break
		}
	}
	age, err := strconv.Atoi(a["cors-max-age"])
	if err != nil {
		age = 1728000
	}
	c := map[string]any{
		"enable":            true,
		"allowed_origins":   origins,
		"allowed_methods":   or("cors-allow-methods", "GET, PUT, POST, DELETE, PATCH, OPTIONS"),
		"allowed_headers":   or("cors-allow-headers", "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization"),
		"allow_credentials": credentials,
		"max_age":           age,
	}
	if exposed := list(a["cors-expose-headers"]); len(exposed) > 0 {
		c["exposed_headers"] = exposed
	}
	d.overrides["CORS"] = c
	return verdict{note: note}
}

// list takes a text with commas apart.
func list(value string) []string {
	var parts []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}
