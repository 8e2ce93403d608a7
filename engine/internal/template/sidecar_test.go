package template

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cuegate/cuegate"
)

// sidecarFile is a bundle with a sidecar, given as what follows `sidecar.#Sidecar &`.
func sidecarFile(text, more string) fstest.MapFS {
	var b strings.Builder
	b.WriteString("package templates\nimport \"github.com/cuegate/cuegate/cue/sidecar\"\n")
	for _, pkg := range []string{"strings", "list", "net", "github.com/cuegate/cuegate/cue/template"} {
		if strings.Contains(text+more, path.Base(pkg)+".") {
			fmt.Fprintf(&b, "import %q\n", pkg)
		}
	}
	fmt.Fprintf(&b, "inject: sidecar.#Sidecar & {in: _\n%s}\n%s", text, more)
	return fstest.MapFS{"templates/mine.cue": {Data: []byte(b.String())}}
}

var sidecars = []struct {
	name  string
	text  string
	blind bool
	more  string
}{
	{"as it is", ``, true, ``},
	{"for a Dashboard", `config: edition: "dashboard"`, true, ``},
	{"plain container", `config: {native: false, redis: {cluster: true, passwordSecret: "redis"}}`, true, ``},
	{"name handed on", `env: SERVICE: in.name, env: TAGS: in.tagList`, true, ``},
	{"name in a label and an annotation", `extra: {labels: {service: in.name}, annotations: {namespace: in.namespace}}`, true, ``},
	{"handed on through fields", `_mine: {a: {b: in.name}}, env: SERVICE: _mine.a["b"]`, true, ``},
	{"handed on through a let", `let n = in.name, env: SERVICE: n`, true, ``},
	{"handed on through a loop", `gateway: args: [for t in in.tags if t != "mesh" {t}]`, true, ``},
	{"first of a list", `env: TAG: in.tags[0]`, true, ``},
	{"by quotes", `env: SERVICE: in["name"]`, true, ``},
	{"default that is a name", `env: SERVICE: *in.name | string`, true, ``},
	{"compared with a constant", `if in.name == "web" {gateway: resources: limits: memory: "1Gi"}`, true, ``},
	{"compared with another", `if in.name == in.namespace {env: SAME: "yes"}`, true, ``},
	{"compared with a list", `if list.Contains(["web", "api"], in.name) {env: KNOWN: "yes"}`, true, ``},
	{"unified with a constant in a condition", `if (in.name & "web") != _|_ {env: WEB: "yes"}`, true, ``},
	{"not one name", `gateway: workingDir: in.namespace & !="forbidden"`, true, ``},
	{"refused by name", `errors: [if in.name == "web" {"no web here"}]`, true, ``},
	{"refused with the name", `errors: [if in.namespace == "default" {in.name}]`, true, ``},
	{"refused with a sentence", `errors: [if in.namespace == "default" {"no \(in.name) here"}]`, false, ``},
	{"constants elsewhere", `env: SERVICE: in.name`, true, `limits: {a: strings.ToUpper("x"), b: len("abc") > 2}` + "\n"},
	{"templates beside", `env: SERVICE: in.name`, true, `templates: t: template.#Base & {in: _, api: name: strings.ToUpper(in.name)}` + "\n"},

	{"interpolation", `env: SERVICE: "\(in.name).\(in.namespace)"`, false, ``},
	{"interpolation further on", `_mine: in.name, env: SERVICE: "x-\(_mine)"`, false, ``},
	{"interpolation of a variable", `gateway: args: [for t in in.tags {"--tag=\(t)"}]`, false, ``},
	{"concatenation", `env: SERVICE: in.name + "-x"`, false, ``},
	{"joined", `env: TAGS: strings.Join(in.tags, ":")`, false, ``},
	{"split", `gateway: args: strings.Split(in.tagList, ",")`, false, ``},
	{"capitals", `env: SERVICE: strings.ToUpper(in.name)`, false, ``},
	{"length", `if len(in.name) > 3 {env: LONG: "yes"}`, false, ``},
	{"order", `if in.name < "m" {env: EARLY: "yes"}`, false, ``},
	{"pattern", `if in.name =~ "^a" {env: A: "yes"}`, false, ``},
	{"constraint by pattern", `gateway: workingDir: in.name & =~"^[a-z]+$"`, false, ``},
	{"constraint by a bound", `gateway: workingDir: in.name & >"a"`, false, ``},
	{"constraint by a function", `gateway: workingDir: in.name & strings.MaxRunes(9)`, false, ``},
	{"constraint by a package", `_mine: *in.name | net.IPv4, env: SERVICE: _mine`, false, ``},
	{"constraint on a field elsewhere", `env: SERVICE: in.name, env: [string]: _ | =~"x"`, false, ``},
	{"dynamic label", `extra: annotations: (in.name): "x"`, false, ``},
	{"whole of in", `let all = in, env: SERVICE: all.name`, false, ``},
	{"in of another", `if other.in.name != _|_ {env: OTHER: "yes"}`, false, "other: sidecar.#Sidecar & {in: _}\n"},
	{"constraint on in", ``, false, `inject: in: name: "web" | "api" | "sample"` + "\n"},
	{"alias", `env: {N=SERVICE: in.name, OTHER: N}`, false, ``},
	{"length of what holds it", `_mine: [in.name], if len(_mine) > 0 {env: SOME: "yes"}`, false, ``},
}

// workloadInputs are of many kinds; names are often equal, or spelled by the sidecars.
func workloadInput(r *rand.Rand) SidecarIn {
	one := func(texts ...string) string { return texts[r.IntN(len(texts))] }
	name := one("web", "api", "a", "mesh", "default", "team", "service-17", "service-18", "gateway", "yes", "no", "b.c", "n"+fmt.Sprint(r.IntN(1000)))
	namespace := one("default", "forbidden", "team", "web", "mesh", "shop", "ns"+fmt.Sprint(r.IntN(1000)))
	in := SidecarIn{
		Kind: one("Deployment", "StatefulSet", "DaemonSet"), Namespace: namespace, Name: name, Org: one("default", "org"),
		Tags: []string{one("mesh", "mesh."+namespace+".front"), namespace + "." + name}, Host: one("mesh", "mesh", "web"), Port: 8080,
		AppPort: []int{80, 3000, 8000, 9696}[r.IntN(4)], Interception: one("none", "iptables"), TLS: one("off", "tls", "mtls"),
	}
	in.TakenPorts = []int{in.AppPort}
	return in
}

// What is given without CUE is what CUE gives.
func TestSidecarIsCUE(t *testing.T) {
	for _, c := range sidecars {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := loadOperator(t, sidecarFile(c.text, c.more))
			if s.blindSidecar != c.blind {
				t.Errorf("blind: %v, want %v", s.blindSidecar, c.blind)
			}
			r := rand.New(rand.NewPCG(1, uint64(len(c.text))))
			n := 30
			if testing.Short() {
				n = 8
			}
			for range n {
				in := workloadInput(r)
				got, gotErr := s.RenderSidecar(in)
				in.TagList = strings.Join(in.Tags, ",")
				raw, wantErr := s.evaluateSidecar(in)
				if (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error() {
					t.Fatalf("%+v fails with %v, and in CUE with %v", in, gotErr, wantErr)
				}
				if gotErr != nil {
					continue
				}
				want, err := newPod(raw)
				if err != nil {
					t.Fatal(err)
				}
				if got.Hash != want.Hash || !reflect.DeepEqual(contentOf(got), contentOf(want)) {
					t.Fatalf("%+v gives\n%v\nand in CUE\n%v", in, contentOf(got), contentOf(want))
				}
			}
		})
	}
}

// contentOf gives a pod without the functions in it.
func contentOf(p *Pod) map[string]any {
	content := map[string]any{"hostAliases": p.HostAliases, "labels": p.Labels, "annotations": p.Annotations}
	for name, list := range map[string][]Part{"containers": p.Containers, "initContainers": p.InitContainers, "volumes": p.Volumes, "sysctls": p.Sysctls} {
		for _, part := range list {
			content[name+"/"+part.Name] = fmt.Sprintf("%s %s %v", part.Hash, part.JSON, part.Value())
		}
	}
	return content
}

// A name that was not met before costs no rendering with CUE, and no memory.
func TestBlindSidecarIsRenderedOnce(t *testing.T) {
	for _, text := range []string{``, `config: edition: "dashboard"`, `env: SERVICE: in.name`} {
		s := loadOperator(t, sidecarFile(text, ""))
		in := SidecarIn{Kind: "Deployment", Org: "default", Host: "mesh", Port: 8080, AppPort: 3000, Interception: "none", TLS: "off"}
		var known int
		for i := range 50 {
			in.Namespace, in.Name = fmt.Sprint("namespace-", i), fmt.Sprint("name-", i)
			in.Tags = []string{"mesh", in.Namespace + "." + in.Name}
			pod, err := s.RenderSidecar(in)
			if err != nil {
				t.Fatal(err)
			}
			if text != "" && !strings.Contains(string(pod.InitContainers[0].JSON), in.Name+`"`) {
				t.Fatalf("the name %s is not in %s", in.Name, pod.InitContainers[0].JSON)
			}
			if i == 0 {
				known = len(s.injected.known)
			}
		}
		if len(s.injected.known) != known {
			t.Errorf("%q: %d renderings are kept for 50 names, and %d for one", text, len(s.injected.known), known)
		}
	}
}

// Renderings that cannot be shared are forgotten in the end.
func TestRenderingsAreBounded(t *testing.T) {
	r := newRenderings()
	for i := range 3 * maxRenderings {
		r.put(fmt.Sprint(i), rendering{})
		r.get("0") // in use
	}
	if _, ok := r.get("0"); !ok || len(r.known) != maxRenderings || r.latest.Len() != maxRenderings {
		t.Errorf("%d are known, the one in use: %v", len(r.known), ok)
	}
}

// A name that holds the mark of an atom is left to CUE.
func TestSidecarWithMarkInName(t *testing.T) {
	s := loadOperator(t, sidecarFile(`env: SERVICE: in.name`, ""))
	for _, name := range []string{atomText(0), "x" + atomText(1), "\xff", atomMark} {
		pod, err := s.RenderSidecar(SidecarIn{Kind: "Deployment", Namespace: "shop", Name: name, Tags: []string{"mesh"}, Host: "mesh", Port: 8080, AppPort: 3000, Interception: "none", TLS: "off"})
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ToValidUTF8(name, "\ufffd")
		if env := fmt.Sprint(pod.InitContainers[0].Value()["env"]); !strings.Contains(env, "name:SERVICE value:"+want+"]") {
			t.Errorf("the name %q is given as %s", name, env)
		}
	}
}

// A sidecar that can be rendered for no workload is found when the bundle is loaded, at
// its place.
func TestBrokenSidecarIsFound(t *testing.T) {
	own, err := fs.Sub(cuegate.Builtin(), "cue")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`gateway: image: 7`:                          "wants a text, not 7",
		`pod: volumes: [{name: "x", emptyDirr: {}}]`: "",
		`gateway: volumeMounts: "x"`:                 `wants a list, not "x"`,
	} {
		_, problems := Load(own, sidecarFile(text, ""))
		if len(problems) == 0 || !strings.Contains(fmt.Sprint(problems), want) {
			t.Errorf("%s: %v", text, problems)
		}
	}
}
