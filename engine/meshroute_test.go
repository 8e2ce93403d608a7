package engine_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/cuegate/cuegate/engine"
)

// leaf is a certificate with its key.
type leaf struct {
	cert, key []byte
	// id is what the gateway calls it.
	id string
}

func newLeaf(tb testing.TB) leaf {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	cert, der := selfSigned(tb, key)
	sum := sha256.Sum256(der)
	return leaf{cert, keyPEM(tb, "EC PRIVATE KEY", key), meshConfig.OrgID + hex.EncodeToString(sum[:])}
}

// pairs of a Secret of the mesh: the current one, and those that may be shown too.
type pairs struct {
	current        leaf
	next, previous *leaf
}

// meshSecret is a Secret as the keeper of the mesh's certificates writes it.
func meshSecret(tb testing.TB, namespace, role, of string, p pairs) engine.Object {
	tb.Helper()
	data := map[string][]byte{"tls.crt": p.current.cert, "tls.key": p.current.key}
	if p.next != nil {
		data["next.crt"], data["next.key"] = p.next.cert, p.next.key
	}
	if p.previous != nil {
		data["previous.crt"] = p.previous.cert
	}
	name := role + "-" + strings.ToLower(strings.ReplaceAll(of, "/", "-"))
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data,
		"metadata": map[string]any{"name": name, "namespace": namespace, "labels": map[string]string{"cuegate.dev/mesh": role}, "annotations": map[string]string{"cuegate.dev/mesh-for": of}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return engine.Object{Ref: engine.Ref{Kind: "Secret", Namespace: namespace, Name: name}, APIVersion: "v1", JSON: raw}
}

func clusterOf(tb testing.TB, objects ...engine.Object) engine.Cluster {
	tb.Helper()
	c, rejected := engine.NewCluster(objects)
	if len(rejected) > 0 {
		tb.Fatal(rejected)
	}
	return c
}

// namespaceWith is a Namespace with labels, in YAML.
func namespaceWith(tb testing.TB, name, labels string) engine.Object {
	tb.Helper()
	return manifest(tb, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+name+", labels: {"+labels+"}}\n")
}

// meshCluster has all certificates that the Deployment shop/echo needs, those of its
// callers of shop/default, and in benchmarks those of many others.
func meshCluster(tb testing.TB) engine.Cluster {
	tb.Helper()
	server := newLeaf(tb)
	objects := []engine.Object{
		meshSecret(tb, "tyk", "client", "shop/default", pairs{current: newLeaf(tb)}),
		meshSecret(tb, "tyk", "server", "Deployment/shop/echo", pairs{current: server}),
	}
	if _, bench := tb.(*testing.B); bench {
		for i := range benchWorkloads {
			objects = append(objects, meshSecret(tb, "tyk", "server", fmt.Sprintf("Deployment/shop/echo-%d", i), pairs{current: server}))
		}
	}
	return clusterOf(tb, objects...)
}

// echo is the Deployment shop/echo with more annotations, in YAML, and another pod.
func echo(tb testing.TB, annotations, spec string) engine.Object {
	tb.Helper()
	if spec == "" {
		spec = `containers: [{name: app, image: "registry.example/app:1", ports: [{containerPort: 3000}]}]`
	}
	return manifest(tb, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo, namespace: shop, labels: {app: echo}}
spec:
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}, annotations: {injector.tyk.io/inject: "true", `+annotations+`}}
    spec: {`+spec+`}
`)
}

// document decodes the definition of the role: "inbound" or "mesh".
func document(tb testing.TB, d engine.Desired, role string) map[string]any {
	tb.Helper()
	for _, def := range d.Definitions {
		if strings.HasPrefix(def.Match, role+" ") {
			return decodeNumbers(tb, def.JSON)
		}
	}
	tb.Fatalf("%s has no definition %s: %v", d.Object, role, d.Reasons)
	return nil
}

// valueAt follows keys through objects.
func valueAt(v any, path ...string) any {
	for _, k := range path {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

func reasonIDs(reasons []engine.Reason) string {
	var ids []string
	for _, r := range reasons {
		ids = append(ids, r.ID)
	}
	return strings.Join(ids, " ")
}

func TestAppPort(t *testing.T) {
	const two = `{name: app, image: a, ports: [{containerPort: 3000}, {containerPort: 3001, name: admin}]}`
	for _, c := range []struct{ name, annotation, containers, want, problem string }{
		{"only one", "", `{name: app, image: a, ports: [{containerPort: 3000}]}`, "3000", ""},
		{"only one of TCP", "", `{name: app, image: a, ports: [{containerPort: 53, protocol: UDP}, {containerPort: 3000, protocol: TCP}]}`, "3000", ""},
		{"of the second container", "", `{name: x, image: a}, {name: app, image: a, ports: [{containerPort: 3000}]}`, "3000", ""},
		{"called http", "", two + `, {name: web, image: a, ports: [{containerPort: 3002, name: http}]}`, "3002", ""},
		{"several", "", two, "", "several, and none is called http: 3000, 3001 (admin)"},
		{"none", "", `{name: app, image: a}`, "", "no container names a TCP port"},
		{"by number", "5000", two, "5000", ""},
		{"by number, without a list", "5000", `{name: app, image: a}`, "5000", ""},
		{"by name", "admin", two, "3001", ""},
		{"by name of UDP", "dns", `{name: app, image: a, ports: [{containerPort: 53, name: dns, protocol: UDP}, {containerPort: 3000}]}`, "", `no container has a TCP port called "dns"`},
		{"name that is nearly there", "admn", two, "", `called "admn", but there is "admin"`},
		{"name without any port", "admin", `{name: app, image: a}`, "", "no container names a TCP port"},
		{"0", "0", two, "", "0 is not a number from 1 to 65535"},
		{"-1", "-1", two, "", "-1 is not a number from 1 to 65535"},
		{"65536", "65536", two, "", "65536 is not a number"},
		{"huge", "99999999999999999999", two, "", "no container has a TCP port called"},
		{"of a container, out of range", "", `{name: app, image: a, ports: [{containerPort: 70000}]}`, "", "70000 is not a number from 1 to 65535"},
		{"a blank", " ", two, "", `called " "`},
	} {
		t.Run(c.name, func(t *testing.T) {
			annotations := ""
			if c.annotation != "" {
				annotations = fmt.Sprintf("injector.tyk.io/port: %q", c.annotation)
			}
			d, _ := decideWorkload(t, meshEngine(t, "", ""), echo(t, annotations, "containers: ["+c.containers+"]"), engine.Cluster{})
			if c.problem != "" {
				if reasonIDs(d.Reasons) != "app-port-unknown" || !strings.Contains(d.Reasons[0].Msg, c.problem) {
					t.Errorf("got %v, want %s", d.Reasons, c.problem)
				}
				return
			}
			if got := valueAt(document(t, d, "inbound"), "proxy", "target_url"); got != "http://127.0.0.1:"+c.want {
				t.Errorf("target %v, want port %s", got, c.want)
			}
		})
	}
}

func TestMeshRoute(t *testing.T) {
	const refused = ""
	for annotation, want := range map[string]string{
		"": "/echo", "sleep": "/sleep", "/sleep": "/sleep", "/sleep/": "/sleep", "sleep/": "/sleep", "a/b/c/": "/a/b/c", "/Sleep": "/Sleep", "/s%20p": "/s p", "/ü": "/ü", "/{id}": "/{id}",
		"/": refused, "//": refused, "/a//b": refused, "/a/./b": refused, "/a/..": refused, "/a?b": refused, "/a%2fb": refused, "/%zz": refused,
	} {
		t.Run(annotation, func(t *testing.T) {
			d, _ := decideWorkload(t, meshEngine(t, "", ""), echo(t, fmt.Sprintf("injector.tyk.io/route: %q", annotation), ""), engine.Cluster{})
			if want == refused {
				if reasonIDs(d.Reasons) != "route-invalid" || d.Reasons[0].Field != "spec.template.metadata.annotations[injector.tyk.io/route]" {
					t.Errorf("%s: %v", d.Outcome, d.Reasons)
				}
				return
			}
			if d.Outcome != engine.Managed || d.Definitions[1].Match != "mesh mesh mesh ^ "+want {
				t.Fatalf("%s %v, want %s", d.Outcome, d.Reasons, want)
			}
			// The path is stripped: the app is asked for what follows.
			doc := document(t, d, "mesh")
			if valueAt(doc, "proxy", "strip_listen_path") != true || doc["domain"] != "mesh" {
				t.Errorf("the definition is %v", doc)
			}
		})
	}
}

// tlsModes are those of settings.mesh.tls.
var tlsModes = []string{"off", "tls", "mtls"}

// oddRefs are Deployments with dots, dashes and digits in their names, in namespaces that
// are called like them.
func oddRefs() map[engine.Ref]bool {
	r := mathrand.New(mathrand.NewPCG(1, 2))
	words := []string{"a", "b", "a-b", "mesh", "default", "shop", "1", "w", "a-mesh", strings.Repeat("x", 40)}
	refs := map[engine.Ref]bool{}
	for _, name := range []string{"echo", "a.b", "a-b", "shop.default", "default", "1a", "w-1a", strings.Repeat("long-", 12) + "a", strings.Repeat("long-", 12) + "b"} {
		for _, namespace := range []string{"shop", "mesh", "a", "default"} {
			refs[engine.Ref{Kind: "Deployment", Namespace: namespace, Name: name}] = true
		}
	}
	for range 300 {
		name := words[r.IntN(len(words))]
		for range r.IntN(3) {
			name += []string{".", "-", ""}[r.IntN(3)] + words[r.IntN(len(words))]
		}
		refs[engine.Ref{Kind: "Deployment", Namespace: words[r.IntN(6)], Name: name}] = true
	}
	return refs
}

// Nothing that tells workloads apart is that of two of them, whatever their names; and no
// tag of a workload is that of a group.
func TestWorkloadsShareNothing(t *testing.T) {
	refs := oddRefs()
	objects := []engine.Object{meshSecret(t, "tyk", "client", "shop/default", pairs{current: newLeaf(t)})}
	server, client := newLeaf(t), newLeaf(t)
	for ref := range refs {
		objects = append(objects, meshSecret(t, "tyk", "server", ref.String(), pairs{current: server}), meshSecret(t, "tyk", "client", ref.Namespace+"/default", pairs{current: client}))
	}
	around := clusterOf(t, objects...)
	for _, mode := range tlsModes {
		e := meshEngine(t, "callers: [default, shop/default], tls: \""+mode+"\"", "")
		owners := map[string]engine.Ref{}
		once := func(what, key string, by engine.Ref) {
			if first, ok := owners[what+" "+key]; ok && first != by {
				t.Errorf("%s: the %s %s is that of %s and of %s", mode, what, key, first, by)
			}
			owners[what+" "+key] = by
		}
		var ofGroups []string
		for ref := range refs {
			o := manifest(t, strings.NewReplacer("NAMESPACE", ref.Namespace, "NAME", ref.Name).Replace(
				`{apiVersion: apps/v1, kind: Deployment, metadata: {name: "NAME", namespace: NAMESPACE}, spec: {selector: {matchLabels: {app: x}}, template: {metadata: {annotations: {injector.tyk.io/inject: "true"}}, spec: {containers: [{name: app, image: a, ports: [{containerPort: 3000}]}]}}}}`))
			d, err := decideWorkload(t, e, o, around)
			if err != nil || d.Outcome != engine.Managed || o.Ref != ref {
				t.Fatalf("%s in mode %s: %s %v %v", ref, mode, d.Outcome, d.Reasons, err)
			}
			for _, def := range d.Definitions {
				once("id", def.ID, ref)
				if strings.HasPrefix(def.Match, "mesh ") {
					ofGroups = append(ofGroups, def.Scope)
					continue
				}
				once("tag", def.Scope, ref)
				once("place", def.Listen, ref)
			}
			var service struct {
				Metadata struct{ Namespace, Name string }
			}
			if err := json.Unmarshal(d.Service, &service); err != nil {
				t.Fatal(err)
			}
			if name := service.Metadata.Name; len(name) > 63 || strings.Contains(name, ".") || name[0] < 'a' || name[0] > 'z' {
				t.Errorf("no Service can be called %s", name)
			}
			once("Service", service.Metadata.Namespace+"/"+service.Metadata.Name, ref)
		}
		for _, tag := range ofGroups {
			if owner, ok := owners["tag "+tag]; ok {
				t.Errorf("%s: callers load %s, which is the tag of %s alone", mode, tag, owner)
			}
		}
	}
}

// A route belongs to the whole mesh, and names of kinds are not told apart: the older has
// them, and the other hears of it.
func TestWorkloadsInConflict(t *testing.T) {
	e := meshEngine(t, "", "")
	at := func(kind, namespace, name, created string) engine.Desired {
		o := edited(t, echo(t, "injector.tyk.io/route: /one", ""), func(doc map[string]any) {
			doc["kind"] = kind
			doc["metadata"] = map[string]any{"name": name, "namespace": namespace, "creationTimestamp": created}
		})
		o.Kind, o.Namespace, o.Name = kind, namespace, name
		d, err := decideWorkload(t, e, o, engine.Cluster{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	older, younger := at("Deployment", "shop", "a", "2026-01-01T00:00:00Z"), at("Deployment", "ops", "b", "2026-01-02T00:00:00Z")
	plan, conflicts := engine.MakePlan([]engine.Desired{younger, older}, nil)
	if len(plan.Changes) != 3 || len(conflicts) != 1 || conflicts[0].Object != younger.Object || conflicts[0].Winner != older.Object {
		t.Errorf("two routes: %v, %+v", plan.Changes, conflicts)
	}
	twin := at("StatefulSet", "shop", "a", "2026-01-02T00:00:00Z")
	plan, conflicts = engine.MakePlan([]engine.Desired{twin, older}, nil)
	if len(plan.Changes) != 2 || len(conflicts) != 2 || conflicts[0].Object != twin.Object {
		t.Errorf("two kinds: %v, %+v", plan.Changes, conflicts)
	}
}

// The groups that may call, and the definitions that there are for each.
func TestGroups(t *testing.T) {
	for _, c := range []struct{ name, settings, annotations, group, callers string }{
		{"none says anything", "", "", "shop/default", "shop/default"},
		{"its own group", "", "injector.tyk.io/group: front", "shop/front", "shop/default"},
		{"callers of its namespace", "", `injector.tyk.io/caller-access-groups: "front, back"`, "shop/default", "shop/back shop/front"},
		{"callers of others", "", `injector.tyk.io/caller-access-groups: " ops/admins ,front,ops/admins,shop/front"`, "shop/default", "ops/admins shop/front"},
		{"settings", "callers: [ops/admins, default]", "", "shop/default", "ops/admins shop/default"},
		{"settings say one twice", "callers: [shop/default, default]", "", "shop/default", "shop/default"},
		{"settings say nobody", "callers: []", "", "shop/default", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, o := meshEngine(t, "tls: mtls, "+c.settings, ""), echo(t, c.annotations, "")
			objects := []engine.Object{meshSecret(t, "tyk", "server", o.Ref.String(), pairs{current: newLeaf(t)})}
			for _, g := range strings.Fields(c.callers) {
				objects = append(objects, meshSecret(t, "tyk", "client", g, pairs{current: newLeaf(t)}))
			}
			d, err := decideWorkload(t, e, o, clusterOf(t, objects...))
			if err != nil {
				t.Fatal(err)
			}
			var scopes, identities []string
			for _, def := range d.Definitions {
				scopes = append(scopes, def.Scope)
			}
			want := []string{"shop.echo"}
			for _, g := range strings.Fields(c.callers) {
				want = append(want, "mesh."+strings.ReplaceAll(g, "/", "."))
			}
			if diff := cmp.Diff(want, scopes); diff != "" {
				t.Errorf("scopes (-want +got):\n%s", diff)
			}
			for _, id := range d.Identities {
				identities = append(identities, id.Role+" "+id.For)
			}
			all := append(strings.Fields(c.callers), c.group)
			slices.Sort(all)
			want = []string{"server Deployment/shop/echo"}
			for _, g := range slices.Compact(all) {
				want = append(want, "client "+g)
			}
			if diff := cmp.Diff(want, identities); diff != "" {
				t.Errorf("identities (-want +got):\n%s", diff)
			}
			dashboard := meshEngine(t, "tls: mtls, "+c.settings, `config: edition: "dashboard"`)
			after := settled(t, dashboard, o, clusterOf(t, objects...))
			tags := "mesh." + strings.ReplaceAll(c.group, "/", ".") + ",shop.echo"
			if env := fmt.Sprint(sidecarOf(t, decodeNumbers(t, after.JSON))["env"]); !strings.Contains(env, "value:"+tags+"]") {
				t.Errorf("the sidecar loads other tags than %s: %s", tags, env)
			}
			// Who may call is no reason for new pods.
			if meta := fmt.Sprint(podOf(decodeNumbers(t, after.JSON), "metadata")); strings.Contains(meta, "mesh-service-id") {
				t.Errorf("the id of one of several definitions: %s", meta)
			}
		})
	}

	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprintf("g%d", i)
	}
	e := meshEngine(t, "tls: mtls", "")
	for _, annotation := range []string{
		`injector.tyk.io/caller-access-groups: ""`, `injector.tyk.io/caller-access-groups: "a,"`, `injector.tyk.io/caller-access-groups: "a/b/c"`, `injector.tyk.io/caller-access-groups: "A"`,
		`injector.tyk.io/caller-access-groups: "*"`, `injector.tyk.io/group: ""`, `injector.tyk.io/group: "ops/admins"`, `injector.tyk.io/caller-access-groups: "` + strings.Join(many, ",") + `"`,
	} {
		if d, _ := decideWorkload(t, e, echo(t, annotation, ""), engine.Cluster{}); reasonIDs(d.Reasons) != "group-invalid" {
			t.Errorf("%.60s: %s %v", annotation, d.Outcome, d.Reasons)
		}
	}
}

// Each of the two definitions has a template of its own.
func TestMeshTemplates(t *testing.T) {
	const label = "cuegate.dev/template: jwt"
	for _, c := range []struct{ name, annotations, labels, settings, want string }{
		{"settings", "", "", "", "inbound, mesh"},
		{"settings of an operator", "", "", "templates: {inbound: tokenAuth}", "tokenAuth, mesh"},
		{"namespace", "", label, "", "jwt"},
		{"both, as the old controller had it", "template.service.tyk.io: tokenAuth", label, "", "tokenAuth"},
		{"both", "cuegate.dev/template: tokenAuth", label, "", "tokenAuth"},
		{"inbound", "cuegate.dev/inbound-template: tokenAuth", "", "", "tokenAuth, mesh"},
		{"mesh", "cuegate.dev/mesh-template: tokenAuth", "", "", "inbound, tokenAuth"},
		{"one over both", "cuegate.dev/template: jwt, cuegate.dev/mesh-template: mesh", "", "", "jwt, mesh"},
		{"one over the namespace", "cuegate.dev/inbound-template: tokenAuth", label, "", "tokenAuth, jwt"},
		{"each", "cuegate.dev/inbound-template: tokenAuth, cuegate.dev/mesh-template: jwt", "", "", "tokenAuth, jwt"},
		{"two for both", "cuegate.dev/template: jwt, template.service.tyk.io: tokenAuth", "", "", "!template-tie template-tie"},
		{"two for both, where each has its own", "cuegate.dev/template: jwt, template.service.tyk.io: tokenAuth, cuegate.dev/inbound-template: inbound, cuegate.dev/mesh-template: mesh", "", "", "inbound, mesh"},
		{"unknown", "cuegate.dev/inbound-template: tokenauth", "", "", "!template-unknown"},
		{"unknown for both", "template.service.tyk.io: tokenauth", "", "", "!template-unknown"},
		{"unknown of the namespace", "", "cuegate.dev/template: nope", "", "!template-unknown"},
		{"none", `cuegate.dev/mesh-template: ""`, "", "", "!template-unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, _ := decideWorkload(t, meshEngine(t, c.settings, ""), echo(t, c.annotations, ""), clusterOf(t, namespaceWith(t, "shop", c.labels)))
			got := d.Template
			if d.Outcome != engine.Managed {
				got = "!" + reasonIDs(d.Reasons)
			}
			if got != c.want {
				t.Errorf("got %s, want %s: %v", got, c.want, d.Reasons)
			}
		})
	}
}

// What an annotation sets, it sets in both definitions, or in the one that stands before
// its path.
func TestMeshOverrides(t *testing.T) {
	for _, c := range []struct {
		name, annotations string
		path              string
		inbound, mesh     string // as JSON, "" where nothing is
	}{
		{"string", `string.service.tyk.io/tag-headers.0: x`, "tag_headers", `["x"]`, `["x"]`},
		{"string of one", `string.service.tyk.io/inbound.tag-headers.0: x`, "tag_headers", `["x"]`, ""},
		{"bool", `bool.service.tyk.io/do-not-track: "true"`, "do_not_track", "true", "true"},
		{"bool of one", `bool.service.tyk.io/mesh.do-not-track: "true"`, "do_not_track", "", "true"},
		{"num of one", `num.service.tyk.io/inbound.cache-options.cache-timeout: "60"`, "cache_options", `{"cache_timeout":60}`, ""},
		{"object of one", `object.service.tyk.io/mesh.cache-options: '{"cache_timeout":7}'`, "cache_options", "", `{"cache_timeout":7}`},
		{"array of one", `array.service.tyk.io/inbound.tag-headers: '["a","b"]'`, "tag_headers", `["a","b"]`, ""},
		{"dotted", `cuegate.dev/override: "inbound.cache_options.cache_timeout: 5"`, "cache_options", `{"cache_timeout":5}`, ""},
		{"nested", `cuegate.dev/override: "{inbound: {cache_options: {cache_timeout: 5}}, mesh: {cache_options.cache_timeout: 6}}"`, "cache_options", `{"cache_timeout":5}`, `{"cache_timeout":6}`},
		{"nested beside both", `cuegate.dev/override: "{cache_options: {cache_timeout: 4}, mesh: {do_not_track: true}}"`, "cache_options", `{"cache_timeout":4}`, `{"cache_timeout":4}`},
		{"one over both", `num.service.tyk.io/cache-options.cache-timeout: "1", num.service.tyk.io/mesh.cache-options.cache-timeout: "2"`, "cache_options", `{"cache_timeout":1}`, `{"cache_timeout":2}`},
		{"one over both, and shorter", `num.service.tyk.io/cache-options.cache-timeout: "1", object.service.tyk.io/inbound.cache-options: '{"cache_timeout":3}'`, "cache_options", `{"cache_timeout":3}`, `{"cache_timeout":1}`},
		{"one beside both", `num.service.tyk.io/cache-options.cache-timeout: "1", bool.service.tyk.io/inbound.cache-options.enable-cache: "true"`, "cache_options", `{"cache_timeout":1,"enable_cache":true}`, `{"cache_timeout":1}`},
		{"nothing of one", `cuegate.dev/override: "{inbound: {}}"`, "cache_options", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := decideWorkload(t, meshEngine(t, "", ""), echo(t, c.annotations, ""), engine.Cluster{})
			if err != nil {
				t.Fatal(err)
			}
			for role, want := range map[string]string{"inbound": c.inbound, "mesh": c.mesh} {
				raw, err := json.Marshal(document(t, d, role)[c.path])
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.TrimPrefix(string(raw), "null"); got != want {
					t.Errorf("%s of %s is %s, want %s", c.path, role, got, want)
				}
			}
		})
	}
	for name, c := range map[string][2]string{
		"twice":                    {`bool.service.tyk.io/mesh.do-not-track: "true", cuegate.dev/override: "mesh.do_not_track: false"`, "override-doubled"},
		"twice, nested":            {`cuegate.dev/override: "{mesh: {do_not_track: true}, mesh.do_not_track: false}"`, "override-doubled"},
		"below a value of one":     {`cuegate.dev/override: "{mesh: {config_data.a: 1}, mesh.config_data.a.b: 2}"`, "override-doubled"},
		"a role alone":             {`string.service.tyk.io/inbound: x`, "override-unknown-path"},
		"a role that is no object": {`cuegate.dev/override: "{mesh: 3}"`, "override-unknown-path"},
		"another role":             {`bool.service.tyk.io/outbound.do-not-track: "true"`, "override-unknown-path"},
		"a role within":            {`bool.service.tyk.io/mesh.mesh.do-not-track: "true"`, "override-unknown-path"},
		"empty key of a role":      {`cuegate.dev/override: '{mesh: {"": 1}}'`, "override-path"},
		"empty part of a role":     {`cuegate.dev/override: '{mesh: {config_data..x: 1}}'`, "override-path"},
		"misspelt of one":          {`bool.service.tyk.io/inbound.do-not-trak: "true"`, "override-unknown-path"},
		"wrong type of one":        {`string.service.tyk.io/inbound.do-not-track: "true"`, "override-type"},
		"identity of one":          {`string.service.tyk.io/mesh.api-id: x`, "override-identity"},
		"mark of one":              {`cuegate.dev/override: "{inbound: {config_data: {cuegate: {owner: x}}}}"`, "override-identity"},
	} {
		d, _ := decideWorkload(t, meshEngine(t, "", ""), echo(t, c[0], ""), engine.Cluster{})
		if ids := strings.Fields(reasonIDs(d.Reasons)); len(ids) == 0 || ids[0] != c[1] {
			t.Errorf("%s: %s %v, want %s", name, d.Outcome, d.Reasons, c[1])
		}
	}
}

// grantingEngine grants every override and waives every check.
func grantingEngine(tb testing.TB, mesh string) *engine.Engine {
	return operatorEngine(tb, "granting\x00"+mesh, fstest.MapFS{"policies/data.yaml": {Data: []byte(`
settings:
  mesh: {` + mesh + `}
  grants:
    - id: everything
      classes: [low, medium, high, critical]
      guards: [external-name, gateway-secret, host-claimed, resource-backend, keyless, upstream-tls, target-loopback, target-link-local,
        target-metadata, target-kubernetes-api, target-other-namespace, target-gateway, target-invalid]
`)}})
}

// securedValues has a value of the right type for each field of what secures the mesh.
var securedValues = map[string]string{
	"domain": `"x"`, "domain_disabled": "true", "listen_port": "1", "protocol": `"http"`, "certificates": `["x"]`, "tags": `["x"]`, "tags_disabled": "true",
	"use_mutual_tls_auth": "false", "client_certificates": `["x"]`,
	"upstream_certificates": `{"*":"x"}`, "upstream_certificates_disabled": "true",
}

var securedOf = map[string][]string{
	"inbound": {"domain", "domain_disabled", "listen_port", "protocol", "certificates", "tags", "tags_disabled", "use_mutual_tls_auth", "client_certificates"},
	"mesh":    {"domain", "domain_disabled", "listen_port", "protocol", "certificates", "tags", "tags_disabled", "upstream_certificates", "upstream_certificates_disabled"},
}

// What secures the mesh is set by nobody: no author, with whatever grant and in whatever
// way, and no policy.
func TestSecuredPaths(t *testing.T) {
	setter := map[byte]string{'"': "string", 't': "bool", 'f': "bool", '1': "num", '[': "array", '{': "object"}
	for _, mode := range tlsModes {
		e := grantingEngine(t, `tls: "`+mode+`"`)
		for role, fields := range securedOf {
			for _, field := range fields {
				value := securedValues[field]
				for _, prefix := range []string{"", role + "."} {
					name := strings.ReplaceAll(prefix+field, "_", "-")
					for _, annotation := range []string{
						fmt.Sprintf("%s.service.tyk.io/%s: '%s'", setter[value[0]], name, strings.Trim(value, `"`)),
						fmt.Sprintf("cuegate.dev/override: '%s%s: %s'", prefix, field, value),
						fmt.Sprintf("cuegate.dev/override: '{%s: {%s: %s}}'", role, field, value),
					} {
						d, err := decideWorkload(t, e, echo(t, annotation, ""), engine.Cluster{})
						if err == nil || reasonIDs(d.Reasons) != "override-secured" {
							t.Errorf("%s, %s: %s %v", mode, annotation, d.Outcome, d.Reasons)
						}
					}
				}
			}
		}
	}
	for field, value := range securedValues {
		policy := operatorEngine(t, "set\x00"+field, fstest.MapFS{"policies/data.yaml": {Data: []byte("settings: {set: [{path: " + field + ", value: " + value + ", id: mine, msg: Mine.}]}\n")}})
		_, _, err := policy.Decide(context.Background(), echo(t, "", ""), engine.Cluster{})
		if err == nil || !strings.Contains(err.Error(), "The policy mine sets "+field) {
			t.Errorf("a policy sets %s: %v", field, err)
		}
	}
}

// TestMeshDefinitions compares whole definitions, and the Service, with golden files.
func TestMeshDefinitions(t *testing.T) {
	server, current, next, previous, ops := newLeaf(t), newLeaf(t), newLeaf(t), newLeaf(t), newLeaf(t)
	around := clusterOf(t,
		namespaceWith(t, "shop", ""),
		meshSecret(t, "tyk", "server", "Deployment/shop/echo", pairs{current: server}),
		meshSecret(t, "tyk", "client", "shop/default", pairs{current, &next, &previous}),
		meshSecret(t, "tyk", "client", "ops/admins", pairs{current: ops}),
	)
	names := strings.NewReplacer(server.id, "SERVER", current.id, "CURRENT", next.id, "NEXT", previous.id, "PREVIOUS", ops.id, "OPS")
	for _, mode := range tlsModes {
		t.Run(mode, func(t *testing.T) {
			o := edited(t, echo(t, "injector.tyk.io/route: /sleep", ""), func(doc map[string]any) {
				doc["metadata"].(map[string]any)["uid"] = "5f1c2f6e-8f5e-4a1e-9a51-5d2a5a1d9c11"
			})
			d, err := decideWorkload(t, meshEngine(t, `callers: [default, ops/admins], tls: "`+mode+`"`, ""), o, around)
			if err != nil || d.Outcome != engine.Managed {
				t.Fatal(d.Outcome, d.Reasons, err)
			}
			var b strings.Builder
			for _, def := range d.Definitions {
				doc := decodeNumbers(t, def.JSON)
				mark := valueAt(doc, "config_data", "cuegate").(map[string]any)
				delete(mark, "hash") // that of ids which are new each time
				for _, list := range []any{doc["client_certificates"], mark["certificates"]} {
					ids, _ := list.([]any)
					slices.SortFunc(ids, func(a, b any) int { return strings.Compare(names.Replace(a.(string)), names.Replace(b.(string))) })
				}
				fmt.Fprintf(&b, "# loaded by sidecars with the tag %s, as %s\n%s\n", def.Scope, def.Listen, names.Replace(indented(t, doc)))
			}
			var service any
			if err := json.Unmarshal(d.Service, &service); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "# Service\n%s\n", indented(t, service))
			for _, id := range d.Identities {
				fmt.Fprintf(&b, "# needs the certificate of %s %s %v\n", id.Role, id.For, id.Names)
			}
			var certificates []string
			for _, c := range d.Certificates {
				certificates = append(certificates, fmt.Sprintf("# certificate %s of %s, public: %v, with a key: %v\n", names.Replace(c.ID), c.Secret, c.Public, bytes.Contains(c.PEM, []byte("PRIVATE"))))
			}
			slices.Sort(certificates)
			b.WriteString(strings.Join(certificates, ""))
			checkStory(t, "testdata/mesh/"+mode+".txt", b.String())
		})
	}
}

func indented(tb testing.TB, v any) string {
	tb.Helper()
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		tb.Fatal(err)
	}
	return string(raw)
}

// While a certificate is missing the sidecar is injected all the same, and what is served
// stays as it is.
func TestPendingCertificates(t *testing.T) {
	server := meshSecret(t, "tyk", "server", "Deployment/shop/echo", pairs{current: newLeaf(t)})
	callers := meshSecret(t, "tyk", "client", "shop/default", pairs{current: newLeaf(t)})
	elsewhere := func(o engine.Object) engine.Object {
		o.Namespace = "shop"
		o.JSON = bytes.Replace(o.JSON, []byte(`"namespace":"tyk"`), []byte(`"namespace":"shop"`), 1)
		return o
	}
	unlabelled := func(o engine.Object) engine.Object {
		o.JSON = bytes.Replace(o.JSON, []byte(`"cuegate.dev/mesh":`), []byte(`"x":`), 1)
		return o
	}
	other := meshSecret(t, "tyk", "server", "StatefulSet/shop/echo", pairs{current: newLeaf(t)})
	const own, client = "server Deployment/shop/echo", "client shop/default"
	for _, c := range []struct {
		name, mode string
		secrets    []engine.Object
		missing    []string
	}{
		{"off needs none", "off", nil, nil},
		{"tls without any", "tls", nil, []string{own}},
		{"tls", "tls", []engine.Object{server}, nil},
		{"mtls without any", "mtls", nil, []string{client, own}},
		{"mtls without that of the callers", "mtls", []engine.Object{server}, []string{client}},
		{"mtls without its own", "mtls", []engine.Object{callers}, []string{own}},
		{"mtls", "mtls", []engine.Object{server, callers}, nil},
		{"Secrets of another namespace", "mtls", []engine.Object{elsewhere(server), elsewhere(callers)}, []string{client, own}},
		{"a Secret without the label", "mtls", []engine.Object{unlabelled(server), callers}, []string{own}},
		{"that of another kind", "tls", []engine.Object{other}, []string{own}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, o := meshEngine(t, `tls: "`+c.mode+`"`, ""), echo(t, "", "")
			d, err := decideWorkload(t, e, o, clusterOf(t, c.secrets...))
			if err != nil {
				t.Fatal(err)
			}
			var missing []string
			for _, r := range d.Reasons {
				if r.ID != "mesh-certificate-pending" {
					t.Errorf("another reason: %v", r)
				}
				missing = append(missing, strings.TrimSuffix(strings.TrimPrefix(r.Msg, "The certificate of the mesh for "), " is not there yet."))
			}
			slices.Sort(missing)
			if diff := cmp.Diff(c.missing, missing); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
			if (d.Outcome == engine.Held) != (c.missing != nil) || d.Patch == nil || (len(d.Identities) > 0) != (c.mode != "off") {
				t.Errorf("%s with %d identities, patch %s", d.Outcome, len(d.Identities), d.Patch)
			}
			// The sidecar is the same, certificates or not.
			after := patched(t, o, d.Patch)
			if again, err := decideWorkload(t, e, after, meshCluster(t)); err != nil || again.Outcome != engine.Managed || again.Patch != nil {
				t.Errorf("with all certificates it is %s: %v, patch %s", again.Outcome, err, again.Patch)
			}
		})
	}
}

// A Secret of the mesh that goes, or says that it is for somebody else, is missed.
func TestSecretsOfTheMeshChange(t *testing.T) {
	server := meshSecret(t, "tyk", "server", "Deployment/shop/echo", pairs{current: newLeaf(t)})
	e, o, n := meshEngine(t, "tls: tls", ""), echo(t, "", ""), engine.NewNeighbours()
	outcome := func() engine.Outcome {
		d, err := decideWorkload(t, e, o, n.Cluster())
		if err != nil {
			t.Fatal(err)
		}
		return d.Outcome
	}
	n.Put(server)
	if got := outcome(); got != engine.Managed {
		t.Errorf("with the Secret it is %s", got)
	}
	moved := server
	moved.JSON = bytes.Replace(server.JSON, []byte("Deployment/shop/echo"), []byte("Deployment/shop/other"), 1)
	n.Put(moved)
	if got := outcome(); got != engine.Held {
		t.Errorf("with the Secret of another it is %s", got)
	}
	n.Put(server)
	n.Delete(server)
	if got := outcome(); got != engine.Held {
		t.Errorf("without the Secret it is %s", got)
	}
}

// clientCertificates gives those that the way in takes.
func clientCertificates(tb testing.TB, d engine.Desired) []string {
	tb.Helper()
	var ids []string
	list, _ := document(tb, d, "inbound")["client_certificates"].([]any)
	for _, id := range list {
		ids = append(ids, id.(string))
	}
	return ids
}

// A client certificate is let in before it is shown and after: its renewal never locks
// callers out, and changes the way in once for each that comes or goes.
func TestRenewalOfClientCertificates(t *testing.T) {
	a, b := newLeaf(t), newLeaf(t)
	e, o := meshEngine(t, "tls: mtls", ""), echo(t, "", "")
	server := meshSecret(t, "tyk", "server", o.Ref.String(), pairs{current: newLeaf(t)})
	var hashes []string
	for _, p := range []struct {
		pairs
		shown leaf
		want  []string
	}{
		{pairs{current: a}, a, []string{a.id}},
		{pairs{current: a, next: &b}, a, []string{a.id, b.id}},
		{pairs{current: b, previous: &a}, b, []string{a.id, b.id}},
		{pairs{current: b, next: &b, previous: &b}, b, []string{b.id}},
		{pairs{current: b, next: &leaf{cert: []byte("no certificate")}}, b, []string{b.id}},
	} {
		d, err := decideWorkload(t, e, o, clusterOf(t, server, meshSecret(t, "tyk", "client", "shop/default", p.pairs)))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(p.want)
		if got := clientCertificates(t, d); !slices.Equal(got, p.want) {
			t.Errorf("let in is %v, want %v", got, p.want)
		}
		if got := document(t, d, "mesh")["upstream_certificates"]; !cmp.Equal(got, any(map[string]any{"echo-mesh.shop:8080": p.shown.id})) {
			t.Errorf("shown is %v, want %s", got, p.shown.id)
		}
		if !slices.Equal(d.Definitions[0].Checked, p.want) {
			t.Errorf("checked are %v", d.Definitions[0].Checked)
		}
		for _, c := range d.Certificates {
			if c.Public && bytes.Contains(c.PEM, []byte("PRIVATE")) {
				t.Errorf("the public certificate %s comes with a key", c.ID)
			}
		}
		hashes = append(hashes, d.Definitions[0].Hash)
	}
	if hashes[1] != hashes[2] || hashes[0] == hashes[1] {
		t.Errorf("the hashes of the way in are %v", hashes)
	}
}

// A template that asks for client certificates of its own keeps them where the mesh has
// none, and is refused where it has.
func TestTemplateWithClientCertificates(t *testing.T) {
	template := fstest.MapFS{"templates/mine.cue": {Data: []byte(`package templates
import "github.com/cuegate/cuegate/cue/template"
templates: partners: template.#Base & {api: {use_mutual_tls_auth: true, client_certificates: ["partner"]}}
`)}}
	for _, mode := range tlsModes {
		template["policies/data.yaml"] = &fstest.MapFile{Data: []byte(`settings: {mesh: {tls: "` + mode + `"}}`)}
		e := operatorEngine(t, "partners\x00"+mode, maps.Clone(template))
		d, _ := decideWorkload(t, e, echo(t, "cuegate.dev/inbound-template: partners", ""), meshCluster(t))
		if mode == "mtls" {
			if reasonIDs(d.Reasons) != "mesh-certificates-doubled" {
				t.Errorf("%s: %s %v", mode, d.Outcome, d.Reasons)
			}
			continue
		}
		if got := clientCertificates(t, d); !slices.Equal(got, []string{"partner"}) || document(t, d, "inbound")["use_mutual_tls_auth"] != true {
			t.Errorf("%s: %v", mode, got)
		}
	}
}

// In the mode mtls nothing is let in without the certificate of a caller.
func TestUnguarded(t *testing.T) {
	const ignored = `object.service.tyk.io/inbound.version-data.versions.Default.extended-paths: '{"ignored":[{"path":"/health","method":"GET"}]}'`
	const cors = `object.service.tyk.io/CORS: '{"enable":true,"options_passthrough":true}'`
	for _, mode := range tlsModes {
		e := grantingEngine(t, `tls: "`+mode+`"`)
		for annotation, field := range map[string]string{
			ignored: "metadata.annotations[object.service.tyk.io/inbound.version-data.versions.Default.extended-paths]",
			cors:    "metadata.annotations[object.service.tyk.io/CORS]",
			strings.Replace(ignored, "inbound", "mesh", 1): "", // callers' own sidecars
		} {
			d, _ := decideWorkload(t, e, echo(t, annotation, ""), meshCluster(t))
			if mode != "mtls" || field == "" {
				if d.Outcome != engine.Managed {
					t.Errorf("%s, %s: %v", mode, annotation, d.Reasons)
				}
				continue
			}
			if reasonIDs(d.Reasons) != "mesh-unguarded" || d.Reasons[0].Field != field {
				t.Errorf("%s: %s %v", annotation, d.Outcome, d.Reasons)
			}
		}
	}
}

// In a namespace that demands authentication the way in must ask for it; the way from
// the mesh need not.
func TestKeylessWorkload(t *testing.T) {
	around := func(labels string) engine.Cluster {
		return clusterOf(t, namespaceWith(t, "shop", labels), meshSecret(t, "tyk", "server", "Deployment/shop/echo", pairs{current: newLeaf(t)}), meshSecret(t, "tyk", "client", "shop/default", pairs{current: newLeaf(t)}))
	}
	const demands = `cuegate.dev/require-authentication: "true"`
	for _, c := range []struct{ name, mode, annotations, labels, want string }{
		{"nobody demands", "off", "", "", ""},
		{"keyless", "off", "", demands, "keyless"},
		{"keyless behind TLS", "tls", "", demands, "keyless"},
		{"token", "off", "cuegate.dev/inbound-template: tokenAuth", demands, ""},
		{"token for callers alone", "off", "cuegate.dev/mesh-template: tokenAuth", demands, "keyless"},
		{"certificates of callers", "mtls", "", demands, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, _ := decideWorkload(t, meshEngine(t, `tls: "`+c.mode+`"`, ""), echo(t, c.annotations, ""), around(c.labels))
			if got := reasonIDs(d.Reasons); got != c.want || (d.Outcome == engine.Managed) != (c.want == "") {
				t.Errorf("%s: %v, want %s", d.Outcome, d.Reasons, c.want)
			}
		})
	}
}

// A host of the mesh that no host can be is the platform team's mistake.
func TestHostOfTheMesh(t *testing.T) {
	for _, host := range []string{"Mesh", "me sh", "*.mesh", "10.0.0.1", "mesh/x", "ü"} {
		e := meshEngine(t, fmt.Sprintf("host: %q", host), "")
		_, _, err := e.Decide(context.Background(), echo(t, "", ""), engine.Cluster{})
		if err == nil || !strings.Contains(err.Error(), "settings.mesh.host") {
			t.Errorf("%s: %v", host, err)
		}
	}
	d, err := decideWorkload(t, meshEngine(t, "host: mesh.internal", ""), echo(t, "", ""), engine.Cluster{})
	if err != nil || document(t, d, "mesh")["domain"] != "mesh.internal" {
		t.Error(d.Reasons, err)
	}
}

// checkGuarded: the way in asks for the certificates of callers, and is where it is to be.
func checkGuarded(tb testing.TB, d engine.Desired, callers []string) {
	tb.Helper()
	doc := document(tb, d, "inbound")
	if got := clientCertificates(tb, d); !slices.Equal(got, callers) || doc["use_mutual_tls_auth"] != true {
		tb.Errorf("let in are %v, not %v; use_mutual_tls_auth is %v", got, callers, doc["use_mutual_tls_auth"])
	}
	for field, want := range map[string]any{"listen_port": json.Number("8080"), "protocol": "https", "domain": "echo-mesh.shop", "tags": []any{"shop.echo"}, "domain_disabled": nil, "tags_disabled": nil} {
		if !cmp.Equal(doc[field], want) {
			tb.Errorf("%s is %v, want %v", field, doc[field], want)
		}
	}
	versions, _ := valueAt(doc, "version_data", "versions").(map[string]any)
	for name, v := range versions {
		if list, _ := valueAt(v, "extended_paths", "ignored").([]any); len(list) > 0 {
			tb.Errorf("version %s ignores %v", name, list)
		}
	}
	for _, def := range d.Definitions[1:] {
		mesh := decodeNumbers(tb, def.JSON)
		if mesh["domain"] != "mesh" || !cmp.Equal(mesh["tags"], any([]any{"mesh.shop.default"})) || mesh["listen_port"] != nil {
			tb.Errorf("the way from the mesh is at %v %v for %v", mesh["domain"], mesh["listen_port"], mesh["tags"])
		}
	}
}

// No annotation whatsoever opens the way in to others than its callers, whatever is
// granted: fields of the definition and odd texts are set in all ways.
func TestNoAnnotationOpensTheMesh(t *testing.T) {
	client := newLeaf(t)
	around := clusterOf(t, meshSecret(t, "tyk", "server", "Deployment/shop/echo", pairs{current: newLeaf(t)}), meshSecret(t, "tyk", "client", "shop/default", pairs{current: client}))
	e := grantingEngine(t, "tls: mtls")
	fields := append(slices.Sorted(maps.Keys(securedValues)), definitionFields(t)...)
	r := mathrand.New(mathrand.NewPCG(3, 4))
	setters := []string{"string", "bool", "num", "object", "array"}
	values := []string{"true", "false", "1", `"x"`, "x", `{}`, `[]`, `["x"]`, `{"*":"x"}`, `{"client_certificates":["x"]}`, `{"use_mutual_tls_auth":false}`, "null", `{"enable":true,"options_passthrough":true}`,
		`[{"path":"/","method":"GET"}]`, `{"Default":{"extended_paths":{"ignored":[{"path":"/"}]}}}`, `{"versions":{"Default":{"name":"Default","paths":{"ignored":["/"]}}}}`}
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	n, managed := 6000, 0
	if testing.Short() {
		n = 500
	}
	for range n {
		annotations := map[string]string{}
		for range 1 + r.IntN(3) {
			path := pick([]string{"", "inbound.", "mesh."}) + pick(fields) + pick([]string{"", "", "", ".0", ".x"})
			value := pick(values)
			switch r.IntN(4) {
			case 0:
				annotations["cuegate.dev/override"] = path + ": " + value
			case 1:
				annotations["cuegate.dev/override"] = "{inbound: {" + strings.TrimPrefix(path, "inbound.") + ": " + value + "}}"
			case 2:
				annotations[pick(setters)+".service.tyk.io/"+strings.ReplaceAll(path, "_", "-")] = value
			case 3:
				annotations[pick([]string{"injector.tyk.io/route", "cuegate.dev/inbound-template", "template.service.tyk.io", "injector.tyk.io/group", "injector.tyk.io/interception"})] = pick([]string{"tokenAuth", "jwt", "default", "/x", "iptables", "inbound", pick(nasty)})
			}
		}
		o := edited(t, echo(t, "", ""), func(doc map[string]any) {
			at := podOf(doc, "metadata", "annotations")
			if r.IntN(2) == 0 {
				at = map[string]any{}
				doc["metadata"].(map[string]any)["annotations"] = at
			}
			for k, v := range annotations {
				at[k] = v
			}
		})
		d, _, err := e.Decide(context.Background(), o, around)
		if err != nil || d.Outcome != engine.Managed {
			continue
		}
		managed++
		if checkGuarded(t, d, []string{client.id}); t.Failed() {
			t.Fatalf("by %q", annotations)
		}
	}
	if managed < n/20 {
		t.Errorf("only %d of %d are managed", managed, n)
	}
}

// definitionFields gives the paths of all fields of a definition; where any key may stand
// it is "Default".
func definitionFields(tb testing.TB) []string {
	tb.Helper()
	text, err := os.ReadFile("internal/schema/testdata/classic-fields.tsv")
	if err != nil {
		tb.Fatal(err)
	}
	var fields []string
	for line := range strings.Lines(string(text)) {
		path, _, ok := strings.Cut(line, "\t")
		if ok && !strings.HasPrefix(path, "#") {
			fields = append(fields, strings.NewReplacer("[]", ".0", "{}", ".Default", "*", "Default").Replace(path))
		}
	}
	if len(fields) < 500 {
		tb.Fatalf("only %d fields", len(fields))
	}
	return fields
}
