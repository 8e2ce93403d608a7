package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/scheme"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

// The bundle that the chart makes of values is one that loads, and the controller looks
// for it.
func TestBundle(t *testing.T) {
	for _, edition := range []string{"ce mesh", "ce mesh alone", "pro mesh", "everything"} {
		t.Run(edition, func(t *testing.T) {
			all := objects(t, editions[edition])
			dir := t.TempDir()
			selector := labels.Nothing()
			for _, arg := range controller(t, all).Args {
				if text, ok := strings.CutPrefix(arg, "--bundle-configmaps="); ok {
					var err error
					if selector, err = labels.Parse(text); err != nil {
						t.Fatal(err)
					}
				}
			}
			files := 0
			for _, c := range of[*corev1.ConfigMap](all) {
				if !selector.Matches(labels.Set(c.Labels)) {
					continue
				}
				for key, text := range c.Data {
					name := filepath.Join(dir, filepath.FromSlash(strings.ReplaceAll(key, "__", "/")))
					if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
					files++
				}
			}
			if files == 0 {
				t.Fatalf("the controller finds no bundle by %s", selector)
			}
			cuegate(t, "vet", dir)
		})
	}
}

// What values say of the mesh is what sidecars get.
func TestSidecar(t *testing.T) {
	for edition, want := range map[string][]string{
		"ce mesh":       {`"cuegate-redis.cuegate.svc:6379"`},
		"ce mesh alone": {`"redis.tyk:6379"`},
		"pro mesh":      {`"redis.tyk:6379"`, `"cluster": true`, `"edition": "dashboard"`, `"url": "http://dashboard.tyk:3000"`},
	} {
		text := ""
		for _, c := range of[*corev1.ConfigMap](objects(t, editions[edition])) {
			text += c.Data["templates__chart_sidecar.cue"]
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: the sidecar has no %s:\n%s", edition, w, text)
			}
		}
	}
}

// A secret that was made stays as it is at an upgrade: pods that run have it.
func TestSecretStays(t *testing.T) {
	made := secrets(t, cluster{})
	again := secrets(t, cluster{})
	if made["secret"] == "" || made["secret"] == again["secret"] {
		t.Error("two installations have the same secret")
	}
	kept := secrets(t, cluster{&corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: metav1.ObjectMeta{Name: "cuegate-tyk", Namespace: namespace},
		Data: map[string][]byte{"secret": []byte(made["secret"])},
	}})
	if kept["secret"] != made["secret"] {
		t.Error("an upgrade makes another secret")
	}
}

// secrets gives what the chart's own Secret holds, with the defaults, in a cluster.
func secrets(t *testing.T, c cluster) map[string]string {
	t.Helper()
	loaded, err := loader.Load(chart)
	if err != nil {
		t.Fatal(err)
	}
	all, err := util.ToRenderValues(loaded, nil, common.ReleaseOptions{Name: release, Namespace: namespace, Revision: 2, IsUpgrade: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	texts, err := engine.RenderWithClientProvider(loaded, all, c)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, s := range of[*corev1.Secret](parse(t, "secret.yaml", texts["cuegate/templates/secret.yaml"])) {
		for key, value := range s.Data {
			found[key] = string(value)
		}
	}
	return found
}

// cluster is what lookup finds.
type cluster []runtime.Object

// GetClientFor implements engine.ClientProvider.
func (c cluster) GetClientFor(apiVersion, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	client := dynamicfake.NewSimpleDynamicClient(scheme.Scheme, c...)
	return client.Resource(schema.GroupVersionResource{Version: apiVersion, Resource: strings.ToLower(kind) + "s"}), true, nil
}
