package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kubejson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

var update = flag.Bool("update", false, "rewrite the stories in testdata")

// meshConfig is that of the engines of these tests.
var meshConfig = engine.Config{ClusterID: "test", OrgID: "default", MeshNamespace: "tyk"}

var meshEngines sync.Map // of func() *engine.Engine, by settings and sidecar

// meshEngine decides by the built-in bundle, what settings.mesh says over it, in YAML, and
// the fields of a sidecar, in CUE.
func meshEngine(tb testing.TB, settings, sidecar string) *engine.Engine {
	tb.Helper()
	operator := fstest.MapFS{}
	if settings != "" {
		operator["policies/data.yaml"] = &fstest.MapFile{Data: []byte("settings: {mesh: {" + settings + "}}\n")}
	}
	if sidecar != "" {
		operator["templates/sidecar.cue"] = &fstest.MapFile{Data: []byte("package templates\n\nimport \"github.com/cuegate/cuegate/cue/sidecar\"\n\ninject: sidecar.#Sidecar & {\n" + sidecar + "\n}\n")}
	}
	return operatorEngine(tb, settings+"\x00"+sidecar, operator)
}

// operatorEngine decides by the built-in bundle and that of an operator, which the key
// stands for.
func operatorEngine(tb testing.TB, key string, operator fstest.MapFS) *engine.Engine {
	tb.Helper()
	load, _ := meshEngines.LoadOrStore(key, sync.OnceValue(func() *engine.Engine {
		var b *engine.Bundle
		var err error
		if len(operator) == 0 {
			b, err = engine.LoadBundle(context.Background(), cuegate.Builtin(), nil)
		} else {
			b, err = engine.LoadBundle(context.Background(), cuegate.Builtin(), operator)
		}
		if err != nil {
			panic(err)
		}
		return engine.New(b, meshConfig)
	}))
	return load.(func() *engine.Engine)()
}

// workload makes an object of its JSON.
func workload(tb testing.TB, raw string) engine.Object {
	tb.Helper()
	var head struct {
		APIVersion, Kind string
		Metadata         struct{ Namespace, Name string }
	}
	if err := json.Unmarshal([]byte(raw), &head); err != nil {
		tb.Fatalf("%v in %s", err, raw)
	}
	return engine.Object{Ref: engine.Ref{Kind: head.Kind, Namespace: head.Metadata.Namespace, Name: head.Metadata.Name}, APIVersion: head.APIVersion, JSON: []byte(raw)}
}

// manifest makes an object of YAML.
func manifest(tb testing.TB, text string) engine.Object {
	tb.Helper()
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return workload(tb, string(raw))
}

// corpus gives the workloads of testdata by name; those in JSON byte for byte.
func corpus(tb testing.TB) map[string]engine.Object {
	tb.Helper()
	corpusOnce.Do(func() { corpusRead = readCorpus(tb) })
	return corpusRead
}

var (
	corpusOnce sync.Once
	corpusRead map[string]engine.Object
)

func readCorpus(tb testing.TB) map[string]engine.Object {
	tb.Helper()
	all := map[string]engine.Object{}
	files, err := filepath.Glob("testdata/workloads/*.*")
	if err != nil {
		tb.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		name, ext := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)), filepath.Ext(file)
		switch ext {
		case ".yaml":
			all[name] = manifest(tb, string(text))
		case ".json":
			all[name] = workload(tb, string(text))
		}
	}
	if len(all) < 36 {
		tb.Fatalf("only %d workloads are in testdata", len(all))
	}
	return all
}

// decideWorkload decides, and holds the answer to what is true of every one.
func decideWorkload(tb testing.TB, e *engine.Engine, o engine.Object, around engine.Cluster) (engine.Desired, error) {
	tb.Helper()
	d, x, err := e.Decide(context.Background(), o, around)
	var broken *engine.Broken
	if errors.As(err, &broken) {
		tb.Errorf("%s is broken: %v", o.Ref, err)
	}
	if d.Object != o.Ref || x.Outcome != d.Outcome || !reflect.DeepEqual(x.Reasons, d.Reasons) {
		tb.Errorf("%s: the explanation says %s, the answer %s", o.Ref, x.Outcome, d.Outcome)
	}
	switch {
	case d.Outcome == engine.Managed && (err != nil || len(d.Reasons) > 0 || len(d.Definitions) == 0 || d.Service == nil):
		tb.Errorf("%s is managed: %v, %v, %d definitions, Service %s", o.Ref, err, d.Reasons, len(d.Definitions), d.Service)
	case d.Outcome != engine.Managed && (len(d.Reasons) == 0 || len(d.Definitions) > 0 || d.Service != nil || len(d.Certificates) > 0):
		tb.Errorf("%s is %s: %v, %d definitions, Service %s", o.Ref, d.Outcome, d.Reasons, len(d.Definitions), d.Service)
	case err != nil && d.Patch != nil:
		tb.Errorf("%s is refused, and has the patch %s", o.Ref, d.Patch)
	}
	for _, r := range slices.Concat(d.Reasons, d.Warnings) {
		if r.ID == "" || r.Msg == "" {
			tb.Errorf("%s has a reason without id or text: %+v", o.Ref, r)
		}
	}
	return d, err
}

// patched applies the patch of a decision.
func patched(tb testing.TB, o engine.Object, patch []byte) engine.Object {
	tb.Helper()
	if patch == nil {
		return o
	}
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		tb.Fatalf("%v: %s", err, patch)
	}
	o.JSON, err = p.Apply(o.JSON)
	if err != nil {
		tb.Fatalf("%v: %s", err, patch)
	}
	return o
}

// settled decides, applies the patch, and expects that nothing is left to be done.
func settled(tb testing.TB, e *engine.Engine, o engine.Object, around engine.Cluster) engine.Object {
	tb.Helper()
	d, _ := decideWorkload(tb, e, o, around)
	if d.Outcome == engine.Held && d.Patch == nil {
		return o
	}
	after := patched(tb, o, d.Patch)
	again, err := decideWorkload(tb, e, after, around)
	if err != nil || again.Outcome != d.Outcome || again.Patch != nil {
		tb.Errorf("a second pass: %s, %v, patch %s", again.Outcome, err, again.Patch)
	}
	if !reflect.DeepEqual(again.Definitions, d.Definitions) || !bytes.Equal(again.Service, d.Service) {
		tb.Error("a second pass has other definitions, or another Service")
	}
	return after
}

// TestCorpus takes each workload of testdata through its life, and compares what is said
// of it with the story beside it.
func TestCorpus(t *testing.T) {
	all := corpus(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			e, o := meshEngine(t, "", ""), all[name]
			d, _ := decideWorkload(t, e, o, engine.Cluster{})
			checkStory(t, "testdata/workloads/"+name+".txt", story(t, o, d))
			after := settled(t, e, o, engine.Cluster{})
			checkUntouched(t, o, after, d.Patch)
			if d.Outcome != engine.Managed {
				return
			}
			stored := throughServer(t, after)
			if again, err := decideWorkload(t, e, stored, engine.Cluster{}); err != nil || again.Patch != nil {
				t.Errorf("after the API server has stored it: %v, patch %s", err, again.Patch)
			}
			for _, value := range []any{nil, "false"} {
				checkRemoval(t, e, o, after, value)
			}
			checkRemoval(t, e, throughServer(t, o), stored, nil)
		})
	}
}

// story tells what became of a workload.
func story(tb testing.TB, o engine.Object, d engine.Desired) string {
	tb.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s is %s\n", d.Object, d.Outcome)
	for kind, reasons := range map[string][]engine.Reason{"reason": d.Reasons, "warning": d.Warnings} {
		for _, r := range reasons {
			fmt.Fprintf(&b, "%s %s at %s: %s\n", kind, r.ID, r.Field, r.Msg)
			if r.Fix != "" {
				fmt.Fprintf(&b, "  %s\n", r.Fix)
			}
		}
	}
	for _, def := range d.Definitions {
		var doc struct {
			Tags  []string
			Proxy struct {
				Target string `json:"target_url"`
			}
		}
		if err := json.Unmarshal(def.JSON, &doc); err != nil {
			tb.Fatal(err)
		}
		fmt.Fprintf(&b, "definition for %s: %s -> %s\n", def.Scope, def.Match, doc.Proxy.Target)
	}
	if d.Service != nil {
		var s corev1.Service
		if err := json.Unmarshal(d.Service, &s); err != nil {
			tb.Fatal(err)
		}
		fmt.Fprintf(&b, "Service %s selects %v\n", s.Name, s.Spec.Selector)
	}
	for _, op := range operations(tb, d.Patch) {
		fmt.Fprintf(&b, "%s %s%s\n", op.Op, op.Path, op.summary())
	}
	return b.String()
}

type operation struct {
	Op, Path string
	Value    any
}

func operations(tb testing.TB, patch []byte) []operation {
	tb.Helper()
	var ops []operation
	if patch != nil {
		if err := json.Unmarshal(patch, &ops); err != nil {
			tb.Fatal(err)
		}
	}
	return ops
}

// summary gives short values as they are, and of others their names.
func (o operation) summary() string {
	switch v := o.Value.(type) {
	case nil:
		return ""
	case []any:
		var names []string
		for _, e := range v {
			names = append(names, operation{Value: e}.summary())
		}
		return strings.Join(names, ",")
	case map[string]any:
		if name, ok := v["name"]; ok {
			return fmt.Sprintf(" %v", name)
		}
		if strings.HasSuffix(o.Path, "/annotations") {
			return " " + strings.Join(slices.Sorted(maps.Keys(v)), ",")
		}
	case string:
		if strings.Contains(o.Path, "injector.tyk.io~1") {
			return ""
		}
	}
	return fmt.Sprintf(" %v", o.Value)
}

func checkStory(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), go test -update rewrites it:\n%s", file, diff)
	}
}

// namedLists are those whose elements change their places when something is added.
var namedLists = map[string]string{"containers": "name", "initContainers": "name", "volumes": "name", "sysctls": "name", "hostAliases": "ip"}

// leavesOf gives every value of a document that holds no other, as it is written, by its
// path; elements of named lists are called by their names.
func leavesOf(tb testing.TB, raw []byte) map[string]string {
	tb.Helper()
	all := map[string]string{}
	var walk func(at, list string, raw json.RawMessage)
	walk = func(at, list string, raw json.RawMessage) {
		var object map[string]json.RawMessage
		var elements []json.RawMessage
		switch {
		case raw[0] == '{' && json.Unmarshal(raw, &object) == nil && len(object) > 0:
			for k, v := range object {
				walk(at+"/"+k, k, v)
			}
		case raw[0] == '[' && json.Unmarshal(raw, &elements) == nil && len(elements) > 0:
			for i, v := range elements {
				name := fmt.Sprint(i)
				if key, named := namedLists[list]; named && json.Unmarshal(v, &object) == nil {
					name = string(object[key])
				}
				walk(at+"/"+name, "", v)
			}
		default:
			all[at] = string(raw)
		}
	}
	walk("", "", bytes.TrimSpace(raw))
	return all
}

// checkUntouched: whatever the author wrote is there as he wrote it, and the patch of an
// object that was never injected does nothing but add.
func checkUntouched(t *testing.T, before, after engine.Object, patch []byte) {
	t.Helper()
	had, has := leavesOf(t, before.JSON), leavesOf(t, after.JSON)
	for path, raw := range had {
		nothing := raw == "null" || raw == "{}" || raw == "[]"
		if got, ok := has[path]; got != raw && !(nothing && !ok) {
			t.Errorf("%s was %s and is %s", path, raw, got)
		}
	}
	for _, op := range operations(t, patch) {
		if op.Op != "add" {
			t.Errorf("%s %s of something that was not injected", op.Op, op.Path)
		}
		path := strings.NewReplacer("~1", "/", "~0", "~").Replace(op.Path)
		if raw, ok := had[path]; ok && raw != "null" && raw != "[]" && raw != "{}" {
			t.Errorf("%s %s hides what was there: %s", op.Op, op.Path, raw)
		}
	}
}

// checkRemoval: when the wish is gone, or a no, the object is again what it was before,
// but for lists and maps that are empty.
func checkRemoval(t *testing.T, e *engine.Engine, before, after engine.Object, wish any) {
	t.Helper()
	before, after = withWish(t, before, wish), withWish(t, after, wish)
	d, err := decideWorkload(t, e, after, engine.Cluster{})
	if err != nil || d.Outcome != engine.Ignored {
		t.Errorf("without the wish the object is %s: %v", d.Outcome, err)
	}
	back := patched(t, after, d.Patch)
	if diff := cmp.Diff(compact(decodeNumbers(t, before.JSON)), compact(decodeNumbers(t, back.JSON))); diff != "" {
		t.Errorf("removed (-before +after):\n%s", diff)
	}
	if again, _ := decideWorkload(t, e, back, engine.Cluster{}); again.Patch != nil {
		t.Errorf("a second removal: %s", again.Patch)
	}
}

// withWish sets the annotation that asks for a sidecar, or takes it out.
func withWish(t *testing.T, o engine.Object, wish any) engine.Object {
	t.Helper()
	return edited(t, o, func(doc map[string]any) {
		template := doc["spec"].(map[string]any)["template"].(map[string]any)
		for _, of := range []map[string]any{doc, template} {
			meta, _ := of["metadata"].(map[string]any)
			annotations, _ := meta["annotations"].(map[string]any)
			if _, ok := annotations["injector.tyk.io/inject"]; !ok {
				continue
			}
			if annotations["injector.tyk.io/inject"] = wish; wish == nil {
				delete(annotations, "injector.tyk.io/inject")
			}
		}
	})
}

// edited gives the object with a change.
func edited(tb testing.TB, o engine.Object, change func(doc map[string]any)) engine.Object {
	tb.Helper()
	dec := json.NewDecoder(bytes.NewReader(o.JSON))
	dec.UseNumber()
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		tb.Fatal(err)
	}
	change(doc)
	raw, err := json.Marshal(doc)
	if err != nil {
		tb.Fatal(err)
	}
	o.JSON = raw
	return o
}

// podOf is the pod template of a workload, or its spec, for changes.
func podOf(doc map[string]any, path ...string) map[string]any {
	at := doc["spec"].(map[string]any)["template"].(map[string]any)
	for _, k := range path {
		next, ok := at[k].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[k] = next
		}
		at = next
	}
	return at
}

// compact takes out what says nothing: null, and empty lists and maps.
func compact(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if x = compact(x); x != nil {
				out[k] = x
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		var out []any
		for _, x := range v {
			out = append(out, compact(x))
		}
		if len(out) == 0 {
			return nil
		}
		return out
	}
	return v
}

// throughServer gives the object as an API server would store it: without the fields
// that it does not know, and with its defaults.
func throughServer(t *testing.T, o engine.Object) engine.Object {
	t.Helper()
	var typed any
	var pod *corev1.PodTemplateSpec
	switch o.Kind {
	case "Deployment":
		x := &appsv1.Deployment{}
		typed, pod = x, &x.Spec.Template
	case "StatefulSet":
		x := &appsv1.StatefulSet{}
		typed, pod = x, &x.Spec.Template
	case "DaemonSet":
		x := &appsv1.DaemonSet{}
		typed, pod = x, &x.Spec.Template
	}
	if err := json.Unmarshal(o.JSON, typed); err != nil {
		t.Fatalf("an API server would not take it: %v", err)
	}
	defaultPod(&pod.Spec)
	raw, err := json.Marshal(typed)
	if err != nil {
		t.Fatal(err)
	}
	o.JSON = raw
	return o
}

func defaulted[T comparable](at *T, to T) {
	var zero T
	if *at == zero {
		*at = to
	}
}

func pointTo[T any](at **T, to T) {
	if *at == nil {
		*at = &to
	}
}

// defaultPod writes what the API server writes into what is left open.
func defaultPod(p *corev1.PodSpec) {
	defaulted(&p.RestartPolicy, corev1.RestartPolicyAlways)
	defaulted(&p.DNSPolicy, corev1.DNSClusterFirst)
	defaulted(&p.SchedulerName, "default-scheduler")
	pointTo(&p.TerminationGracePeriodSeconds, 30)
	if p.SecurityContext == nil {
		p.SecurityContext = &corev1.PodSecurityContext{}
	}
	for _, list := range [][]corev1.Container{p.InitContainers, p.Containers} {
		for i := range list {
			defaultContainer(&list[i])
		}
	}
	for i := range p.Volumes {
		v := &p.Volumes[i].VolumeSource
		switch {
		case v.ConfigMap != nil:
			pointTo(&v.ConfigMap.DefaultMode, 0o644)
		case v.Secret != nil:
			pointTo(&v.Secret.DefaultMode, 0o644)
		case v.Projected != nil:
			pointTo(&v.Projected.DefaultMode, 0o644)
		case reflect.DeepEqual(*v, corev1.VolumeSource{}):
			v.EmptyDir = &corev1.EmptyDirVolumeSource{}
		}
	}
}

func defaultContainer(c *corev1.Container) {
	defaulted(&c.TerminationMessagePath, "/dev/termination-log")
	defaulted(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	defaulted(&c.ImagePullPolicy, corev1.PullIfNotPresent)
	for i := range c.Ports {
		defaulted(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for i := range c.Env {
		if from := c.Env[i].ValueFrom; from != nil && from.FieldRef != nil {
			defaulted(&from.FieldRef.APIVersion, "v1")
		}
	}
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if p == nil {
			continue
		}
		defaulted(&p.TimeoutSeconds, 1)
		defaulted(&p.PeriodSeconds, 10)
		defaulted(&p.SuccessThreshold, 1)
		defaulted(&p.FailureThreshold, 3)
		defaultHandler(p.HTTPGet)
	}
	if c.Lifecycle != nil {
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil {
				defaultHandler(h.HTTPGet)
			}
		}
	}
}

func defaultHandler(h *corev1.HTTPGetAction) {
	if h != nil {
		defaulted(&h.Path, "/")
		defaulted(&h.Scheme, corev1.URISchemeHTTP)
	}
}

// hasDoubles tells whether JSON has a key twice, which no API server sends and no
// manifest may have.
func hasDoubles(data []byte) bool {
	var v any
	strict, err := kubejson.UnmarshalStrict(data, &v)
	return err == nil && len(strict) > 0
}

// addOddWorkloads seeds with all that is odd in a Deployment.
func addOddWorkloads(f *testing.F) {
	for _, o := range corpus(f) {
		f.Add(o.JSON)
	}
	o := corpus(f)["server-defaults"]
	plain := string(o.JSON)
	values := []string{`"5f1c2f6e-8f5e-4a1e-9a51-5d2a5a1d9c11"`, `"registry.example/app:1"`, `"config"`, `"true"`, `{"app":"echo"}`}
	fields := []string{"hostAliases", "initContainers", "volumes", "securityContext", "containers", "os", "nodeSelector"}
	keys := []string{"status", "port", "route", "group", "caller-access-groups", "interception", "inject"}
	for i, text := range nasty {
		quoted, err := json.Marshal(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(strings.ReplaceAll(plain, values[i%len(values)], string(quoted))))
		f.Add([]byte(strings.Replace(plain, values[i%len(values)], text, 1)))
		f.Add([]byte(strings.Replace(plain, `"dnsPolicy"`, `"`+fields[i%len(fields)]+`":`+text+`,"dnsPolicy"`, 1)))
		f.Add([]byte(strings.Replace(plain, `"injector.tyk.io/inject"`, `"injector.tyk.io/`+keys[i%len(keys)]+`":`+string(quoted)+`,"injector.tyk.io/inject"`, 1)))
	}
	d, err := decideWorkload(f, meshEngine(f, "", ""), o, engine.Cluster{})
	if err != nil {
		f.Fatal(err)
	}
	injected := string(patched(f, o, d.Patch).JSON)
	for _, c := range [][2]string{
		{`"tyk-mesh"`, `"other"`}, {`\"initContainers\":[\"tyk-mesh\"]`, `\"containers\":[\"app\",\"\"]`}, {`\"volumes\"`, `\"x\"`}, {`127.0.0.1/mesh`, `/`}, {`\"names\":{`, `\"names\":{\"labels\":[\"app\",\"\"],`},
		{`"hostnames":["mesh"]`, `"hostnames":[null,"mesh",""]`}, {`"initContainers":[`, `"initContainers":[null,{},`}, {`"volumes":[`, `"volumes":[null,{"name":""},`}, {`"hostAliases":[`, `"hostAliases":[null,{},`},
	} {
		f.Add([]byte(strings.ReplaceAll(injected, c[0], c[1])))
	}
}

// The container that sets up interception may change the network of its pod, and no more.
func TestInterceptionIsNotPrivileged(t *testing.T) {
	after := settled(t, meshEngine(t, "", ""), corpus(t)["interception"], engine.Cluster{})
	var w appsv1.Deployment
	if err := json.Unmarshal(after.JSON, &w); err != nil {
		t.Fatal(err)
	}
	wanted := map[string][]corev1.Capability{"tyk-mesh": nil, "tyk-mesh-init": {"NET_ADMIN", "NET_RAW"}}
	for _, c := range w.Spec.Template.Spec.InitContainers {
		want, ours := wanted[c.Name]
		if !ours {
			continue
		}
		delete(wanted, c.Name)
		s := c.SecurityContext
		if s == nil || s.Capabilities == nil || s.Privileged != nil && *s.Privileged || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
			!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("%s may do more: %+v", c.Name, s)
			continue
		}
		if !slices.Equal(s.Capabilities.Add, want) {
			t.Errorf("%s has the capabilities %v", c.Name, s.Capabilities.Add)
		}
	}
	if len(wanted) > 0 {
		t.Errorf("not there: %v", wanted)
	}
}

// FuzzWorkload: whatever is sent as a Deployment, the answer is one of those that there
// are; a patch applies, and leaves nothing to be done.
func FuzzWorkload(f *testing.F) {
	addOddWorkloads(f)
	around := meshCluster(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, settings := range []string{"", "tls: mtls, interception: iptables"} {
			e := meshEngine(t, settings, "")
			o := engine.Object{Ref: engine.Ref{Kind: "Deployment", Namespace: "shop", Name: "echo"}, APIVersion: "apps/v1", JSON: data}
			d, err := decideWorkload(t, e, o, around)
			checkReasons(t, d.Reasons)
			checkReasons(t, d.Warnings)
			if err != nil || !json.Valid(data) || hasDoubles(data) {
				continue
			}
			if after := settled(t, e, o, around); !json.Valid(after.JSON) {
				t.Errorf("with the patch applied it is no JSON: %q", after.JSON)
			}
			if d.Outcome == engine.Managed && settings != "" && document(t, d, "inbound")["use_mutual_tls_auth"] != true {
				t.Error("the way in asks for no certificate")
			}
		}
	})
}
