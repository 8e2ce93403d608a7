package k8s

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

const shadowObjects = `
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: tyk}
spec: {controller: cuegate.dev/ingress-controller}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: tea, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: tea, namespace: shop}
spec: &spec
  ingressClassName: tyk
  rules:
  - host: tea.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: tea, port: {number: 80}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: closed, namespace: shop}
spec:
  ingressClassName: tyk
  rules:
  - host: closed.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: tea, port: {number: 80}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: foreign, namespace: shop}
spec: {ingressClassName: nginx}
`

// shadowBundle closes one object, and lets other definitions differ in two values, one
// of them secret.
const shadowBundle = `
-- policies/guard/closed.rego --
package cuegate.guard

# METADATA
# title: Closed
# labels:
#   id: closed
deny contains {"id": "closed", "msg": "It is closed."} if input.object.name == "closed"
-- templates/default.cue --
package templates

import "github.com/cuegate/cuegate/cue/template"

templates: default: template.#Base & {
	api: {
		global_rate_limit: {rate: 7, per: 1}
		version_data: versions: Default: global_headers: "X-Api-Key": "hush-hush"
	}
}
`

// decider decides about shadowObjects.
type decider struct {
	mu      sync.Mutex
	engine  *engine.Engine
	cluster engine.Cluster
	objects map[engine.Ref]engine.Object
}

func newDecider(t *testing.T) *decider {
	t.Helper()
	b, err := engine.LoadBundle(t.Context(), cuegate.Builtin(), nil)
	must(t, err)
	objects, rejected := engine.ParseManifests("test", []byte(shadowObjects))
	cluster, bad := engine.NewCluster(objects)
	if len(rejected)+len(bad) > 0 {
		t.Fatal(rejected, bad)
	}
	d := &decider{engine: engine.New(b, engine.Config{ClusterID: "test", OrgID: "o"}), cluster: cluster, objects: map[engine.Ref]engine.Object{}}
	for _, o := range objects {
		if o.Kind == kindIngress {
			d.objects[o.Ref] = o
		}
	}
	return d
}

func (d *decider) both(ctx context.Context, ref engine.Ref, e *engine.Engine) (active, other engine.Desired, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o, ok := d.objects[ref]
	if !ok {
		return active, other, false
	}
	active, _, _ = d.engine.Decide(ctx, o, d.cluster)
	other, _, _ = e.Decide(ctx, o, d.cluster)
	return active, other, true
}

func (d *decider) explain(ctx context.Context, ref engine.Ref) (engine.Explanation, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o, ok := d.objects[ref]
	if !ok {
		return engine.Explanation{}, false
	}
	_, x, _ := d.engine.Explain(ctx, o, d.cluster)
	return x, true
}

func startShadow(t *testing.T, dir string, d *decider) *shadow {
	t.Helper()
	s := newShadow(shadowOptions{
		Builtin: cuegate.Builtin(), Dir: dir, Engine: engine.Config{ClusterID: "test", OrgID: "o"},
		Decide: d.both, Metrics: newMetrics("", ""), Log: slog.New(slog.DiscardHandler),
	})
	s.bundles.o.quiet, s.bundles.o.again = 10*time.Millisecond, 50*time.Millisecond
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	return s
}

func TestShadow(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, shadowBundle)
	d := newDecider(t)
	s := startShadow(t, dir, d)
	for ref := range d.objects {
		s.decided(ref)
	}
	eventually(t, "all are compared", func() bool { return s.view(t.Context()).Compared == 3 })
	v := s.view(t.Context())
	// The secret of the definitions is in neither of them.
	text, err := json.MarshalIndent(v, "", "  ")
	must(t, err)
	if strings.Contains(string(text), "hush") {
		t.Errorf("a secret is shown:\n%s", text)
	}
	var names []string
	for _, o := range v.Objects {
		names = append(names, o.Object+" "+strings.Join(o.Differs, ","))
	}
	if got := strings.Join(names, "; "); got != "Ingress/shop/closed outcome,template,definitions,reasons; Ingress/shop/tea definitions" {
		t.Errorf("what differs is %s", got)
	}
	if v.Different != 2 || v.Waiting != 0 || v.Bundle.Digest == "" {
		t.Errorf("view is %s", text)
	}
	closed := v.Objects[0]
	if closed.Active.Outcome != engine.Managed || closed.Shadow.Outcome != engine.Held || !slices.Equal(closed.Shadow.Reasons, []string{"closed"}) {
		t.Errorf("closed is %+v", closed)
	}
	var paths []string
	for _, x := range v.Objects[1].Values {
		paths = append(paths, x.Path+": "+string(x.Active)+" "+string(x.Shadow))
	}
	if got := strings.Join(paths, "; "); !strings.Contains(got, "global_rate_limit.rate: ") || !strings.Contains(got, `global_headers.X-Api-Key:  "[redacted]"`) {
		t.Errorf("values that differ: %s", got)
	}
	counts := func(want ...float64) func() bool {
		return func() bool {
			for k, n := range want {
				if testutil.ToFloat64(s.o.Metrics.shadowDifferences.WithLabelValues(kindNames[k])) != n {
					return false
				}
			}
			return true
		}
	}
	if !counts(1, 1, 2, 1)() {
		t.Errorf("counts are %v", s.counts)
	}

	// An object that is gone does not differ any more.
	ref := engine.Ref{Kind: "Ingress", Namespace: "shop", Name: "closed"}
	d.mu.Lock()
	delete(d.objects, ref)
	d.mu.Unlock()
	s.gone(ref)
	eventually(t, "counts without it", counts(0, 0, 1, 0))

	// A broken bundle leaves the comparison as it is.
	write(t, dir, "-- templates/default.cue --\npackage templates\n\ntemplates: {\n")
	eventually(t, "it is refused", func() bool { return testutil.ToFloat64(s.o.Metrics.shadowBroken) == 1 })
	if v := s.view(t.Context()); v.Compared != 2 || v.Bundle.Problems == 0 {
		t.Errorf("view is %+v", v)
	}

	// With another everything is compared again.
	must(t, os.RemoveAll(filepath.Join(dir, "templates")))
	eventually(t, "nothing differs", func() bool { return counts(0, 0, 0, 0)() && s.view(t.Context()).Compared == 2 })
	if testutil.ToFloat64(s.o.Metrics.shadowBroken) != 0 {
		t.Error("still broken")
	}
}

func TestShadowWaitsForItsBundle(t *testing.T) {
	dir := t.TempDir()
	d := newDecider(t)
	s := startShadow(t, dir, d)
	eventually(t, "it is broken", func() bool { return s.view(t.Context()).Bundle.Problems > 0 })
	for ref := range d.objects {
		s.decided(ref)
		s.decided(ref)
	}
	eventually(t, "nobody waits", func() bool { return s.view(t.Context()).Waiting == 0 })
	write(t, dir, shadowBundle)
	eventually(t, "all are compared", func() bool { return s.view(t.Context()).Compared == 3 })
}

func TestDifferentValues(t *testing.T) {
	active := `{"a":1,"b":{"x.y":"z","list":[1,2,3],"same":null},"gone":[],"config_data":{"cuegate":{"hash":"h1"},"own":1}}`
	other := `{"a":2,"b":{"x.y":"w","list":[1,3],"same":null},"new":{},"config_data":{"cuegate":{"hash":"h2"},"own":2}}`
	var got []string
	for _, v := range differentValues("id", []byte(active), []byte(other)) {
		got = append(got, v.Path+": "+string(v.Active)+" -> "+string(v.Shadow))
	}
	want := []string{
		"a: 1 -> 2",
		"b.list.1: 2 -> 3",
		"b.list.2: 3 -> ",
		`b.x\.y: "z" -> "w"`,
		"config_data.own: 1 -> 2",
		"gone: [] -> ",
		"new:  -> {}",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
