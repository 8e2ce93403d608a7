package whatif

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// base is a definition that asks for a key.
const base = `"use_keyless": false, "use_standard_auth": true, "domain": "a.example.com", "tags": ["ingress"], "disable_rate_limit": true, "disable_quota": true,
	"proxy": {"listen_path": "/tea{path_prefix:(?:/|$)}", "target_url": "http://tea.cafe:80"}`

// over gives base with other fields; a field may be there twice, the last counts.
func over(t *testing.T, fields string) definition {
	t.Helper()
	if fields == "none" {
		return nil
	}
	text := "{" + base
	if fields != "" {
		text += ", " + fields
	}
	doc := decode([]byte(text + "}"))
	if doc == nil {
		t.Fatalf("no JSON: %s", text)
	}
	return doc
}

// versions puts lists of paths into a definition.
func versions(lists string) string {
	return `"version_data": {"versions": {"Default": {"use_extended_paths": true, "extended_paths": {` + lists + `}}}}`
}

const (
	open   = `"use_keyless": true, "use_standard_auth": false`
	signed = `"use_standard_auth": false, "enable_jwt": true`
	mtls   = `"use_mutual_tls_auth": true, "use_keyless": true, "client_certificates": ["x"]`
)

// Each change, and what the rules find in it; the same change the other way round finds
// nothing, unless back says so.
func TestRules(t *testing.T) {
	found := map[string]bool{}
	check := func(name, old, new, role, want string) {
		p := pair{old: over(t, old), new: over(t, new), role: role}
		var got []string
		for _, r := range rules {
			for _, h := range r.check(p) {
				found[r.id] = true
				got = append(got, r.id)
				if !strings.HasSuffix(h.message, ".") || len(h.paths) == 0 {
					t.Errorf("%s: %s says %q of %v", name, r.id, h.message, h.paths)
				}
				if p.old != nil && !slices.ContainsFunc(h.paths, func(at []string) bool {
					return len(fieldsBelow(fieldsOf(differences(map[string]any(p.old), map[string]any(p.new))), []string{joined(at)})) > 0
				}) {
					t.Errorf("%s: %s names no field that differs: %v", name, r.id, h.paths)
				}
			}
		}
		if text := strings.Join(slices.Compact(got), " "); text != want {
			t.Errorf("%s: got %q, want %q", name, text, want)
		}
	}
	for _, c := range []struct{ name, old, new, want, back string }{
		{"keyless", "", open, "auth-removed", ""},
		{"keyless behind mutual TLS", `"use_mutual_tls_auth": true`, `"use_mutual_tls_auth": true, "use_keyless": true`, "auth-weakened", ""},
		{"mutual TLS alone goes", mtls, open, "auth-removed", ""},
		{"a key is the default kind", `"use_standard_auth": false`, "", "", ""},
		{"signed token to key", signed, "", "auth-weakened", ""},
		{"key to password", "", `"use_standard_auth": false, "use_basic_auth": true`, "auth-weakened", ""},
		{"client certificate to key", mtls, "", "auth-weakened", ""},
		{"one of two kinds", `"enable_jwt": true`, "", "auth-weakened", ""},
		{"the weaker of two kinds", `"enable_jwt": true`, signed, "auth-weakened", ""},
		{"another kind as strong", "", `"use_standard_auth": false, "use_oauth2": true`, "", ""},
		{"plugin for a signed token", signed, `"use_standard_auth": false, "custom_plugin_auth_enabled": true`, "auth-weakened", ""},
		{"OpenID Connect for JWT", signed, `"use_standard_auth": false, "use_openid": true`, "", ""},
		{"alternatives", `"enable_jwt": true`, `"enable_jwt": true, "security_requirements": [["jwt"], ["authToken"]]`, "auth-weakened", ""},
		{"one alternative more", `"security_requirements": [["jwt", "a"]]`, `"security_requirements": [["a", "jwt"], ["b"]]`, "auth-weakened", ""},

		{"ignored endpoint", versions(``), versions(`"ignored": [{"path": "/health", "method": "GET"}]`), "endpoint-opened", ""},
		{"ignored endpoint that is off", versions(``), versions(`"ignored": [{"path": "/health", "disabled": true}]`), "", ""},
		{"ignored endpoint of an open API", open, open + ", " + versions(`"ignored": [{"path": "/health"}]`), "", ""},
		{"ignored by the old list", `"version_data": {"versions": {"v1": {}}}`, `"version_data": {"versions": {"v1": {"paths": {"ignored": ["/health"]}}}}`, "endpoint-opened", ""},
		{"one method more", versions(`"ignored": [{"path": "/x", "method_actions": {"GET": {}}}]`), versions(`"ignored": [{"path": "/x", "method_actions": {"GET": {}, "POST": {}}}]`), "endpoint-opened", ""},
		{"preflight", `"CORS": {"enable": true}`, `"CORS": {"enable": true, "options_passthrough": true}`, "preflight-opened", ""},
		{"preflight without CORS", `"CORS": {"enable": false}`, `"CORS": {"enable": false, "options_passthrough": true}`, "", ""},

		{"signature", `"auth_configs": {"authToken": {"validate_signature": true}}`, `"auth_configs": {"authToken": {}}`, "signature-dropped", ""},
		{"signature by the old field", `"auth": {"validate_signature": true}`, `"auth": {"validate_signature": false}`, "signature-dropped", ""},
		{"key id", signed, signed + `, "jwt_skip_kid": true`, "token-check-weakened", ""},
		{"key id where no token is asked for", "", `"jwt_skip_kid": true`, "", ""},
		{"expiry", signed, signed + `, "jwt_expires_at_validation_skew": 3600`, "token-check-weakened", ""},
		{"time", signed, signed + `, "jwt_disable_expires_at_validation": true`, "token-check-weakened", ""},
		{"family of signatures", signed + `, "jwt_signing_method": "rsa"`, signed + `, "jwt_signing_method": "hmac"`, "token-check-weakened", ""},
		{"default policies", signed, signed + `, "jwt_default_policies": ["p"]`, "token-check-weakened", ""},
		{"clock", `"enable_signature_checking": true, "hmac_allowed_clock_skew": 1000`, `"enable_signature_checking": true, "hmac_allowed_clock_skew": -1`, "token-check-weakened", ""},
		{"any clock", `"enable_signature_checking": true, "hmac_allowed_clock_skew": 1000`, `"enable_signature_checking": true`, "token-check-weakened", ""},
		{"algorithms", `"enable_signature_checking": true, "hmac_allowed_algorithms": ["hmac-sha256"]`, `"enable_signature_checking": true`, "token-check-weakened", ""},
		{"grants", `"use_oauth2": true`, `"use_oauth2": true, "oauth_meta": {"allowed_access_types": ["password"]}`, "token-check-weakened", ""},
		{"key of tokens", signed + `, "jwt_source": "YQ=="`, signed + `, "jwt_source": "Yg=="`, "token-source-changed", "token-source-changed"},
		{"key sets", signed, signed + `, "jwt_jwks_uris": [{"url": "https://x"}]`, "token-source-changed", "token-source-changed"},
		{"key of tokens that nobody asks for", `"jwt_source": "YQ=="`, `"jwt_source": "Yg=="`, "", ""},
		{"issuers", `"use_openid": true`, `"use_openid": true, "openid_options": {"providers": [{"issuer": "https://x"}]}`, "token-source-changed", "token-source-changed"},
		{"callers", mtls, strings.Replace(mtls, `"x"`, `"x", "y"`, 1), "callers-widened", ""},
		{"callers that nobody asks for", `"client_certificates": ["x"]`, `"client_certificates": ["x", "y"]`, "", ""},

		{"addresses", `"enable_ip_whitelisting": true, "allowed_ips": ["10.0.0.0/24"]`, `"enable_ip_whitelisting": true, "allowed_ips": ["10.0.0.0/8"]`, "addresses-widened", ""},
		{"any address", `"enable_ip_whitelisting": true, "allowed_ips": ["10.0.0.1"]`, `"enable_ip_whitelisting": true, "allowed_ips": ["10.0.0.1"], "ip_access_control_disabled": true`, "addresses-widened", ""},
		{"address in a block", `"enable_ip_whitelisting": true, "allowed_ips": ["10.0.0.0/8", "::/8"]`, `"enable_ip_whitelisting": true, "allowed_ips": ["10.0.0.1"]`, "", "addresses-widened"},
		{"blocked addresses", `"enable_ip_blacklisting": true, "blacklisted_ips": ["10.0.0.1"]`, `"enable_ip_blacklisting": true`, "addresses-widened", ""},
		{"origins", `"CORS": {"enable": true, "allowed_origins": ["https://a"]}`, `"CORS": {"enable": true, "allowed_origins": ["https://a", "*"]}`, "origins-widened", ""},
		{"cookies", `"CORS": {"enable": true}`, `"CORS": {"enable": true, "allow_credentials": true}`, "origins-widened", ""},
		{"white list", versions(`"white_list": [{"path": "/a"}]`), versions(``), "endpoints-widened", ""},
		{"white list is longer", versions(`"white_list": [{"path": "/a"}]`), versions(`"white_list": [{"path": "/a"}, {"path": "/b"}]`), "endpoints-widened", ""},
		{"black list", versions(`"black_list": [{"path": "/a"}]`), versions(``), "endpoints-widened", ""},
		{"internal endpoint", versions(`"internal": [{"path": "/a"}]`), versions(``), "endpoints-widened", ""},

		{"wildcard host", "", `"domain": "{?:[^.]+}.example.com"`, "host-widened", ""},
		{"any host", "", `"domain": ""`, "host-widened", ""},
		{"host is off", "", `"domain_disabled": true`, "host-widened", ""},
		{"another host", "", `"domain": "b.example.com"`, "host-widened", "host-widened"},
		{"wildcard to any", `"domain": "{?:[^.]+}.example.com"`, `"domain": ""`, "host-widened", ""},
		{"wildcard of another parent", "", `"domain": "{?:[^.]+}.example.org"`, "host-widened", "host-widened"},
		{"pattern", "", `"domain": "{sub:a|b}.example.com"`, "host-widened", "host-widened"},
		{"path", "", `"proxy": {"listen_path": "/{path_prefix:(?:|/)}", "target_url": "http://tea.cafe:80"}`, "path-widened", ""},
		{"exact path", `"proxy": {"listen_path": "/tea{path_exactly:$(?:/|$)}", "target_url": "http://tea.cafe:80"}`, "", "path-widened", ""},
		{"plain path", "", `"proxy": {"listen_path": "/tea", "target_url": "http://tea.cafe:80"}`, "path-widened", ""},
		{"path below", "", `"proxy": {"listen_path": "/tea/green{path_prefix:(?:/|$)}", "target_url": "http://tea.cafe:80"}`, "", "path-widened"},
		{"path beside", "", `"proxy": {"listen_path": "/teapot{path_prefix:(?:/|$)}", "target_url": "http://tea.cafe:80"}`, "path-widened", "path-widened"},
		{"pattern as path", "", `"proxy": {"listen_path": "/{p_n:/{0}tea(?:\\x2f|$)}", "target_url": "http://tea.cafe:80"}`, "path-widened", "path-widened"},

		{"internal API", `"internal": true`, "", "published", ""},
		{"port", "", `"listen_port": 8081`, "published", "published"},
		{"tags", "", `"tags": ["ingress", "edge"]`, "tags-widened", ""},
		{"tags are on", `"tags_disabled": true`, "", "tags-widened", ""},
		{"certificate", `"certificates": ["x"]`, `"certificates": []`, "tls-dropped", ""},
		{"certificate is renewed", `"certificates": ["x"]`, `"certificates": ["y"]`, "", ""},
		{"listener", `"protocol": "https"`, `"protocol": "http"`, "tls-dropped", ""},
		{"upstream", `"proxy": {"listen_path": "/tea{path_prefix:(?:/|$)}", "target_url": "https://tea.cafe:80"}`, "", "tls-dropped", ""},
		{"upstream of a version", `"version_data": {"versions": {"v": {"override_target": "https://tea.cafe:80"}}}`, `"version_data": {"versions": {"v": {"override_target": "http://tea.cafe:80"}}}`, "tls-dropped", ""},
		{"lowest version", `"proxy": {"listen_path": "/tea{path_prefix:(?:/|$)}", "target_url": "http://tea.cafe:80", "transport": {"ssl_min_version": 772}}`, "", "tls-weakened", ""},
		{"lower than the default", "", `"proxy": {"listen_path": "/tea{path_prefix:(?:/|$)}", "target_url": "http://tea.cafe:80", "transport": {"ssl_min_version": 769}}`, "tls-weakened", ""},
		{"highest version", "", `"proxy": {"listen_path": "/tea{path_prefix:(?:/|$)}", "target_url": "http://tea.cafe:80", "transport": {"ssl_max_version": 771}}`, "tls-weakened", ""},
		{"the default in words", "", `"proxy": {"listen_path": "/tea{path_prefix:(?:/|$)}", "target_url": "http://tea.cafe:80", "transport": {"ssl_min_version": 771, "ssl_max_version": 772}}`, "", ""},
		{"any certificate", "", `"proxy": {"listen_path": "/tea{path_prefix:(?:/|$)}", "target_url": "http://tea.cafe:80", "transport": {"ssl_insecure_skip_verify": true}}`, "upstream-unchecked", ""},
		{"common name", `"proxy": {"listen_path": "/tea{path_prefix:(?:/|$)}", "target_url": "http://tea.cafe:80", "transport": {"ssl_force_common_name_check": true}}`, "", "upstream-unchecked", ""},
		{"pinned keys", `"pinned_public_keys": {"tea.cafe": "x"}`, "", "upstream-unchecked", ""},
		{"pinning is off", `"pinned_public_keys": {"tea.cafe": "x"}`, `"pinned_public_keys": {"tea.cafe": "x"}, "certificate_pinning_disabled": true`, "upstream-unchecked", ""},
		{"target", "", `"proxy": {"listen_path": "/tea{path_prefix:(?:/|$)}", "target_url": "http://coffee.cafe:80"}`, "target-changed", "target-changed"},
		{"port of the target", "", `"proxy": {"listen_path": "/tea{path_prefix:(?:/|$)}", "target_url": "http://tea.cafe:81"}`, "target-changed", "target-changed"},
		{"path of the target", "", `"proxy": {"listen_path": "/tea{path_prefix:(?:/|$)}", "target_url": "http://TEA.cafe/green"}`, "", ""},
		{"one target more", "", `"proxy": {"listen_path": "/tea{path_prefix:(?:/|$)}", "target_url": "http://tea.cafe:80", "enable_load_balancing": true, "target_list": ["http://tea.cafe:80", "elsewhere.example:80"]}`, "target-changed", ""},
		{"rewritten elsewhere", versions(`"url_rewrites": [{"path": "/a", "rewrite_to": "/b"}]`), versions(`"url_rewrites": [{"path": "/a", "rewrite_to": "/b", "triggers": [{"rewrite_to": "http://elsewhere.example/b"}]}]`), "target-changed", ""},
		{"forward proxy", "", `"proxy": {"listen_path": "/tea{path_prefix:(?:/|$)}", "target_url": "http://tea.cafe:80", "transport": {"proxy_url": "http://proxy.example:3128"}}`, "target-changed", ""},

		{"query", `"auth_configs": {"authToken": {}}`, `"auth_configs": {"authToken": {"use_param": true}}`, "credential-exposed", ""},
		{"handed on", `"strip_auth_data": true`, "", "credential-exposed", ""},
		{"schema of bodies", versions(`"validate_json": [{"path": "/a", "method": "POST"}]`), versions(``), "check-dropped", ""},
		{"plugin", `"custom_middleware": {"pre": [{"name": "Check"}]}`, `"custom_middleware": {"pre": []}`, "check-dropped", ""},
		{"plugin is off", `"custom_middleware": {"auth_check": {"name": "Check"}}`, `"custom_middleware": {"auth_check": {"name": "Check", "disabled": true}}`, "check-dropped", ""},
		{"bundle of plugins", `"custom_middleware_bundle": "x"`, "", "check-dropped", ""},
		{"rate", `"disable_rate_limit": false`, "", "limit-removed", ""},
		{"quota", `"disable_quota": false`, "", "limit-removed", ""},
		{"rate of all", `"disable_rate_limit": false, "global_rate_limit": {"rate": 10, "per": 1}`, `"disable_rate_limit": false, "global_rate_limit": {"rate": 100, "per": 5}`, "limit-removed", ""},
		{"rate in other words", `"disable_rate_limit": false, "global_rate_limit": {"rate": 10, "per": 1}`, `"disable_rate_limit": false, "global_rate_limit": {"rate": 600, "per": 60}`, "", ""},
		{"rate of an endpoint", versions(`"rate_limit": [{"path": "/a", "method": "GET"}]`), versions(``), "limit-removed", ""},

		{"name", "", `"name": "other"`, "", ""},
	} {
		check(c.name, c.old, c.new, "ingress", c.want)
		check(c.name+", back", c.new, c.old, "ingress", c.back)
	}
	for _, c := range []struct{ name, new, role, want string }{
		{"new and open", open, "ingress", "open-created"},
		{"new and open, into a workload", open, "inbound", "open-created"},
		{"new and open, from the mesh", open, "mesh", ""},
		{"new", "", "ingress", ""},
		{"new, with mutual TLS", mtls, "inbound", ""},
		{"new, with an open endpoint", versions(`"ignored": [{"path": "/a"}]`), "ingress", "open-created"},
		{"new, with open OPTIONS", `"CORS": {"enable": true, "options_passthrough": true}`, "ingress", "open-created"},
		{"new, with an unchecked upstream", `"proxy": {"transport": {"ssl_insecure_skip_verify": true}}`, "ingress", "upstream-unchecked"},
	} {
		check(c.name, "none", c.new, c.role, c.want)
	}
	again := pair{new: over(t, open), role: "mesh", scope: "mesh", again: true}
	if got := callersWidened(again); len(got) != 1 || !strings.Contains(got[0].message, "tag mesh ") {
		t.Errorf("a way for more sidecars: %v", got)
	}
	for _, r := range rules {
		if !found[r.id] {
			t.Errorf("no change here is found by %s", r.id)
		}
	}
}

// Where the new side's gateways run strict routes, a plain path is as narrow as its
// pattern.
func TestPathOfStrictGateway(t *testing.T) {
	plain := over(t, `"proxy": {"listen_path": "/tea"}`)
	root := over(t, `"proxy": {"listen_path": "/"}`)
	for _, c := range []struct {
		old, new           definition
		oldPlain, newPlain bool
		wider              bool
	}{
		{over(t, ""), plain, false, true, false},
		{over(t, ""), plain, false, false, true},
		{plain, over(t, ""), true, false, false},
		{plain, plain, true, true, false},
		{plain, root, true, true, true},
		{root, plain, true, true, false},
	} {
		if got := len(pathWidened(pair{old: c.old, new: c.new, oldPlain: c.oldPlain, newPlain: c.newPlain})) > 0; got != c.wider {
			t.Errorf("%v -> %v: wider is %t", c.old.at("proxy"), c.new.at("proxy"), got)
		}
	}
}

func TestPodExposure(t *testing.T) {
	pod := func(container, more string) map[string]any {
		text := `{"spec": {"template": {"metadata": {"labels": {"cuegate.dev/sidecar": "true"}}, "spec": {"initContainers": [{"name": "tyk-mesh", "securityContext": {` + container + `}}]` + more + `}}}}`
		doc := decode([]byte(text))
		if doc == nil {
			t.Fatal(text)
		}
		return doc
	}
	none := decode([]byte(`{"spec": {"template": {"spec": {"containers": [{"name": "app"}]}}}}`))
	const tight = `"runAsNonRoot": true, "runAsUser": 1337, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}`
	for _, c := range []struct {
		name     string
		old, new map[string]any
		want     []string
	}{
		{"the same", pod(tight, ""), pod(tight, ""), nil},
		{"sidecar is gone", pod(tight, ""), none, []string{"lose their sidecar"}},
		{"sidecar comes", none, pod(tight, ""), nil},
		{"sidecar comes, and may do anything", none, pod(`"privileged": true, "runAsUser": 0`, ""), []string{"privileged", "runs as root"}},
		{"everything", pod(tight, ""), pod(`"privileged": true, "runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"]}, "seccompProfile": {"type": "Unconfined"}`, ""),
			[]string{"privileged", "NET_ADMIN", "any call to the kernel", "runs as root", "gave up: ALL", "gain privileges", "may run as root", "write to its own files"}},
		{"no profile", pod(tight, ""), pod(strings.Replace(tight, `, "seccompProfile": {"type": "RuntimeDefault"}`, "", 1), ""), []string{"no seccomp profile"}},
		{"said for the pod", pod(tight, ""), pod(strings.Replace(tight, `"runAsNonRoot": true, `, "", 1), `, "securityContext": {"runAsNonRoot": true}`), nil},
		{"node", pod(tight, ""), pod(tight, `, "hostNetwork": true, "hostPID": true, "hostIPC": true, "volumes": [{"name": "etc", "hostPath": {"path": "/etc"}}]`), []string{"network", "processes", "memory", "volume etc"}},
		{"narrower", pod(`"privileged": true`, ""), pod(tight, ""), nil},
	} {
		got := podExposure(c.old, c.new)
		if len(got) != len(c.want) {
			t.Errorf("%s: got %v, want %q", c.name, got, c.want)
			continue
		}
		fields := fieldsOf(differences(c.old, c.new))
		for i, h := range got {
			if !strings.Contains(h.message, c.want[i]) {
				t.Errorf("%s: got %q, want %q", c.name, h.message, c.want[i])
			}
			if len(fieldsBelow(fields, h.below)) == 0 {
				t.Errorf("%s: %q names no field that differs", c.name, h.message)
			}
		}
	}
}

// docs/plan.md tells of every rule, as the rules themselves do.
func TestRulesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/plan.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| rule | what it finds |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var want []string
	ids, what := RulesOfExposure()
	for i := range ids {
		want = append(want, fmt.Sprintf("| `%s` | %s |", ids[i], what[i]))
	}
	if !found || table != strings.Join(want, "\n") {
		t.Errorf("the table is to be\n%s", strings.Join(want, "\n"))
	}
}
