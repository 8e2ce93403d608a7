//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Another webhook, before ours or after it, adds a container, and a mount to every
// container, ours too. Both are asked again about what the other did, and it settles:
// nothing is there twice, and an update that changes nothing is none.
func TestMeshSecondWebhook(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a-other", "z-other"} {
		t.Run(name, func(t *testing.T) {
			m := newMesh(t)
			m.run()
			other := m.otherWebhook(name)
			m.applyText(injected("Deployment", "shop", "sleep"))
			m.applyText(injected("Deployment", "shop", "echo"))
			m.call(200, sleepApp, "http://mesh/echo/x")
			made := m.deployment("echo")
			check := func(d *appsv1.Deployment) {
				t.Helper()
				spec := d.Spec.Template.Spec
				if got := namesOf(spec.Containers); !slices.Equal(got, []string{"app", "other"}) {
					t.Errorf("the containers are %v", got)
				}
				if got := namesOf(spec.InitContainers); !slices.Equal(got, []string{"tyk-mesh"}) {
					t.Errorf("the init containers are %v", got)
				}
				for _, c := range slices.Concat(spec.Containers, spec.InitContainers) {
					mounts := list(c.VolumeMounts, func(v corev1.VolumeMount) string { return v.MountPath })
					if n := len(slices.DeleteFunc(slices.Clone(mounts), func(p string) bool { return p != "/other" })); n != 1 {
						t.Errorf("%s has the mounts %v", c.Name, mounts)
					}
				}
			}
			check(made)
			for what, send := range map[string]func(){
				"a replacement": func() { m.replace(injected("Deployment", "shop", "echo")) },
				"another annotation": func() {
					m.patch("shop", "echo", types.MergePatchType, `{"metadata": {"annotations": {"example.com/touched": "yes"}}}`)
				},
			} {
				send()
				now := m.deployment("echo")
				if diff := cmp.Diff(made.Spec, now.Spec); diff != "" {
					t.Errorf("%s changes (-before +after):\n%s", what, diff)
				}
				check(now)
			}
			sets, err := m.client.AppsV1().ReplicaSets("shop").List(t.Context(), metav1.ListOptions{LabelSelector: "app=echo"})
			if err != nil {
				t.Fatal(err)
			}
			if len(sets.Items) != 1 {
				t.Errorf("%d ReplicaSets", len(sets.Items))
			}
			if other.Load() == 0 {
				t.Error("the other webhook was never asked")
			}
		})
	}
}

// otherWebhook registers one under the name that adds a container, a volume, and a mount
// of it to every container, and counts how often it was asked.
func (m *mesh) otherWebhook(name string) *atomic.Int64 {
	m.t.Helper()
	var asked atomic.Int64
	m.webhook(name, "IfNeeded", func(object []byte) []map[string]any {
		asked.Add(1)
		var d appsv1.Deployment
		if err := json.Unmarshal(object, &d); err != nil {
			m.t.Error(err)
			return nil
		}
		spec := &d.Spec.Template.Spec
		if !slices.Contains(namesOf(spec.Containers), "other") {
			spec.Containers = append(spec.Containers, corev1.Container{Name: "other", Image: "example.com/other:1"})
		}
		if !slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == "other" }) {
			spec.Volumes = append(spec.Volumes, corev1.Volume{Name: "other"})
		}
		for _, all := range [][]corev1.Container{spec.Containers, spec.InitContainers} {
			for i := range all {
				if !slices.ContainsFunc(all[i].VolumeMounts, func(v corev1.VolumeMount) bool { return v.Name == "other" }) {
					all[i].VolumeMounts = append(all[i].VolumeMounts, corev1.VolumeMount{Name: "other", MountPath: "/other"})
				}
			}
		}
		patch := []map[string]any{
			{"op": "add", "path": "/spec/template/spec/containers", "value": spec.Containers},
			{"op": "add", "path": "/spec/template/spec/volumes", "value": spec.Volumes},
		}
		if len(spec.InitContainers) > 0 {
			patch = append(patch, map[string]any{"op": "add", "path": "/spec/template/spec/initContainers", "value": spec.InitContainers})
		}
		return patch
	})
	return &asked
}

// webhook registers one for Deployments of the namespace shop, which changes objects as
// the function says, and waits until it is asked.
func (m *mesh) webhook(name, reinvocation string, change func(object []byte) []map[string]any) {
	m.t.Helper()
	hook := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Request struct {
				UID    string
				Object json.RawMessage
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			m.t.Error(err)
		}
		response := map[string]any{"uid": review.Request.UID, "allowed": true}
		if patch := change(review.Request.Object); patch != nil {
			text, err := json.Marshal(patch)
			if err != nil {
				m.t.Error(err)
			}
			response["patchType"], response["patch"] = "JSONPatch", base64.StdEncoding.EncodeToString(text)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
	}))
	m.t.Cleanup(hook.Close)
	m.applyText(fmt.Sprintf(`{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": %q}, "webhooks": [{
		"name": "other.example.com", "clientConfig": {"url": %q, "caBundle": %q},
		"rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}],
		"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}},
		"failurePolicy": "Fail", "sideEffects": "None", "reinvocationPolicy": %q, "admissionReviewVersions": ["v1"]}]}`,
		name, hook.URL, base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw})), reinvocation))
}

// While the webhook is down, a policy Fail keeps workloads out, and Ignore lets them in
// without a sidecar, which the controller says.
func TestMeshWebhookDown(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	c := m.run()
	m.applyText(injected("Deployment", "shop", "sleep"))
	c.kill()
	create := func(name string) error {
		d := m.parse(injected("Deployment", "shop", name))
		_, err := m.client.AppsV1().Deployments("shop").Create(t.Context(), d, metav1.CreateOptions{})
		return err
	}
	if err := create("refused"); err == nil || !strings.Contains(err.Error(), "failed calling webhook") {
		t.Errorf("with the policy Fail, and nobody there: %v", err)
	}
	// Others are none of our business.
	if _, err := m.client.AppsV1().Deployments("shop").Create(t.Context(), m.parse(app("Deployment", "shop", "plain")), metav1.CreateOptions{}); err != nil {
		t.Errorf("one that does not ask for a sidecar: %v", err)
	}
	m.failurePolicy("Ignore")
	eventually(t, "let in without a sidecar", func() bool { return create("bare") == nil })
	m.withoutSidecar("shop", "bare")
	m.run()
	eventually(t, "the Event SidecarMissing", func() bool {
		all := strings.Join(m.events("shop", "bare"), "\n")
		return strings.Contains(all, "SidecarMissing: ") && strings.Contains(all, m.podsOf("shop", "bare")[0].Name)
	})
	m.call(404, sleepApp, "http://mesh/nobody/x")
	// What the Event says to do: any update.
	m.patch("shop", "bare", types.StrategicMergePatchType, `{"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}`)
	m.call(200, sleepApp, "http://mesh/bare/x")
}

// A dry run shows the sidecar, and a workload that somebody else denies after us was
// shown to us as well: neither leaves anything behind.
func TestMeshNothingLeftBehind(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run()
	m.applyText(injected("Deployment", "shop", "sleep"))
	m.applyText(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: denied}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}]
  validations:
  - {expression: "object.metadata.name != 'denied' || !has(object.spec.template.metadata.labels.app)", message: "it is the one that is denied"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: denied}
spec: {policyName: denied, validationActions: [Deny]}
`)
	api := m.client.AppsV1().Deployments("shop")
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	eventually(t, "denied", func() bool {
		_, err := api.Create(t.Context(), m.parse(app("Deployment", "shop", "denied")), dry)
		return err != nil && strings.Contains(err.Error(), "it is the one that is denied")
	})
	if _, err := api.Create(t.Context(), m.parse(injected("Deployment", "shop", "denied")), metav1.CreateOptions{}); err == nil {
		t.Error("it was not denied")
	}
	shown, err := api.Create(t.Context(), m.parse(injected("Deployment", "shop", "tried")), dry)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(namesOf(shown.Spec.Template.Spec.InitContainers), "tyk-mesh") {
		t.Errorf("a dry run shows %s", asJSON(t, shown.Spec.Template))
	}
	// After this one everything of before had its time.
	m.applyText(injected("Deployment", "shop", "echo"))
	m.call(200, sleepApp, "http://mesh/echo/x")
	for _, name := range []string{"denied", "tried"} {
		m.call(404, sleepApp, "http://mesh/"+name+"/x")
		m.noService("shop", name+"-mesh")
	}
	secrets, err := m.client.CoreV1().Secrets(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets.Items {
		for _, name := range []string{"denied", "tried"} {
			if strings.Contains(s.Name, name) || strings.Contains(s.Annotations["cuegate.dev/mesh-for"], name) {
				t.Errorf("there is a Secret %s/%s", s.Namespace, s.Name)
			}
		}
	}
}

// A wish that cannot be met is denied with a sentence.
func TestMeshRefused(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run()
	api := m.client.AppsV1().Deployments("shop")
	_, err := api.Create(t.Context(), m.parse(injected("Deployment", "shop", "echo", "injector.tyk.io/port", "https")), metav1.CreateOptions{})
	if err == nil || !strings.Contains(err.Error(), `no container has a TCP port called "https", but there is "http"`) {
		t.Errorf("a port that is not there: %v", err)
	}
	m.applyText(injected("Deployment", "shop", "sleep"))
	m.applyText(injected("Deployment", "shop", "echo"))
	m.call(200, sleepApp, "http://mesh/echo/x")
	_, err = api.Patch(t.Context(), "echo", types.MergePatchType, []byte(`{"spec": {"template": {"metadata": {"annotations": {"cuegate.dev/inbound-template": "nothing"}}}}}`), metav1.PatchOptions{})
	if err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("a template that is not there: %v", err)
	}
	m.call(200, sleepApp, "http://mesh/echo/x")
}

// The serving certificate is replaced, and a replica takes the place of another, while
// workloads are made all the time under failurePolicy Fail: none is turned away.
func TestMeshWebhookRotation(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	const lifetime = "90s" // replaced after 60
	first := m.run("--webhook-certificate-lifetime", lifetime)
	more, stop := m.load("shop")
	defer stop()
	more()
	before := m.shown("", "cuegate-webhook.cuegate:443")
	within(t, 2*time.Minute, "another certificate shown", func() bool {
		now := m.shown("", "cuegate-webhook.cuegate:443")
		return t.Failed() || now != "" && now != before
	})
	more()
	m.run("--webhook-certificate-lifetime", lifetime) // where new connections go from here on
	first.stop()
	more()
}

// load makes dry runs of one workload after the other, and fails where one is not
// answered as it should be, until stop is called. more waits for some.
func (m *mesh) load(namespace string) (more, stop func()) {
	m.t.Helper()
	ctx, cancel := context.WithCancel(m.t.Context())
	var running sync.WaitGroup
	var done atomic.Int64
	for i := range 4 {
		running.Go(func() {
			for ctx.Err() == nil {
				d := m.parse(injected("Deployment", namespace, fmt.Sprintf("load-%d", i)))
				shown, err := m.client.AppsV1().Deployments(namespace).Create(ctx, d, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
				if ctx.Err() != nil {
					return
				}
				if err != nil || !slices.Contains(namesOf(shown.Spec.Template.Spec.InitContainers), "tyk-mesh") {
					m.t.Errorf("under load: %v", err)
					return
				}
				done.Add(1)
				time.Sleep(pace)
			}
		})
	}
	more = func() {
		m.t.Helper()
		before := done.Load()
		eventually(m.t, "load goes on", func() bool { return m.t.Failed() || done.Load() > before+100 })
	}
	return more, func() { cancel(); running.Wait() }
}

// parse gives a Deployment.
func (m *mesh) parse(manifest string) *appsv1.Deployment {
	m.t.Helper()
	var d appsv1.Deployment
	if err := json.Unmarshal([]byte(manifest), &d); err != nil {
		m.t.Fatal(err)
	}
	return &d
}
