//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// An author goes on with a manifest that knows nothing of the sidecar, by whatever tool:
// what is equal changes nothing, and what is not changes nothing else.
func TestMeshManifestWithoutSidecar(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run()
	for _, way := range []struct {
		name string
		send func(manifest string)
	}{
		{"client-side apply", m.clientSideApply},
		{"server-side apply", m.serverSideApply},
		{"replace", m.replace},
		{"merge patch", func(manifest string) { m.patchOrMake(manifest, types.MergePatchType) }},
		{"strategic merge patch", func(manifest string) { m.patchOrMake(manifest, types.StrategicMergePatchType) }},
		{"JSON patch", func(manifest string) { m.patchOrMake(manifest, types.JSONPatchType) }},
	} {
		m.sub(way.name, func(t *testing.T) {
			name := "app-" + strings.ToLower(strings.ReplaceAll(way.name, " ", "-"))
			manifest := demanding(name)
			way.send(manifest)
			made := m.deployment(name)
			checkInjected(t, made)
			for range 2 {
				way.send(manifest)
				// Annotations count in the generation, and who replaces drops that of the
				// Deployment's controller.
				now := m.deployment(name)
				if diff := cmp.Diff(made.Spec, now.Spec); diff != "" {
					t.Fatalf("the same manifest was a change (-before +after):\n%s", diff)
				}
				if now.Generation != made.Generation && way.name != "replace" {
					t.Fatalf("the same manifest gives generation %d after %d", now.Generation, made.Generation)
				}
			}

			// One field of the app
			way.send(strings.ReplaceAll(manifest, "example.com/app:1", "example.com/app:2"))
			changed := m.deployment(name)
			if changed.Generation != made.Generation+1 && way.name != "replace" {
				t.Errorf("a change of one field gives generation %d after %d", changed.Generation, made.Generation)
			}
			checkInjected(t, changed)
			want := made.Spec.Template.DeepCopy()
			for i := range want.Spec.Containers {
				want.Spec.Containers[i].Image = strings.ReplaceAll(want.Spec.Containers[i].Image, "app:1", "app:2")
			}
			if diff := cmp.Diff(*want, changed.Spec.Template); diff != "" {
				t.Errorf("after a change of the image (-want +got):\n%s", diff)
			}

			// and out of the mesh
			way.send(strings.ReplaceAll(manifest, `"injector.tyk.io/inject": "true"`, `"injector.tyk.io/inject": "false"`))
			checkAuthors(t, m.deployment(name))
			way.send(manifest)
			back := m.deployment(name)
			checkInjected(t, back)
			if diff := cmp.Diff(made.Spec.Template, back.Spec.Template); diff != "" {
				t.Errorf("back in the mesh (-want +got):\n%s", diff)
			}
		})
	}
}

// demanding is a manifest that has something in each list that the sidecar is added to.
func demanding(name string) string {
	return fmt.Sprintf(`{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": %q, "namespace": "shop"}, "spec": {
		"selector": {"matchLabels": {"app": %q}},
		"template": {
			"metadata": {"labels": {"app": %q}, "annotations": {"injector.tyk.io/inject": "true", "example.com/kept": "c"}},
			"spec": {
				"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]},
				"hostAliases": [{"ip": "192.0.2.7", "hostnames": ["db"]}],
				"volumes": [{"name": "data", "emptyDir": {}}],
				"initContainers": [{"name": "first", "image": "example.com/first:1"}],
				"containers": [
					{"name": "app", "image": "example.com/app:1", "ports": [{"name": "http", "containerPort": 3000}], "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
					{"name": "second", "image": "example.com/second:1"}
				]
			}
		}
	}}`, name, name, name)
}

// checkInjected looks whether the sidecar is there once, and all that the author wrote.
func checkInjected(t *testing.T, d *appsv1.Deployment) {
	t.Helper()
	spec := d.Spec.Template.Spec
	for what, names := range map[string][]string{
		"initContainers": namesOf(spec.InitContainers), "containers": namesOf(spec.Containers),
		"volumes":     list(spec.Volumes, func(v corev1.Volume) string { return v.Name }),
		"hostAliases": list(spec.HostAliases, func(a corev1.HostAlias) string { return a.IP }),
		"sysctls":     list(spec.SecurityContext.Sysctls, func(s corev1.Sysctl) string { return s.Name }),
	} {
		want := map[string][]string{
			"initContainers": {"first", "tyk-mesh"}, "containers": {"app", "second"}, "volumes": {"data", "tyk-mesh-apps"},
			"hostAliases": {"127.0.0.1", "192.0.2.7"}, "sysctls": {"net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies"},
		}[what]
		slices.Sort(names)
		if !slices.Equal(names, want) {
			t.Errorf("%s are %v and not %v", what, names, want)
		}
	}
	if d.Spec.Template.Labels["cuegate.dev/sidecar"] != "true" || d.Spec.Template.Annotations["injector.tyk.io/status"] == "" || d.Spec.Template.Annotations["example.com/kept"] != "c" {
		t.Errorf("labels %v and annotations %v", d.Spec.Template.Labels, d.Spec.Template.Annotations)
	}
}

// checkAuthors looks whether there is what the author wrote, and nothing else.
func checkAuthors(t *testing.T, d *appsv1.Deployment) {
	t.Helper()
	spec := d.Spec.Template.Spec
	if len(spec.InitContainers) != 1 || len(spec.Containers) != 2 || len(spec.Volumes) != 1 || len(spec.HostAliases) != 1 || len(spec.SecurityContext.Sysctls) != 1 {
		t.Errorf("without the annotation there is %s", asJSON(t, spec))
	}
	if len(d.Spec.Template.Labels) != 1 || len(d.Spec.Template.Annotations) != 2 {
		t.Errorf("without the annotation there are the labels %v and the annotations %v", d.Spec.Template.Labels, d.Spec.Template.Annotations)
	}
}

func namesOf(all []corev1.Container) []string {
	return list(all, func(c corev1.Container) string { return c.Name })
}

func list[T any](all []T, name func(T) string) []string {
	var names []string
	for _, x := range all {
		names = append(names, name(x))
	}
	return names
}

func asJSON(t testing.TB, x any) string {
	t.Helper()
	text, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (m *mesh) deployment(name string) *appsv1.Deployment {
	m.t.Helper()
	d, err := m.client.AppsV1().Deployments("shop").Get(m.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	return d
}

// lastApplied is where kubectl keeps what was applied last.
const lastApplied = corev1.LastAppliedConfigAnnotation

// clientSideApply does what `kubectl apply` does: a merge of what was applied last, what
// is to be applied now, and what is there. Nothing is sent where that changes nothing.
func (m *mesh) clientSideApply(manifest string) {
	m.t.Helper()
	var u unstructured.Unstructured
	if err := json.Unmarshal([]byte(manifest), &u); err != nil {
		m.t.Fatal(err)
	}
	u.SetAnnotations(map[string]string{lastApplied: asJSON(m.t, u.Object)})
	api := m.client.AppsV1().Deployments("shop")
	current, err := api.Get(m.t.Context(), u.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if _, err = m.objects.Resource(workloads["Deployment"]).Namespace("shop").Create(m.t.Context(), &u, metav1.CreateOptions{FieldManager: "kubectl-client-side-apply"}); err != nil {
			m.t.Fatal(err)
		}
		return
	}
	if err != nil {
		m.t.Fatal(err)
	}
	schema, err := strategicpatch.NewPatchMetaFromStruct(appsv1.Deployment{})
	if err != nil {
		m.t.Fatal(err)
	}
	current.TypeMeta = metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}
	patch, err := strategicpatch.CreateThreeWayMergePatch([]byte(current.Annotations[lastApplied]), []byte(asJSON(m.t, u.Object)), []byte(asJSON(m.t, current)), schema, true)
	if err != nil {
		m.t.Fatal(err)
	}
	if string(patch) == "{}" {
		return
	}
	if _, err := api.Patch(m.t.Context(), u.GetName(), types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "kubectl-client-side-apply"}); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mesh) serverSideApply(manifest string) {
	m.t.Helper()
	name := nameIn(manifest)
	_, err := m.client.AppsV1().Deployments("shop").Patch(m.t.Context(), name, types.ApplyPatchType, []byte(manifest), metav1.PatchOptions{FieldManager: "author"})
	if err != nil {
		m.t.Fatal(err)
	}
}

// replace does what `kubectl replace` does.
func (m *mesh) replace(manifest string) {
	m.t.Helper()
	m.applyText(manifest)
}

// patchOrMake makes an object, or patches it with all of the manifest.
func (m *mesh) patchOrMake(manifest string, kind types.PatchType) {
	m.t.Helper()
	name, patch := nameIn(manifest), manifest
	if _, err := m.client.AppsV1().Deployments("shop").Get(m.t.Context(), name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		m.applyText(manifest)
		return
	}
	if kind == types.JSONPatchType {
		var all map[string]any
		if err := json.Unmarshal([]byte(manifest), &all); err != nil {
			m.t.Fatal(err)
		}
		patch = asJSON(m.t, []map[string]any{{"op": "replace", "path": "/spec/template", "value": all["spec"].(map[string]any)["template"]}})
	}
	m.patch("shop", name, kind, patch)
}

func nameIn(manifest string) string { return gjson.Get(manifest, "metadata.name").String() }
