package engine_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/load"
	cuejson "cuelang.org/go/encoding/json"
	cueyaml "cuelang.org/go/encoding/yaml"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

var schemaPackage = sync.OnceValue(func() cue.Value {
	inst := load.Instances([]string{"./schema"}, &load.Config{Dir: "../cue"})[0]
	if inst.Err != nil {
		panic(inst.Err)
	}
	v := cuecontext.New().BuildInstance(inst)
	if err := v.Err(); err != nil {
		panic(err)
	}
	return v
})

// refusals holds a manifest against a definition as `cue vet -c` does. It gives the
// paths of the fields that are refused, and all that is said of them.
func refusals(t *testing.T, definition, manifest string) (paths []string, text string) {
	t.Helper()
	file, err := cueyaml.Extract("manifest.yaml", manifest)
	if err != nil {
		t.Fatal(err)
	}

	return refusalsOf(cuecontext.New().BuildFile(file), definition)
}

func refusalsOf(v cue.Value, definition string) (paths []string, text string) {
	def := schemaPackage().LookupPath(cue.ParsePath(definition))
	err := def.Unify(v).Validate(cue.Concrete(true))
	seen := map[string]bool{}
	for _, e := range errors.Errors(err) {
		seen[strings.TrimPrefix(strings.Join(e.Path(), "."), definition+".")] = true
	}
	return slices.Sorted(maps.Keys(seen)), errors.Details(err, nil)
}

// Beginnings and ends of manifests.
const (
	ingressHead = "apiVersion: networking.k8s.io/v1\nkind: Ingress\n"
	plainMeta   = "metadata: {name: cafe}\n"
	plainSpec   = "spec: {defaultBackend: {service: {name: tea-svc, port: {number: 80}}}}\n"
)

func withMeta(text string) string { return ingressHead + "metadata: " + text + "\n" + plainSpec }

func withSpec(text string) string { return ingressHead + plainMeta + "spec: " + text + "\n" }

func withRule(text string) string { return withSpec("{rules: [" + text + "]}") }

func withPath(text string) string { return withRule("{http: {paths: [" + text + "]}}") }

func withBackend(text string) string {
	return withPath("{path: /, pathType: Prefix, backend: " + text + "}")
}

func withAnnotation(key, value string) string {
	return withMeta(fmt.Sprintf("{name: cafe, annotations: {%q: %s}}", key, strconv.Quote(value)))
}

func annotation(key string) string { return `metadata.annotations."` + key + `"` }

func sets(key, path string) string { return `metadata._sets."` + key + `".` + path }

func TestIngressSchema(t *testing.T) {
	const service = "{service: {name: tea-svc, port: {number: 80}}}"
	const at = "spec.rules.0.http.paths.0"
	for _, tt := range []struct {
		name     string
		manifest string
		// want are the fields that are refused, separated by spaces; none when
		// the manifest is accepted.
		want string
		// says is part of what is said of it, where that is our own text.
		says string
	}{
		{"default backend only", withMeta("{name: cafe}"), "", ""},
		{"of kubectl create --dry-run", withMeta("{name: cafe, creationTimestamp: null}") + "status: {loadBalancer: {}}\n", "", ""},
		{"time without quotes", withMeta("{name: cafe, creationTimestamp: 2021-01-01T00:00:00Z}"), "", ""},
		{"name made by the server", withMeta("{generateName: cafe-}"), "", ""},
		{"no name", withMeta("{labels: {app: cafe}}"), "metadata.name", ""},
		{"name with an underscore", withMeta("{name: my_cafe}"), "metadata.name", ""},
		{"no metadata", ingressHead + plainSpec, "metadata", ""},
		{"old version", strings.Replace(withMeta("{name: cafe}"), "networking.k8s.io/v1", "extensions/v1beta1", 1), "apiVersion", ""},
		{"other kind", strings.Replace(withMeta("{name: cafe}"), "kind: Ingress", "kind: Ingres", 1), "kind", ""},
		{"labels and annotations commented out", withMeta("{name: cafe, labels: null, annotations: null}"), "", ""},
		{"annotation singular", withMeta("{name: cafe, annotation: {a: b}}"), "metadata.annotation", ""},
		{"label that is a number", withMeta("{name: cafe, labels: {tier: 3}}"), "metadata.labels.tier", ""},
		{"label with a space", withMeta("{name: cafe, labels: {tier: a b}}"), "metadata.labels.tier", ""},
		{"annotation that is no string", withMeta("{name: cafe, annotations: {a: true}}"), "metadata.annotations.a", ""},

		{"no spec", ingressHead + plainMeta, "spec", ""},
		{"empty spec", withSpec("{}"), "spec.rules", ""},
		{"empty rules", withSpec("{rules: []}"), "spec.rules", ""},
		{"rules that are an object", withSpec("{rules: {host: a.example}}"), "spec.rules", ""},
		{"ingressClass", withSpec("{ingressClass: tyk, rules: [{host: a.example}]}"), "spec.ingressClass", ""},
		{"class with capitals", withSpec("{ingressClassName: Tyk, rules: [{host: a.example}]}"), "spec.ingressClassName", ""},
		{"tls", withSpec("{tls: [{hosts: [a.example, '*.b.example'], secretName: a-tls}, {secretName: b-tls}, {hosts: [c.example]}], rules: [{host: a.example}]}"), "", ""},
		{"tls host that is no list", withSpec("{tls: [{hosts: a.example}], rules: [{host: a.example}]}"), "spec.tls.0.hosts", ""},
		{"tls secret misspelt", withSpec("{tls: [{secret: a}], rules: [{host: a.example}]}"), "spec.tls.0.secret", ""},

		{"http null", withRule("{host: a.example, http: null}"), "", ""},
		{"http absent", withRule("{host: a.example}"), "", ""},
		{"http without paths", withRule("{http: {}}"), "spec.rules.0.http.paths", ""},
		{"http with no path", withRule("{http: {paths: []}}"), "spec.rules.0.http.paths", ""},
		{"wildcard host", withRule("{host: '*.a.example'}"), "", ""},
		{"empty host", withRule("{host: ''}"), "", ""},
		{"host in capitals", withRule("{host: A.example}"), "spec.rules.0.host", ""},
		{"host with a port", withRule("{host: 'a.example:80'}"), "spec.rules.0.host", ""},
		{"host that is an address", withRule("{host: 10.0.0.1}"), "spec.rules.0.host", ""},
		{"host that is an asterisk", withRule("{host: '*'}"), "spec.rules.0.host", ""},
		{"host with an asterisk inside", withRule("{host: 'a.*.example'}"), "spec.rules.0.host", ""},
		{"host too long", withRule("{host: " + strings.Repeat("a.", 126) + "aa}"), "spec.rules.0.host", ""},

		{"Exact", withPath("{path: /tea, pathType: Exact, backend: " + service + "}"), "", ""},
		{"Prefix", withPath("{path: /tea/, pathType: Prefix, backend: " + service + "}"), "", ""},
		{"ImplementationSpecific", withPath("{path: /tea//, pathType: ImplementationSpecific, backend: " + service + "}"), "", ""},
		{"ImplementationSpecific without a path", withPath("{pathType: ImplementationSpecific, backend: " + service + "}"), "", ""},
		{"ImplementationSpecific with an empty path", withPath("{path: '', pathType: ImplementationSpecific, backend: " + service + "}"), "", ""},
		{"ImplementationSpecific without a slash", withPath("{path: tea, pathType: ImplementationSpecific, backend: " + service + "}"), at + ".path", ""},
		{"no pathType", withPath("{path: /, backend: " + service + "}"), at + ".pathType", ""},
		{"pathtype", withPath("{path: /, pathtype: Prefix, backend: " + service + "}"), at + ".pathtype", ""},
		{"prefix", withPath("{path: /, pathType: prefix, backend: " + service + "}"), at + ".pathType", ""},
		{"Prefix without a path", withPath("{pathType: Prefix, backend: " + service + "}"), at + ".path", ""},
		{"Prefix with an empty path", withPath("{path: '', pathType: Prefix, backend: " + service + "}"), at + ".path", ""},
		{"path without a slash", withPath("{path: tea, pathType: Prefix, backend: " + service + "}"), at + ".path", ""},
		{"path with an empty element", withPath("{path: /tea//green, pathType: Exact, backend: " + service + "}"), at + ".path", ""},
		{"path with a dot element", withPath("{path: /tea/.., pathType: Exact, backend: " + service + "}"), at + ".path", ""},
		{"path with an encoded slash", withPath("{path: /tea%2Fgreen, pathType: Exact, backend: " + service + "}"), at + ".path", ""},

		{"port by name", withBackend("{service: {name: tea-svc, port: {name: http}}}"), "", ""},
		{"resource", withBackend("{resource: {apiGroup: example.com, kind: Bucket, name: tea}}"), "", ""},
		{"no backend", withPath("{path: /, pathType: Prefix}"), at + ".backend", ""},
		{"empty backend", withBackend("{}"), at + ".backend.service", ""},
		{"service and resource", withBackend("{service: {name: tea-svc, port: {number: 80}}, resource: {kind: Bucket, name: tea}}"), at + ".backend.resource", "a service or a resource, not both"},
		{"backend of the old version", withBackend("{serviceName: tea-svc, servicePort: 80}"), at + ".backend.serviceName " + at + ".backend.servicePort", ""},
		{"port name and number", withBackend("{service: {name: tea-svc, port: {name: http, number: 80}}}"), at + ".backend.service.port.number", "a name or a number, not both"},
		{"no port", withBackend("{service: {name: tea-svc}}"), at + ".backend.service.port", ""},
		{"empty port", withBackend("{service: {name: tea-svc, port: {}}}"), at + ".backend.service.port.number", ""},
		{"port without a key", withBackend("{service: {name: tea-svc, port: 80}}"), at + ".backend.service.port", ""},
		{"port number as text", withBackend("{service: {name: tea-svc, port: {number: '80'}}}"), at + ".backend.service.port.number", ""},
		{"port out of range", withBackend("{service: {name: tea-svc, port: {number: 65536}}}"), at + ".backend.service.port.number", ""},
		{"port name without a letter", withBackend("{service: {name: tea-svc, port: {name: '80'}}}"), at + ".backend.service.port.name", ""},
		{"service name with a dot", withBackend("{service: {name: tea.svc, port: {number: 80}}}"), at + ".backend.service.name", ""},
		{"no service name", withBackend("{service: {port: {number: 80}}}"), at + ".backend.service.name", ""},
		{"default backend misspelt inside", withSpec("{defaultBackend: {servise: {}}}"), "spec.defaultBackend.servise", ""},

		{"annotations of others", withAnnotation("nginx.ingress.kubernetes.io/rewrite-target", "/"), "", ""},
		{"domain that looks like ours", withAnnotation("bool.example.com/x", "maybe"), "", ""},
		{"class annotation", withAnnotation("kubernetes.io/ingress.class", "TYK"), "", ""},
		{"sidecar annotation", withAnnotation("injector.tyk.io/inject", "maybe"), "", ""},
		{"old template annotation", withAnnotation("template.service.tyk.io", "tokenAuth"), "", ""},
		{"template annotation", withAnnotation("cuegate.dev/template", "default-mesh"), "", ""},
		{"template without a name", withAnnotation("cuegate.dev/template", ""), annotation("cuegate.dev/template"), ""},
		{"template with a space", withAnnotation("template.service.tyk.io", "token auth"), annotation("template.service.tyk.io"), ""},
		{"cuegate.dev/overide", withAnnotation("cuegate.dev/overide", "use_keyless: false"), annotation("cuegate.dev/overide"), "no such annotation"},
		{"cuegate.dev", withAnnotation("cuegate.dev", "x"), annotation("cuegate.dev"), "no such annotation"},
		{"bol", withAnnotation("bol.service.tyk.io/use-keyless", "false"), annotation("bol.service.tyk.io/use-keyless"), "no such annotation"},
		{"Bool", withAnnotation("Bool.service.tyk.io/use-keyless", "false"), annotation("Bool.service.tyk.io/use-keyless"), "no such annotation"},
		{"servce", withAnnotation("bool.servce.tyk.io/use-keyless", "false"), annotation("bool.servce.tyk.io/use-keyless"), "no such annotation"},
		{"setter without a kind", withAnnotation("service.tyk.io/use-keyless", "false"), annotation("service.tyk.io/use-keyless"), "no such annotation"},
		{"setter without a path", withAnnotation("bool.service.tyk.io", "false"), annotation("bool.service.tyk.io"), "no such annotation"},
		{"setter with an empty element", withAnnotation("string.service.tyk.io/proxy..x", "false"), annotation("string.service.tyk.io/proxy..x"), "no such annotation"},
		{"setter with a long path", withAnnotation("array.service.tyk.io/version-data.versions.Default.extended-paths.advance-cache-config", "[]"), annotation("array.service.tyk.io/version-data.versions.Default.extended-paths.advance-cache-config"), "cuegate.dev/override takes longer ones"},

		{"bool", withAnnotation("bool.service.tyk.io/use-keyless", "False"), "", ""},
		{"bool below capitals", withAnnotation("bool.service.tyk.io/CORS.enable", "true"), "", ""},
		{"maybe", withAnnotation("bool.service.tyk.io/use-keyless", "maybe"), annotation("bool.service.tyk.io/use-keyless"), ""},
		{"yes", withAnnotation("bool.service.tyk.io/use-keyless", "yes"), annotation("bool.service.tyk.io/use-keyless"), ""},
		{"bool without quotes", withMeta("{name: cafe, annotations: {bool.service.tyk.io/use-keyless: false}}"), annotation("bool.service.tyk.io/use-keyless"), ""},
		{"num", withAnnotation("num.service.tyk.io/global-rate-limit.rate", "10.5"), "", ""},
		{"num that is none", withAnnotation("num.service.tyk.io/global-rate-limit.rate", "ten"), annotation("num.service.tyk.io/global-rate-limit.rate"), ""},
		{"string", withAnnotation("string.service.tyk.io/proxy.listen-path", "/tea"), "", ""},
		{"object", withAnnotation("object.service.tyk.io/global-rate-limit", `{"rate": 10, "per": 60}`), "", ""},
		{"object that is a list", withAnnotation("object.service.tyk.io/global-rate-limit", `[]`), annotation("object.service.tyk.io/global-rate-limit"), ""},
		{"object cut short", withAnnotation("object.service.tyk.io/global-rate-limit", `{"rate": 10`), annotation("object.service.tyk.io/global-rate-limit"), ""},
		{"array", withAnnotation("array.service.tyk.io/tags", `["a", "b"]`), "", ""},
		{"array that is an object", withAnnotation("array.service.tyk.io/tags", `{}`), annotation("array.service.tyk.io/tags"), ""},
		{"element of a list", withAnnotation("string.service.tyk.io/tags.0", "a"), "", ""},
		{"version named by a number", withAnnotation("string.service.tyk.io/version-data.versions.1.name", "1"), "", ""},

		{"path that the definition does not have", withAnnotation("bool.service.tyk.io/use-keyles", "false"), sets("bool.service.tyk.io/use-keyles", "use_keyles"), ""},
		{"deeper path", withAnnotation("string.service.tyk.io/proxy.listenpath", "/"), sets("string.service.tyk.io/proxy.listenpath", "proxy.listenpath"), ""},
		{"list that the definition does not have", withAnnotation("string.service.tyk.io/tagz.0", "a"), sets("string.service.tyk.io/tagz.0", "tagz"), ""},
		{"other type than the definition's", withAnnotation("string.service.tyk.io/use-keyless", "false"), sets("string.service.tyk.io/use-keyless", "use_keyless"), ""},
		{"key in an object", withAnnotation("object.service.tyk.io/global-rate-limit", `{"rte": 10}`), sets("object.service.tyk.io/global-rate-limit", "global_rate_limit.rte"), ""},
		{"element of the wrong type", withAnnotation("array.service.tyk.io/tags", `["a", 3]`), sets("array.service.tyk.io/tags", "tags.1"), ""},
		{"identity", withAnnotation("string.service.tyk.io/api-id", "mine"), sets("string.service.tyk.io/api-id", "api_id"), "never overridden"},
		{"mark", withAnnotation("object.service.tyk.io/config-data", `{"cuegate": {}}`), sets("object.service.tyk.io/config-data", "config_data.cuegate"), "never overridden"},

		{"override", withAnnotation("cuegate.dev/override", "use_keyless: false\nproxy.listen_path: /tea\nversion_data.versions.Default.extended_paths:\n  hard_timeouts: [{path: /, method: GET, timeout: 3}]\nconfig_data.a\\.b: 1\n"), "", ""},
		{"override in JSON", withAnnotation("cuegate.dev/override", `{"global_rate_limit": {"rate": 10}}`), "", ""},
		{"override that is a list", withAnnotation("cuegate.dev/override", "- use_keyless: false"), annotation("cuegate.dev/override"), ""},
		{"override that is no YAML", withAnnotation("cuegate.dev/override", "use_keyless: [}"), annotation("cuegate.dev/override"), ""},
		{"empty override", withAnnotation("cuegate.dev/override", ""), annotation("cuegate.dev/override"), ""},
		{"override that is an object", withMeta("{name: cafe, annotations: {cuegate.dev/override: {use_keyless: false}}}"), annotation("cuegate.dev/override"), ""},
		{"override of a field that is not", withAnnotation("cuegate.dev/override", "use_keyles: false"), sets("cuegate.dev/override", "use_keyles.use_keyles"), ""},
		{"override of a path that is not", withAnnotation("cuegate.dev/override", "proxy.listenpath: /"), sets("cuegate.dev/override", `"proxy.listenpath".proxy.listenpath`), ""},
		{"override of the wrong type in a list", withAnnotation("cuegate.dev/override", "version_data: {versions: {Default: {extended_paths: {hard_timeouts: [{timeout: soon}]}}}}"), sets("cuegate.dev/override", "version_data.version_data.versions.Default.extended_paths.hard_timeouts.0.timeout"), ""},
		{"override of an element's unknown field", withAnnotation("cuegate.dev/override", "version_data: {versions: {Default: {extended_paths: {hard_timeouts: [{tiemout: 3}]}}}}"), sets("cuegate.dev/override", "version_data.version_data.versions.Default.extended_paths.hard_timeouts.0.tiemout"), ""},
		{"override of the identity", withAnnotation("cuegate.dev/override", "org_id: other"), sets("cuegate.dev/override", "org_id.org_id"), "never overridden"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			paths, text := refusals(t, "#Ingress", tt.manifest)
			if got := strings.Join(paths, " "); got != tt.want || !strings.Contains(text, tt.says) {
				t.Errorf("refused %q, want %q with %q, for\n%s\n%s", got, tt.want, tt.says, tt.manifest, text)
			}
		})
	}
}

func TestIngressClassSchema(t *testing.T) {
	const head = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\n"
	const spec = "spec: {controller: cuegate.dev/ingress-controller}\n"
	for _, tt := range []struct{ name, manifest, want string }{
		{"plain", head + "metadata: {name: tyk}\n" + spec, ""},
		{"default", head + "metadata: {name: tyk, annotations: {ingressclass.kubernetes.io/is-default-class: 'true', a: b}}\n" + spec, ""},
		{"default in capitals", head + "metadata: {name: tyk, annotations: {ingressclass.kubernetes.io/is-default-class: 'True'}}\n" + spec, annotation("ingressclass.kubernetes.io/is-default-class")},
		{"parameters", head + "metadata: {name: tyk}\nspec: {controller: cuegate.dev/ingress-controller, parameters: {apiGroup: cuegate.dev, kind: Template, name: tokenAuth, scope: Cluster}}\n", ""},
		{"parameters in a namespace", head + "metadata: {name: tyk}\nspec: {controller: a.example/b, parameters: {kind: ConfigMap, name: a, scope: Namespace, namespace: b}}\n", ""},
		{"parameters without their namespace", head + "metadata: {name: tyk}\nspec: {controller: a.example/b, parameters: {kind: ConfigMap, name: a, scope: Namespace}}\n", "spec.parameters.namespace"},
		{"parameters with a namespace too many", head + "metadata: {name: tyk}\nspec: {controller: a.example/b, parameters: {kind: ConfigMap, name: a, namespace: b}}\n", "spec.parameters.namespace"},
		{"controller without a domain", head + "metadata: {name: tyk}\nspec: {controller: cuegate}\n", "spec.controller"},
		{"no controller", head + "metadata: {name: tyk}\nspec: {}\n", "spec.controller"},
		{"controler", head + "metadata: {name: tyk}\nspec: {controler: a.example/b}\n", "spec.controler"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			paths, text := refusals(t, "#IngressClass", tt.manifest)
			if got := strings.Join(paths, " "); got != tt.want {
				t.Errorf("refused %q, want %q, for\n%s\n%s", got, tt.want, tt.manifest, text)
			}
		})
	}
}

// wholeIngress has every field that an Ingress can have, but for those inside
// status and managedFields.
const wholeIngress = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: cafe
  generateName: cafe-
  namespace: cafe
  labels: {app.kubernetes.io/name: cafe}
  annotations: {example.com/note: x}
  finalizers: [example.com/wait]
  ownerReferences:
    - {apiVersion: apps/v1, kind: Deployment, name: cafe, uid: "1", controller: true, blockOwnerDeletion: false}
  uid: 00000000-0000-0000-0000-000000000000
  resourceVersion: "1"
  generation: 1
  creationTimestamp: "2021-01-01T00:00:00Z"
  deletionTimestamp: "2021-01-01T00:00:00Z"
  deletionGracePeriodSeconds: 30
  managedFields: [{manager: kubectl}]
  selfLink: /apis/networking.k8s.io/v1/namespaces/cafe/ingresses/cafe
spec:
  ingressClassName: tyk
  defaultBackend:
    resource: {apiGroup: example.com, kind: Bucket, name: tea}
  tls:
    - hosts: [cafe.example]
      secretName: cafe-tls
  rules:
    - host: cafe.example
      http:
        paths:
          - path: /tea
            pathType: Prefix
            backend:
              service:
                name: tea-svc
                port: {number: 80}
          - path: /coffee
            pathType: Exact
            backend:
              service:
                name: coffee-svc
                port: {name: http}
          - path: /bucket
            pathType: Exact
            backend:
              resource: {apiGroup: example.com, kind: Bucket, name: tea}
    - http:
        paths: [{pathType: ImplementationSpecific, backend: {service: {name: tea-svc, port: {number: 80}}}}]
status: {loadBalancer: {}}
`

// TestIngressSchemaHasEveryField holds the schema to the types of Kubernetes: what
// a later version adds must be added here.
func TestIngressSchemaHasEveryField(t *testing.T) {
	if paths, text := refusals(t, "#Ingress", wholeIngress); len(paths) > 0 {
		t.Errorf("refused %q:\n%s", paths, text)
	}
	var doc any
	if err := yaml.Unmarshal([]byte(wholeIngress), &doc); err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	eachStruct(doc, "", func(at string, m map[string]any) {
		for k := range m {
			written[strings.TrimPrefix(at+"."+k, ".")] = true
		}
	})
	var known []string
	eachJSONField(reflect.TypeFor[networkingv1.Ingress](), "", func(path string) { known = append(known, path) })
	if len(known) < 30 {
		t.Fatalf("only %d fields found in the Go types: %q", len(known), known)
	}
	for _, path := range known {
		// The default backend is of the type of the others.
		path = strings.Replace(path, "spec.defaultBackend.service", "spec.rules.http.paths.backend.service", 1)
		if !written[path] && !strings.HasPrefix(path, "status.") && !strings.HasPrefix(path, "metadata.managedFields.") {
			t.Errorf("the whole Ingress lacks %s", path)
		}
	}
}

// TestIngressSchemaIsClosed puts an unknown field into each struct of a manifest.
func TestIngressSchemaIsClosed(t *testing.T) {
	var doc any
	if err := yaml.Unmarshal([]byte(wholeIngress), &doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	eachStruct(doc, "", func(at string, m map[string]any) {
		switch at := strings.TrimPrefix(at, "."); at {
		case "metadata.labels", "metadata.annotations", "metadata.managedFields", "status", "status.loadBalancer":
			return
		}
		n++
		m["unknown"] = 1
		defer delete(m, "unknown")
		raw, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		expr, err := cuejson.Extract("manifest.json", raw)
		if err != nil {
			t.Fatal(err)
		}
		paths, _ := refusalsOf(cuecontext.New().BuildExpr(expr), "#Ingress")
		if !slices.ContainsFunc(paths, func(p string) bool { return p == "unknown" || strings.HasSuffix(p, ".unknown") }) {
			t.Errorf("an unknown field of %q passes, or is refused as %q", at, paths)
		}
	})
	if n < 20 {
		t.Errorf("only %d structs were tried", n)
	}
}

// eachStruct visits the objects of a document, with their paths without indexes.
func eachStruct(v any, at string, visit func(at string, m map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(at, v)
		for _, k := range slices.Sorted(maps.Keys(v)) {
			eachStruct(v[k], at+"."+k, visit)
		}
	case []any:
		for _, x := range v {
			eachStruct(x, at, visit)
		}
	}
}

// eachJSONField visits the fields of a Go type, with their paths in JSON.
func eachJSONField(typ reflect.Type, at string, visit func(path string)) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || reflect.PointerTo(typ).Implements(reflect.TypeFor[json.Marshaler]()) {
		return
	}
	for f := range typ.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "" && f.Anonymous:
			eachJSONField(f.Type, at, visit)
		case name != "" && name != "-":
			path := strings.TrimPrefix(at+"."+name, ".")
			visit(path)
			eachJSONField(f.Type, path, visit)
		}
	}
}
