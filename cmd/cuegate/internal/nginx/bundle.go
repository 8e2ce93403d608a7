package nginx

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const module = `module: "bundle.cuegate.dev@v0"
language: version: "v0.17.0"
`

// common is the template of Ingresses that need nothing beyond the defaults of
// ingress-nginx, and the base of the others.
const common = `// Package templates holds the templates of Ingresses that came from ingress-nginx.
package templates

import (
	"list"
	"strings"

	"github.com/cuegate/cuegate/cue/template"
)

templates: [string]: template.#Template

// nginx does what ingress-nginx did with an Ingress without annotations.
templates: nginx: _nginx

// _nginx is the base of all templates here. What stands before a "|" is a default of
// ingress-nginx, or of the ConfigMap of its controller.
_nginx: template.#Base & {
	in: template.#In

	// Seconds that the service may take until the head of its answer; 0 leaves them to
	// the gateway.
	_timeout: *%d | int
	// Bytes that the body of a request may have; 0 means any.
	_body: *%d | int
	// Encryption on the way to the service.
	_https: *false | bool
	// The service sees the Host of the request, and not its own.
	_keepHost: *true | bool
	// Hosts of which requests in clear are not served.
	_httpsOnly: [...string]
	// The header Strict-Transport-Security of answers, by host.
	_hsts: [string]: string

	// Paths that are more than an Ingress can say: by host and path of the Ingress, with a
	// space between.
	_paths: [string]: _path

	let _at = [
		if _paths["\(in.host) \(in.path)"] != _|_ {_paths["\(in.host) \(in.path)"]},
		_path,
	][0]
	let _target = [
		if _https {strings.Replace(in.target, "http://", "https://", 1)},
		in.target,
	][0]

	defaults: {
		if _at.listen != "" {
			listen_path: _at.listen
		}
		if _at.strip {
			strip_listen_path: true
		}
		if _https || _at.prefix != "" {
			target_url: _target + _at.prefix
		}
	}
	api: {
		if list.Contains(_httpsOnly, in.host) {
			protocol: "https"
		}
		proxy: preserve_host_header: [if _keepHost {true}, false][0]
		version_data: versions: Default: {
			if _hsts[in.host] != _|_ {
				global_response_headers: "Strict-Transport-Security": *_hsts[in.host] | string
			}
			extended_paths: {
				if _timeout > 0 {
					hard_timeouts: *[for m in _methods {path: "/.*", method: m, timeout: _timeout}] | [...]
				}
				if _body > 0 {
					size_limits: *[for m in ["POST", "PUT", "PATCH"] {path: "/.*", method: m, size_limit: _body}] | [...]
				}
				if _at.match != "" {
					url_rewrites: *[for m in _methods {path: "/.*", method: m, match_pattern: _at.match, rewrite_to: _at.to}] | [...]
				}
			}
		}
	}
}

// _path is what becomes of the path of a request.
_path: {
	// Listen path in place of Cuegate's own.
	listen: *"" | string
	// Whether the service sees the path without what the listen path matched.
	strip: *false | bool
	// Path to put before it; it ends with a slash.
	prefix: *"" | string
	// A regular expression on path and query, and what to ask for in their place.
	match: *"" | string
	to:    *"" | string
}

// The gateway wants an entry for each method.
_methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
`

func (g *global) commonTemplate() []byte {
	return fmt.Appendf(nil, common, g.shape.timeout, g.shape.body)
}

// templateName is "nginx" where the defaults are enough.
func (d *draft) templateName() string {
	if len(d.settings()) == 0 {
		return "nginx"
	}
	return "nginx-" + d.in.namespace + "-" + d.in.name
}

// settings are the lines of its template.
func (d *draft) settings() []string {
	s, g := d.shape, d.global.shape
	var values [][2]string
	value := func(when bool, name string, v any) {
		if when {
			values = append(values, [2]string{name, fmt.Sprint(v)})
		}
	}
	value(s.timeout != g.timeout, "_timeout", s.timeout)
	value(s.body != g.body, "_body", s.body)
	value(s.https, "_https", true)
	value(s.ownHost, "_keepHost", false)
	lines := aligned(values)
	var only []string
	for _, h := range s.only {
		only = append(only, strconv.Quote(h))
	}
	if len(only) > 0 {
		lines = append(lines, "_httpsOnly: ["+strings.Join(only, ", ")+"]")
	}
	var hsts [][2]string
	for _, h := range s.tlsHosts {
		if s.hsts != "" {
			hsts = append(hsts, [2]string{"_hsts: " + strconv.Quote(h), strconv.Quote(s.hsts)})
		}
	}
	lines = append(lines, aligned(hsts)...)
	for _, k := range slices.Sorted(maps.Keys(s.paths)) {
		lines = append(lines, "_paths: "+strconv.Quote(k)+": {\n\t\t"+strings.Join(s.paths[k].fields(), "\n\t\t")+"\n\t}")
	}
	if s.basicAuth {
		lines = append(lines, "api: {\n\t\tuse_keyless:    false\n\t\tuse_basic_auth: true\n\t\tauth_configs: basic: auth_header_name: *\"Authorization\" | string\n\t}")
	}
	return lines
}

// fields are the lines of a path.
func (p pathPlan) fields() []string {
	fields := [][2]string{{"listen", cueText(p.listen)}}
	if p.strip {
		fields = append(fields, [2]string{"strip", "true"})
	}
	if p.prefix != "" {
		fields = append(fields, [2]string{"prefix", cueText(p.prefix + "/")})
	}
	if p.match != "" {
		fields = append(fields, [2]string{"match", cueText(p.match)}, [2]string{"to", cueText(p.to)})
	}
	return aligned(fields)
}

// aligned writes fields as cue fmt does.
func aligned(fields [][2]string) []string {
	width := 0
	for _, f := range fields {
		width = max(width, len(f[0])+1)
	}
	var lines []string
	for _, f := range fields {
		lines = append(lines, fmt.Sprintf("%-*s %s", width, f[0]+":", f[1]))
	}
	return lines
}

var simple = regexp.MustCompile(`^[^"\\\x00-\x1f]*$`)

// cueText writes a text of CUE, raw where that is easier to read.
func cueText(s string) string {
	if !simple.MatchString(s) && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) && !strings.Contains(s, `"#`) && !strings.Contains(s, `\#`) {
		return `#"` + s + `"#`
	}
	return strconv.Quote(s)
}

// template writes the template of an Ingress.
func (d *draft) template() []byte {
	name := d.templateName()
	return fmt.Appendf(nil, "package templates\n\n// %s is for %s.\ntemplates: %s: _nginx & {\n\t%s\n}\n", name, d.in, strconv.Quote(name), strings.Join(d.settings(), "\n\t"))
}
