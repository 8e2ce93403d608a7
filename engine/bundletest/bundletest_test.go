package bundletest_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
	"github.com/cuegate/cuegate/engine/bundletest"
)

const denyRule = `package cuegate.guard

# METADATA
# title: Internal hosts
deny contains {"id": "internal", "msg": "Internal.", "field": route.field} if {
	some route in input.routes
	endswith(route.host, ".internal")
}
`

const denyTest = `package cuegate.guard_test

import data.cuegate.guard
import data.cuegate.testing

test_internal if {
	"internal" in testing.ids(guard.deny) with input as testing.with_route({"host": "a.internal"})
}
`

const shopTemplate = `package templates

import "github.com/cuegate/cuegate/cue/template"

templates: [string]: template.#Template

templates: shop: template.#Base & {
	in: _
	if in.path == "/pay" {
		api: use_keyless: false
	}
}
`

const ingress = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %s, namespace: shop, annotations: {kubernetes.io/ingress.class: tyk, template.service.tyk.io: shop}}
spec: {rules: [{host: %s, http: {paths: [{path: %s, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}}]}
`

func operator() fstest.MapFS {
	return fstest.MapFS{
		"policies/guard/deny.rego":      {Data: []byte(denyRule)},
		"policies/guard/deny_test.rego": {Data: []byte(denyTest)},
		"templates/shop.cue":            {Data: []byte(shopTemplate)},
	}
}

func load(t *testing.T, operator fs.FS) *engine.Bundle {
	t.Helper()
	b, err := engine.LoadBundle(t.Context(), cuegate.Builtin(), operator)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decide decides an Ingress with a bundle.
func decide(t *testing.T, b *engine.Bundle, name, host, path string) engine.Outcome {
	t.Helper()
	objects, rejected := engine.ParseManifests("a.yaml", fmt.Appendf(nil, ingress, name, host, path))
	if len(rejected) > 0 {
		t.Fatal(rejected)
	}
	cluster, _ := engine.NewCluster(objects)
	d, _, _ := engine.New(b, engine.Config{}).Decide(t.Context(), objects[0], cluster)
	return d.Outcome
}

// What Rego tests and decisions use is told, whichever of them did it, and also when they
// run side by side.
func TestCoverage(t *testing.T) {
	files := operator()
	b := load(t, files)
	c := bundletest.NewCoverage()
	tests, err := bundletest.RunRego(t.Context(), b, nil, c)
	if err != nil || len(tests) != 1 || len(tests[0].Failures) > 0 {
		t.Fatalf("got %v, %v", tests, err)
	}
	report := func() string {
		t.Helper()
		all, err := c.Report(b, cuegate.Builtin(), files, false)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for _, x := range all {
			fmt.Fprintf(&text, "%s %s %d/%d %s\n", x.Kind, x.At, x.Used, x.Ways, x.Missing)
		}
		return text.String()
	}
	want := `rule policies/guard/deny.rego:5:1: cuegate.guard.deny (Internal hosts) 1/1 
template templates/shop.cue:7:12: shop 0/1 never chosen
branch templates/shop.cue:9:5: if in.path == "/pay" 0/2 never reached
`
	if diff := cmp.Diff(want, report()); diff != "" {
		t.Errorf("of Rego tests (-want +got):\n%s", diff)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if outcome := decide(t, c.Watch(b), fmt.Sprint("pay-", i), "shop.example.com", "/pay"); outcome != engine.Managed {
				t.Errorf("the Ingress is %s", outcome)
			}
		})
	}
	wg.Wait()
	want = strings.NewReplacer("0/1 never chosen", "1/1 ", "0/2 never reached", "1/2 never false").Replace(want)
	if diff := cmp.Diff(want, report()); diff != "" {
		t.Errorf("of decisions too (-want +got):\n%s", diff)
	}
}

// Every mutant that loads decides or tests otherwise somewhere; here, where these objects
// and the test look.
func TestMutants(t *testing.T) {
	files := operator()
	files["schema/objects.cue"] = &fstest.MapFile{Data: []byte("package schema\n\n#Ingress: {metadata: {name: !=\"bad\", ...}, ...}\n")}
	b := load(t, files)
	all, err := bundletest.Mutants(files)
	if err != nil {
		t.Fatal(err)
	}
	answers := func(b *engine.Bundle) string {
		t.Helper()
		tests, err := bundletest.RunRego(t.Context(), b, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(tests)
		for _, o := range [][3]string{
			{"pay", "shop.example.com", "/pay"}, {"open", "open.example.com", "/"}, {"internal", "a.internal", "/"},
			{"bad", "bad.example.com", "/"}, {"badx", "badx.example.com", "/"},
		} {
			objects, _ := engine.ParseManifests("a.yaml", fmt.Appendf(nil, ingress, o[0], o[1], o[2]))
			cluster, _ := engine.NewCluster(objects)
			d, _, _ := engine.New(b, engine.Config{}).Decide(t.Context(), objects[0], cluster)
			text += fmt.Sprintf("%s: %s %v\n", o[0], d.Outcome, d.Reasons)
			for _, def := range d.Definitions {
				text += string(def.JSON)
			}
		}
		return text
	}
	before := answers(b)
	places := map[string]int{}
	for _, m := range all {
		places[m.At.File]++
		changed, err := m.Load(t.Context(), b, cuegate.Builtin(), files)
		var broken *engine.BundleError
		if errors.As(err, &broken) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if answers(changed) == before {
			t.Errorf("%s: %s: nothing is otherwise", m.At, m.What)
		}
	}
	for _, name := range []string{"policies/guard/deny.rego", "templates/shop.cue", "schema/objects.cue"} {
		if places[name] == 0 {
			t.Errorf("%s has no mutant: %v", name, places)
		}
	}
	if answers(b) != before {
		t.Error("the bundle itself was changed")
	}
}

// What does not compile is said with its place.
func TestRunRegoBroken(t *testing.T) {
	files := operator()
	files["policies/guard/other_test.rego"] = &fstest.MapFile{Data: []byte("package cuegate.guard_test\n\ntest_x if input.hots == 1\n")}
	_, err := bundletest.RunRego(t.Context(), load(t, files), nil, nil)
	var broken *engine.BundleError
	if !errors.As(err, &broken) || !strings.HasPrefix(err.Error(), "policies/guard/other_test.rego:3:") {
		t.Errorf("got %v", err)
	}
}

// What one change costs before any test is run: of a rule, and of a template.
func BenchmarkMutantLoad(b *testing.B) {
	files := operator()
	bundle, err := engine.LoadBundle(b.Context(), cuegate.Builtin(), files)
	if err != nil {
		b.Fatal(err)
	}
	all, err := bundletest.Mutants(files)
	if err != nil {
		b.Fatal(err)
	}
	for name, m := range map[string]bundletest.Mutant{"rule": all[0], "template": all[len(all)-1]} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := m.Load(b.Context(), bundle, cuegate.Builtin(), files); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
