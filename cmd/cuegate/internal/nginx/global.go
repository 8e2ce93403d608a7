package nginx

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// global is what the ConfigMap of the controller says for all Ingresses.
type global struct {
	read        bool // there is one
	entries     []Entry
	shape       shape // that of an Ingress without annotations
	sslRedirect bool
	force       bool // force-ssl-redirect
	// data are its settings that every Ingress inherits.
	data map[string]string
}

// Setting is what the program knows of one key of the ConfigMap.
type Setting struct {
	Name    string
	Outcome Outcome
	Note    string
	Hidden  bool
	// Accept is the name by which a caller goes on without it; else every Ingress is left
	// out.
	Accept string
}

// Settings gives the keys of the ConfigMap that concern security, or the templates.
func Settings() []Setting {
	const perIngress = "Every Ingress without the annotation inherits it, and is treated as if it had it."
	const listener = "A setting of the gateway: http_server_options in tyk.conf."
	const inFront = "The gateway has no such list for all APIs. Put it before the gateway, or into a policy of your bundle (settings.set)."
	const nginxText = "Configuration of nginx for all hosts, which may decide who may call. Nothing of it is carried over."
	const headers = "Names a ConfigMap with headers for all hosts. Set them with a policy of your bundle (settings.set)."
	return []Setting{
		{Name: "add-headers", Outcome: Unsupported, Accept: "custom-headers", Note: headers},
		{Name: "allow-backend-server-header", Outcome: Needless, Note: "Headers of the service pass."},
		{Name: "allow-snippet-annotations", Outcome: Needless, Note: "Snippets are never carried over. Where this is not true, those of the Ingresses did nothing."},
		{Name: "annotations-risk-level", Outcome: Needless, Note: "Cuegate's own are settings.risk and settings.grants of a bundle."},
		{Name: "block-cidrs", Outcome: Unsupported, Accept: "block-lists", Note: inFront},
		{Name: "block-referers", Outcome: Unsupported, Accept: "block-lists", Note: inFront},
		{Name: "block-user-agents", Outcome: Unsupported, Accept: "block-lists", Note: inFront},
		{Name: "custom-http-errors", Outcome: Unsupported, Note: "Answers with errors pass as the service gives them."},
		{Name: "denylist-source-range", Outcome: Mapped, Note: perIngress},
		{Name: "enable-modsecurity", Outcome: Mapped, Note: perIngress},
		{Name: "enable-owasp-modsecurity-crs", Outcome: Mapped, Note: "See enable-modsecurity."},
		{Name: "force-ssl-redirect", Outcome: Mapped, Note: perIngress},
		{Name: "global-auth-url", Outcome: Mapped, Hidden: true, Note: "Every Ingress without enable-global-auth false is protected by it, and left out: see auth-url."},
		{Name: "hide-headers", Outcome: Unsupported, Note: "Set global_response_headers_remove with a policy of your bundle (settings.set)."},
		{Name: "hsts", Outcome: Mapped, Note: "Strict-Transport-Security, for every Ingress with spec.tls."},
		{Name: "hsts-include-subdomains", Outcome: Mapped, Note: "See hsts."},
		{Name: "hsts-max-age", Outcome: Mapped, Note: "See hsts."},
		{Name: "hsts-preload", Outcome: Mapped, Note: "See hsts."},
		{Name: "http-snippet", Outcome: Unsupported, Accept: "snippets", Hidden: true, Note: nginxText},
		{Name: "limit-rate", Outcome: Mapped, Note: perIngress},
		{Name: "location-snippet", Outcome: Unsupported, Accept: "snippets", Hidden: true, Note: nginxText},
		{Name: "main-snippet", Outcome: Unsupported, Accept: "snippets", Hidden: true, Note: nginxText},
		{Name: "modsecurity-snippet", Outcome: Needless, Hidden: true, Note: "A detail of enable-modsecurity."},
		{Name: "proxy-body-size", Outcome: Mapped, Note: "The default of the templates."},
		{Name: "proxy-connect-timeout", Outcome: Approximated, Note: "The gateway takes one time, that of proxy-read-timeout."},
		{Name: "proxy-read-timeout", Outcome: Mapped, Note: "The default of the templates."},
		{Name: "proxy-send-timeout", Outcome: Approximated, Note: "The gateway has none for sending."},
		{Name: "proxy-set-headers", Outcome: Unsupported, Accept: "custom-headers", Note: headers},
		{Name: "server-snippet", Outcome: Unsupported, Accept: "snippets", Hidden: true, Note: nginxText},
		{Name: "server-tokens", Outcome: Needless, Note: "The gateway does not name itself."},
		{Name: "ssl-ciphers", Outcome: Unsupported, Note: listener},
		{Name: "ssl-protocols", Outcome: Unsupported, Note: listener},
		{Name: "ssl-redirect", Outcome: Mapped, Note: "The default of Ingresses with spec.tls."},
		{Name: "use-forwarded-headers", Outcome: Unsupported, Note: "The gateway always believes X-Real-IP and X-Forwarded-For: what stands before it has to overwrite them."},
		{Name: "use-proxy-protocol", Outcome: Unsupported, Note: "A setting of each API: enable_proxy_protocol, in a template of your own."},
		{Name: "whitelist-source-range", Outcome: Mapped, Note: perIngress},
	}
}

// isController tells the ConfigMap of the controller from others, as its chart and its
// manifests name it.
func (c configMap) isController() bool {
	return c.name == "ingress-nginx-controller" || c.name == "nginx-configuration" ||
		c.labels["app.kubernetes.io/name"] == "ingress-nginx" && c.labels["app.kubernetes.io/component"] == "controller"
}

func readGlobal(all []configMap) *global {
	g := &global{sslRedirect: true, data: map[string]string{}, shape: shape{timeout: 60, body: 1 << 20}}
	known := map[string]Setting{}
	for _, s := range Settings() {
		known[s.Name] = s
	}
	for _, c := range all {
		if !c.isController() {
			continue
		}
		g.read = true
		for _, k := range slices.Sorted(maps.Keys(c.data)) {
			s, ok := known[k]
			if !ok {
				s = Setting{Outcome: Needless, Hidden: true, Note: "Not looked at: it concerns neither security nor what the templates say."}
			}
			e := Entry{Name: k, Value: c.data[k], Outcome: s.Outcome, Note: s.Note}
			if s.Hidden {
				e.Value = ""
			}
			if before, had := g.data[k]; had && before != c.data[k] {
				e.Outcome, e.Note = Unsupported, "There are two ConfigMaps of controllers, and they differ here: migrate the Ingresses of each by themselves. This one was taken."
			}
			g.data[k] = c.data[k]
			g.entries = append(g.entries, e)
		}
	}
	g.settle()
	return g
}

// settle reads the settings that the templates take.
func (g *global) settle() {
	if n, ok := byteSize(g.data["proxy-body-size"]); ok {
		g.shape.body = n
	}
	if n, ok := positive(g.data["proxy-read-timeout"]); ok {
		g.shape.timeout = n
	}
	g.sslRedirect = g.data["ssl-redirect"] != "false"
	g.force = g.data["force-ssl-redirect"] == "true"
	if g.data["hsts"] != "false" {
		age := 31536000
		if n, err := strconv.Atoi(g.data["hsts-max-age"]); err == nil {
			age = n
		}
		g.shape.hsts = fmt.Sprintf("max-age=%d", age)
		if g.data["hsts-include-subdomains"] != "false" {
			g.shape.hsts += "; includeSubDomains"
		}
		if g.data["hsts-preload"] == "true" {
			g.shape.hsts += "; preload"
		}
	}
}

// inherited applies the settings that protect every Ingress which does not say otherwise.
func (g *global) inherited(d *draft) []Entry {
	t := newTable()
	var entries []Entry
	for _, s := range Settings() {
		if s.Accept != "" && g.data[s.Name] != "" && !d.accepts(s.Accept) {
			d.protected = true
			entries = append(entries, Entry{Name: s.Name + " (of the ConfigMap)", Outcome: LeftOut, Accept: s.Accept, Note: s.Note})
		}
	}
	apply := func(name, value string, unless ...string) {
		if value == "" || value == "false" || isZero(value) {
			return
		}
		for _, u := range append(unless, name) {
			if d.in.annotations[u] != "" {
				return
			}
		}
		row := t.row(name)
		e := d.apply(row, value)
		d.protected = d.protected || row.Closes
		e.Name += " (of the ConfigMap)"
		entries = append(entries, e)
	}
	apply("whitelist-source-range", g.data["whitelist-source-range"], "allowlist-source-range")
	apply("denylist-source-range", g.data["denylist-source-range"])
	apply("limit-rate", g.data["limit-rate"])
	apply("enable-modsecurity", g.data["enable-modsecurity"])
	if g.force {
		apply("force-ssl-redirect", "true")
	}
	if g.data["global-auth-url"] != "" && !strings.EqualFold(d.in.annotations["enable-global-auth"], "false") {
		apply("auth-url", g.data["global-auth-url"])
	}
	return entries
}

// hints are what holds for all Ingresses.
func (g *global) hints(drafts []*draft) []string {
	if len(drafts) == 0 {
		return nil
	}
	var hints []string
	if !g.read {
		hints = append(hints, "The ConfigMap ingress-nginx-controller is not among the manifests, so that its defaults were taken: no global-auth-url, no whitelist-source-range. Give it with -f as well.")
	}
	body := "bodies of any size"
	if g.shape.body > 0 {
		body = fmt.Sprintf("bodies of at most %d bytes", g.shape.body)
	}
	hints = append(hints, fmt.Sprintf("The templates keep the defaults of ingress-nginx: %s, and %d s for an answer. See _nginx in bundle/templates/nginx.cue.", body, g.shape.timeout))
	if slices.ContainsFunc(drafts, func(d *draft) bool { return len(d.shape.only) > 0 }) {
		hints = append(hints, "Definitions with protocol https are served by gateways that listen with TLS (http_server_options.use_ssl), and by no others.")
	}
	return hints
}
