package engine

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/cuegate/cuegate/engine/internal/schema"
)

// DefinitionFacts is #DefinitionFacts.
type DefinitionFacts struct {
	Route            string         `json:"route"`
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
}

// targetFields are the fields of a definition that name an address which the
// gateway sends requests to; "*" is any key or index. Of target_list the scheme
// may be absent.
var targetFields = [][]string{
	{"proxy", "target_url"},
	{"proxy", "target_list", "*"},
	{"proxy", "transport", "proxy_url"},
	{"proxy", "service_discovery", "query_endpoint"},
	{"version_data", "versions", "*", "override_target"},
	{"version_data", "versions", "*", "extended_paths", "url_rewrites", "*", "rewrite_to"},
	{"version_data", "versions", "*", "extended_paths", "url_rewrites", "*", "triggers", "*", "rewrite_to"},
	{"uptime_tests", "check_list", "*", "url"},
	{"uptime_tests", "config", "service_discovery", "query_endpoint"},
	{"jwt_jwks_uris", "*", "url"},
	{"jwt_source"},
	{"openid_options", "providers", "*", "issuer"},
	{"external_oauth", "providers", "*", "jwt", "source"},
	{"external_oauth", "providers", "*", "introspection", "url"},
	{"notifications", "oauth_on_keychange_url"},
	{"event_handlers", "events", "*", "*", "handler_meta", "target_path"},
	{"upstream_auth", "oauth", "*", "token_url"},
	{"graphql", "supergraph", "subgraphs", "*", "url"},
	{"graphql", "engine", "data_sources", "*", "config", "url"},
}

// targets lists the addresses in a definition, in the order of their paths.
func targets(doc map[string]any, overrides []override, around Cluster) []TargetFacts {
	list := []TargetFacts{}
	eachLeaf(nil, doc, func(path []string, v any) {
		text, ok := v.(string)
		if !ok || text == "" || !slices.ContainsFunc(targetFields, func(f []string) bool { return matches(f, path) }) {
			return
		}
		bare := slices.Contains(path, "target_list")
		if !bare && !strings.Contains(text, "://") && path[len(path)-1] != "target_url" {
			return // a path, or a key
		}
		t := parseTarget(text, around)
		t.Path = schema.Join(path)
		t.Overridden = isOverridden(path, overrides)
		list = append(list, t)
	})
	slices.SortFunc(list, func(a, b TargetFacts) int { return strings.Compare(a.Path, b.Path) })
	return list
}

func matches(pattern, path []string) bool {
	return slices.EqualFunc(pattern, path, func(p, x string) bool { return p == "*" || p == x })
}

// parseTarget reads an address the way an attacker hopes it is not read: what
// counts is where a connection would go.
func parseTarget(text string, around Cluster) TargetFacts {
	if !strings.Contains(text, "://") {
		text = "http://" + text
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
	t.Kind, t.Service = classify(t.Host, around)
	return t
}

// metadata lists the addresses of instance metadata services: the common one,
// AWS over IPv6, Alibaba Cloud, Oracle Cloud, Azure's wire server, and AWS ECS.
var metadata = []string{"169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "169.254.170.2"}

var metadataNames = []string{"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// classify says what a host is; TargetFacts.Kind lists the answers. A name of two
// labels, such as tea-svc.shop, means a Service where the second one is a namespace:
// resolvers in a cluster try that first.
func classify(host string, around Cluster) (string, *TargetService) {
	if host == "" {
		return "invalid", nil
	}
	if addr, ok := parseAddr(host); ok {
		return classifyAddr(addr), nil
	}
	switch {
	case host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasPrefix(host, "localhost."):
		return "loopback", nil
	case slices.Contains(metadataNames, host):
		return "metadata", nil
	}
	name := strings.TrimSuffix(strings.TrimSuffix(host, ".cluster.local"), ".svc")
	inCluster := name != host
	parts := strings.Split(name, ".")
	switch {
	case parts[0] == "kubernetes" && (len(parts) == 1 || len(parts) == 2 && parts[1] == "default"):
		return "kubernetesAPI", nil
	case len(parts) == 1:
		return "service", &TargetService{Name: parts[0]}
	case inCluster:
		// A pod of a headless Service, or an SRV name, has parts before the Service's.
		if parts[len(parts)-1] == "pod" && len(parts) > 2 {
			return "service", &TargetService{Name: parts[0], Namespace: parts[len(parts)-2]}
		}
		return "service", &TargetService{Name: parts[len(parts)-2], Namespace: parts[len(parts)-1]}
	case len(parts) == 2 && around.inhabited[parts[1]]:
		return "service", &TargetService{Name: parts[0], Namespace: parts[1]}
	}
	return "name", nil
}

func classifyAddr(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	switch {
	case slices.Contains(metadata, a.String()):
		return "metadata"
	case a.IsLoopback():
		return "loopback"
	case a.IsUnspecified():
		return "unspecified"
	case a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast():
		return "linkLocal"
	case a.IsPrivate() || sharedSpace.Contains(a):
		return "private"
	}
	if embedded, ok := embedded4(a); ok {
		return classifyAddr(embedded)
	}
	if a.Is4() && a.As4()[0] == 0 {
		return "unspecified"
	}
	return "public"
}

// embedded4 finds the IPv4 address inside a NAT64 (64:ff9b::/96), 6to4 (2002::/16)
// or IPv4-compatible (::/96) address.
func embedded4(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() {
		return netip.Addr{}, false
	}
	b := a.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(a), netip.MustParsePrefix("::/96").Contains(a):
		return netip.AddrFrom4([4]byte(b[12:])), true
	case netip.MustParsePrefix("2002::/16").Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// parseAddr reads an IP address in any spelling that a resolver takes: besides
// the usual ones 127.1, 0x7f000001, 0177.0.0.1 and 2130706433.
func parseAddr(host string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a, true
	}
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var total uint64
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 0, 32)
		if err != nil || strings.Contains(p, "_") {
			return netip.Addr{}, false
		}
		if i < len(parts)-1 {
			if n > 255 {
				return netip.Addr{}, false
			}
			total |= n << (8 * (3 - i))
			continue
		}
		if n >= 1<<(8*(5-len(parts))) {
			return netip.Addr{}, false
		}
		total |= n
	}
	return netip.AddrFrom4([4]byte{byte(total >> 24), byte(total >> 16), byte(total >> 8), byte(total)}), true
}
