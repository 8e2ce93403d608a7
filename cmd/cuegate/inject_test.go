package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate/engine"
)

// builtinBundle is loaded once for all tests.
var builtinBundle = sync.OnceValues(func() (*engine.Bundle, error) { return loadBundle(context.Background(), "") })

// injectInto runs inject --services, or --remove --services, on a file.
func injectInto(t testing.TB, data []byte, remove bool) (*injection, []byte) {
	t.Helper()
	bundle, err := builtinBundle()
	if err != nil {
		t.Fatal(err)
	}
	l := &loaded{engine: engine.New(bundle, config{ClusterID: "default", OrgID: "default"}.engine())}
	l.parse("in.yaml", data)
	l.dropRepeated()
	l.cluster, _ = engine.NewCluster(l.objects)
	i := &injection{loaded: l, services: true, namespace: "default", changes: map[where]*change{}}
	step := i.decide
	if remove {
		step = i.remove
	}
	if err := step(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := i.write(&out); err != nil {
		t.Fatal(err)
	}
	return i, out.Bytes()
}

// objectsOf gives the objects of a file, without its Services of the mesh, by their
// names. apply does to each what is to be done.
func objectsOf(t testing.TB, data []byte, apply func(engine.Object) []byte) map[string]any {
	t.Helper()
	objects, _ := engine.ParseManifests("out.yaml", data)
	all := map[string]any{}
	for _, o := range objects {
		key := o.APIVersion + " " + o.String()
		if isMeshService(o) || all[key] != nil {
			continue // what is there twice is left alone the second time
		}
		var v any
		if err := json.Unmarshal(apply(o), &v); err != nil {
			t.Fatalf("%s: %v", o.Ref, err)
		}
		all[key] = withoutEmpty(v)
	}
	return all
}

// withoutEmpty leaves out what means the same as nothing to Kubernetes.
func withoutEmpty(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			e = withoutEmpty(e)
			if m, isMap := e.(map[string]any); e == nil || isMap && len(m) == 0 {
				delete(v, k)
				continue
			}
			v[k] = e
		}
	case []any:
		if len(v) == 0 {
			return nil
		}
		for i := range v {
			v[i] = withoutEmpty(v[i])
		}
	}
	return v
}

func asItIs(o engine.Object) []byte { return o.JSON }

// checkInjection holds the output of inject to what was decided: every object is what the
// patch makes of it, by another implementation of JSON Patch, and a second run changes
// nothing. It gives the output.
func checkInjection(t testing.TB, data []byte) (*injection, []byte) {
	t.Helper()
	before, out := injectInto(t, data, false)
	patched := objectsOf(t, data, func(o engine.Object) []byte {
		d, _, _ := before.engine.Decide(t.Context(), o, before.cluster)
		if d.Patch == nil || slices.ContainsFunc(before.doc.Refused, func(r reasonEntry) bool { return r.ID == unwritable }) {
			return o.JSON
		}
		p, err := jsonpatch.DecodePatch(d.Patch)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := p.Apply(o.JSON)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	})
	if diff := cmp.Diff(patched, objectsOf(t, out, asItIs)); diff != "" {
		t.Errorf("the objects are not what the patches make of them (-want +got):\n%s\n%s", diff, out)
	}
	again, same := injectInto(t, out, false)
	if !bytes.Equal(out, same) || len(again.changed) > 0 {
		t.Errorf("a second run changes something (-first +second):\n%s", cmp.Diff(string(out), string(same)))
	}
	return before, out
}

// Manifests in all kinds of writing, and lines that must be there, as they are, when the
// sidecar is in.
var injectable = map[string]struct {
	in   string
	kept []string
}{
	"indented lists, comments": {`# About the shop.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop # not a stall
spec:
  # Two of them.
  replicas: 2
  selector:
    matchLabels:
      app: shop
  template:
    metadata:
      labels:
        app: shop
      annotations:
        # We want it.
        injector.tyk.io/inject: "true"
    spec:
      containers:
        # The shop itself.
        - name: shop
          image: 'example.com/shop:1'
          ports:
            - containerPort: 3000 # as always
      # The end.
`, []string{"# About the shop.", "  name: shop # not a stall", "  # Two of them.", "        # We want it.", "        # The shop itself.",
		"          image: 'example.com/shop:1'", "            - containerPort: 3000 # as always", "      # The end."}},
	"lists below their key, four spaces": {`apiVersion: apps/v1
kind: StatefulSet
metadata:
    name: shop
spec:
    selector:
        matchLabels:
            app: shop
    template:
        metadata:
            annotations:
                injector.tyk.io/inject: "yes"
        spec:
            containers:
            - name: shop
              image: example.com/shop:1
              ports:
              - containerPort: 3000
            initContainers:
            - name: first
              image: example.com/first:1
`, []string{"            app: shop", "                injector.tyk.io/inject: \"yes\""}},
	"flow": {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: shop}, spec: {selector: {matchLabels: {app: shop}}, template: {metadata: {annotations: {injector.tyk.io/inject: "on", injector.tyk.io/port: "3000"}}, spec: {containers: [{name: shop, image: "example.com/shop:1"}]}}}}
`, []string{"      containers: [{name: shop, image: \"example.com/shop:1\"}]", "  selector: {matchLabels: {app: shop}}"}},
	"inline document":                {"--- # the shop\n" + block + "--- {apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {a: \"1\"}}\n", []string{"--- # the shop", "--- {apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {a: \"1\"}}"}},
	"document in the line of dashes": {"--- {apiVersion: apps/v1, kind: Deployment, metadata: {name: shop}, spec: {selector: {matchLabels: {app: shop}}, template: {metadata: {annotations: {injector.tyk.io/inject: \"on\", injector.tyk.io/port: \"3000\"}}, spec: {containers: [{name: c, image: i}]}}}}\n---\n# nothing\n", []string{"---", "# nothing"}},
	"aliases and merges": {`apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
  labels: &labels
    app: shop
  annotations: &wish {injector.tyk.io/inject: "true"}
spec:
  selector:
    matchLabels: *labels
  template:
    metadata:
      annotations: *wish
      labels:
        <<: *labels
        tier: front
    spec:
      containers:
      - name: shop
        ports: [{containerPort: 3000}]
        <<: [&image {image: example.com/shop:1}]
      - name: other
        <<: *image
`, []string{"        tier: front"}},
	"one List with a template that two share": {`apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: a}
  spec: &spec
    selector: {matchLabels: {app: a}}
    template:
      metadata: {annotations: {injector.tyk.io/inject: "true", injector.tyk.io/port: "3000"}}
      spec: {containers: [{name: c, image: i}]}
- apiVersion: apps/v1
  kind: DaemonSet
  metadata: {name: b}
  spec: *spec
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: c}
`, []string{"  metadata: {name: c}"}},
	"typed list": {`apiVersion: apps/v1
kind: DeploymentList
items:
- metadata: {name: a}
  spec:
    selector: {matchLabels: {app: a}}
    template:
      metadata: {annotations: {injector.tyk.io/inject: "true", injector.tyk.io/port: "3000"}}
      spec: {containers: [{name: c, image: i}]}
- metadata: {name: b}
`, nil},
	"texts of all styles": {block + `---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: texts
  annotations:
    literal: |
      two lines,
        the second indented

      and a third
    kept: |+
      with its end

    folded: >-
      one long line that an author has folded because it is longer than what a terminal shows,
      and another

      paragraph
    quoted: "tab\tnul\0 \u00e9 \U0001F600"
    single: 'it''s'
    plain: it is # this
    empty:
    octal: '0644'
    yes: "yes"
    date: "2001-01-01"
    tilde: "~"
spec:
  selector: {matchLabels: {app: texts}}
  template:
    metadata:
      annotations: {injector.tyk.io/inject: "true"}
    spec:
      containers:
      - name: c
        image: i
        command: ["sh", "-c", "echo '---'; exit"]
        args:
        - |
          ---
          in a text
        ports: [{containerPort: 1234}]
`, []string{"    single: 'it''s'", "    plain: it is # this", "        command: [\"sh\", \"-c\", \"echo '---'; exit\"]"}},
	"objects that are not there": {`apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
  annotations: {injector.tyk.io/inject: "true"}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata:
      labels: {app: shop}
      annotations:
    spec:
      containers:
      - name: shop
        image: example.com/shop:1
        ports: [{containerPort: 3000}]
      initContainers:
      volumes: []
      securityContext: {}
`, nil},
	"windows":         {strings.ReplaceAll(block, "\n", "\r\n") + "---\r\n# other\r\napiVersion: v1\r\nkind: ConfigMap\r\nmetadata: {name: x}\r\n", []string{"  name: shop\r", "# other\r", "metadata: {name: x}\r"}},
	"byte order mark": {"\ufeff---\n" + block, []string{"  name: shop"}},
	"broken beside":   {"a: [\n---\n" + block + "---\nkind: Nothing\n---\n", []string{"a: [", "kind: Nothing"}},
	"twice":           {block + "---\n" + block, []string{"  name: shop"}},
	"JSON": {`{
	"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop", "annotations": {"odd/key~": "<&>"}},
	"spec": {"selector": {"matchLabels": {"app": "shop"}}, "template": {"metadata": {"annotations": {"injector.tyk.io/inject": "true"}},
		"spec": {"x": 1e3, "y": null, "z": "1e3", "containers": [{"name": "shop", "image": "i", "ports": [{"containerPort": 3000}]}]}}}
}`, []string{`				"x": 1e3,`, `				"z": "1e3",`, `			"odd/key~": "<&>"`}},
	"JSON on one line": {`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"shop"},"spec":{"selector":{"matchLabels":{"app":"shop"}},"template":{"metadata":{"annotations":{"injector.tyk.io/inject":"true"}},"spec":{"containers":[{"name":"shop","image":"i","ports":[{"containerPort":3000}]}]}}}}`, nil},
	"a Service whose ports lead to sidecars": {`apiVersion: v1
kind: Service
metadata:
  name: shop
  annotations:
    injector.tyk.io/inject: "true"
spec:
  ports:
    - name: http
      port: 80
      targetPort: 3000 # the app
  selector: {app: shop}
`, []string{"    - name: http", "      port: 80"}},
}

const block = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
spec:
  selector:
    matchLabels:
      app: shop
  template:
    metadata:
      annotations:
        injector.tyk.io/inject: "true"
    spec:
      containers:
      - name: shop
        image: example.com/shop:1
        ports:
        - containerPort: 3000
`

func TestInjectWritesWhatItRead(t *testing.T) {
	for name, c := range injectable {
		t.Run(name, func(t *testing.T) {
			i, out := checkInjection(t, []byte(c.in))
			lines := strings.Split(string(out), "\n")
			for _, want := range c.kept {
				if !slices.Contains(lines, want) {
					t.Errorf("the line %q is not there any more:\n%s", want, out)
				}
			}
			if !bytes.Contains(out, []byte("cuegate.dev/sidecar")) && !bytes.Contains(out, []byte("targetPort: tyk-mesh")) {
				t.Errorf("nothing was injected: %v\n%s", i.doc, out)
			}
			if json.Valid([]byte(c.in)) != json.Valid(out) && !bytes.Contains(out, []byte("\n---\n")) {
				t.Errorf("it is no JSON any more:\n%s", out)
			}
			// And back.
			_, bare := injectInto(t, out, true)
			if diff := cmp.Diff(objectsOf(t, []byte(c.in), asItIs), objectsOf(t, bare, asItIs)); diff != "" {
				t.Errorf("--remove does not give what was there before (-before +after):\n%s", diff)
			}
			if bytes.Contains(bare, []byte("-mesh")) {
				t.Errorf("a Service is left:\n%s", bare)
			}
		})
	}
}

// What nothing is injected into comes out byte for byte, however odd it is.
func TestInjectLeavesTheRest(t *testing.T) {
	for _, in := range []string{
		"", "\n", "---", "---\n---\n", "# only a comment", "\ufeff# x\r\n---\r\n", "a: [", "%YAML 1.2\n---\na: b\n...\n", "--- |\n  text\n",
		"kind:   ConfigMap\napiVersion:  v1\nmetadata:   {name:   x}\n\n\n# end", "\x00\xff", "- a\n- b\n",
		strings.ReplaceAll(block, "inject:", "other:"), strings.ReplaceAll(block, `"true"`, `"no"`), strings.ReplaceAll(block, `"true"`, `"perhaps"`),
	} {
		if _, out := injectInto(t, []byte(in), false); string(out) != in {
			t.Errorf("%q became %q", in, out)
		}
		if _, out := injectInto(t, []byte(in), true); string(out) != in {
			t.Errorf("with --remove %q became %q", in, out)
		}
	}
}

// What is added is read as what it is, also by readers of YAML 1.1, to whom "on" is no
// text.
func TestNewTextsStayTexts(t *testing.T) {
	for _, text := range []string{"", "a", "on", "Yes", "n", "null", "~", "true", "1", "1e3", "0x10", "0b1", "1:30", "a:1", "a: b", "a #b", ".inf", "-", "- a", "*a", "&a", "!a", "a\nb", " a", "a ", "2001-01-01", "é", "\x00", "=", "<<", "/x:y", "x:"} {
		n, err := newNode(map[string]any{"text": text})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := (&tree{newline: "\n", indent: 2}).encodeYAML(n)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		var got map[string]any
		if err := yaml.Unmarshal(raw, &got); err != nil || got["text"] != text {
			t.Errorf("%q is written as %q and read as %v, %v", text, raw, got["text"], err)
		}
	}
}

// BenchmarkInject injects into 100 workloads of a file. Measured on a busy machine of two
// cores: 2 to 5 ms, 1 MB and 8,000 allocations for each, most of it to read and write YAML.
func BenchmarkInject(b *testing.B) {
	var all []string
	for i := range 100 {
		all = append(all, strings.ReplaceAll(block, "shop", fmt.Sprintf("shop-%d", i)))
	}
	data := []byte(strings.Join(all, "---\n"))
	injectInto(b, data, false) // the bundle, and what it has rendered, are there
	b.ReportAllocs()
	for b.Loop() {
		if i, _ := injectInto(b, data, false); len(i.changed) != len(all) {
			b.Fatal(i.doc)
		}
	}
}

// FuzzInject looks for a writing of manifests in which something is lost.
func FuzzInject(f *testing.F) {
	for _, c := range injectable {
		f.Add([]byte(c.in))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var all []byte
		sources := map[string]bool{}
		for _, p := range splitPieces("in.yaml", data) {
			all = append(all, p.text...)
			sources[p.source] = true
		}
		if !bytes.Equal(all, data) {
			t.Fatalf("the pieces are not the file: %q", all)
		}
		objects, _ := engine.ParseManifests("in.yaml", data)
		for _, o := range objects {
			if !sources[o.Source] {
				t.Fatalf("no piece begins at %s", o.Source)
			}
		}
		checkInjection(t, data)
	})
}
