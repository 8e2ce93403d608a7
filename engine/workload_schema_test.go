package engine_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	podSpecText = "spec: {containers: [{name: app, image: a, ports: [{containerPort: 3000}]}]}"
	onObject    = "metadata"
	onPod       = "spec.template.metadata"
)

// deployment is a Deployment with metadata of its own, and of its pods, in YAML.
func deployment(meta, podMeta, podSpec string) string {
	if podMeta != "" {
		podMeta = "metadata: " + podMeta + ", "
	}
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: " + meta + "\nspec: {selector: {matchLabels: {app: x}}, template: {" + podMeta + podSpec + "}}\n"
}

// annotated is a Deployment with an annotation at one of two places.
func annotated(at, key, value string) string {
	annotations := fmt.Sprintf("annotations: {%q: %s}", key, strconv.Quote(value))
	if at == onObject {
		return deployment("{name: echo, "+annotations+"}", "{labels: {app: x}}", podSpecText)
	}
	return deployment("{name: echo}", "{labels: {app: x}, "+annotations+"}", podSpecText)
}

func TestWorkloadSchema(t *testing.T) {
	for _, tt := range []struct{ name, manifest, want string }{
		{"plain", deployment("{name: echo}", "{labels: {app: x}}", podSpecText), ""},
		{"with a namespace", deployment("{name: echo, namespace: shop}", "{labels: {app: x}}", podSpecText), ""},
		{"of kubectl create --dry-run", deployment("{name: echo, creationTimestamp: null}", "{creationTimestamp: null, labels: {app: x}}", podSpecText) + "status: {}\n", ""},
		{"annotations commented out", deployment("{name: echo, annotations: null}", "{annotations: null}", podSpecText), ""},
		{"no metadata of pods", deployment("{name: echo}", "", podSpecText), ""},
		{"more of the pods", deployment("{name: echo}", "{labels: {app: x}, future: 1}", "spec: {future: {a: b}, hostNetwork: true, containers: [{name: app, image: a, future: x, ports: [{containerPort: 1, name: x, protocol: UDP}]}], volumes: [{name: v}]}"), ""},
		{"name with a capital", deployment("{name: Echo}", "", podSpecText), "metadata.name"},
		{"no name", deployment("{labels: {a: b}}", "", podSpecText), "metadata.name"},
		{"metadata misspelt", deployment("{name: echo, annotation: {a: b}}", "", podSpecText), "metadata.annotation"},
		{"annotation that is no text", deployment("{name: echo, annotations: {injector.tyk.io/inject: true}}", "", podSpecText), annotation("injector.tyk.io/inject")},
		{"annotation of pods that is no text", deployment("{name: echo}", "{annotations: {injector.tyk.io/inject: true}}", podSpecText), "spec.template." + annotation("injector.tyk.io/inject")},
		{"port that is a text", deployment("{name: echo}", "", "spec: {containers: [{name: app, ports: [{containerPort: '80'}]}]}"), "spec.template.spec.containers.0.ports.0.containerPort"},
		{"port out of range", deployment("{name: echo}", "", "spec: {containers: [{name: app, ports: [{containerPort: 65536}]}]}"), "spec.template.spec.containers.0.ports.0.containerPort"},
		{"no port", deployment("{name: echo}", "", "spec: {containers: [{name: app, ports: [{name: x}]}]}"), "spec.template.spec.containers.0.ports.0.containerPort"},
		{"container without a name", deployment("{name: echo}", "", "spec: {containers: [{image: a}]}"), "spec.template.spec.containers.0.name"},
		{"no containers", deployment("{name: echo}", "", "spec: {}"), "spec.template.spec.containers"},
		{"no template", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: echo}\nspec: {selector: {matchLabels: {app: x}}}\n", "spec.template"},
		{"no selector", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: echo}\nspec: {template: {" + podSpecText + "}}\n", "spec.selector"},
		{"old version", strings.Replace(deployment("{name: echo}", "", podSpecText), "apps/v1", "extensions/v1beta1", 1), "apiVersion"},
		{"other kind", strings.Replace(deployment("{name: echo}", "", podSpecText), "Deployment", "StatefulSet", 1), "kind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			paths, text := refusals(t, "#Deployment", tt.manifest)
			if got := strings.Join(paths, " "); got != tt.want {
				t.Errorf("refused %q, want %q, for\n%s\n%s", got, tt.want, tt.manifest, text)
			}
		})
	}
}

// Annotations are checked alike on the object and on its pods.
func TestWorkloadAnnotationsSchema(t *testing.T) {
	const good, bad = true, false
	set := func(key, path string) string { return `_sets."` + key + `".` + path }
	for _, tt := range []struct {
		key, value string
		ok         bool
		// at is the path below metadata that is refused, where it is not that of the
		// annotation; says is part of what is said.
		at, says string
	}{
		{"injector.tyk.io/inject", "true", good, "", ""},
		{"injector.tyk.io/inject", "Yes", good, "", ""},
		{"injector.tyk.io/inject", "", good, "", ""},
		{"injector.tyk.io/inject", "maybe", bad, "", ""},
		{"injector.tyk.io/route", "sleep", good, "", ""},
		{"injector.tyk.io/route", "/sleep/", good, "", ""},
		{"injector.tyk.io/route", "", good, "", ""},
		{"injector.tyk.io/route", "/", bad, "", ""},
		{"injector.tyk.io/route", "//", bad, "", ""},
		{"injector.tyk.io/interception", "iptables", good, "", ""},
		{"injector.tyk.io/interception", "ebpf", bad, "", ""},
		{"injector.tyk.io/port", "8080", good, "", ""},
		{"injector.tyk.io/port", "web", good, "", ""},
		{"injector.tyk.io/port", "Web", bad, "", ""},
		{"injector.tyk.io/port", "80,81", bad, "", ""},
		{"injector.tyk.io/group", "front", good, "", ""},
		{"injector.tyk.io/group", "ops/front", bad, "", ""},
		{"injector.tyk.io/group", "", bad, "", ""},
		{"injector.tyk.io/caller-access-groups", "front", good, "", ""},
		{"injector.tyk.io/caller-access-groups", " front , ops/admins ", good, "", ""},
		{"injector.tyk.io/caller-access-groups", "front,", bad, "", ""},
		{"injector.tyk.io/caller-access-groups", "a/b/c", bad, "", ""},
		{"injector.tyk.io/caller-access-groups", "*", bad, "", ""},
		{"injector.tyk.io/status", `{"names":{}}`, good, "", ""},
		{"injector.tyk.io/rote", "/sleep", bad, "", "there is no such annotation; there are injector.tyk.io/inject"},
		{"injector.tyk.io/Inject", "true", bad, "", "no such annotation"},
		{"injector.tyk.io/ports", "http", bad, "", "no such annotation"},
		{"injector.tyk.oi/inject", "true", good, "", ""}, // of another domain
		{"injecter.tyk.io/inject", "true", bad, "", "no such annotation"},
		{"example.com/note", "x", good, "", ""},

		{"template.service.tyk.io", "tokenAuth", good, "", ""},
		{"cuegate.dev/template", "tokenAuth", good, "", ""},
		{"cuegate.dev/inbound-template", "tokenAuth", good, "", ""},
		{"cuegate.dev/mesh-template", "tokenAuth", good, "", ""},
		{"cuegate.dev/mesh-template", "", bad, "", ""},
		{"cuegate.dev/outbound-template", "x", bad, "", "no such annotation"},

		{"bool.service.tyk.io/use-keyless", "false", good, "", ""},
		{"bool.service.tyk.io/inbound.use-keyless", "false", good, "", ""},
		{"bool.service.tyk.io/mesh.use-keyless", "False", good, "", ""},
		{"bool.service.tyk.io/inbound.use-keyless", "maybe", bad, "", ""},
		{"bool.service.tyk.io/inbound.use-keyles", "false", bad, set("bool.service.tyk.io/inbound.use-keyles", "use_keyles"), ""},
		{"bool.service.tyk.io/outbound.use-keyless", "false", bad, set("bool.service.tyk.io/outbound.use-keyless", "outbound"), ""},
		{"bool.service.tyk.io/mesh.mesh.use-keyless", "false", bad, set("bool.service.tyk.io/mesh.mesh.use-keyless", "mesh"), ""},
		{"string.service.tyk.io/mesh.use-keyless", "false", bad, set("string.service.tyk.io/mesh.use-keyless", "use_keyless"), ""},
		{"num.service.tyk.io/inbound.global-rate-limit.rate", "10", good, "", ""},
		{"object.service.tyk.io/inbound.global-rate-limit", `{"rate": 10}`, good, "", ""},
		{"object.service.tyk.io/inbound.global-rate-limit", `{"rte": 10}`, bad, set("object.service.tyk.io/inbound.global-rate-limit", "global_rate_limit.rte"), ""},
		{"array.service.tyk.io/mesh.tag-headers", `["a"]`, good, "", ""},
		{"array.service.tyk.io/mesh.tag-headers", `["a", 3]`, bad, set("array.service.tyk.io/mesh.tag-headers", "tag_headers.1"), ""},
		{"string.service.tyk.io/inbound.api-id", "x", bad, set("string.service.tyk.io/inbound.api-id", "api_id"), "never overridden"},
		{"string.service.tyk.io/inbound", "x", bad, set("string.service.tyk.io/inbound", "inbound"), ""},

		{"cuegate.dev/override", "use_keyless: false", good, "", ""},
		{"cuegate.dev/override", "inbound.use_keyless: false", good, "", ""},
		{"cuegate.dev/override", "inbound: {use_keyless: false, global_rate_limit.rate: 3}\nmesh: {}\n", good, "", ""},
		{"cuegate.dev/override", "inbound: {use_keyles: false}", bad, set("cuegate.dev/override", `"inbound.use_keyles".use_keyles`), ""},
		{"cuegate.dev/override", "mesh.global_rate_limit.rte: 3", bad, set("cuegate.dev/override", `"mesh.global_rate_limit.rte".global_rate_limit.rte`), ""},
		{"cuegate.dev/override", "mesh: {org_id: x}", bad, set("cuegate.dev/override", `"mesh.org_id".org_id`), "never overridden"},
		{"cuegate.dev/override", "mesh: 3", bad, set("cuegate.dev/override", "mesh.mesh"), ""},
		{"cuegate.dev/override", "- a", bad, "", ""},
	} {
		for _, at := range []string{onObject, onPod} {
			t.Run(at+" "+tt.key+" "+tt.value, func(t *testing.T) {
				m := annotated(at, tt.key, tt.value)
				paths, text := refusals(t, "#Deployment", m)
				want := ""
				switch {
				case tt.ok:
				case tt.at != "":
					want = at + "." + tt.at
				default:
					want = at + `.annotations."` + tt.key + `"`
				}
				if got := strings.Join(paths, " "); got != want || !strings.Contains(text, tt.says) {
					t.Errorf("refused %q, want %q with %q, for\n%s\n%s", got, want, tt.says, m, text)
				}
			})
		}
	}
}

// The schema lets pass what the engine takes, of what an API server takes too.
func TestWorkloadSchemaOfCorpus(t *testing.T) {
	odd := map[string]bool{
		// Keys and fields that an API server would not take, or drop.
		"escaped-keys": true, "future-fields": true, "numbers": true,
	}
	for name, o := range managedCorpus(t) {
		if odd[name] {
			continue
		}
		text, err := yaml.JSONToYAML(o.JSON)
		if err != nil {
			t.Fatal(err)
		}
		if paths, says := refusals(t, "#"+o.Kind, string(text)); len(paths) > 0 {
			t.Errorf("%s: refused %q: %s", name, paths, says)
		}
	}
}

func TestOtherWorkloadSchemas(t *testing.T) {
	text := deployment("{name: echo}", `{annotations: {injector.tyk.io/rote: "x"}}`, podSpecText)
	for _, kind := range []string{"StatefulSet", "DaemonSet"} {
		m := strings.Replace(text, "Deployment", kind, 1)
		if paths, _ := refusals(t, "#"+kind, m); strings.Join(paths, " ") != `spec.template.metadata.annotations."injector.tyk.io/rote"` {
			t.Errorf("%s: refused %q", kind, paths)
		}
		if paths, _ := refusals(t, "#"+kind, strings.Replace(m, "rote", "route", 1)); len(paths) > 0 {
			t.Errorf("%s: refused %q", kind, paths)
		}
	}
}
