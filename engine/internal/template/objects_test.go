package template

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const testObjects = `package schema

import cuegate "github.com/cuegate/cuegate/cue/schema"

#Ingress: cuegate.#Ingress & {
	// The team that answers for the object.
	metadata: labels: team!: =~"^[a-z]+$"
	spec: rules?: [...{host!: =~"example.com$"}]
}

#Deployment: cuegate.#Deployment & {
	spec: replicas?: <=10
}
`

func loadTestObjects(t testing.TB, text string) *Set {
	t.Helper()
	s, ps := Load(os.DirFS("../../../cue"), fstest.MapFS{"schema/objects.cue": {Data: []byte(text)}})
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	return s
}

const (
	rightMeta = `"metadata": {"name": "tea", "labels": {"team": "tea", "x/y": "z"}, "annotations": {"any.of/them": "b"}}`

	rightIngress = `{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", ` + rightMeta + `, "spec": {"ingressClassName": "tyk", "rules": [
		{"host": "tea.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "tea", "port": {"number": 80}}}}]}}],
		"tls": [{"hosts": ["tea.example.com"], "secretName": "tea"}], "defaultBackend": {"resource": {"kind": "Bucket", "name": "x"}}}}`

	rightDeployment = `{"apiVersion": "apps/v1", "kind": "Deployment", ` + rightMeta + `, "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "tea"}},
		"template": {"metadata": {"labels": {"app": "tea"}}, "spec": {"volumes": [], "containers": [{"name": "tea", "image": "tea:1", "ports": [{"name": "http", "containerPort": 80}]}]}}}}`
)

// A fault names the field, says what the schema wants and why, and never the value.
func TestCheckObject(t *testing.T) {
	for _, s := range []struct {
		name, kind, object string
		// schema is the package, where it is not testObjects.
		schema string
		// want are path, message, comment and place.
		want []string
	}{
		{name: "right Ingress", kind: "Ingress", object: rightIngress},
		{name: "right Deployment", kind: "Deployment", object: rightDeployment},
		{name: "kind that nothing is asked of", kind: "StatefulSet", object: `{"kind": "StatefulSet"}`},
		{name: "missing", kind: "Ingress", object: strings.Replace(rightIngress, `"team": "tea", `, "", 1),
			want: []string{"metadata labels team: is required: The team that answers for the object.: schema/objects.cue:7:20"}},
		{name: "no labels at all", kind: "Ingress", object: `{"kind": "Ingress", "metadata": {"name": "a"}}`,
			want: []string{"metadata labels team: is required: The team that answers for the object.: schema/objects.cue:7:20"}},
		{name: "of another form", kind: "Ingress", object: strings.Replace(rightIngress, `"team": "tea"`, `"team": "SECRET"`, 1),
			want: []string{`metadata labels team: must match "^[a-z]+$": The team that answers for the object.: schema/objects.cue:7:27`}},
		{name: "of another type", kind: "Ingress", object: strings.Replace(rightIngress, `"team": "tea"`, `"team": 3`, 1),
			want: []string{"metadata labels team: must be a string, not a whole number: The team that answers for the object.: schema/objects.cue:7:27"}},
		{name: "in a list", kind: "Ingress", object: strings.Replace(rightIngress, "tea.example.com", "tea.example.org", 1),
			want: []string{`spec rules 0 host: must match "example.com$": : schema/objects.cue:8:28`}},
		{name: "beyond a bound", kind: "Deployment", object: strings.Replace(rightDeployment, `"replicas": 3`, `"replicas": 11`, 1),
			want: []string{"spec replicas: must be <=10: : schema/objects.cue:12:19"}},
		{name: "several", kind: "Ingress", object: strings.NewReplacer("tea.example.com", "tea.example.org", `"team": "tea"`, `"team": "T"`).Replace(rightIngress),
			want: []string{
				`spec rules 0 host: must match "example.com$": : schema/objects.cue:8:28`,
				`metadata labels team: must match "^[a-z]+$": The team that answers for the object.: schema/objects.cue:7:27`,
			}},
		{name: "byte order mark", kind: "Ingress", object: strings.Replace(rightIngress, `"b"`, "\"\ufeffb\"", 1)},
		{name: "closed", kind: "Ingress", schema: "package schema\n#Ingress: {kind: string, metadata: {name: string, labels: {team: string}}}\n",
			object: `{"kind": "Ingress", "metadata": {"name": "a", "labels": {"team": "a", "never/seen": "b"}}}`,
			want:   []string{"metadata labels never/seen: is not allowed: : "}},
		{name: "by the form of a key", kind: "Ingress", schema: "package schema\n#Ingress: {metadata: annotations: [=~\"^tea/\"]: \"on\" | \"off\", ...}\n",
			object: `{"kind": "Ingress", "metadata": {"annotations": {"tea/green": "SECRET"}}}`,
			want:   []string{`metadata annotations tea/green: must be "off" or "on": : schema/objects.cue:2:55`}},
		{name: "words of its own", kind: "Ingress", schema: "package schema\n#Ingress: {spec?: {tls?: error(\"certificates are for the platform team\"), ...}, ...}\n",
			object: rightIngress, want: []string{"spec tls: certificates are for the platform team: : schema/objects.cue:2:26"}},
	} {
		t.Run(s.name, func(t *testing.T) {
			if s.schema == "" {
				s.schema = testObjects
			}
			set := loadTestObjects(t, s.schema)
			for range 2 { // the second time from memory
				faults, err := set.CheckObject(s.kind, []byte(s.object))
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, f := range faults {
					f.At.Message = ""
					got = append(got, fmt.Sprintf("%s: %s: %s: %s", strings.Join(f.Path, " "), f.Message, f.Doc, strings.TrimSuffix(f.At.String(), ": ")))
				}
				slices.Sort(got)
				slices.Sort(s.want)
				if !slices.Equal(got, s.want) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(s.want, "\n"))
				}
				if strings.Contains(fmt.Sprint(faults), "SECRET") {
					t.Error("a fault holds the value")
				}
			}
		})
	}
}

// What CUE keeps for ever, the names of keys, must not grow with the objects, unless the
// schema asks for the form of a key.
func TestObjectKeysAreHidden(t *testing.T) {
	for text, want := range map[string]bool{
		testObjects: false,
		"package schema\nimport \"github.com/cuegate/cuegate/cue/schema\"\n#Ingress: schema.#Ingress & {metadata: name: schema.#Label}\n": true,
		"package schema\n#Ingress: {metadata: annotations: [=~\"a\"]: string, ...}\n":                                                     true,
		"package schema\n#Ingress: {metadata: annotations: [string]: string, ...}\n":                                                      false,
	} {
		if got := loadTestObjects(t, text).objects.set.tellsKeys; got != want {
			t.Errorf("%s: tells keys: %v", text, got)
		}
	}
}

func TestObjectsProblems(t *testing.T) {
	for _, s := range []struct{ text, want string }{
		{"package schema\n#Ingres: {...}\n", "schema/objects.cue:2:1: #Ingres is asked of no object; did you mean #Ingress?"},
		{"package schema\n#Deployment: {...}\n#Ingrss: {...}\n", "schema/objects.cue:3:1: #Ingrss is asked of no object; did you mean #Ingress?"},
		{"package schema\n#Team: string\n", "schema: the package has none of #Ingress, #Deployment, #StatefulSet, #DaemonSet, so it asks nothing of any object"},
		{"package schema\n#Ingress: {a: 1} & {a: 2}\n", "schema/objects.cue:2:24: #Ingress.a: has two values that exclude each other, 2 and 1; leave one of them, or write one as a default (*value | type)"},
		{"package schema\n#Ingress: {a: b}\n", `schema/objects.cue:2:15: #Ingress.a: b is not defined here; a text needs quotes`},
		{"package schema\n\nimport cuegate \"github.com/cuegate/cuegate/cue/schema\"\n#Ingress: cuegate.#Ingres & {a: 1}\n", "schema/objects.cue:4:19: #Ingress: there is no #Ingres"},
		{"package schema\n\nimport cuegate \"github.com/cuegate/cuegate/cue/schema\"\n#Ingress: {spec?: rules?: [...{host?: cuegate.#Hst, ...}], ...}\n", "schema/objects.cue:4:47: #Ingress.spec.rules._.host: there is no #Hst"},
		{"package schema\n#Ingress: {metadata: {...}, if metadata.labels.a == \"b\" {spec: tls!: _}, ...}\n", ""},
		{"package schema\n#Ingress: {spec?: {tls?: error(\"no\"), ...}, ...}\n", ""},
		{"package schema\n#Ingress: {...}\n#IngressRule: {...}\n", ""},
	} {
		_, ps := Load(os.DirFS("../../../cue"), fstest.MapFS{"schema/objects.cue": {Data: []byte(s.text)}})
		got := ""
		if len(ps) > 0 {
			got = ps[0].String()
		}
		if got != s.want {
			t.Errorf("%s: got %q, want %q", s.text, got, s.want)
		}
	}
}

// The stand-ins let pass what our own definitions let pass.
func TestStandInsAreOpen(t *testing.T) {
	s := loadTestObjects(t, `package schema
import cuegate "github.com/cuegate/cuegate/cue/schema"
#Ingress: cuegate.#Ingress & {metadata: {labels: {}, annotations: {}}, spec: {rules: [...{http: paths: [...{backend: service: port: {}}]}]}}
#Deployment: cuegate.#Deployment & {metadata: labels: {}, spec: {selector: matchLabels: {}, template: {metadata: {}, spec: containers: [...{ports: [...{}]}]}}}
`)
	for kind, object := range map[string]string{"Ingress": rightIngress, "Deployment": rightDeployment} {
		faults, err := s.CheckObject(kind, []byte(object))
		if err != nil || len(faults) > 0 {
			t.Errorf("%s: %v %v", kind, faults, err)
		}
	}
}

func BenchmarkCheckObject(b *testing.B) {
	s := loadTestObjects(b, testObjects)
	check := func(b *testing.B, text string) {
		if faults, err := s.CheckObject("Ingress", []byte(text)); len(faults) > 0 || err != nil {
			b.Fatal(faults, err)
		}
	}
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			check(b, strings.Replace(rightIngress, `"b"`, strconv.Quote(strconv.Itoa(i)), 1))
		}
	})
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			check(b, rightIngress)
		}
	})
}

// What cannot be worked out is told without the values: they may be secret. What the
// schema says itself is told as it is.
func TestObjectFaultsQuoteNothing(t *testing.T) {
	text := "package schema\n\n#Ingress: {metadata: {annotations: x: string, n: annotations.x + 1, if annotations.x == \"hunter2\" {m: error(\"ask the platform team\")}, ...}, ...}\n"
	s, ps := Load(os.DirFS("../../../cue"), fstest.MapFS{"schema/objects.cue": {Data: []byte(text)}})
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	faults, err := s.CheckObject("Ingress", []byte(`{"metadata": {"annotations": {"x": "hunter2"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range faults {
		got = append(got, strings.Join(f.Path, ".")+": "+f.Message)
	}
	slices.Sort(got)
	want := []string{"metadata.m: ask the platform team", "metadata.n: invalid operands ... and ... to '...' (type ... and ...)"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
