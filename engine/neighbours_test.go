package engine_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cuegate/cuegate/engine"
)

// Whatever comes and goes, the view is the one that a cluster of what is left gives:
// decisions and explanations are the same.
func TestNeighboursFollow(t *testing.T) {
	ctx, e := t.Context(), builtinEngine()
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		n := engine.NewNeighbours()
		// A Service that stays: a cluster without any is taken for an unknown one.
		there := map[string]engine.Object{"": object(t, "v1", "Service", "default", "kubernetes", "", `"spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 443}]}`)}
		n.Put(there[""])
		for range 40 {
			o := anyNeighbour(t, random)
			name := o.Ref.String()
			if _, ok := there[name]; ok && random.IntN(3) == 0 {
				delete(there, name)
				n.Delete(engine.Object{Ref: o.Ref, APIVersion: o.APIVersion})
				continue
			}
			there[name] = o
			if r := n.Put(o); r != nil {
				t.Fatal(r.Reason)
			}
		}
		var all []engine.Object
		for _, o := range there {
			all = append(all, o)
		}
		fresh, _ := engine.NewCluster(all)
		for _, o := range all {
			if o.Kind != "Ingress" {
				continue
			}
			want, wantWhy, wantErr := e.Explain(ctx, o, fresh)
			got, gotWhy, gotErr := e.Explain(ctx, o, n.Cluster())
			if diff := cmp.Diff(want, got) + cmp.Diff(wantWhy, gotWhy) + cmp.Diff(fmt.Sprint(wantErr), fmt.Sprint(gotErr)); diff != "" {
				t.Fatalf("seed %d, %s: a view that followed differs from a fresh one (-fresh +followed):\n%s", seed, o.Ref, diff)
			}
		}
	}
}

// anyNeighbour gives one of few names, in one of few states.
func anyNeighbour(t *testing.T, r *rand.Rand) engine.Object {
	ns, name := fmt.Sprintf("ns%d", r.IntN(3)), fmt.Sprintf("x%d", r.IntN(3))
	switch r.IntN(5) {
	case 0:
		return object(t, "v1", "Namespace", "", ns, fmt.Sprintf(`"labels": {"tier": "%d"}`, r.IntN(2)), "")
	case 1:
		return object(t, "networking.k8s.io/v1", "IngressClass", "", name, "", fmt.Sprintf(`"spec": {"controller": "%s"}`,
			[]string{"cuegate.dev/ingress-controller", "example.com/other"}[r.IntN(2)]))
	case 2:
		return object(t, "v1", "Service", ns, name, "", fmt.Sprintf(`"spec": {"clusterIP": "10.0.0.%d", "ports": [{"name": "p%d", "port": 80}]}`, 2+r.IntN(4), r.IntN(2)))
	}
	annotation := ""
	if r.IntN(2) == 0 {
		annotation = fmt.Sprintf(`"annotations": {"string.service.tyk.io/proxy.target-url": "http://%s"}`,
			[]string{"10.0.0.2", "10.0.0.3", "x1.ns1", "x2.ns0.svc"}[r.IntN(4)])
	}
	return object(t, "networking.k8s.io/v1", "Ingress", ns, name, annotation, fmt.Sprintf(`"spec": {"ingressClassName": "x%d", "rules": [{"host": "h%d.example.com",
		"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "x%d", "port": {"name": "p%d"}}}}]}}]}`,
		r.IntN(3), r.IntN(2), r.IntN(3), r.IntN(2)))
}

// object parses a manifest of more metadata and a body, each JSON without its braces.
func object(t *testing.T, apiVersion, kind, namespace, name, metadata, body string) engine.Object {
	t.Helper()
	for _, part := range []*string{&metadata, &body} {
		if *part != "" {
			*part = ", " + *part
		}
	}
	text := fmt.Sprintf(`{"apiVersion": %q, "kind": %q, "metadata": {"name": %q, "namespace": %q%s}%s}`, apiVersion, kind, name, namespace, metadata, body)
	all, rejected := engine.ParseManifests("test", []byte(text))
	if len(rejected) > 0 || len(all) != 1 {
		t.Fatalf("%s: %v", text, rejected)
	}
	return all[0]
}
