package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"testing"
	"text/template"
	"time"

	"github.com/tidwall/sjson"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

// builtinEngine decides by the built-in bundle alone.
var builtinEngine = sync.OnceValue(func() *engine.Engine {
	bundle, err := engine.LoadBundle(context.Background(), cuegate.Builtin(), nil)
	if err != nil {
		panic(err)
	}
	return engine.New(bundle, engine.Config{ClusterID: "test", OrgID: "default"})
})

// neighbours is what a route to tea-svc in namespace cafe needs around it, so
// that nothing is warned of.
const neighbours = `
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: tyk}
spec: {controller: cuegate.dev/ingress-controller}
---
apiVersion: v1
kind: Namespace
metadata: {name: cafe, labels: {kubernetes.io/metadata.name: cafe}}
---
apiVersion: v1
kind: Service
metadata: {name: tea-svc, namespace: cafe}
spec: {ports: [{port: 80}]}
`

func neighbourObjects(tb testing.TB) []engine.Object {
	tb.Helper()
	objects, rejected := engine.ParseManifests("neighbours.yaml", []byte(neighbours))
	if len(rejected) > 0 {
		tb.Fatal(rejected)
	}
	return objects
}

func neighbourhood(tb testing.TB, more ...engine.Object) engine.Cluster {
	tb.Helper()
	cluster, rejected := engine.NewCluster(append(neighbourObjects(tb), more...))
	if len(rejected) > 0 {
		tb.Fatal(rejected)
	}
	return cluster
}

// routed is an Ingress with one route, as a map, for callers to add to.
func routed(name, host, path, pathType string, annotations map[string]string) map[string]any {
	return map[string]any{
		"apiVersion": "networking.k8s.io/v1",
		"kind":       "Ingress",
		"metadata": map[string]any{
			"name": name, "namespace": "cafe", "annotations": annotations,
			"creationTimestamp": "2026-03-04T05:06:07Z",
		},
		"spec": map[string]any{
			"ingressClassName": "tyk",
			"rules": []any{map[string]any{"host": host, "http": map[string]any{"paths": []any{map[string]any{
				"path": path, "pathType": pathType,
				"backend": map[string]any{"service": map[string]any{"name": "tea-svc", "port": map[string]any{"number": 80}}},
			}}}}},
		},
	}
}

func ingressObject(tb testing.TB, doc map[string]any) engine.Object {
	tb.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		tb.Fatal(err)
	}
	name, _ := doc["metadata"].(map[string]any)["name"].(string)
	return engine.Object{
		Ref:        engine.Ref{Kind: "Ingress", Namespace: "cafe", Name: name},
		APIVersion: "networking.k8s.io/v1", JSON: raw,
	}
}

func teaIngress(tb testing.TB, name string, annotations map[string]string) engine.Object {
	tb.Helper()
	return ingressObject(tb, routed(name, name+".example.com", "/tea", "Prefix", annotations))
}

// decideOne decides about an Ingress that must be managed, with one definition.
func decideOne(tb testing.TB, e *engine.Engine, o engine.Object, around engine.Cluster) (engine.Desired, engine.Definition) {
	tb.Helper()
	d, _, err := e.Decide(context.Background(), o, around)
	if err != nil {
		tb.Fatal(err)
	}
	if d.Outcome != engine.Managed || len(d.Definitions) != 1 {
		tb.Fatalf("%s is %s with %d definitions: %v", o.Ref, d.Outcome, len(d.Definitions), d.Reasons)
	}
	return d, d.Definitions[0]
}

// overridden is tokenAuth with three overrides, each by a setter of another kind.
var overridden = map[string]string{
	"template.service.tyk.io":                             "tokenAuth",
	"string.service.tyk.io/proxy.target-url":              "https://httpbin.org",
	"num.service.tyk.io/cache-options.cache-timeout":      "60",
	"object.service.tyk.io/version-data.versions.Default": `{"extended_paths":{"hard_timeouts":[{"path":"/","method":"GET","timeout":60}]}}`,
}

func BenchmarkLoadBundle(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := engine.LoadBundle(context.Background(), cuegate.Builtin(), nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecide decides about one route over and over. BenchmarkOldWay and
// BenchmarkMarshalFloor make the definition of "tokenAuth with 3 overrides": the
// three times are to be compared within one run.
func BenchmarkDecide(b *testing.B) {
	for _, bench := range []struct {
		name        string
		annotations map[string]string
	}{
		{"default", nil},
		{"tokenAuth with 3 overrides", overridden},
		{"legacy", map[string]string{"template.service.tyk.io": "legacy"}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			e, around, o := builtinEngine(), neighbourhood(b), teaIngress(b, "tea", bench.annotations)
			decideOne(b, e, o, around)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := e.Decide(context.Background(), o, around); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecideRoutes decides about an Ingress with several routes: all but the first
// are to cost much less than that.
func BenchmarkDecideRoutes(b *testing.B) {
	for _, n := range []int{1, 2, 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			doc := routed("tea", "tea.example.com", "/tea", "Prefix", nil)
			http := doc["spec"].(map[string]any)["rules"].([]any)[0].(map[string]any)["http"].(map[string]any)
			first := http["paths"].([]any)[0].(map[string]any)
			for i := range n - 1 {
				next := maps.Clone(first)
				next["path"] = fmt.Sprintf("/tea/%d", i)
				http["paths"] = append(http["paths"].([]any), next)
			}
			e, around, o := builtinEngine(), neighbourhood(b), ingressObject(b, doc)
			b.ReportAllocs()
			for b.Loop() {
				d, _, err := e.Decide(context.Background(), o, around)
				if err != nil || len(d.Definitions) != n {
					b.Fatalf("%d definitions, %v", len(d.Definitions), err)
				}
			}
		})
	}
}

func BenchmarkDecideExplain(b *testing.B) {
	e, around, o := builtinEngine(), neighbourhood(b), teaIngress(b, "tea", overridden)
	decideOne(b, e, o, around)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := e.Explain(context.Background(), o, around); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecideAndPlan12000 is what a start costs: every object is decided
// about and nothing is live.
func BenchmarkDecideAndPlan12000(b *testing.B) {
	n := 12000
	if testing.Short() {
		n = 600
	}
	objects := make([]engine.Object, n)
	for i := range objects {
		objects[i] = teaIngress(b, fmt.Sprintf("tea-%05d", i), nil)
	}
	e, around := builtinEngine(), neighbourhood(b, objects...)
	decideOne(b, e, objects[0], around)
	b.ReportAllocs()
	for b.Loop() {
		want := make([]engine.Desired, n)
		for i, o := range objects {
			d, _, err := e.Decide(context.Background(), o, around)
			if err != nil {
				b.Fatal(err)
			}
			want[i] = d
		}
		plan, conflicts := engine.MakePlan(want, nil)
		if len(plan.Changes) != n || len(conflicts) > 0 {
			b.Fatalf("%d changes and %d conflicts", len(plan.Changes), len(conflicts))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/object")
}

// BenchmarkReplanUnchanged12000 is what a change elsewhere costs, when the
// decisions about all other objects are still at hand. It is to stay below 50 ms.
func BenchmarkReplanUnchanged12000(b *testing.B) {
	const n = 12000
	want, live := manyUnchanged(b, n)
	b.ReportAllocs()
	for b.Loop() {
		plan, conflicts := engine.MakePlan(want, live)
		if plan.Unchanged != n || len(plan.Changes) > 0 || len(conflicts) > 0 {
			b.Fatalf("%d unchanged, %d changes and %d conflicts", plan.Unchanged, len(plan.Changes), len(conflicts))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/plan")
}

// manyUnchanged repeats one decision under other names, hosts and ages.
func manyUnchanged(tb testing.TB, n int) ([]engine.Desired, []engine.Live) {
	first, def := decideOne(tb, builtinEngine(), teaIngress(tb, "tea", nil), neighbourhood(tb))
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	want, live := make([]engine.Desired, n), make([]engine.Live, n)
	for i := range n {
		mine := def
		mine.ID = fmt.Sprintf("%032x", (i*7919)%n)
		mine.Match = fmt.Sprintf("tea-%05d.example.com ^ /tea", i)
		mine.Listen = fmt.Sprintf("tea-%05d.example.com/tea{path_prefix:(?:/|$)}", i)
		d := first
		d.Object.Namespace, d.Object.Name = fmt.Sprintf("team-%02d", i%40), fmt.Sprintf("tea-%05d", i)
		d.Created = start.Add(time.Duration(i*7919%n) * time.Minute).Format(time.RFC3339)
		d.Definitions = []engine.Definition{mine}
		want[i] = d
		live[n-1-i] = engine.Live{ID: mine.ID, Owner: d.Object, Match: mine.Match, Listen: mine.Listen, Hash: mine.Hash}
	}
	return want, live
}

// The old way: the text of the definition with holes, overrides by sjson, and
// the outcome decoded into a map. Nothing is validated and nothing decided.

var oldTemplate = template.Must(template.New("api").Parse(`{
  "name": "{{.Name}}{{range .Tags}} #{{.}}{{end}}",
  "slug": "{{.Slug}}",
  "api_id": "{{.ID}}",
  "org_id": "{{.Org}}",
  "active": true,
  "use_keyless": false,
  "use_standard_auth": true,
  "auth": {"auth_header_name": "Authorization"},
  "auth_configs": {"authToken": {"auth_header_name": "Authorization"}},
  "domain": "{{.Domain}}",
  "tags": [{{range $i, $tag := .Tags}}{{if $i}}, {{end}}"{{$tag}}"{{end}}],
  "certificates": [{{range $i, $id := .Certificates}}{{if $i}}, {{end}}"{{$id}}"{{end}}],
  "config_data": {},
  "disable_rate_limit": true,
  "disable_quota": true,
  "proxy": {
    "listen_path": "{{.ListenPath}}",
    "target_url": "{{.Target}}",
    "strip_listen_path": false,
    "preserve_host_header": false,
    "disable_strip_slash": true
  },
  "version_data": {
    "not_versioned": true,
    "versions": {"Default": {"name": "Default", "use_extended_paths": true}}
  }
}`))

// oldRoute is what the text has holes for.
type oldRoute struct {
	ID, Org, Name, Slug, Domain, ListenPath, Target string
	Tags, Certificates                              []string
}

func (r oldRoute) definition() (map[string]any, error) {
	var text bytes.Buffer
	if err := oldTemplate.Execute(&text, r); err != nil {
		return nil, err
	}
	doc := text.Bytes()
	var err error
	if doc, err = sjson.SetBytes(doc, "proxy.target_url", "https://httpbin.org"); err != nil {
		return nil, err
	}
	if doc, err = sjson.SetRawBytes(doc, "cache_options.cache_timeout", []byte("60")); err != nil {
		return nil, err
	}
	hard := []byte(`{"hard_timeouts":[{"path":"/","method":"GET","timeout":60}]}`)
	if doc, err = sjson.SetRawBytes(doc, "version_data.versions.Default.extended_paths", hard); err != nil {
		return nil, err
	}
	var api map[string]any
	err = json.Unmarshal(doc, &api)
	return api, err
}

// floorDefinition is the same definition as Go types.
type floorDefinition struct {
	Active       bool                 `json:"active"`
	APIID        string               `json:"api_id"`
	Auth         floorAuth            `json:"auth"`
	AuthConfigs  map[string]floorAuth `json:"auth_configs"`
	CacheOptions struct {
		CacheTimeout int `json:"cache_timeout"`
	} `json:"cache_options"`
	Certificates     []string       `json:"certificates"`
	ConfigData       map[string]any `json:"config_data"`
	DisableQuota     bool           `json:"disable_quota"`
	DisableRateLimit bool           `json:"disable_rate_limit"`
	Domain           string         `json:"domain"`
	Name             string         `json:"name"`
	OrgID            string         `json:"org_id"`
	Proxy            struct {
		DisableStripSlash  bool   `json:"disable_strip_slash"`
		ListenPath         string `json:"listen_path"`
		PreserveHostHeader bool   `json:"preserve_host_header"`
		StripListenPath    bool   `json:"strip_listen_path"`
		TargetURL          string `json:"target_url"`
	} `json:"proxy"`
	Slug            string   `json:"slug"`
	Tags            []string `json:"tags"`
	UseKeyless      bool     `json:"use_keyless"`
	UseStandardAuth bool     `json:"use_standard_auth"`
	VersionData     struct {
		NotVersioned bool                    `json:"not_versioned"`
		Versions     map[string]floorVersion `json:"versions"`
	} `json:"version_data"`
}

type floorAuth struct {
	AuthHeaderName string `json:"auth_header_name"`
}

type floorVersion struct {
	ExtendedPaths struct {
		HardTimeouts []struct {
			Method  string `json:"method"`
			Path    string `json:"path"`
			Timeout int    `json:"timeout"`
		} `json:"hard_timeouts"`
	} `json:"extended_paths"`
	Name             string `json:"name"`
	UseExtendedPaths bool   `json:"use_extended_paths"`
}

// overriddenDefinition is what Decide makes of the benchmarks' Ingress, decoded
// and without the ownership mark, which the old way did not know.
func overriddenDefinition(tb testing.TB) map[string]any {
	tb.Helper()
	_, def := decideOne(tb, builtinEngine(), teaIngress(tb, "tea", overridden), neighbourhood(tb))
	var api map[string]any
	if err := json.Unmarshal(def.JSON, &api); err != nil {
		tb.Fatal(err)
	}
	delete(api["config_data"].(map[string]any), "cuegate")
	return api
}

func oldRouteOf(api map[string]any) oldRoute {
	text := func(key string) string { s, _ := api[key].(string); return s }
	listen, _ := api["proxy"].(map[string]any)["listen_path"].(string)
	return oldRoute{
		ID: text("api_id"), Org: text("org_id"), Name: "tea:tea-svc", Slug: text("slug"), Domain: text("domain"),
		ListenPath: listen, Target: "http://tea-svc.cafe:80", Tags: []string{"ingress"},
	}
}

func floorOf(tb testing.TB, api map[string]any) floorDefinition {
	tb.Helper()
	raw, err := json.Marshal(api)
	if err != nil {
		tb.Fatal(err)
	}
	var floor floorDefinition
	if err := json.Unmarshal(raw, &floor); err != nil {
		tb.Fatal(err)
	}
	return floor
}

// TestBenchmarksMakeTheSameDefinition keeps the comparison honest.
func TestBenchmarksMakeTheSameDefinition(t *testing.T) {
	want := overriddenDefinition(t)
	old, err := oldRouteOf(want).definition()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(floorOf(t, want))
	if err != nil {
		t.Fatal(err)
	}
	var floor map[string]any
	if err := json.Unmarshal(raw, &floor); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]map[string]any{"old way": old, "floor": floor} {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%v\nwant\n%v", name, got, want)
		}
	}
}

func BenchmarkOldWay(b *testing.B) {
	route := oldRouteOf(overriddenDefinition(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := route.definition(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMarshalFloor(b *testing.B) {
	floor := floorOf(b, overriddenDefinition(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(floor); err != nil {
			b.Fatal(err)
		}
	}
}
