package engine_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"

	"github.com/cuegate/cuegate/engine"
)

// decideService decides a Service, and gives it with its patch applied.
func decideService(t *testing.T, e *engine.Engine, object string) (string, engine.Desired, error) {
	t.Helper()
	o := engine.Object{Ref: engine.Ref{Kind: "Service", Namespace: "shop", Name: "echo"}, APIVersion: "v1", JSON: []byte(object)}
	d, _, err := e.Decide(context.Background(), o, engine.Cluster{})
	if d.Patch == nil {
		return object, d, err
	}
	p, bad := jsonpatch.DecodePatch(d.Patch)
	if bad != nil {
		t.Fatal(bad)
	}
	patched, bad := p.Apply([]byte(object))
	if bad != nil {
		t.Fatalf("%s: %s", d.Patch, bad)
	}
	return string(patched), d, err
}

func serviceWith(annotations, ports string) string {
	return `{"apiVersion":"v1","kind":"Service","metadata":{"name":"echo","namespace":"shop","annotations":{` + annotations + `}},"spec":{"future":{"x":1.0},"ports":[` + ports + `]}}`
}

const (
	asks  = `"injector.tyk.io/inject":"true"`
	ports = `{"name":"http","port":80,"targetPort":"web"},{"name":"metrics","port":9090,"targetPort":9091},{"name":"http-admin","port":81},{"name":"dns","port":53,"protocol":"UDP"}`
)

// targetPorts gives the target port of each port, as it is written.
func targetPorts(t *testing.T, service string) string {
	t.Helper()
	var s struct {
		Spec struct {
			Ports []struct {
				TargetPort json.RawMessage `json:"targetPort"`
			} `json:"ports"`
		} `json:"spec"`
	}
	if err := json.Unmarshal([]byte(service), &s); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, p := range s.Spec.Ports {
		if p.TargetPort == nil {
			p.TargetPort = []byte("-")
		}
		texts = append(texts, string(p.TargetPort))
	}
	return strings.Join(texts, " ")
}

// A Service of several ports is changed where it shall be, is left alone then, and is as
// before when the annotation has gone.
func TestServicePortsLeadToSidecars(t *testing.T) {
	e := builtinEngine()
	for _, c := range []struct{ name, annotations, want string }{
		{"called http", asks, `"tyk-mesh" 9091 "tyk-mesh" -`},
		{"listed by name and number", asks + `,"injector.tyk.io/ports":"metrics, 81"`, `"web" "tyk-mesh" "tyk-mesh" -`},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := serviceWith(c.annotations, ports)
			after, d, err := decideService(t, e, before)
			if err != nil || d.Outcome != engine.Managed {
				t.Fatal(d.Outcome, err)
			}
			if got := targetPorts(t, after); got != c.want {
				t.Errorf("target ports %s, want %s", got, c.want)
			}
			if again, _, _ := decideService(t, e, after); again != after {
				t.Errorf("a second pass changes\n%s\nto\n%s", after, again)
			}
			without := strings.Replace(after, asks, `"injector.tyk.io/inject":"no"`, 1)
			back, d, err := decideService(t, e, without)
			if err != nil || d.Outcome != engine.Ignored {
				t.Fatal(d.Outcome, err)
			}
			if got, want := targetPorts(t, back), targetPorts(t, before); got != want || strings.Contains(back, "injector.tyk.io/status") {
				t.Errorf("after removal the target ports are %s, and were %s: %s", got, want, back)
			}
		})
	}
}

// kubectl apply of the manifest writes the author's target port again: it is noted anew.
func TestServicePortChangedByItsAuthor(t *testing.T) {
	e := builtinEngine()
	after, _, _ := decideService(t, e, serviceWith(asks, `{"port":80,"targetPort":3000}`))
	changed := strings.Replace(after, `"targetPort":"tyk-mesh"`, `"targetPort":4000`, 1)
	after, _, _ = decideService(t, e, changed)
	if got := targetPorts(t, after); got != `"tyk-mesh"` {
		t.Fatal(got)
	}
	back, _, _ := decideService(t, e, strings.Replace(after, asks, `"a":"b"`, 1))
	if got := targetPorts(t, back); got != "4000" {
		t.Errorf("the author's target port is %s", got)
	}
}

func TestServicePortsRefused(t *testing.T) {
	e := builtinEngine()
	for _, c := range []struct{ name, annotations, ports, want string }{
		{"which of several", asks, `{"name":"a","port":1},{"name":"b","port":2}`, "service-ports-unknown"},
		{"none", asks, ``, "service-ports-unknown"},
		{"listed and not there", asks + `,"injector.tyk.io/ports":"http,htp"`, ports, "service-ports-unknown"},
		{"neither yes nor no", `"injector.tyk.io/inject":"maybe"`, ports, "inject-unclear"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, d, err := decideService(t, e, serviceWith(c.annotations, c.ports))
			if err == nil || len(d.Reasons) == 0 || d.Reasons[0].ID != c.want || d.Patch != nil {
				t.Errorf("reasons %v, error %v, patch %s; want %s", d.Reasons, err, d.Patch, c.want)
			}
		})
	}
	_, d, err := decideService(t, e, serviceWith("", ports))
	if err != nil || d.Outcome != engine.Ignored || d.Patch != nil {
		t.Errorf("a Service that asks for nothing: %v, %v", d, err)
	}
}
