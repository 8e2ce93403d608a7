//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cuegate/cuegate/engine"
	"github.com/cuegate/cuegate/test/apply"
)

// stored are the definitions that the gateway has, by id.
func (g *gateway) stored(t testing.TB) map[string]string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, g.URL()+"/tyk/apis", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("x-tyk-authorization", g.secret)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var all []json.RawMessage
	if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	byID := map[string]string{}
	for _, d := range all {
		byID[gjson.GetBytes(d, "api_id").String()] = gjson.GetBytes(d, "config_data.cuegate.hash").String()
	}
	return byID
}

// rendered are the definitions that `cuegate render` prints for manifests, with the
// hash of each by its id, and the upstreams they lead to.
func rendered(t testing.TB, args ...string) (byID map[string]string, targets []string) {
	t.Helper()
	cmd := exec.Command(program, append([]string{"render", "-o", "json"}, args...)...)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	_ = cmd.Run() // 1 where something is refused
	byID = map[string]string{}
	for _, a := range gjson.GetBytes(stdout.Bytes(), "apis").Array() {
		d := a.Get("definition")
		byID[d.Get("api_id").String()] = d.Get("config_data.cuegate.hash").String()
		targets = append(targets, d.Get("proxy.target_url").String())
	}
	return byID, targets
}

// The examples, applied to a cluster, become what render prints of them, and the
// gateway serves them. That of TLS has a test of its own.
func TestExamples(t *testing.T) {
	for _, example := range []struct {
		name     string
		requests [][4]string // host, path, status, upstream
	}{
		{"01-cafe", [][4]string{{"cafe.example.com", "/tea/green", "200", "http://tea-svc.default:80"}, {"cafe.example.com", "/coffee", "200", "http://coffee-svc.default:80"}, {"cafe.example.com", "/teapot", "404"}}},
		{"02-overrides", [][4]string{{"cafe.example.com", "/tea", "401"}}},
		{"03-template", [][4]string{{"shop.example.com", "/orders", "401"}}},
		{"04-policy", [][4]string{{"api.example.com", "/quotes", "401"}}},
		{"06-paths-and-hosts", [][4]string{{"bakery.example.com", "/bread", "200", "http://today.default:8080"}, {"bakery.example.com", "/bread/rye", "200", "http://bread.default:8080"}, {"rome.bakery.example.com", "/", "200", "http://branches.default:80"}}},
		{"07-legacy", [][4]string{{"cafe.example.com", "/tea", "200", "http://tea-svc.default:80"}, {"cafe.example.com", "/coffee", "200", "http://coffee-svc.default:8080"}, {"orders.example.com", "/", "401"}}},
	} {
		t.Run(example.name, func(t *testing.T) {
			dir := filepath.Join("../../examples", example.name)
			args := []string{}
			if _, err := os.Stat(filepath.Join(dir, "bundle")); err == nil {
				args = append(args, "--bundle", filepath.Join(dir, "bundle"))
			}
			want, targets := rendered(t, append(args, "-f", dir)...)
			w := newWorld(t, "rbac.yaml")
			w.put(today(apply.Files(dir)))
			w.servicesOf(dir, targets)
			w.start(args...).ready()
			var got map[string]string
			defer func() {
				if t.Failed() {
					t.Logf("rendered: %v\nserved:   %v", want, got)
				}
			}()
			eventually(t, "as rendered", func() bool { got = w.gateway.stored(t); return equal(got, want) })
			for _, r := range example.requests {
				if r[2] == "200" {
					w.gateway.serves(r[0], r[1], r[3])
				} else if status, _ := w.gateway.get(r[0], r[1]); strconv.Itoa(status) != r[2] {
					t.Errorf("%s%s is answered with %d, not %s", r[0], r[1], status, r[2])
				}
			}
		})
	}
}

// today gives manifests as an API server of today takes them: one that knew the beta
// versions of an Ingress converted these so.
func today(objects []engine.Object, err error) ([]engine.Object, error) {
	for i, o := range objects {
		if o.Kind != "Ingress" || !strings.HasSuffix(o.APIVersion, "v1beta1") {
			continue
		}
		o.APIVersion = "networking.k8s.io/v1"
		text := []byte(o.JSON)
		set := func(path string, value any) {
			if err == nil {
				text, err = sjson.SetBytes(text, path, value)
			}
		}
		set("apiVersion", o.APIVersion)
		for r, rule := range gjson.GetBytes(text, "spec.rules").Array() {
			for p, path := range rule.Get("http.paths").Array() {
				at := fmt.Sprintf("spec.rules.%d.http.paths.%d.", r, p)
				if !path.Get("pathType").Exists() {
					set(at+"pathType", "ImplementationSpecific")
				}
				port := map[string]any{"name": path.Get("backend.servicePort").String()}
				if n := path.Get("backend.servicePort"); n.Type == gjson.Number {
					port = map[string]any{"number": n.Int()}
				}
				set(at+"backend", map[string]any{"service": map[string]any{"name": path.Get("backend.serviceName").String(), "port": port}})
			}
		}
		o.JSON = text
		objects[i] = o
	}
	return objects, err
}

// The example of TLS, with a pair of one's own in place of the certificates whose keys
// it leaves out.
func TestExampleTLS(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.apply("../../examples/05-tls")
	shop, shopKey := newPair(t, "shop.example.com")
	any, anyKey := newPair(t, "*.example.com")
	w.secret("default", "shop-tls", shop, shopKey)
	w.secret("default", "wildcard-tls", any, anyKey)
	w.service("default", "shop", 80)
	w.service("default", "blog", 80)
	secure := w.gateway.listenTLS(t)
	w.start().ready()
	w.gateway.serves("blog.example.com", "/", "http://blog.default:80")
	eventually(t, "the certificates served", func() bool {
		return served(secure, "shop.example.com") == serial(shop) && served(secure, "blog.example.com") == serial(any)
	})
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// servicesOf makes the Services that the targets are, unless the example has them.
func (w *world) servicesOf(dir string, targets []string) {
	w.t.Helper()
	all, err := apply.Files(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	var done []string
	for _, o := range all {
		if o.Kind == "Service" {
			done = append(done, o.Name+"."+o.Namespace)
		}
		if o.Kind != "Ingress" {
			continue
		}
		for _, s := range gjson.GetBytes(o.JSON, "spec.rules.#.http.paths.#.backend.service|@flatten").Array() {
			targets = append(targets, "http://"+s.Get("name").String()+"."+o.Namespace+":80")
		}
	}
	for _, t := range targets {
		host, _, _ := strings.Cut(strings.TrimPrefix(t, "http://"), ":")
		name, namespace, ok := strings.Cut(host, ".")
		if !ok || strings.ContainsAny(namespace, "./") || slices.Contains(done, host) {
			continue
		}
		done = append(done, host)
		w.service(namespace, name, 80)
	}
}

// An Ingress that goes to another class is served no more, and one that comes is.
func TestClassMoves(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.service("shop", "web", 80)
	w.applyText(ingress("shop", "web", "web.example.com", "/", "web"))
	w.start().ready()
	w.gateway.serves("web.example.com", "/", "http://web.shop:80")
	eventually(t, "told", func() bool { return w.status("shop", "web", "outcome") == "served" })
	w.applyText(strings.Replace(ingress("shop", "web", "web.example.com", "/", "web"), `"tyk"`, `"nginx"`, 1))
	w.gateway.answers("web.example.com", "/", 404)
	eventually(t, "the annotation gone", func() bool { return w.status("shop", "web", "outcome") == "" })
	w.applyText(ingress("shop", "web", "web.example.com", "/", "web"))
	w.gateway.serves("web.example.com", "/", "http://web.shop:80")
	w.deleteIngress("shop", "web")
	w.gateway.answers("web.example.com", "/", 404)
}

// The annotation of the old controller, and the default class.
func TestLegacyAnnotationAndDefaultClass(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.service("shop", "web", 80)
	none := strings.Replace(ingress("shop", "none", "none.example.com", "/", "web"), `"ingressClassName": "tyk", `, "", 1)
	old := strings.Replace(ingress("shop", "old", "old.example.com", "/", "web", "kubernetes.io/ingress.class", "Tyk"), `"ingressClassName": "tyk", `, "", 1)
	w.applyText(none)
	w.applyText(old)
	w.start().ready()
	w.gateway.serves("old.example.com", "/", "http://web.shop:80")
	if status, _ := w.gateway.get("none.example.com", "/"); status != 404 {
		t.Errorf("an Ingress without a class is answered with %d while there is no default class", status)
	}
	w.applyText(`{"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "tyk",
		"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}, "spec": {"controller": "cuegate.dev/ingress-controller"}}`)
	w.gateway.serves("none.example.com", "/", "http://web.shop:80")
}

// A Service's port that is named gets another number, and another name.
func TestServicePort(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.service("shop", "web", 80)
	w.applyText(strings.Replace(ingress("shop", "web", "web.example.com", "/", "web"), `{"number": 80}`, `{"name": "http"}`, 1))
	w.start().ready()
	w.gateway.serves("web.example.com", "/", "http://web.shop:80")
	w.service("shop", "web", 8080)
	w.gateway.serves("web.example.com", "/", "http://web.shop:8080")
	// A port that is there no more: refused and told, and what was served stays.
	w.applyText(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"ports": [{"name": "web", "port": 81}]}}`)
	eventually(t, "refused", func() bool { return w.status("shop", "web", "outcome") == "refused" })
	w.gateway.serves("web.example.com", "/", "http://web.shop:8080")
	w.service("shop", "web", 82)
	w.gateway.serves("web.example.com", "/", "http://web.shop:82")
}

// The label of a namespace chooses another template.
func TestNamespaceRelabelled(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.service("shop", "web", 80)
	w.applyText(ingress("shop", "web", "web.example.com", "/", "web"))
	w.start().ready()
	w.gateway.serves("web.example.com", "/", "http://web.shop:80")
	w.label("shop", `{"cuegate.dev/template": "tokenAuth"}`)
	w.gateway.answers("web.example.com", "/", 401)
	w.label("shop", `{"cuegate.dev/template": null}`)
	w.gateway.serves("web.example.com", "/", "http://web.shop:80")
}

func (w *world) label(namespace, labels string) {
	w.t.Helper()
	_, err := w.client.CoreV1().Namespaces().Patch(w.t.Context(), namespace, types.MergePatchType, []byte(`{"metadata": {"labels": `+labels+`}}`), metav1.PatchOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
}

// A host belongs to the namespace that named it first; when that lets go, the other
// gets it.
func TestHostClaim(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.service("first", "web", 80)
	w.service("second", "web", 80)
	w.applyText(ingress("first", "web", "web.example.com", "/", "web"))
	w.start().ready()
	w.gateway.serves("web.example.com", "/", "http://web.first:80")
	eventually(t, "a second older", func() bool {
		// Ages have whole seconds.
		return w.older("first", "web")
	})
	w.applyText(ingress("second", "web", "web.example.com", "/other", "web"))
	eventually(t, "refused", func() bool { return w.status("second", "web", "outcome") == "refused" })
	if reasons := w.status("second", "web", "reasons"); !strings.Contains(reasons, "host-claimed") {
		t.Errorf("the reasons are %s", reasons)
	}
	w.deleteIngress("first", "web")
	w.gateway.serves("web.example.com", "/other", "http://web.second:80")
	w.gateway.answers("web.example.com", "/", 404)
}

// older tells whether an Ingress was made in an earlier second than this.
func (w *world) older(namespace, name string) bool {
	now := metav1.Now()
	created := w.getIngress(namespace, name).CreationTimestamp
	return created.Unix() < now.Unix()
}
