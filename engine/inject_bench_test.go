package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/cuegate/cuegate/engine"
)

// stored is a Deployment of the usual size, as an API server sends it to a webhook; its
// name, labels and annotations are its own.
func stored(tb testing.TB, i int) engine.Object {
	tb.Helper()
	text := string(corpus(tb)["server-defaults"].JSON)
	text = strings.ReplaceAll(text, `"echo"`, fmt.Sprintf(`"echo-%d"`, i))
	text = strings.Replace(text, `"kubectl.kubernetes.io/restartedAt"`, fmt.Sprintf(`"example.com/build-%d":"%d","kubectl.kubernetes.io/restartedAt"`, i, i), 1)
	return workload(tb, text)
}

// benchWorkloads is how many distinct workloads are injected in turn.
const benchWorkloads = 4096

// inject is what happens to a workload between the webhook's door and its answer.
func inject(tb testing.TB, e *engine.Engine, o engine.Object, around engine.Cluster) []byte {
	d, _, err := e.Decide(context.Background(), o, around)
	if err != nil || d.Outcome != engine.Managed || d.Patch == nil {
		tb.Fatalf("%s: %v, %v", d.Outcome, err, d.Reasons)
	}
	answer, err := json.Marshal(map[string]any{"allowed": true, "patch": d.Patch})
	if err != nil {
		tb.Fatal(err)
	}
	return answer
}

// BenchmarkInject is one injection, of a workload that was not met before, and of one
// that is injected again and again. It is to cost 1 ms, 250 kB and 3,000 allocations at
// most; BenchmarkInjectFloor, in the same run, is what decoding and encoding the
// Deployment costs alone.
func BenchmarkInject(b *testing.B) {
	for _, mode := range []struct{ name, settings, sidecar string }{
		{"off", "", ""},
		{"mtls", "tls: mtls", ""},
		{"dashboard", "", `config: edition: "dashboard"`},
		{"iptables", "interception: iptables", ""},
	} {
		e := meshEngine(b, mode.settings, mode.sidecar)
		around := meshCluster(b)
		b.Run(mode.name+"/distinct", func(b *testing.B) {
			objects := make([]engine.Object, benchWorkloads)
			for i := range objects {
				objects[i] = stored(b, i)
			}
			inject(b, e, objects[0], around)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				inject(b, e, objects[i%len(objects)], around)
				i++
			}
		})
		b.Run(mode.name+"/same", func(b *testing.B) {
			o := stored(b, 0)
			inject(b, e, o, around)
			b.ReportAllocs()
			for b.Loop() {
				inject(b, e, o, around)
			}
		})
	}
}

// BenchmarkInjectAgain decides about a workload that has its sidecar, as most updates do.
func BenchmarkInjectAgain(b *testing.B) {
	e, o := meshEngine(b, "", ""), stored(b, 0)
	o = settled(b, e, o, engine.Cluster{})
	b.ReportAllocs()
	for b.Loop() {
		if d, _, err := e.Decide(context.Background(), o, engine.Cluster{}); err != nil || d.Patch != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInjectNotAsked decides about one that asks for nothing, as most workloads do.
func BenchmarkInjectNotAsked(b *testing.B) {
	e, o := meshEngine(b, "", ""), stored(b, 0)
	o.JSON = []byte(strings.ReplaceAll(string(o.JSON), "injector.tyk.io/inject", "example.com/inject"))
	b.ReportAllocs()
	for b.Loop() {
		if d, _, err := e.Decide(context.Background(), o, engine.Cluster{}); err != nil || d.Outcome != engine.Ignored {
			b.Fatal(err)
		}
	}
}

// BenchmarkInjectFloor decodes and encodes the same Deployment, and applies nothing.
func BenchmarkInjectFloor(b *testing.B) {
	o := stored(b, 0)
	b.Run("any", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var doc map[string]any
			if err := json.Unmarshal(o.JSON, &doc); err != nil {
				b.Fatal(err)
			}
			if _, err := json.Marshal(doc); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("typed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var doc appsv1.Deployment
			if err := json.Unmarshal(o.JSON, &doc); err != nil {
				b.Fatal(err)
			}
			if _, err := json.Marshal(doc); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("patch", func(b *testing.B) {
		e := meshEngine(b, "", "")
		d, _ := decideWorkload(b, e, o, engine.Cluster{})
		b.ReportAllocs()
		for b.Loop() {
			p, err := jsonpatch.DecodePatch(d.Patch)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := p.Apply(o.JSON); err != nil {
				b.Fatal(err)
			}
		}
	})
}
