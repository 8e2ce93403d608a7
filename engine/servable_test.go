package engine

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/mux"

	"github.com/cuegate/cuegate/engine/internal/listenpath"
)

// servable is a definition that the gateway serves.
const servable = `{"domain": "shop.example.com", "use_keyless": true,
	"proxy": {"listen_path": "/a{path_prefix:(?:/|$)}", "target_url": "http://shop.default:80"},
	"version_data": {"not_versioned": true, "versions": {"Default": {"name": "Default"}}}}`

// faultsWith gives the faults of that definition with a patch (RFC 7386) applied.
func faultsWith(t *testing.T, host, patch string) []Reason {
	t.Helper()
	doc, err := decode([]byte(servable))
	if err != nil {
		t.Fatal(err)
	}
	change, err := decode([]byte(patch))
	if err != nil {
		t.Fatalf("%s: %v", patch, err)
	}
	merge(doc, change)
	return checkServable(&draft{}, &rendered{doc: doc, route: route{facts: RouteFacts{Field: "spec.rules[0]", Host: host}}})
}

func merge(doc, change map[string]any) {
	for k, v := range change {
		below, ok := v.(map[string]any)
		old, is := doc[k].(map[string]any)
		switch {
		case v == nil:
			delete(doc, k)
		case ok && is:
			merge(old, below)
		default:
			doc[k] = v
		}
	}
}

func TestServable(t *testing.T) {
	const host = "shop.example.com"
	for _, test := range []struct {
		name, patch string
		// want begins the sentence of the only fault; "" means that there is none.
		want string
	}{
		{"as it is", `{}`, ""},

		{"no listen path", `{"proxy": {"listen_path": ""}}`, "proxy.listen_path: the gateway does not serve"},
		{"a group that captures", `{"proxy": {"listen_path": "/a{x:(a)}"}}`, "proxy.listen_path: a regular expression has a group that captures"},
		{"a named group", `{"proxy": {"listen_path": "/a{x:(?P<y>a)}"}}`, "proxy.listen_path: a regular expression has a group that captures"},
		{"a group in the domain", `{"domain": "{x:(a|b)}.example.com", "proxy": {"listen_path": "/"}}`, "domain: a regular expression has a group that captures"},
		{"groups that do not capture", `{"proxy": {"listen_path": "/a{x:(?:a|b)}/{y:[(]}"}}`, ""},
		{"a variable in both", `{"domain": "{x}.example.com", "proxy": {"listen_path": "/{x}"}}`, "proxy.listen_path: the variable x stands in the domain too"},

		{"wildcard domain, length 20", `{"domain": "{x}.example.com", "proxy": {"listen_path": "/` + strings.Repeat("a", 19) + `"}}`, ""},
		{"wildcard domain, length 21", `{"domain": "{x}.example.com", "proxy": {"listen_path": "/` + strings.Repeat("a", 20) + `"}}`, "proxy.listen_path: under a wildcard domain its length, as the gateway counts it, may be 20 at most, and it is 21"},
		{"exact domain, length 21", `{"proxy": {"listen_path": "/` + strings.Repeat("a", 20) + `"}}`, ""},

		{"no domain", `{"domain": null}`, "domain: the route has a host, and without a domain"},
		{"empty domain", `{"domain": ""}`, "domain: the route has a host, and without a domain"},
		{"domain disabled", `{"domain_disabled": true}`, "domain_disabled: the route has a host"},
		{"domain not disabled", `{"domain_disabled": false}`, ""},

		{"no target", `{"proxy": {"target_url": ""}}`, "proxy.target_url: there is nowhere"},
		{"target of discovery", `{"proxy": {"target_url": "", "service_discovery": {"use_discovery_service": true}}}`, ""},
		{"port that is no number", `{"proxy": {"target_url": "http://x:80a"}}`, "proxy.target_url: it is no URL"},
		{"port that the gateway fills in", `{"proxy": {"target_url": "http://x:$secret_env.PORT"}}`, ""},
		{"load over nothing", `{"proxy": {"enable_load_balancing": true, "target_list": []}}`, "proxy.enable_load_balancing: proxy.target_list is empty"},
		{"load over something", `{"proxy": {"enable_load_balancing": true, "target_list": ["http://x"]}}`, ""},

		{"no version data", `{"version_data": null}`, "version_data.versions: there is no version"},
		{"no versions", `{"version_data": {"versions": {"Default": null}}}`, "version_data.versions: there is no version"},
		{"one version of any name", `{"version_data": {"versions": {"Default": null, "v1": {}}}}`, ""},
		{"two versions with a Default", `{"version_data": {"versions": {"v1": {}}}}`, ""},
		{"two versions without", `{"version_data": {"versions": {"Default": null, "v1": {}, "v2": {}}}}`, "version_data.versions: an API that is not versioned"},
		{"versioned without versions", `{"version_data": {"not_versioned": false, "versions": null}}`, "version_data.versions: there is no version"},
		{"versioned without a key", `{"version_data": {"not_versioned": false}}`, "version_data.not_versioned: it is not true, no request can name"},
		{"versioned with a key", `{"version_data": {"not_versioned": false}, "definition": {"location": "header", "key": "v"}}`, ""},
		{"versioned with a default", `{"version_data": {"not_versioned": null, "default_version": "Default"}}`, ""},

		{"addresses", `{"allowed_ips": ["10.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"], "blacklisted_ips": ["192.0.2.1"]}`, ""},
		{"a name", `{"allowed_ips": ["10.0.0.1", "localhost"]}`, "allowed_ips.1: it is neither"},
		{"nothing", `{"blacklisted_ips": [""]}`, "blacklisted_ips.0: it is neither"},
		{"a wrong block", `{"blacklisted_ips": ["10.0.0.0/33"]}`, "blacklisted_ips.0: it is neither"},
		{"a zone", `{"allowed_ips": ["fe80::1%eth0"]}`, "allowed_ips.0: it is neither"},

		{"auth nowhere", `{"auth": {"disable_header": true}}`, "auth: header, query and cookie are all off"},
		{"auth by certificate", `{"auth": {"disable_header": true, "use_certificate": true}}`, ""},
		{"auth_configs nowhere", `{"auth_configs": {"jwt": {"disable_header": true, "use_param": false}}}`, "auth_configs.jwt: header, query and cookie are all off"},
		{"auth_configs in the query", `{"auth_configs": {"jwt": {"disable_header": true, "use_param": true}}}`, ""},
		{"auth_configs in a cookie", `{"auth_configs": {"jwt": {"disable_header": true, "use_cookie": true}}}`, ""},

		{"two kinds for the upstream", `{"upstream_auth": {"enabled": true, "basic_auth": {"enabled": true}, "oauth": {"enabled": true, "allowed_authorize_types": ["password"]}}}`, "upstream_auth: basic_auth and oauth"},
		{"two kinds, all off", `{"upstream_auth": {"enabled": false, "basic_auth": {"enabled": true}, "oauth": {"enabled": true}}}`, ""},
		{"one kind", `{"upstream_auth": {"enabled": true, "basic_auth": {"enabled": true}, "oauth": {"enabled": false}}}`, ""},
		{"no grant", `{"upstream_auth": {"enabled": true, "oauth": {"enabled": true}}}`, "upstream_auth.oauth.allowed_authorize_types: the gateway takes one grant"},
		{"two grants", `{"upstream_auth": {"enabled": true, "oauth": {"enabled": true, "allowed_authorize_types": ["password", "clientCredentials"]}}}`, "upstream_auth.oauth.allowed_authorize_types: the gateway takes one grant"},

		{"two sources of one name", `{"graphql": {"engine": {"data_sources": [{"name": "a"}, {"name": "b"}, {"name": " A"}]}}}`, "graphql.engine.data_sources.2.name: two data sources"},
		{"two sources", `{"graphql": {"engine": {"data_sources": [{"name": "a"}, {"name": "b"}]}}}`, ""},

		{"a path that does not compile", `{"version_data": {"versions": {"Default": {"extended_paths": {"ignored": [{"path": "["}]}}}}}`, `version_data.versions.Default.extended_paths.ignored.0.path: the regular expression`},
		{"a path to store", `{"version_data": {"versions": {"Default": {"extended_paths": {"cache": ["("]}}}}}`, `version_data.versions.Default.extended_paths.cache.0: the regular expression`},
		{"a plain path", `{"version_data": {"versions": {"Default": {"paths": {"white_list": ["a(b"]}}}}}`, `version_data.versions.Default.paths.white_list.0: the regular expression`},
		{"a path of a variable", `{"version_data": {"versions": {"Default": {"paths": {"white_list": ["/{all}/x"]}}}}}`, ""},
		{"paths elsewhere", `{"config_data": {"paths": ["("], "extended_paths": {"path": "("}}}`, ""},

		{"a number beyond all", `{"config_data": {"x": 1e309}}`, "config_data.x: a number"},
		{"a large number", `{"config_data": {"x": 1e308}}`, ""},
	} {
		found := faultsWith(t, host, test.patch)
		switch {
		case test.want == "" && len(found) > 0:
			t.Errorf("%s: %v", test.name, found)
		case test.want != "" && (len(found) != 1 || !strings.HasPrefix(found[0].Msg, test.want) || found[0].ID != "definition-unservable"):
			t.Errorf("%s: %v, want %s", test.name, found, test.want)
		}
	}
	if found := faultsWith(t, "", `{"domain": "", "domain_disabled": true}`); len(found) > 0 {
		t.Errorf("a route without a host: %v", found)
	}
}

// TestServableNamesTheAnnotation: who wrote the value mends it.
func TestServableNamesTheAnnotation(t *testing.T) {
	doc, err := decode([]byte(servable))
	if err != nil {
		t.Fatal(err)
	}
	doc["allowed_ips"] = []any{"x"}
	d := &draft{overrides: []override{{key: "array.service.tyk.io/allowed-ips", path: []string{"allowed_ips"}}}}
	found := checkServable(d, &rendered{doc: doc, route: route{facts: RouteFacts{Field: "spec.rules[0]"}}})
	if len(found) != 1 || found[0].Field != "metadata.annotations[array.service.tyk.io/allowed-ips]" {
		t.Errorf("found %+v", found)
	}
}

// TestOwnListenPathsAreServable: what listenpath writes passes.
func TestOwnListenPathsAreServable(t *testing.T) {
	for _, host := range []string{"", "a.example.com", "*.example.com"} {
		for _, path := range []string{"/", "/a", "/a/b c/{d}", "/%41/é(x)", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14"} {
			for _, kind := range []listenpath.PathType{listenpath.Exact, listenpath.Prefix} {
				r, err := listenpath.Parse(host, path, kind)
				if err != nil {
					t.Fatal(err)
				}
				listen, err := r.Encode(listenpath.Templated)
				if err != nil {
					t.Fatal(err)
				}
				domain, _, err := listenpath.Domain(host)
				if err != nil {
					t.Fatal(err)
				}
				doc := map[string]any{"domain": domain, "proxy": map[string]any{"listen_path": listen}}
				if faults := listenFaults(host, doc); len(faults) > 0 {
					t.Errorf("%s %s %s: %v", kind, host, path, faults)
				}
			}
		}
	}
}

// muxTakes tells whether the gateway's router takes a domain and a listen path.
func muxTakes(domain, listen string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	router := mux.NewRouter()
	if domain != "" {
		host := router.Host(domain)
		if host.GetError() != nil {
			return host.GetError()
		}
		router = host.Subrouter()
	}
	return router.PathPrefix(listen).HandlerFunc(func(http.ResponseWriter, *http.Request) {}).GetError()
}

// TestMuxTemplateAgreesWithMux: what the router refuses, or panics on, is refused.
func TestMuxTemplateAgreesWithMux(t *testing.T) {
	for _, listen := range []string{
		"/", "/a", "/{x}", "/{x:a}", "/{x:(a)}", "/{x:(?:a)}", "/{x:(?P<y>a)}", "/{x:(?P<v0>a)}", "/{x:(?i)a}", `/{x:\(a\)}`, "/{x:[(]}",
		"/{x:a|b}/{y}", "/{x}/{y:(b)}", "/{x:a)(?:b}", "/{x:a)(b}", "/{x", "/x}", "/{}", "/{:a}", "/{x:}", "/{x:[}", "/{x:a{2}}", "/{x:a{2000}}",
		"/{x:(?:(?:a{30}){30}){30}}", "/{x:a{1000}}{y:a{1000}}", "/(a)", "/(", "/[", "/{x:a\\}", "/{?:[^.]+}",
	} {
		for _, domain := range []string{"", "a.example.com", "{x}.example.com", "{?:[^.]+}.example.com", "{x:(a)}.example.com"} {
			doc := map[string]any{"domain": domain, "proxy": map[string]any{"listen_path": listen}}
			ours, theirs := listenFaults("", doc), muxTakes(domain, listen)
			if (len(ours) > 0) != (theirs != nil) {
				t.Errorf("%s under %q: %v, and mux says %v", listen, domain, ours, theirs)
			}
		}
	}
}

func TestHugeNumbers(t *testing.T) {
	for text, want := range map[string]bool{
		"0": false, "-1.5": false, "1e3": false, "1E+308": false, "1e-400": false, "18446744073709551615": false,
		strings.Repeat("1", 64): false, strings.Repeat("1", 65): true, "0." + strings.Repeat("0", 63): true,
		"1e309": true, "1e401": true, "1e-401": true, "0e401": true, "1e1000000": true, "1e100000": true, "-1E-1000000": true, "1e99999999999999999999": true,
	} {
		if isHuge(json.Number(text)) != want {
			t.Errorf("%s: %v", text, !want)
		}
		if r := checkNumbers(override{path: []string{"config_data"}, value: map[string]any{"a": []any{json.Number(text)}}}); (r != nil) != want {
			t.Errorf("an override with %s: %v", text, r)
		}
	}
}
