package whatif

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// definition is a document of the gateway, as decode gives it; nil where there is none.
type definition map[string]any

func (d definition) at(path ...string) any { return at(map[string]any(d), path...) }

func (d definition) is(path ...string) bool { b, _ := d.at(path...).(bool); return b }

func (d definition) text(path ...string) string { s, _ := d.at(path...).(string); return s }

func (d definition) number(path ...string) float64 {
	n, _ := d.at(path...).(json.Number)
	f, _ := n.Float64()
	return f
}

func (d definition) texts(path ...string) []string { return textsOf(d.at(path...)) }

func textsOf(v any) []string {
	list, _ := v.([]any)
	var all []string
	for _, x := range list {
		if s, ok := x.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// keysOf gives the keys of an object in order.
func keysOf(v any) []string {
	m, _ := v.(map[string]any)
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// added gives what is in b and not in a.
func added(a, b []string) []string {
	var all []string
	for _, x := range b {
		if !slices.Contains(a, x) && !slices.Contains(all, x) {
			all = append(all, x)
		}
	}
	return all
}

// The kinds of authentication, and how much each proves. With a password or a key whoever
// has read it once can call; a signed token says who calls and for how long, and a client
// certificate never leaves its owner. How strong a plugin is, nobody can tell: it counts
// as a key.
const (
	password    = "a password"
	key         = "a key"
	oauth       = "a token of the gateway's OAuth server"
	plugin      = "what a plugin wants"
	jwt         = "a signed token (JWT)"
	openID      = "a signed token (OpenID Connect)"
	external    = "a token of another OAuth server"
	signature   = "a signed request"
	certificate = "a client certificate"
)

var strengths = map[string]int{password: 1, key: 2, oauth: 2, plugin: 2, jwt: 3, openID: 3, external: 3, signature: 3, certificate: 4}

// credentials gives the kinds that every request needs, all of them. The gateway asks for
// client certificates also where use_keyless switches off all other kinds, and for a key
// where neither it nor any kind is on.
func (d definition) credentials() []string {
	var kinds []string
	if d.is("use_mutual_tls_auth") {
		kinds = append(kinds, certificate)
	}
	if d.is("use_keyless") {
		return kinds
	}
	others := len(kinds)
	for _, k := range []struct {
		on   bool
		kind string
	}{
		{d.is("enable_jwt"), jwt},
		{d.is("use_openid"), openID},
		{d.is("external_oauth", "enabled"), external},
		{d.is("enable_signature_checking"), signature},
		{d.is("use_oauth2"), oauth},
		{d.is("use_standard_auth"), key},
		{d.is("custom_plugin_auth_enabled") || d.is("use_go_plugin_auth") || d.is("enable_coprocess_auth"), plugin},
		{d.is("use_basic_auth"), password},
	} {
		if k.on {
			kinds = append(kinds, k.kind)
		}
	}
	if len(kinds) == others {
		kinds = append(kinds, key)
	}
	return kinds
}

// strength is that of the strongest of the kinds, 0 where none is needed.
func strength(kinds []string) int {
	s := 0
	for _, k := range kinds {
		s = max(s, strengths[k])
	}
	return s
}

// isOpen tells whether any request is let in without credentials, as the fact keyless of
// the engine does, by which policies decide.
func (d definition) isOpen() bool {
	return len(d.credentials()) == 0 || d.passesPreflight() || len(d.ignored()) > 0
}

// passesPreflight tells whether OPTIONS requests reach the upstream without credentials.
func (d definition) passesPreflight() bool {
	return d.is("CORS", "enable") && d.is("CORS", "options_passthrough")
}

// endpoints gives the entries of lists of paths in all versions that are on: "METHOD PATH".
func (d definition) endpoints(list string) []string {
	var all []string
	for _, name := range keysOf(d.at("version_data", "versions")) {
		for _, parent := range []string{"extended_paths", "paths"} {
			entries, _ := d.at("version_data", "versions", name, parent, list).([]any)
			for _, e := range entries {
				if text, plain := e.(string); plain {
					all = append(all, text)
					continue
				}
				if off, _ := at(e, "disabled").(bool); off {
					continue
				}
				path, _ := at(e, "path").(string)
				method, _ := at(e, "method").(string)
				methods := keysOf(at(e, "method_actions"))
				if method != "" || len(methods) == 0 {
					methods = []string{method}
				}
				for _, m := range methods {
					all = append(all, strings.TrimSpace(m+" "+path))
				}
			}
		}
	}
	return all
}

func (d definition) ignored() []string { return d.endpoints("ignored") }

// tags are those that gateways load it by.
func (d definition) tags() []string {
	if d.is("tags_disabled") {
		return nil
	}
	return d.texts("tags")
}

// host is what requests are matched by: "" is any, "*.parent" any name of one label more,
// and what is a pattern of another form stands for itself.
func (d definition) host() string {
	domain := strings.ToLower(d.text("domain"))
	if d.is("domain_disabled") {
		return ""
	}
	if m := anyLabel.FindStringSubmatch(domain); m != nil {
		return "*" + m[1]
	}
	return domain
}

var anyLabel = regexp.MustCompile(`^\{[^{}]*:\[\^\.\]\+\}(\..+)$`)

// coversHost tells whether all requests for host b are for a as well.
func coversHost(a, b string) bool {
	if a == "" || a == b {
		return true
	}
	suffix, wildcard := strings.CutPrefix(a, "*")
	label, below := strings.CutSuffix(b, suffix)
	return wildcard && below && label != "" && !strings.ContainsAny(label, ".{*")
}

// listen is a listen path: the text before its pattern, and what may follow.
type listen struct {
	text string
	// end is what may follow: exactly nothing, the next element, or anything; or the text
	// is a pattern that is not told apart.
	end listenEnd
}

type listenEnd int

const (
	ends listenEnd = iota
	nextElement
	anything
	pattern
)

// listenOf reads a listen path as the engine writes it. plain is set for gateways that run
// strict routes, where a path without a pattern ends with an element.
func (d definition) listenOf(plain bool) listen {
	text := d.text("proxy", "listen_path")
	i := strings.IndexByte(text, '{')
	switch {
	case i < 0 && plain && text != "/":
		return listen{strings.TrimSuffix(text, "/"), nextElement}
	case i < 0:
		return listen{text, anything}
	}
	switch text[i:] {
	case "{path_prefix:(?:|/)}":
		return listen{text[:i], anything}
	case "{path_prefix:(?:/|$)}":
		return listen{text[:i], nextElement}
	case "{path_exactly:$(?:/|$)}":
		return listen{text[:i], ends}
	}
	return listen{text, pattern}
}

// covers tells whether all requests for b are for a as well; false where that is not
// known.
func (a listen) covers(b listen) bool {
	switch {
	case a == b:
		return true
	case a.end == pattern || b.end == pattern:
		return false
	case a.end == anything:
		return strings.HasPrefix(b.text, a.text)
	case a.end == nextElement:
		return a.text == b.text && b.end <= nextElement || strings.HasPrefix(b.text, a.text+"/")
	}
	return false
}

// target is an address that requests are sent to.
type target struct {
	path   []string // of the field
	scheme string
	// to is host and port, whatever the scheme.
	to string
}

var ports = map[string]string{"https": "443", "wss": "443", "tls": "443", "grpcs": "443"}

// isEncrypted tells of a scheme whether it is one of TLS.
func isEncrypted(scheme string) bool { return ports[scheme] != "" }

// targets gives where requests are sent, in the order of the fields.
func (d definition) targets() []target {
	var all []target
	add := func(v any, path ...string) {
		text, _ := v.(string)
		if text == "" {
			return
		}
		if !strings.Contains(text, "://") {
			text = "http://" + text
		}
		t := target{path: path, to: text}
		if u, err := url.Parse(text); err == nil {
			t.scheme = strings.ToLower(u.Scheme)
			t.to = strings.ToLower(u.Hostname()) + ":" + cmp.Or(u.Port(), ports[t.scheme], "80")
		}
		all = append(all, t)
	}
	add(d.at("proxy", "target_url"), "proxy", "target_url")
	if d.is("proxy", "enable_load_balancing") {
		for _, x := range d.texts("proxy", "target_list") {
			add(x, "proxy", "target_list")
		}
	}
	if d.is("proxy", "service_discovery", "use_discovery_service") {
		add(d.at("proxy", "service_discovery", "query_endpoint"), "proxy", "service_discovery", "query_endpoint")
	}
	add(d.at("proxy", "transport", "proxy_url"), "proxy", "transport", "proxy_url")
	for _, name := range keysOf(d.at("version_data", "versions")) {
		version := []string{"version_data", "versions", name}
		add(d.at(append(version, "override_target")...), append(slices.Clone(version), "override_target")...)
		rewrites, _ := d.at(append(version, "extended_paths", "url_rewrites")...).([]any)
		for _, r := range rewrites {
			triggers, _ := at(r, "triggers").([]any)
			for _, x := range append([]any{r}, triggers...) {
				if to, _ := at(x, "rewrite_to").(string); strings.Contains(to, "://") {
					add(to, append(slices.Clone(version), "extended_paths", "url_rewrites")...)
				}
			}
		}
	}
	return all
}

// addresses gives the prefixes of a list of addresses; all is set where any may call.
func (d definition) allowed() (prefixes []netip.Prefix, all bool) {
	if !d.is("enable_ip_whitelisting") || d.is("ip_access_control_disabled") {
		return nil, true
	}
	return prefixesOf(d.texts("allowed_ips")), false
}

func (d definition) blocked() []netip.Prefix {
	if !d.is("enable_ip_blacklisting") || d.is("ip_access_control_disabled") {
		return nil
	}
	return prefixesOf(d.texts("blacklisted_ips"))
}

func prefixesOf(list []string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range list {
		if p, err := netip.ParsePrefix(text); err == nil {
			all = append(all, p.Masked())
		} else if a, err := netip.ParseAddr(text); err == nil {
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return all
}

// coversAll tells whether every address of b is in one of a.
func coversAll(a, b []netip.Prefix) bool {
	return !slices.ContainsFunc(b, func(x netip.Prefix) bool {
		return !slices.ContainsFunc(a, func(y netip.Prefix) bool { return y.Bits() <= x.Bits() && y.Contains(x.Addr()) })
	})
}
