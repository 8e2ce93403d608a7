package engine

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/cuegate/cuegate/engine/internal/listenpath"
	"github.com/cuegate/cuegate/engine/internal/schema"
)

// fault is a place of a definition that fits the schema, and for which the gateway
// refuses the definition, takes it and does not serve it, or chokes on it (Tyk Gateway
// v5.11.1).
type fault struct {
	path []string
	msg  string
}

func faultAt(path string, format string, args ...any) fault {
	return fault{strings.Split(path, "."), fmt.Sprintf(format, args...)}
}

// checkServable finds all faults of the definition.
func checkServable(d *draft, x *rendered) []Reason {
	faults := unservable(x.route.facts.Host, x.doc)
	reasons := make([]Reason, len(faults))
	for i, f := range faults {
		reasons[i] = Reason{ID: "definition-unservable", Field: x.route.facts.Field, Msg: schema.Join(f.path) + ": " + f.msg + "."}
		for _, o := range d.overridesOf(x.route.facts.Role) {
			if covered(f.path, o.path) {
				reasons[i].Field = o.field()
			}
		}
	}
	slices.SortFunc(reasons, func(a, b Reason) int { return strings.Compare(a.Msg, b.Msg) })
	return reasons
}

// unservable finds all faults of the definition of a route; host is that of the route.
func unservable(host string, doc map[string]any) []fault {
	return slices.Concat(
		listenFaults(host, doc),
		targetFaults(doc),
		versionFaults(doc),
		addressFaults(doc),
		authFaults(doc),
		upstreamAuthFaults(doc),
		sourceFaults(doc),
		leafFaults(doc),
	)
}

// maxWildcardLength is the greatest length of a listen path under a wildcard
// domain: routes of exact hosts have 21 or more, see listenpath.
const maxWildcardLength = 20

// listenFaults looks at where the API listens; host is that of its route.
func listenFaults(host string, doc map[string]any) []fault {
	listen, _ := at(doc, "proxy", "listen_path").(string)
	domain, _ := doc["domain"].(string)
	var faults []fault
	if listen == "" {
		faults = append(faults, faultAt("proxy.listen_path", "the gateway does not serve an API without one"))
	}
	inPath, err := checkMuxTemplate(listen)
	if err != nil {
		faults = append(faults, faultAt("proxy.listen_path", "%s", err))
	}
	inDomain, err := checkMuxTemplate(domain)
	if err != nil {
		faults = append(faults, faultAt("domain", "%s", err))
	}
	for _, name := range inDomain {
		if slices.Contains(inPath, name) {
			faults = append(faults, faultAt("proxy.listen_path", "the variable %s stands in the domain too", clip(name)))
		}
	}
	if n := listenpath.Length(listen); strings.Contains(domain, "{") && n > maxWildcardLength {
		faults = append(faults, faultAt("proxy.listen_path",
			"under a wildcard domain its length, as the gateway counts it, may be %d at most, and it is %d: the API would take requests from exact hosts", maxWildcardLength, n))
	}
	switch {
	case host == "":
	case domain == "":
		faults = append(faults, faultAt("domain", "the route has a host, and without a domain the API would answer on every host"))
	case boolAt(doc, "domain_disabled"):
		faults = append(faults, faultAt("domain_disabled", "the route has a host, and the API would answer on every host"))
	}
	return faults
}

// targetFaults looks at where requests go.
func targetFaults(doc map[string]any) []fault {
	var faults []fault
	target, _ := at(doc, "proxy", "target_url").(string)
	list, _ := at(doc, "proxy", "target_list").([]any)
	if target == "" && len(list) == 0 && !boolAt(doc, "proxy", "service_discovery", "use_discovery_service") {
		faults = append(faults, faultAt("proxy.target_url", "there is nowhere to send requests to"))
	}
	// What the gateway fills in itself cannot be parsed yet.
	if _, err := url.Parse(target); err != nil && !strings.Contains(target, "$secret_") {
		faults = append(faults, faultAt("proxy.target_url", "it is no URL, and the gateway does not serve the API"))
	}
	if boolAt(doc, "proxy", "enable_load_balancing") && len(list) == 0 {
		faults = append(faults, faultAt("proxy.enable_load_balancing", "proxy.target_list is empty, and the gateway refuses an API that balances load over no target"))
	}
	return faults
}

// versionFaults finds versions with which the gateway answers 403 to every request.
func versionFaults(doc map[string]any) []fault {
	versions, _ := at(doc, "version_data", "versions").(map[string]any)
	if len(versions) == 0 {
		return []fault{faultAt("version_data.versions", "there is no version, so the gateway would refuse every request")}
	}
	if boolAt(doc, "version_data", "not_versioned") {
		if _, ok := versions["Default"]; !ok && len(versions) > 1 {
			return []fault{faultAt("version_data.versions", "an API that is not versioned has one version, or one of the name Default; the gateway would refuse every request")}
		}
		return nil
	}
	name, _ := at(doc, "version_data", "default_version").(string)
	location, _ := at(doc, "definition", "location").(string)
	if _, ok := versions[name]; !ok && location == "" {
		return []fault{faultAt("version_data.not_versioned", "it is not true, no request can name a version (definition.location is empty), and default_version is none of them; the gateway would refuse every request")}
	}
	return nil
}

// addressFaults finds entries of the lists of addresses that are none.
func addressFaults(doc map[string]any) []fault {
	var faults []fault
	for _, field := range []string{"allowed_ips", "blacklisted_ips"} {
		list, _ := doc[field].([]any)
		for i, entry := range list {
			text, _ := entry.(string)
			addr, err := netip.ParseAddr(text)
			if err == nil && addr.Zone() == "" {
				continue
			}
			if _, err := netip.ParsePrefix(text); err != nil {
				faults = append(faults, faultAt(field+"."+strconv.Itoa(i), "it is neither an IP address nor a CIDR block, and the gateway refuses the API"))
			}
		}
	}
	return faults
}

// authFaults finds credentials that could stand nowhere.
func authFaults(doc map[string]any) []fault {
	const msg = "header, query and cookie are all off, so no request could show a credential"
	none := func(auth any) bool {
		return boolAt(auth, "disable_header") && !boolAt(auth, "use_param") && !boolAt(auth, "use_cookie")
	}
	var faults []fault
	if auth := doc["auth"]; none(auth) && !boolAt(auth, "use_certificate") {
		faults = append(faults, faultAt("auth", msg))
	}
	configs, _ := doc["auth_configs"].(map[string]any)
	for name, auth := range configs {
		if none(auth) {
			faults = append(faults, fault{[]string{"auth_configs", name}, msg})
		}
	}
	return faults
}

// upstreamAuthFaults holds the credential for the upstream to the gateway's rules:
// one kind, and for OAuth one grant.
func upstreamAuthFaults(doc map[string]any) []fault {
	up := doc["upstream_auth"]
	if !boolAt(up, "enabled") || !boolAt(up, "oauth", "enabled") {
		return nil
	}
	var faults []fault
	if boolAt(up, "basic_auth", "enabled") {
		faults = append(faults, faultAt("upstream_auth", "basic_auth and oauth are both enabled, and the gateway takes one of them"))
	}
	grants, _ := at(up, "oauth", "allowed_authorize_types").([]any)
	if len(grants) != 1 || grants[0] != "clientCredentials" && grants[0] != "password" {
		faults = append(faults, faultAt("upstream_auth.oauth.allowed_authorize_types", `the gateway takes one grant, "clientCredentials" or "password"`))
	}
	return faults
}

// sourceFaults finds GraphQL data sources of one name, which the gateway compares
// without regard to capitals and blanks around it.
func sourceFaults(doc map[string]any) []fault {
	var faults []fault
	seen := map[string]bool{}
	sources, _ := at(doc, "graphql", "engine", "data_sources").([]any)
	for i, source := range sources {
		name, _ := at(source, "name").(string)
		name = strings.ToLower(strings.TrimSpace(name))
		if seen[name] {
			faults = append(faults, faultAt(fmt.Sprintf("graphql.engine.data_sources.%d.name", i), "two data sources have the same name, and the gateway refuses the API"))
		}
		seen[name] = true
	}
	return faults
}

// leafFaults looks at every single value.
func leafFaults(doc map[string]any) []fault {
	var faults []fault
	eachLeaf(nil, doc, func(path []string, v any) {
		switch v := v.(type) {
		case string:
			if isPattern(path) {
				if err := checkPattern(v); err != nil {
					faults = append(faults, fault{slices.Clone(path), err.Error()})
				}
			}
		case json.Number:
			if isHuge(v) {
				faults = append(faults, fault{slices.Clone(path), hugeNumber})
			}
		}
	})
	return faults
}
