package engine

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"github.com/cuegate/cuegate/engine/internal/schema"
)

// DefinitionFacts is #DefinitionFacts.
type DefinitionFacts struct {
	Route            string         `json:"route"`
	Role             string         `json:"role"`
	Field            string         `json:"field"`
	Template         string         `json:"template"`
	Keyless          bool           `json:"keyless"`
	InsecureUpstream bool           `json:"insecureUpstream"`
	Targets          []TargetFacts  `json:"targets"`
	API              map[string]any `json:"api"`
}

// TargetFacts is #TargetFacts.
type TargetFacts struct {
	Path       string         `json:"path"`
	Overridden bool           `json:"overridden"`
	Scheme     string         `json:"scheme"`
	Host       string         `json:"host"`
	Port       string         `json:"port"`
	Kind       string         `json:"kind"`
	Service    *TargetService `json:"service,omitempty"`
}

// TargetService is the field service of #TargetFacts.
type TargetService struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Type      string `json:"type"`
}

// The fields of a definition that name an address which the gateway sends requests
// to; "*" is any key or index.
var (
	// addressFields hold an address and nothing else, with or without a scheme.
	addressFields = [][]string{
		{"proxy", "target_url"},
		{"proxy", "target_list", "*"},
		{"proxy", "transport", "proxy_url"},
		{"proxy", "service_discovery", "query_endpoint"},
		{"version_data", "versions", "*", "override_target"},
		{"uptime_tests", "check_list", "*", "url"},
		{"uptime_tests", "config", "service_discovery", "query_endpoint"},
		{"jwt_jwks_uris", "*", "url"},
		{"openid_options", "providers", "*", "issuer"},
		{"external_oauth", "providers", "*", "introspection", "url"},
		{"notifications", "oauth_on_keychange_url"},
		{"event_handlers", "events", "*", "*", "handler_meta", "target_path"},
		{"upstream_auth", "oauth", "*", "token_url"},
		{"graphql", "supergraph", "subgraphs", "*", "url"},
		{"graphql", "engine", "data_sources", "*", "config", "url"},
		{"graphql", "engine", "data_sources", "*", "config", "broker_addresses", "*"},
		{"graphql", "type_field_configurations", "*", "data_source", "data_source_config", "url"},
		{"graphql", "type_field_configurations", "*", "data_source", "data_source_config", "host"},
	}
	// rewriteFields hold a path or an address, with variables that requests fill in.
	rewriteFields = [][]string{
		{"version_data", "versions", "*", "extended_paths", "url_rewrites", "*", "rewrite_to"},
		{"version_data", "versions", "*", "extended_paths", "url_rewrites", "*", "triggers", "*", "rewrite_to"},
	}
	// keyFields hold a key or an address, either of them perhaps in base64.
	keyFields = [][]string{
		{"jwt_source"},
		{"external_oauth", "providers", "*", "jwt", "source"},
	}
)

// targets lists the addresses in a definition, in the order of their paths.
func targets(doc map[string]any, overrides []override, around Cluster) []TargetFacts {
	list := []TargetFacts{}
	eachLeaf(nil, doc, func(path []string, v any) {
		text, ok := v.(string)
		if !ok {
			return
		}
		address, ok := addressIn(path, text)
		if !ok {
			return
		}
		t := parseTarget(address, around)
		t.Path = schema.Join(path)
		t.Overridden = isOverridden(path, overrides)
		list = append(list, t)
	})
	slices.SortFunc(list, func(a, b TargetFacts) int { return strings.Compare(a.Path, b.Path) })
	return list
}

// addressIn gives the address that the field at path holds, and false where there
// is none.
func addressIn(path []string, text string) (string, bool) {
	switch {
	case text == "":
		return "", false
	case isAmong(path, addressFields):
		return text, true
	case isAmong(path, rewriteFields):
		return addressOfRewrite(text)
	case isAmong(path, keyFields):
		return addressOfKeys(text)
	}
	return "", false
}

// isAmong compares keys as the gateway's JSON decoder does, which takes any case:
// parts of the schema are open, and let "URL" through.
func isAmong(path []string, patterns [][]string) bool {
	return slices.ContainsFunc(patterns, func(pattern []string) bool {
		return slices.EqualFunc(pattern, path, func(p, x string) bool { return p == "*" || strings.EqualFold(p, x) })
	})
}

// addressOfRewrite tells paths, which stay with the upstream, from addresses. What
// is neither for certain, because it may become an address once its variables are
// filled in, has the address "", which no rule lets pass.
func addressOfRewrite(text string) (string, bool) {
	first := text
	if i := strings.IndexAny(text, "/?"); i >= 0 {
		first = text[:i]
	}
	switch {
	case strings.HasPrefix(text, "//"):
		return "", true
	case !strings.ContainsAny(first, "$:{%"):
		return "", false
	case !hasScheme(text):
		return "", true
	}
	return text, true
}

// addressOfKeys gives the address that the gateway would fetch keys from. It looks
// for one behind base64 as well.
func addressOfKeys(text string) (string, bool) {
	if hasScheme(text) {
		return text, true
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if plain, err := enc.DecodeString(text); err == nil && hasScheme(string(plain)) {
			return string(plain), true
		}
	}
	return "", false // a key
}

// hasScheme tells whether text begins as an address does: "://" behind the first
// slash or later is part of a path or a query.
func hasScheme(text string) bool {
	i := strings.IndexAny(text, "/?#")
	return i > 0 && text[i-1] == ':' && strings.HasPrefix(text[i:], "//")
}

// parseTarget reads an address the way an attacker hopes it is not read: what
// counts is where a connection would go.
func parseTarget(text string, around Cluster) TargetFacts {
	if !hasScheme(text) {
		text = "http://" + text
	}
	if strings.ContainsAny(beforePath(text), "${") {
		return TargetFacts{Kind: "invalid"} // where it leads, each request says
	}
	u, err := url.Parse(text)
	if err != nil {
		return TargetFacts{Kind: "invalid"}
	}
	t := TargetFacts{Scheme: strings.ToLower(u.Scheme), Port: u.Port()}
	t.Host = strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if t.Scheme == "tyk" {
		t.Kind = "gateway"
		return t
	}
	t.Kind, t.Service = around.classify(t.Host)
	return t
}

// beforePath gives scheme and authority of an address that has a scheme.
func beforePath(text string) string {
	scheme, rest, _ := strings.Cut(text, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return scheme + "://" + rest
}
