package engine_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cuegate/cuegate/engine"
)

// injectedAnnotation and its like are where the engine keeps what it did.
const (
	injectedAnnotation = "injector.tyk.io/status"
	statusPath         = "/spec/template/metadata/annotations/injector.tyk.io~1status"
)

// managedCorpus gives the workloads of testdata that get a sidecar; in short tests some
// of them.
func managedCorpus(t *testing.T) map[string]engine.Object {
	t.Helper()
	all := map[string]engine.Object{}
	n := 0
	for _, name := range slices.Sorted(maps.Keys(corpus(t))) {
		o := corpus(t)[name]
		if d, _ := decideWorkload(t, meshEngine(t, "", ""), o, engine.Cluster{}); d.Outcome != engine.Managed {
			continue
		}
		if n++; !testing.Short() || n%5 == 0 {
			all[name] = o
		}
	}
	if n < 20 {
		t.Fatalf("only %d workloads of testdata get a sidecar", n)
	}
	return all
}

// paths gives the operations of a patch, but for those on our annotations.
func paths(tb testing.TB, patch []byte) []string {
	tb.Helper()
	var list []string
	for _, op := range operations(tb, patch) {
		if !strings.Contains(op.Path, "injector.tyk.io~1") {
			list = append(list, op.Op+" "+strings.TrimPrefix(op.Path, "/spec/template/")+op.summary())
		}
	}
	return list
}

// Of a workload that has a sidecar a new bundle changes what is different in its own,
// and nothing else; then there is nothing left to do.
func TestUpgrade(t *testing.T) {
	const other = `extra: containers: [{name: "mesh-logs", image: "logs:1"}]`
	for _, c := range []struct {
		name             string
		before, after    string // fields of the sidecar
		settings, change string // of the mesh
		want             []string
	}{
		{name: "nothing", before: `config: image: "a:1"`, after: `config: {image: "a:1"}`},
		{name: "image", after: `config: image: "gateway:2"`, want: []string{"replace spec/initContainers/0 tyk-mesh"}},
		{name: "variable gone", before: `env: MINE: "x"`, want: []string{"replace spec/initContainers/0 tyk-mesh"}},
		{name: "field gone", before: `gateway: {livenessProbe: tcpSocket: port: 9696, securityContext: readOnlyRootFilesystem: true}`, want: []string{"replace spec/initContainers/0 tyk-mesh"}},
		{name: "edition", after: `config: edition: "dashboard"`, want: []string{"replace spec/initContainers/0 tyk-mesh"}},
		{name: "container added", after: other, want: []string{"add spec/containers/- mesh-logs"}},
		{name: "container dropped", before: other, want: []string{"remove spec/containers/1"}},
		{name: "plain", after: `config: native: false`, want: []string{"add spec/containers/- tyk-mesh", "remove spec/initContainers"}},
		{name: "native", before: `config: native: false`, want: []string{"remove spec/containers/1", "add spec/initContainers tyk-mesh"}},
		{name: "renamed", after: `config: name: "tyk-side"`, want: []string{"remove spec/initContainers/0", "add spec/initContainers/0 tyk-side"}},
		{name: "volume added", after: `extra: volumes: [{name: "more", emptyDir: {}}]`, want: []string{"add spec/volumes/- more"}},
		{name: "volume changed", before: `extra: volumes: [{name: "more", emptyDir: sizeLimit: "1Gi"}]`, after: `extra: volumes: [{name: "more", emptyDir: {}}]`, want: []string{"replace spec/volumes/1 more"}},
		{name: "volume of another kind", before: `extra: volumes: [{name: "more", secret: secretName: "x"}]`, after: `extra: volumes: [{name: "more", emptyDir: {}}]`, want: []string{"replace spec/volumes/1 more"}},
		{name: "volume dropped", before: `extra: volumes: [{name: "more", emptyDir: {}}]`, want: []string{"remove spec/volumes/1"}},
		{name: "labels", before: `extra: labels: {a: "1", b: "2"}`, after: `extra: labels: {b: "3", c: "4"}`, want: []string{"remove metadata/labels/a", "replace metadata/labels/b 3", "add metadata/labels/c 4"}},
		{name: "annotations", before: `extra: annotations: "x.y/a": "1"`, after: `extra: annotations: "x.y/b": "2"`, want: []string{"remove metadata/annotations/x.y~1a", "add metadata/annotations/x.y~1b 2"}},
		{name: "interception", settings: "interception: none", change: "interception: iptables", want: []string{"add spec/initContainers/0 tyk-mesh-init"}},
		{name: "no interception", settings: "interception: iptables", change: "interception: none", want: []string{"remove spec/initContainers/0"}},
		{name: "port of the app's side", after: `config: appSidePort: 8000`, want: []string{"replace spec/initContainers/0 tyk-mesh", "remove spec/securityContext/sysctls", "remove spec/securityContext"}},
		{name: "host", change: "host: mesh.internal", want: []string{"add spec/hostAliases/0/hostnames/- mesh.internal", "remove spec/hostAliases/0/hostnames/0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after := meshEngine(t, c.settings, c.before), meshEngine(t, c.change, c.after)
			first := settled(t, before, corpus(t)["plain"], engine.Cluster{})
			d, err := decideWorkload(t, after, first, engine.Cluster{})
			if err != nil {
				t.Fatal(err)
			}
			got, want := slices.Sorted(slices.Values(paths(t, d.Patch))), slices.Sorted(slices.Values(c.want))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
			if len(want) == 0 && d.Patch != nil {
				t.Errorf("the patch is %s", d.Patch)
			}
			for name, o := range managedCorpus(t) {
				stored := throughServer(t, settled(t, before, o, engine.Cluster{}))
				upgraded := settled(t, after, stored, engine.Cluster{})
				if fresh := settled(t, after, o, engine.Cluster{}); !sameParts(t, fresh, upgraded) {
					t.Errorf("%s: upgraded it is\n%s\nand injected anew\n%s", name, upgraded.JSON, fresh.JSON)
				}
				checkRemoval(t, after, throughServer(t, o), throughServer(t, upgraded), nil)
			}
		})
	}
}

// sameParts compares what two workloads say of what was injected.
func sameParts(t *testing.T, a, b engine.Object) bool {
	t.Helper()
	parts := func(o engine.Object) any {
		var doc struct {
			Spec struct {
				Template struct {
					Metadata struct{ Annotations map[string]string }
				}
			}
		}
		if err := json.Unmarshal(o.JSON, &doc); err != nil {
			t.Fatal(err)
		}
		var status map[string]any
		if err := json.Unmarshal([]byte(doc.Spec.Template.Metadata.Annotations[injectedAnnotation]), &status); err != nil {
			t.Fatal(err)
		}
		return status["parts"]
	}
	return cmp.Equal(parts(a), parts(b))
}

// A bundle that differs elsewhere is no reason for new pods.
func TestSameSidecarOfAnotherBundle(t *testing.T) {
	for _, sidecar := range []string{"", `config: native: false`, `config: edition: "dashboard"`} {
		before := meshEngine(t, "", sidecar)
		after := meshEngine(t, `otherSidecars: ["*tyk-gateway*", "else"], callers: [default, front]`, sidecar)
		for name, o := range managedCorpus(t) {
			o = settled(t, before, o, engine.Cluster{})
			if d, err := decideWorkload(t, after, o, engine.Cluster{}); err != nil || d.Patch != nil {
				t.Errorf("%s: %v, patch %s", name, err, d.Patch)
			}
		}
	}
}

// sidecarOf finds our container in a pod template.
func sidecarOf(tb testing.TB, doc map[string]any) map[string]any {
	tb.Helper()
	spec := podOf(doc, "spec")
	for _, list := range []string{"initContainers", "containers"} {
		all, _ := spec[list].([]any)
		for _, c := range all {
			if c := c.(map[string]any); c["name"] == "tyk-mesh" {
				return c
			}
		}
	}
	tb.Fatal("there is no sidecar")
	return nil
}

func without(list any, name string) []any {
	return slices.DeleteFunc(slices.Clone(list.([]any)), func(e any) bool {
		m, _ := e.(map[string]any)
		return m["name"] == name
	})
}

func appended(list any, more ...any) []any {
	all, _ := list.([]any)
	return append(slices.Clone(all), more...)
}

// What others add to what is ours stays; what they change or take away comes back.
func TestOthersEditWhatIsOurs(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(doc map[string]any)
		want []string
	}{
		{"variable", func(doc map[string]any) {
			c := sidecarOf(t, doc)
			c["env"] = append([]any{map[string]any{"name": "FIRST", "value": "x"}}, appended(c["env"], map[string]any{"name": "LAST", "value": "x"})...)
		}, nil},
		{"mount, port and volume", func(doc map[string]any) {
			c := sidecarOf(t, doc)
			c["volumeMounts"] = append([]any{map[string]any{"name": "more", "mountPath": "/more"}}, c["volumeMounts"].([]any)...)
			c["ports"] = appended(c["ports"], map[string]any{"containerPort": json.Number("9090")})
			podOf(doc, "spec")["volumes"] = append([]any{map[string]any{"name": "more"}}, podOf(doc, "spec")["volumes"].([]any)...)
		}, nil},
		{"variables of a ConfigMap", func(doc map[string]any) {
			sidecarOf(t, doc)["envFrom"] = []any{map[string]any{"configMapRef": map[string]any{"name": "proxy"}}}
		}, nil},
		{"fields", func(doc map[string]any) {
			c := sidecarOf(t, doc)
			c["tty"], c["futureField"] = true, map[string]any{"a": "b"}
			c["resources"].(map[string]any)["limits"].(map[string]any)["cpu"] = "2"
			c["securityContext"].(map[string]any)["readOnlyRootFilesystem"] = true
		}, nil},
		{"amounts in another form", func(doc map[string]any) {
			requests := sidecarOf(t, doc)["resources"].(map[string]any)["requests"].(map[string]any)
			requests["cpu"], requests["memory"] = "0.05", json.Number("134217728")
		}, nil},
		{"container and init container", func(doc map[string]any) {
			spec := podOf(doc, "spec")
			spec["containers"] = append([]any{map[string]any{"name": "zero", "image": "zero"}}, spec["containers"].([]any)...)
			spec["initContainers"] = append([]any{map[string]any{"name": "first", "image": "first"}}, spec["initContainers"].([]any)...)
		}, nil},
		{"order", func(doc map[string]any) {
			c := sidecarOf(t, doc)
			slices.Reverse(c["env"].([]any))
			slices.Reverse(c["ports"].([]any))
		}, nil},
		{"labels and annotations", func(doc map[string]any) {
			podOf(doc, "metadata", "labels")["more"] = "x"
			podOf(doc, "metadata", "annotations")["example.com/more"] = "x"
		}, nil},

		{"image", func(doc map[string]any) { sidecarOf(t, doc)["image"] = "evil" }, []string{"replace spec/initContainers/0 tyk-mesh"}},
		{"command", func(doc map[string]any) {
			sidecarOf(t, doc)["ports"].([]any)[0].(map[string]any)["containerPort"] = json.Number("81")
		}, []string{"replace spec/initContainers/0 tyk-mesh"}},
		{"variable doubled", func(doc map[string]any) {
			c := sidecarOf(t, doc)
			c["env"] = appended(c["env"], map[string]any{"name": "TYK_GW_LISTENPORT", "value": "1"})
		}, []string{"replace spec/initContainers/0 tyk-mesh"}},
		{"variable gone", func(doc map[string]any) { c := sidecarOf(t, doc); c["env"] = without(c["env"], "TYK_GW_SECRET") }, []string{"replace spec/initContainers/0 tyk-mesh"}},
		{"capability", func(doc map[string]any) {
			sidecarOf(t, doc)["securityContext"].(map[string]any)["capabilities"].(map[string]any)["drop"] = []any{}
		}, []string{"replace spec/initContainers/0 tyk-mesh"}},
		{"privilege", func(doc map[string]any) {
			delete(sidecarOf(t, doc)["securityContext"].(map[string]any), "allowPrivilegeEscalation")
		}, []string{"replace spec/initContainers/0 tyk-mesh"}},
		{"container gone", func(doc map[string]any) { delete(podOf(doc, "spec"), "initContainers") }, []string{"add spec/initContainers tyk-mesh"}},
		{"container gone, another there", func(doc map[string]any) {
			podOf(doc, "spec")["initContainers"] = []any{map[string]any{"name": "first", "image": "first"}}
		}, []string{"add spec/initContainers/0 tyk-mesh"}},
		{"volume gone", func(doc map[string]any) { podOf(doc, "spec")["volumes"] = []any{} }, []string{"add spec/volumes tyk-mesh-apps"}},
		{"volume of another kind", func(doc map[string]any) {
			podOf(doc, "spec")["volumes"] = []any{map[string]any{"name": "tyk-mesh-apps", "secret": map[string]any{"secretName": "x"}}}
		}, []string{"replace spec/volumes/0 tyk-mesh-apps"}},
		{"label changed", func(doc map[string]any) { podOf(doc, "metadata", "labels")["cuegate.dev/sidecar"] = "false" }, []string{"replace metadata/labels/cuegate.dev~1sidecar true"}},
		{"label gone", func(doc map[string]any) { delete(podOf(doc, "metadata", "labels"), "cuegate.dev/sidecar") }, []string{"add metadata/labels/cuegate.dev~1sidecar true"}},
		{"sysctl changed", func(doc map[string]any) {
			podOf(doc, "spec", "securityContext")["sysctls"].([]any)[0].(map[string]any)["value"] = "80"
		}, []string{"replace spec/securityContext/sysctls/0 net.ipv4.ip_unprivileged_port_start"}},
		{"security context gone", func(doc map[string]any) { delete(podOf(doc, "spec"), "securityContext") }, []string{"add spec/securityContext map[]", "add spec/securityContext/sysctls net.ipv4.ip_unprivileged_port_start"}},
		{"host alias gone", func(doc map[string]any) { delete(podOf(doc, "spec"), "hostAliases") }, []string{"add spec/hostAliases map[hostnames:[mesh] ip:127.0.0.1]"}},
		// kubectl apply of a manifest that has the address replaces the hosts.
		{"hosts replaced", func(doc map[string]any) {
			podOf(doc, "spec")["hostAliases"].([]any)[0].(map[string]any)["hostnames"] = []any{"self"}
		}, []string{"add spec/hostAliases/0/hostnames/- mesh"}},
		{"ids gone", func(doc map[string]any) {
			delete(podOf(doc, "metadata", "annotations"), "injector.tyk.io/inbound-service-id")
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := meshEngine(t, "", "")
			o := edited(t, throughServer(t, settled(t, e, corpus(t)["plain"], engine.Cluster{})), c.edit)
			d, err := decideWorkload(t, e, o, engine.Cluster{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, paths(t, d.Patch)); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
			if c.want == nil && d.Patch != nil && c.name != "ids gone" {
				t.Errorf("the patch is %s", d.Patch)
			}
			settled(t, e, o, engine.Cluster{})
		})
	}
}

// What is removed with the wish is ours alone, whatever others have put beside it.
func TestRemovalLeavesWhatOthersAdded(t *testing.T) {
	e := meshEngine(t, "", "")
	o := settled(t, e, corpus(t)["plain"], engine.Cluster{})
	add := func(doc map[string]any) {
		spec := podOf(doc, "spec")
		spec["containers"] = appended(spec["containers"], map[string]any{"name": "more", "image": "more"})
		spec["initContainers"] = append([]any{map[string]any{"name": "first", "image": "first"}}, appended(spec["initContainers"], map[string]any{"name": "last", "image": "last"})...)
		spec["volumes"] = append([]any{map[string]any{"name": "first"}}, appended(spec["volumes"], map[string]any{"name": "last"})...)
		aliases, _ := spec["hostAliases"].([]any)
		if len(aliases) == 0 {
			aliases = []any{map[string]any{"ip": "127.0.0.1", "hostnames": []any{}}}
		}
		entry := aliases[0].(map[string]any)
		entry["hostnames"] = appended(entry["hostnames"], "self")
		spec["hostAliases"] = append([]any{map[string]any{"ip": "127.0.0.2", "hostnames": []any{"two"}}}, aliases...)
		context := podOf(doc, "spec", "securityContext")
		context["fsGroup"] = json.Number("7")
		podOf(doc, "metadata", "labels")["more"] = "x"
	}
	checkRemoval(t, e, edited(t, corpus(t)["plain"], add), edited(t, o, add), nil)
}

// The annotation that says what was injected may get lost, or be edited.
func TestStatusOfInjection(t *testing.T) {
	setStatus := func(text string) func(map[string]any) {
		return func(doc map[string]any) { podOf(doc, "metadata", "annotations")[injectedAnnotation] = text }
	}
	drop := func(doc map[string]any) { delete(podOf(doc, "metadata", "annotations"), injectedAnnotation) }
	for _, sidecar := range []string{"", `config: native: false`, `config: {edition: "dashboard", name: "other"}, extra: {volumes: [{name: "more", emptyDir: {}}], labels: x: "y", annotations: "x.y/z": "1"}`} {
		for _, settings := range []string{"", "interception: iptables"} {
			e := meshEngine(t, settings, sidecar)
			for name, before := range managedCorpus(t) {
				o := throughServer(t, settled(t, e, before, engine.Cluster{}))
				for what, edit := range map[string]func(map[string]any){
					"lost": drop, "emptied": setStatus(""), "without names": setStatus(`{"names":{"labels":["a"]}}`),
				} {
					again := settled(t, e, edited(t, o, edit), engine.Cluster{})
					if !cmp.Equal(leavesOf(t, again.JSON), leavesOf(t, o.JSON)) && name != "label-of-author" && name != "sysctl-of-author" && name != "host-alias-of-author" {
						t.Errorf("%s, status %s: %s", name, what, cmp.Diff(leavesOf(t, o.JSON), leavesOf(t, again.JSON)))
					}
				}
			}
		}
	}

	e := meshEngine(t, "", "")
	o := settled(t, e, corpus(t)["port-called-http"], engine.Cluster{})
	for _, text := range []string{"{", `"x"`, `[]`, `{}`, `{"names":{}}`, `{"names":{"futures":["a"]}}`, `{"names":{"containers":"app"}}`} {
		broken := edited(t, o, setStatus(text))
		d, err := decideWorkload(t, e, broken, engine.Cluster{})
		if err == nil || len(d.Reasons) == 0 || d.Reasons[0].ID != "injected-invalid" {
			t.Errorf("status %s: %v, %v", text, err, d.Reasons)
		}
		// What the reason says to do helps.
		settled(t, e, edited(t, broken, drop), engine.Cluster{})
	}

	// Whoever writes other names into it takes nothing from the author.
	greedy := edited(t, o, func(doc map[string]any) {
		annotations := podOf(doc, "metadata", "annotations")
		annotations[injectedAnnotation] = strings.Replace(annotations[injectedAnnotation].(string), `"names":{`, `"names":{"containers":["metrics","app"],`, 1)
	})
	if after := settled(t, e, greedy, engine.Cluster{}); !cmp.Equal(leavesOf(t, after.JSON), leavesOf(t, o.JSON)) {
		t.Error(cmp.Diff(leavesOf(t, o.JSON), leavesOf(t, after.JSON)))
	}
}

// A manifest that was copied from a workload with a sidecar is one with a sidecar.
func TestCopiedManifest(t *testing.T) {
	e := meshEngine(t, "", `config: edition: "dashboard"`)
	o := settled(t, e, corpus(t)["plain"], engine.Cluster{})
	copied := workload(t, strings.ReplaceAll(string(o.JSON), `"metadata":{"name":"echo"`, `"metadata":{"name":"copy"`))
	if copied.Name != "copy" {
		t.Fatal("nothing was copied")
	}
	d, err := decideWorkload(t, e, copied, engine.Cluster{})
	if err != nil || !slices.Equal(paths(t, d.Patch), []string{"replace spec/initContainers/0 tyk-mesh"}) {
		t.Errorf("%v: %s", err, d.Patch)
	}
	after := settled(t, e, copied, engine.Cluster{})
	if env := fmt.Sprint(sidecarOf(t, decodeNumbers(t, after.JSON))["env"]); !strings.Contains(env, "mesh,shop.copy") || strings.Contains(env, "shop.echo") {
		t.Errorf("the tags are those of the other: %s", env)
	}
}

// otherInjector is a webhook of somebody else, which adds a container and a volume, and
// mounts it into every container, with a variable.
func otherInjector(tb testing.TB, o engine.Object) engine.Object {
	return edited(tb, o, func(doc map[string]any) {
		spec := podOf(doc, "spec")
		if !strings.Contains(fmt.Sprint(spec["volumes"]), "name:other") {
			spec["volumes"] = appended(spec["volumes"], map[string]any{"name": "other", "emptyDir": map[string]any{}})
		}
		if !strings.Contains(fmt.Sprint(spec["containers"]), "image:other") {
			spec["containers"] = append([]any{map[string]any{"name": "other", "image": "other"}}, appended(spec["containers"])...)
		}
		for _, list := range []string{"containers", "initContainers"} {
			all, _ := spec[list].([]any)
			for _, c := range all {
				c := c.(map[string]any)
				if strings.Contains(fmt.Sprint(c["volumeMounts"]), "name:other") {
					continue
				}
				c["volumeMounts"] = appended(c["volumeMounts"], map[string]any{"name": "other", "mountPath": "/other"})
				c["env"] = append([]any{map[string]any{"name": "OTHER", "value": "x"}}, appended(c["env"])...)
			}
		}
	})
}

// With another webhook that changes all containers, ours too, everything settles after
// two rounds at most, whichever of the two is called first: at the first injection, and
// when a new bundle replaces our container.
func TestSettlesWithAnotherInjector(t *testing.T) {
	first, second := meshEngine(t, "", ""), meshEngine(t, "", `config: image: "gateway:2"`)
	for name, o := range managedCorpus(t) {
		for _, oursFirst := range []bool{true, false} {
			for _, e := range []*engine.Engine{first, second} {
				ours := func(o engine.Object) engine.Object {
					d, err := decideWorkload(t, e, o, engine.Cluster{})
					if err != nil {
						t.Fatal(err)
					}
					return patched(t, o, d.Patch)
				}
				round := func(o engine.Object) engine.Object {
					if oursFirst {
						return otherInjector(t, ours(o))
					}
					return ours(otherInjector(t, o))
				}
				o = throughServer(t, round(round(o)))
				if again := round(o); !cmp.Equal(leavesOf(t, again.JSON), leavesOf(t, o.JSON)) {
					t.Errorf("%s does not settle, ours first: %v\n%s", name, oursFirst, cmp.Diff(leavesOf(t, o.JSON), leavesOf(t, again.JSON)))
				}
				if mounts := fmt.Sprint(sidecarOf(t, decodeNumbers(t, o.JSON))["volumeMounts"]); !strings.Contains(mounts, "name:other") {
					t.Errorf("%s: the mount of the other is gone from our container: %s", name, mounts)
				}
			}
		}
	}
}

// A bundle may write what the API server writes in another way, or leaves out: that is
// no difference.
func TestSidecarAsTheServerStoresIt(t *testing.T) {
	e := meshEngine(t, "", `
		gateway: {
			resources: {limits: {cpu: "1000m", memory: "1024Mi", "example.com/gpu": 1}, requests: {cpu: 0.5, memory: "1000Ki"}}
			livenessProbe: {tcpSocket: port: "tyk-control", initialDelaySeconds: 0, timeoutSeconds: 0, periodSeconds: 0, successThreshold: 0, failureThreshold: 0}
			readinessProbe: {exec: command: ["true"], timeoutSeconds: 1}
			startupProbe: periodSeconds: 2
			lifecycle: {postStart: httpGet: port: 9696, preStop: sleep: seconds: 0}
			envFrom: [{configMapRef: {name: "a", optional: false}}, {prefix: "", secretRef: name: "b"}]
			terminationMessagePolicy: "FallbackToLogsOnError"
			workingDir: ""
			securityContext: {readOnlyRootFilesystem: false, runAsGroup: 0, privileged: false}
		}
		env: {EMPTY: "", POD: {name: "POD", valueFrom: fieldRef: fieldPath: "metadata.name"}}
		extra: {
			containers: [{name: "mesh-logs", image: "logs:1", ports: [{containerPort: 1}, {containerPort: 1, protocol: "UDP"}], volumeMounts: [{name: "dir", mountPath: "/dir", subPath: "", readOnly: false}], resources: {limits: {}}}]
			volumes: [
				{name: "dir", emptyDir: {medium: "", sizeLimit: "1024Mi"}},
				{name: "number", emptyDir: sizeLimit: 1048576},
				{name: "map", configMap: {name: "x", defaultMode: 0o600, items: [{key: "b", path: "b"}, {key: "a", path: "a"}]}},
				{name: "secret", secret: {secretName: "x", optional: false}},
				{name: "mesh-all", projected: sources: [{configMap: name: "x"}]},
			]
			labels: "example.com/a": "", annotations: "example.com/b": ""
		}`)
	for name, o := range managedCorpus(t) {
		o = throughServer(t, settled(t, e, o, engine.Cluster{}))
		if d, err := decideWorkload(t, e, o, engine.Cluster{}); err != nil || d.Patch != nil {
			t.Errorf("%s: %v, patch %s", name, err, d.Patch)
		}
	}
}

// Labels and annotations of the author's are his, under whatever name.
func TestLabelsOfTheAuthor(t *testing.T) {
	e := meshEngine(t, "", `extra: {labels: tier: "mesh", annotations: "prometheus.io/scrape": "true"}`)
	with := func(label, annotation string) engine.Object {
		return edited(t, corpus(t)["plain"], func(doc map[string]any) {
			podOf(doc, "metadata", "labels")["tier"] = label
			podOf(doc, "metadata", "annotations")["prometheus.io/scrape"] = annotation
		})
	}
	same := with("mesh", "true")
	checkRemoval(t, e, same, settled(t, e, same, engine.Cluster{}), nil)
	for _, c := range []struct{ label, annotation, field string }{
		{"front", "true", "spec.template.metadata.labels"}, {"mesh", "false", "spec.template.metadata.annotations"},
	} {
		d, err := decideWorkload(t, e, with(c.label, c.annotation), engine.Cluster{})
		if err == nil || len(d.Reasons) != 1 || d.Reasons[0].ID != "sidecar-name-taken" || d.Reasons[0].Field != c.field {
			t.Errorf("%v: %v, %v", c, err, d.Reasons)
		}
	}
}

// Host aliases in all the forms that the API server takes.
func TestHostAliases(t *testing.T) {
	e := meshEngine(t, "", "")
	for aliases, want := range map[string]string{
		`null`:                                     `[{"ip":"127.0.0.1","hostnames":["mesh"]}]`,
		`[]`:                                       `[{"ip":"127.0.0.1","hostnames":["mesh"]}]`,
		`[{"ip":"127.0.0.1"}]`:                     `[{"hostnames":["mesh"],"ip":"127.0.0.1"}]`,
		`[{"ip":"127.0.0.1","hostnames":null}]`:    `[{"hostnames":["mesh"],"ip":"127.0.0.1"}]`,
		`[{"ip":"127.0.0.1","hostnames":[]}]`:      `[{"hostnames":["mesh"],"ip":"127.0.0.1"}]`,
		`[{"ip":"127.0.0.1","hostnames":["a"]}]`:   `[{"hostnames":["a","mesh"],"ip":"127.0.0.1"}]`,
		`[{"ip":"::1","hostnames":["localhost"]}]`: `[{"hostnames":["localhost"],"ip":"::1"},{"hostnames":["mesh"],"ip":"127.0.0.1"}]`,
		// The address twice: ours goes to the first.
		`[{"ip":"127.0.0.1","hostnames":["a"]},{"ip":"127.0.0.1","hostnames":["b"]}]`: `[{"hostnames":["a","mesh"],"ip":"127.0.0.1"},{"hostnames":["b"],"ip":"127.0.0.1"}]`,
	} {
		o := edited(t, corpus(t)["plain"], func(doc map[string]any) {
			var v any
			if err := json.Unmarshal([]byte(aliases), &v); err != nil {
				t.Fatal(err)
			}
			podOf(doc, "spec")["hostAliases"] = v
		})
		after := settled(t, e, o, engine.Cluster{})
		var got, wanted any
		raw, _ := json.Marshal(podOf(decodeNumbers(t, after.JSON), "spec")["hostAliases"])
		if json.Unmarshal(raw, &got) != nil || json.Unmarshal([]byte(want), &wanted) != nil || !cmp.Equal(got, wanted) {
			t.Errorf("%s become %s, want %s", aliases, raw, want)
		}
	}
}

// What is refused has no patch, and what refuses it is said once.
func TestRefusedHasNoPatch(t *testing.T) {
	for name, o := range corpus(t) {
		d, err := decideWorkload(t, meshEngine(t, "", ""), o, engine.Cluster{})
		if err == nil {
			continue
		}
		if d.Patch != nil {
			t.Errorf("%s is refused and patched", name)
		}
		seen := map[engine.Reason]bool{}
		for _, r := range d.Reasons {
			if seen[r] {
				t.Errorf("%s hears twice: %s", name, r.Msg)
			}
			seen[r] = true
		}
	}
	if keys := slices.Collect(maps.Keys(corpus(t))); len(keys) == 0 {
		t.Fatal("no workloads")
	}
}
