package whatif

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

var bundles sync.Map // of func() (*engine.Bundle, error), by settings and template

// rulesOf gives a side by the built-in bundle and, in YAML and CUE, settings and a file of
// templates.
func rulesOf(t testing.TB, settings, templates string) Side {
	t.Helper()
	load, _ := bundles.LoadOrStore(settings+"\x00"+templates, sync.OnceValues(func() (*engine.Bundle, error) {
		operator := fstest.MapFS{}
		if settings != "" {
			operator["policies/data.yaml"] = &fstest.MapFile{Data: []byte("settings: {" + settings + "}\n")}
		}
		if templates != "" {
			operator["templates/templates.cue"] = &fstest.MapFile{Data: []byte("package templates\n\nimport \"github.com/cuegate/cuegate/cue/template\"\n\n" + templates)}
		}
		if len(operator) == 0 {
			return engine.LoadBundle(context.Background(), cuegate.Builtin(), nil)
		}
		return engine.LoadBundle(context.Background(), cuegate.Builtin(), operator)
	}))
	b, err := load.(func() (*engine.Bundle, error))()
	if err != nil {
		t.Fatal(err)
	}
	return sideOf(b)
}

func sideOf(b *engine.Bundle) Side {
	config := engine.Config{ClusterID: "test", OrgID: "default", MeshNamespace: "cuegate"}
	return Side{Rules: Rules{Bundle: "x", Digest: b.Digest()}, Engine: engine.New(b, config), Config: config}
}

// ingress is one with a path, and a Service behind it.
func ingress(namespace, name, host, path, created string, annotations map[string]string) string {
	if created == "" {
		created = "2020-01-01T00:00:00Z"
	}
	raw, _ := json.Marshal(map[string]any{
		"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
		"metadata": map[string]any{"name": name, "namespace": namespace, "creationTimestamp": created, "annotations": annotations},
		"spec": map[string]any{"ingressClassName": "tyk", "rules": []any{map[string]any{"host": host, "http": map[string]any{"paths": []any{map[string]any{
			"path": path, "pathType": "Prefix", "backend": map[string]any{"service": map[string]any{"name": name, "port": map[string]any{"number": 80}}},
		}}}}}},
	})
	return "---\n" + string(raw) + "\n"
}

func objectsOf(t testing.TB, text string) []engine.Object {
	t.Helper()
	objects, rejected := engine.ParseManifests("test", []byte(text))
	if len(rejected) > 0 {
		t.Fatal(rejected)
	}
	return objects
}

func compareOf(t *testing.T, objects []engine.Object, old, new Side) *Report {
	t.Helper()
	around, _ := engine.NewCluster(objects)
	var decidable []engine.Object
	for _, o := range objects {
		if !o.Neighbour() {
			decidable = append(decidable, o)
		}
	}
	r, err := Compare(t.Context(), decidable, around, old, new)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *Report) plain() string { return r.Text(func(_ int, text string) string { return text }) }

// brief gives what becomes of objects and what it opens, in a few words.
func (r *Report) brief() string {
	var b strings.Builder
	for _, f := range r.Exposure {
		fmt.Fprintf(&b, "! %s %s\n", f.Rule, f.Object)
	}
	for _, x := range r.Objects {
		fmt.Fprintf(&b, "%s %s", x.Object, x.outcome())
		for _, c := range x.Definitions {
			fmt.Fprintf(&b, " %s", c.Action)
		}
		b.WriteString("\n")
	}
	return b.String()
}

const keyed = "templates: default: template.#Base & {\n\tin: _\n\tapi: {use_keyless: false, use_standard_auth: true}\n}\n"

const twoCafes = `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cafe", "labels": {"team": "a"}}}
---
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bar", "labels": {"team": "b"}}}
`

// What becomes of objects when the rules change.
func TestCompare(t *testing.T) {
	tea := ingress("cafe", "tea", "a.example.com", "/tea", "2020-01-01T00:00:00Z", nil)
	all := ingress("cafe", "all", "a.example.com", "/", "2020-01-02T00:00:00Z", nil)
	for _, c := range []struct {
		name     string
		objects  string
		old, new Side
		want     string
	}{
		{"the same rules", tea, rulesOf(t, "", ""), rulesOf(t, "", ""), ""},
		{"a template closes", tea, rulesOf(t, "", ""), rulesOf(t, "", keyed), "Ingress/cafe/tea managed, template default update\n"},
		{"a template opens", tea, rulesOf(t, "", keyed), rulesOf(t, "", ""), "! auth-removed Ingress/cafe/tea\nIngress/cafe/tea managed, template default update\n"},
		{"ignored is deleted", twoCafes + tea, rulesOf(t, "", ""), rulesOf(t, "watch: {namespaces: [bar]}", ""), "Ingress/cafe/tea managed -> ignored, template default delete\n"},
		{"no longer ignored is created", tea, rulesOf(t, "watch: {namespaces: [bar]}", ""), rulesOf(t, "", ""), "! open-created Ingress/cafe/tea\nIngress/cafe/tea ignored -> managed, template default create\n"},
		{"refused stays", tea, rulesOf(t, "", ""), rulesOf(t, "requireAuthentication: {namespaces: [cafe]}", ""), "Ingress/cafe/tea managed -> refused, template default\n"},
		{"no longer refused is created", tea, rulesOf(t, "requireAuthentication: {namespaces: [cafe]}", ""), rulesOf(t, "", keyed), "Ingress/cafe/tea refused -> managed, template default create\n"},
		{"requests fall to an open one", twoCafes + tea + strings.Replace(all, "cafe", "bar", 1),
			rulesOf(t, "grants: [{id: all, hosts: [\"*\"], guards: [host-claimed]}]", "templates: default: template.#Base & {\n\tin: _\n\tapi: {use_keyless: in.path == \"/\", use_standard_auth: in.path != \"/\"}\n}\n"),
			rulesOf(t, "grants: [{id: all, hosts: [\"*\"], guards: [host-claimed]}], watch: {namespaces: [bar]}", "templates: default: template.#Base & {\n\tin: _\n\tapi: {use_keyless: in.path == \"/\", use_standard_auth: in.path != \"/\"}\n}\n"),
			"! requests-moved Ingress/cafe/tea\nIngress/cafe/tea managed -> ignored, template default delete\n"},
		{"a conflict has another winner", twoCafes + tea + ingress("bar", "tea", "a.example.com", "/tea", "2019-01-01T00:00:00Z", nil),
			rulesOf(t, "grants: [{id: all, hosts: [\"*\"], guards: [host-claimed]}], watch: {namespaces: [cafe]}", ""),
			rulesOf(t, "grants: [{id: all, hosts: [\"*\"], guards: [host-claimed]}]", ""),
			"! open-created Ingress/bar/tea\n! requests-moved Ingress/cafe/tea\nIngress/bar/tea ignored -> managed, template default create\nIngress/cafe/tea managed, template default delete\n"},
		{"what a refused object serves stands in the way", twoCafes + tea + ingress("bar", "tea", "a.example.com", "/tea", "2021-01-01T00:00:00Z", nil),
			rulesOf(t, "grants: [{id: all, hosts: [\"*\"], guards: [host-claimed]}], watch: {namespaces: [cafe]}", ""),
			rulesOf(t, "grants: [{id: all, hosts: [\"*\"], guards: [host-claimed]}], requireAuthentication: {namespaces: [cafe]}", ""),
			"Ingress/bar/tea ignored -> managed, template default\nIngress/cafe/tea managed -> refused, template default\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects := objectsOf(t, c.objects)
			r := compareOf(t, objects, c.old, c.new)
			if diff := cmp.Diff(c.want, r.brief()); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, r.plain())
			}
			slices.Reverse(objects)
			if diff := cmp.Diff(r, compareOf(t, objects, c.old, c.new)); diff != "" {
				t.Errorf("in another order of the objects (-want +got):\n%s", diff)
			}
		})
	}
}

// A bundle and itself differ in nothing, for all examples; with another bundle the report
// is the same each time.
func TestCompareExamples(t *testing.T) {
	dirs, err := filepath.Glob("../../../../examples/[0-9][0-9]-*")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no examples: ", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var operator fs.FS
			if _, err := os.Stat(filepath.Join(dir, "bundle")); err == nil {
				operator = os.DirFS(filepath.Join(dir, "bundle"))
			}
			b, err := engine.LoadBundle(t.Context(), cuegate.Builtin(), operator)
			if err != nil {
				t.Fatal(err)
			}
			var objects []engine.Object
			files, _ := filepath.Glob(filepath.Join(dir, "*.yaml"))
			for _, name := range files {
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				objects = append(objects, objectsOf(t, string(text))...)
			}
			r := compareOf(t, objects, sideOf(b), sideOf(b))
			if r.Summary.Different != 0 || r.Summary.Exposure != 0 {
				t.Errorf("a bundle differs from itself:\n%s", r.plain())
			}
			// A comment alone makes another digest, which stands in every sidecar.
			same := compareOf(t, objects, rulesOf(t, "", ""), rulesOf(t, "", "// other\ntemplates: other: template.#Base\n"))
			if same.Summary.Different != 0 {
				t.Errorf("a template that nobody asks for makes a difference:\n%s", same.plain())
			}
			other := rulesOf(t, "mesh: {tls: mtls}", keyed)
			once, again := compareOf(t, objects, sideOf(b), other), compareOf(t, objects, sideOf(b), other)
			if diff := cmp.Diff(once.plain()+once.Markdown(), again.plain()+again.Markdown()); diff != "" {
				t.Errorf("(-once +again):\n%s", diff)
			}
		})
	}
}

// The notion of an open definition is that of the policies.
func TestOpenIsKeyless(t *testing.T) {
	demanding := rulesOf(t, "requireAuthentication: {namespaces: [cafe]}, grants: [{id: all, classes: [critical, high, medium, low]}]", "")
	anyway := rulesOf(t, "grants: [{id: all, classes: [critical, high, medium, low]}]", "")
	const ignored = `[{"path": "/x", "method": "GET"}]`
	for i, annotations := range []map[string]string{
		{},
		{"bool.service.tyk.io/use-keyless": "false"},
		{"bool.service.tyk.io/use-mutual-tls-auth": "true"},
		{"bool.service.tyk.io/use-keyless": "false", "object.service.tyk.io/CORS": `{"enable": true, "options_passthrough": true}`},
		{"bool.service.tyk.io/use-keyless": "false", "object.service.tyk.io/CORS": `{"enable": false, "options_passthrough": true}`},
		{"bool.service.tyk.io/use-keyless": "false", "array.service.tyk.io/version-data.versions.Default.extended-paths.ignored": ignored},
		{"bool.service.tyk.io/use-keyless": "false", "array.service.tyk.io/version-data.versions.Default.extended-paths.ignored": `[{"path": "/x", "disabled": true}]`},
		{"bool.service.tyk.io/use-keyless": "false", "array.service.tyk.io/version-data.versions.Default.paths.ignored": `["/x"]`},
	} {
		o := objectsOf(t, ingress("cafe", "tea", "a.example.com", "/", "", annotations))[0]
		d, _, _ := anyway.Engine.Decide(t.Context(), o, engine.Cluster{})
		if len(d.Definitions) != 1 {
			t.Fatalf("%d: %v", i, d.Reasons)
		}
		judged, _, _ := demanding.Engine.Decide(t.Context(), o, engine.Cluster{})
		keyless := slices.ContainsFunc(judged.Reasons, func(r engine.Reason) bool { return r.ID == "keyless" })
		if got := definition(decode(d.Definitions[0].JSON)).isOpen(); got != keyless {
			t.Errorf("%v: open is %t, and keyless %t", annotations, got, keyless)
		}
	}
}

// Nothing that an explanation hides is in the report, in whatever form.
func TestCompareHidesSecrets(t *testing.T) {
	const hush = "hush-hush"
	annotations := map[string]string{
		"object.service.tyk.io/upstream-auth":    `{"enabled": true, "basic_auth": {"enabled": true, "username": "u", "password": "` + hush + `1"}}`,
		"string.service.tyk.io/proxy.target-url": "https://user:" + hush + "2@elsewhere.example/?token=" + hush + "3",
	}
	const of = `set: [{path: jwt_source, value: %[1]s4, id: a, msg: b}, {path: enable_jwt, value: true, id: c, msg: d},
		{path: version_data.versions.Default.global_headers, value: {X-Api-Key: %[1]s5, Authorization: %[1]s6}, id: e, msg: f}]`
	r := compareOf(t, objectsOf(t, ingress("cafe", "tea", "a.example.com", "/", "", annotations)),
		rulesOf(t, fmt.Sprintf(of, hush), ""), rulesOf(t, fmt.Sprintf(strings.NewReplacer("s4", "s7", "s5", "s8", "s6", "s9").Replace(of), hush), ""))
	if r.Summary.Changed != 1 || len(r.Exposure) == 0 {
		t.Fatalf("nothing changes:\n%s", r.plain())
	}
	fresh := compareOf(t, objectsOf(t, ingress("cafe", "tea", "a.example.com", "/", "", annotations)), rulesOf(t, "watch: {namespaces: [bar]}", ""), rulesOf(t, "", ""))
	for _, r := range []*Report{r, fresh} {
		raw, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{string(raw), r.plain(), r.Markdown()} {
			if strings.Contains(text, hush) {
				t.Errorf("the report holds a secret:\n%s", text)
			}
		}
	}
}

const meshed = `apiVersion: apps/v1
kind: Deployment
metadata: {name: echo, namespace: shop}
spec:
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}, annotations: {injector.tyk.io/inject: "true"}}
    spec: {containers: [{name: app, image: "registry.example/app:1", ports: [{containerPort: 3000}]}]}
`

// A workload that leaves the mesh, and a sidecar that may do more.
func TestCompareWorkloads(t *testing.T) {
	objects := objectsOf(t, meshed)
	r := compareOf(t, objects, rulesOf(t, "", ""), rulesOf(t, "mesh: {excludedNamespaces: [shop]}", ""))
	want := "! sidecar-removed Deployment/shop/echo\nDeployment/shop/echo managed -> ignored, template inbound, mesh delete delete\n"
	if diff := cmp.Diff(want, r.brief()); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, r.plain())
	}
	if x := r.Objects[0]; len(x.MeshService) == 0 || r.Summary.Patched != 1 {
		t.Errorf("the Service of the mesh, which is gone, is not told:\n%s", r.plain())
	}
	// Other way round it is created, and open: the mesh speaks HTTP.
	r = compareOf(t, objects, rulesOf(t, "mesh: {excludedNamespaces: [shop]}", ""), rulesOf(t, "", ""))
	want = "! open-created Deployment/shop/echo\nDeployment/shop/echo ignored -> managed, template inbound, mesh create create\n"
	if diff := cmp.Diff(want, r.brief()); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, r.plain())
	}
}

func TestCompareClusters(t *testing.T) {
	other := rulesOf(t, "", "")
	other.Config.ClusterID = "other"
	if _, err := Compare(t.Context(), nil, engine.Cluster{}, rulesOf(t, "", ""), other); err == nil || !strings.Contains(err.Error(), "clusterID") {
		t.Errorf("got %v", err)
	}
}

func TestDifferences(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`{"a": 1, "b": {"c": true}}`, `{"a": 1, "b": {"c": true}}`, ""},
		{`{"a": 1}`, `{"a": 2, "b": {"c": [1]}}`, "a: 1 -> 2; b.c: absent -> [1]"},
		{`{"a": {"b.c": {}}}`, `{"a": {}}`, `a.b\.c: {} -> absent`},
		{`{"a": {"b": 1}}`, `{"a": "x"}`, `a: {"b":1} -> "x"`},
		{`{"a": [1, 2]}`, `{"a": [2, 1]}`, `a: [1,2] -> [2,1]`},
		{`{"a": [{"p": 1}, {"p": 2}]}`, `{"a": [{"p": 0}, {"p": 1}, {"p": 2}]}`, `a.0.p: absent -> 0`},
		{`{"a": [{"p": 1}, {"p": 1}]}`, `{"a": [{"p": 1}]}`, `a.1.p: 1 -> absent`},
		{`{"a": [{"p": 1}, {"p": 2}]}`, `{"a": [{"p": 2}, {"p": 1}]}`, `a: [{"p":1},{"p":2}] -> [{"p":2},{"p":1}]`},
		{`{"a": [{"name": "x", "v": 1}, {"name": "y"}]}`, `{"a": [{"name": "y"}, {"name": "x", "v": 2}]}`, `a[x].v: 1 -> 2`},
		{`{"a": null}`, `{}`, `a: null -> absent`},
		{`{"n": 12345678901234567890}`, `{"n": 12345678901234567891}`, `n: 12345678901234567890 -> 12345678901234567891`},
	} {
		var got []string
		for _, f := range fieldsOf(differences(decode([]byte(c.old)), decode([]byte(c.new)))) {
			got = append(got, f.String())
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s -> %s: got %s, want %s", c.old, c.new, text, c.want)
		}
	}
}

func TestCoversMatch(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"default", "a.example.com ^ /", true},
		{"a.example.com ^ /", "default", false},
		{" ^ /", "default", false},
		{" ^ /", "a.example.com ^ /x", true},
		{"*.example.com ^ /", "a.example.com ^ /x", true},
		{"*.example.com ^ /", "a.b.example.com ^ /x", false},
		{"*.example.com ^ /", "*.example.com ^ /x", true},
		{"a.example.com ^ /", "*.example.com ^ /x", false},
		{"a.example.com ^ /x", "a.example.com ^ /x/y", true},
		{"a.example.com ^ /x", "a.example.com = /x", true},
		{"a.example.com ^ /x", "a.example.com ^ /xy", false},
		{"a.example.com = /x", "a.example.com ^ /x", false},
		{"a.example.com = /x y", "a.example.com = /x y", true},
	} {
		if got := coversMatch(c.a, c.b); got != c.want {
			t.Errorf("%q covers %q: got %t", c.a, c.b, got)
		}
	}
}
