package engine_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

const ownSchema = `package schema

import cuegate "github.com/cuegate/cuegate/cue/schema"

#Ingress: cuegate.#Ingress & {
	// The team that answers for the object.
	metadata: labels: team!: =~"^[a-z]+$"
}

#Deployment: cuegate.#Deployment & {
	// One container to a pod, and none that nobody has looked at.
	spec: template: spec: {
		containers: [{image: !~":latest$"}]
		initContainers?: [...{image!: =~"^example.com/"}]
		volumes?: [...{emptyDir!: _}]
		hostAliases?: error("no host aliases")
	}
}
`

func TestObjectsAreHeldToTheSchemaOfTheBundle(t *testing.T) {
	e := operatorEngine(t, "own schema", fstest.MapFS{"schema/objects.cue": {Data: []byte(ownSchema)}})
	ingress := func(class, labels string) engine.Object {
		objects, rejected := engine.ParseManifests("tea.yaml", []byte("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: tea, labels: {"+labels+"}}\n"+
			"spec: {ingressClassName: "+class+", defaultBackend: {service: {name: tea, port: {number: 80}}}}\n"))
		if len(rejected) > 0 {
			t.Fatal(rejected)
		}
		return objects[0]
	}
	for _, s := range []struct {
		name   string
		object engine.Object
		want   engine.Outcome
		// says is part of the only reason's id, field, sentence and fix.
		says []string
	}{
		{"right", ingress("tyk", "team: tea"), engine.Managed, nil},
		{"violated", ingress("tyk", "team: T"), engine.Held, []string{"schema-violated", "metadata.labels.team",
			`metadata.labels.team must match "^[a-z]+$", says the schema of the bundle (schema/objects.cue:7:27).`, "The schema says of it: The team that answers for the object."}},
		{"not ours", ingress("nginx", "team: T"), engine.Ignored, []string{"class-not-found"}},
	} {
		d, x, err := e.Decide(context.Background(), s.object, engine.Cluster{})
		if d.Outcome != s.want {
			t.Errorf("%s: %s, %v", s.name, d.Outcome, d.Reasons)
			continue
		}
		var refused *engine.Refused
		if errors.As(err, &refused) != (s.want == engine.Held) {
			t.Errorf("%s: %v", s.name, err)
		}
		if len(s.says) == 0 {
			continue
		}
		if len(d.Reasons) != 1 {
			t.Errorf("%s: %v", s.name, d.Reasons)
			continue
		}
		r := d.Reasons[0]
		text := strings.Join([]string{r.ID, r.Field, r.Msg, r.Fix}, "\n")
		for _, part := range s.says {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q is not in\n%s", s.name, part, text)
			}
		}
		if s.want == engine.Held && x.Steps[len(x.Steps)-1].Stage != "schema" {
			t.Errorf("%s: the explanation does not name the stage: %v", s.name, x.Steps)
		}
	}
}

// What Cuegate injects is not the author's, so the schema says nothing of it: a workload
// that was let in is not refused once it has its sidecar.
func TestSchemaIsNotAboutTheSidecar(t *testing.T) {
	e := operatorEngine(t, "own schema", fstest.MapFS{"schema/objects.cue": {Data: []byte(ownSchema)}})
	native := operatorEngine(t, "own schema, containers", fstest.MapFS{
		"schema/objects.cue":   {Data: []byte(ownSchema)},
		"templates/inject.cue": {Data: []byte("package templates\n\nimport \"github.com/cuegate/cuegate/cue/sidecar\"\n\ninject: sidecar.#Sidecar & {config: native: false}\n")},
	})
	const head = `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "echo", "namespace": "default"}, "spec": {
		"selector": {"matchLabels": {"app": "echo"}}, "template": {"metadata": {"labels": {"app": "echo"}, "annotations": {"injector.tyk.io/inject": "yes"}},
		"spec": {"containers": [{"name": "app", "image": "echo:1", "ports": [{"containerPort": 8081}]}`
	for name, e := range map[string]*engine.Engine{"init container": e, "container": native} {
		after := settled(t, e, workload(t, head+`]}}}}`), engine.Cluster{})
		if !strings.Contains(string(after.JSON), "tyk-mesh") {
			t.Fatalf("%s: nothing was injected: %s", name, after.JSON)
		}
		d, _, _ := e.Decide(context.Background(), workload(t, head+`, {"name": "second", "image": "echo:1"}]}}}}`), engine.Cluster{})
		if d.Outcome != engine.Held || d.Reasons[0].ID != "schema-violated" {
			t.Errorf("%s: a second container: %s %v", name, d.Outcome, d.Reasons)
		}
		// Of a workload with its sidecar the author's part is looked at as well.
		d, _, _ = e.Decide(context.Background(), workload(t, strings.Replace(string(after.JSON), "echo:1", "echo:latest", 1)), engine.Cluster{})
		if d.Outcome != engine.Held || d.Reasons[0].ID != "schema-violated" || d.Reasons[0].Field != "spec.template.spec.containers[0].image" {
			t.Errorf("%s: an image that may not be: %s %v", name, d.Outcome, d.Reasons)
		}
	}
}

// A bundle may carry our packages along for the stock cue command. They are never used,
// whatever stands in them, and do not change what the bundle is.
func TestVendoredSchemasAreNotRead(t *testing.T) {
	bundle := fstest.MapFS{"schema/objects.cue": {Data: []byte(ownSchema)}, "policies/data.yaml": {Data: []byte("settings: {template: default}\n")}}
	bare, err := engine.LoadBundle(context.Background(), cuegate.Builtin(), bundle)
	if err != nil {
		t.Fatal(err)
	}
	const vendor = "cue.mod/pkg/github.com/cuegate/cuegate/cue/"
	err = fs.WalkDir(os.DirFS("../cue"), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".cue") {
			bundle[vendor+name] = &fstest.MapFile{Data: []byte("package schema\n\n#Ingress: _|_\n")}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	bundle[vendor+"schema/broken.cue"] = &fstest.MapFile{Data: []byte("package {")}
	for name, text := range map[string]string{"README.md": "# Bundle", "ci.sh": "exit 1", ".github/workflows/bundle.yaml": "on: push", "tests/a.txtar": "-- a.yaml --", "manifests/a.yaml": "kind: {"} {
		bundle[name] = &fstest.MapFile{Data: []byte(text)}
	}
	b, err := engine.LoadBundle(context.Background(), cuegate.Builtin(), bundle)
	if err != nil {
		t.Fatal(err)
	}
	if b.Digest() != bare.Digest() {
		t.Error("what is not read changes the digest")
	}
	if ps := b.Check(); len(ps) > 0 {
		t.Error(ps)
	}
	changed := maps.Clone(bundle)
	changed["schema/objects.cue"] = &fstest.MapFile{Data: []byte(strings.Replace(ownSchema, "[a-z]+", "[a-z]*", 1))}
	if b, err = engine.LoadBundle(context.Background(), cuegate.Builtin(), changed); err != nil {
		t.Fatal(err)
	}
	if b.Digest() == bare.Digest() {
		t.Error("the schema does not change the digest")
	}
}

// A bundle may be nothing but constraints on objects, and is checked as strictly as any.
func TestSchemaOfABundleIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		"package schema\n#Ingress: {a: 1} & {a: 2}\n": "has two values that exclude each other, 2 and 1",
		"package schema\n#Ingress: {\n":               "expected",
		"package schema\n#Ingrss: {...}\n":            "did you mean #Ingress?",
		"package schema\n#Ingress: {...}\n":           "",
	} {
		_, err := engine.LoadBundle(context.Background(), cuegate.Builtin(), fstest.MapFS{"schema/a.cue": {Data: []byte(text)}})
		if got := err != nil; got != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
