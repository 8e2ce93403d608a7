//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const sleepApp = "Deployment/shop/sleep"

// A workload that asks for a sidecar is called through the mesh, by the route that it
// has, as long as it asks.
func TestMeshCall(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run()
	m.applyText(injected("Deployment", "shop", "sleep"))
	m.applyText(injected("Deployment", "shop", "echo"))
	a := m.call(200, sleepApp, "http://mesh/echo/hello?x=1", "X-Mine", "yes")
	if a.Workload != "Deployment/shop/echo" || a.URL != "/hello?x=1" || a.Header.Get("X-Mine") != "yes" {
		t.Errorf("the app saw %+v", a.Seen)
	}
	if via := strings.Split(a.Header.Get("X-Forwarded-For"), ", "); len(via) != 2 {
		t.Errorf("the request came by %v and not by two sidecars", via)
	}
	m.call(404, sleepApp, "http://mesh/nobody/hello")

	m.annotate("shop", "echo", "injector.tyk.io/route", "/parrot")
	m.call(200, sleepApp, "http://mesh/parrot/hello")
	m.call(404, sleepApp, "http://mesh/echo/hello")

	m.annotate("shop", "echo", "injector.tyk.io/inject", "")
	m.call(404, sleepApp, "http://mesh/parrot/hello")
	m.withoutSidecar("shop", "echo")
	m.noService("shop", "echo-mesh")
	if a := m.call(200, "", "http://"+m.podIP("shop", "echo")+":3000/x"); a.Header.Get("X-Forwarded-For") != "" {
		t.Error("the app is still reached by a sidecar")
	}
	m.annotate("shop", "echo", "injector.tyk.io/inject", "true")
	m.call(200, sleepApp, "http://mesh/parrot/hello")
}

// The way in can want a key, which the way to it, in the sidecar of the caller, passes on.
func TestMeshWithKey(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run()
	m.applyText(injected("Deployment", "shop", "sleep"))
	m.applyText(injected("Deployment", "shop", "echo", "cuegate.dev/inbound-template", "tokenAuth"))
	m.call(401, sleepApp, "http://mesh/echo/x")
	m.call(403, sleepApp, "http://mesh/echo/x", "Authorization", m.key+"x")
	m.call(200, sleepApp, "http://mesh/echo/x", "Authorization", m.key)
	// nor is it open to those who come past a sidecar of their own
	m.call(401, "", "http://echo-mesh.shop:8080/x")
	m.call(200, "", "http://echo-mesh.shop:8080/x", "Authorization", m.key)
}

// What is gone is served by nobody, and a workload of another name may take its route.
func TestMeshDeleteAndRename(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run()
	m.applyText(injected("Deployment", "shop", "sleep"))
	m.applyText(injected("Deployment", "shop", "echo"))
	m.call(200, sleepApp, "http://mesh/echo/x")
	m.deleteWorkload("Deployment", "shop", "echo")
	m.call(404, sleepApp, "http://mesh/echo/x")
	m.noService("shop", "echo-mesh")

	m.applyText(injected("Deployment", "shop", "echo-2", "injector.tyk.io/route", "echo"))
	if a := m.call(200, sleepApp, "http://mesh/echo/x"); a.Workload != "Deployment/shop/echo-2" {
		t.Errorf("%s answers", a.Workload)
	}
	m.applyText(injected("Deployment", "shop", "echo-3", "injector.tyk.io/route", "echo"))
	eventually(t, "an Event about the conflict", func() bool {
		return strings.Contains(strings.Join(m.events("shop", "echo-3"), "\n"), "Conflict")
	})
	m.deleteWorkload("Deployment", "shop", "echo-2")
	eventually(t, "the route taken over", func() bool {
		a, err := m.Call(t.Context(), sleepApp, "http://mesh/echo/x", nil)
		return err == nil && a.Workload == "Deployment/shop/echo-3"
	})
}

// A workload without pods keeps its definitions, and its route.
func TestMeshScaleToZero(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run()
	m.applyText(injected("Deployment", "shop", "sleep"))
	m.applyText(injected("Deployment", "shop", "echo"))
	m.call(200, sleepApp, "http://mesh/echo/x")
	m.scale("shop", "echo", 0)
	// The definition is there, and nobody behind it.
	m.call(500, sleepApp, "http://mesh/echo/x")
	m.applyText(injected("Deployment", "shop", "other"))
	m.call(200, sleepApp, "http://mesh/other/x") // everything of before was pushed by now
	m.call(500, sleepApp, "http://mesh/echo/x")
	if _, err := m.client.CoreV1().Services("shop").Get(t.Context(), "echo-mesh", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	m.scale("shop", "echo", 2)
	m.call(200, sleepApp, "http://mesh/echo/x")
	for _, p := range m.podsOf("shop", "echo") {
		m.call(200, "", "http://"+p.Status.PodIP+":8080/x")
	}
}

// Workloads of one name in two namespaces share nothing.
func TestMeshNamespaces(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run()
	m.applyText(injected("Deployment", "shop", "sleep"))
	m.applyText(injected("Deployment", "shop", "echo"))
	m.applyText(injected("Deployment", "bank", "echo", "injector.tyk.io/route", "bank/echo", "cuegate.dev/inbound-template", "tokenAuth"))
	m.applyText(injected("Deployment", "bank", "sleep", "injector.tyk.io/route", "bank/sleep"))
	for _, from := range []string{sleepApp, "Deployment/bank/sleep"} {
		if a := m.call(200, from, "http://mesh/echo/x"); a.Workload != "Deployment/shop/echo" {
			t.Errorf("%s answers", a.Workload)
		}
		m.call(401, from, "http://mesh/bank/echo/x")
		if a := m.call(200, from, "http://mesh/bank/echo/x", "Authorization", m.key); a.Workload != "Deployment/bank/echo" {
			t.Errorf("%s answers", a.Workload)
		}
	}
	// Each namespace has a secret of its own, and each sidecar the way in of its own
	// workload alone.
	secrets := map[string]bool{}
	for _, workload := range []string{"Deployment/shop/echo", "Deployment/bank/echo"} {
		for _, s := range m.Sidecars(workload) {
			secrets[s.Secret] = true
			for name, file := range s.Files.Files() {
				tag, want := gjson.GetBytes(file, "tags.0").String(), strings.ReplaceAll(strings.TrimPrefix(workload, "Deployment/"), "/", ".")
				if tag != "mesh" && tag != want {
					t.Errorf("the sidecar of %s has %s with the tag %s", workload, name, tag)
				}
			}
		}
	}
	if len(secrets) != 2 {
		t.Errorf("%d secrets", len(secrets))
	}
	m.deleteWorkload("Deployment", "bank", "echo")
	m.call(404, sleepApp, "http://mesh/bank/echo/x")
	m.call(200, sleepApp, "http://mesh/echo/x")
	if err := m.client.CoreV1().Namespaces().Delete(t.Context(), "bank", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace is gone", func() bool {
		_, err := m.client.CoreV1().Namespaces().Get(t.Context(), "bank", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	m.call(200, sleepApp, "http://mesh/echo/x")
}

// Sets have sidecars too.
func TestMeshSets(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run()
	m.applyText(injected("StatefulSet", "shop", "ledger"))
	m.applyText(injected("DaemonSet", "shop", "agent"))
	if a := m.call(200, "DaemonSet/shop/agent", "http://mesh/ledger/x"); a.Workload != "StatefulSet/shop/ledger" {
		t.Errorf("%s answers", a.Workload)
	}
	if a := m.call(200, "StatefulSet/shop/ledger", "http://mesh/agent/x"); a.Workload != "DaemonSet/shop/agent" {
		t.Errorf("%s answers", a.Workload)
	}
	m.deleteWorkload("DaemonSet", "shop", "agent")
	m.call(404, "StatefulSet/shop/ledger", "http://mesh/agent/x")
}

// The examples of a mesh, together in mutual TLS.
func TestMeshExamples(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run("--bundle", "../../examples/09-mesh-mtls/bundle")
	m.apply("../../examples/08-mesh/workloads.yaml")
	m.apply("../../examples/09-mesh-mtls/workloads.yaml")
	const web, echo = "Deployment/shop/web", "Deployment/shop/echo"
	m.call(200, sleepApp, "http://mesh/echo/x")
	m.call(200, echo, "http://mesh/echo/x")
	m.call(401, echo, "http://mesh/sleep/x")
	m.call(200, echo, "http://mesh/sleep/x", "Authorization", m.key)
	m.call(200, web, "http://mesh/orders/x")
	m.call(200, sleepApp, "http://mesh/web/x")
	m.call(404, sleepApp, "http://mesh/orders/x")
	m.call(404, web, "http://mesh/echo/x") // front is no caller of echo
	eventually(t, "the agent runs", func() bool { return len(m.podsOf("shop", "node-agent")) == 1 })
	if agent := m.podsOf("shop", "node-agent")[0]; len(agent.Spec.InitContainers)+len(agent.Spec.Containers) != 1 {
		t.Error("a pod in the network of its node has a sidecar")
	}
}

// An app on port 80 leaves that to its own callers: with iptables it calls the mesh as
// all others do, and without by another port. With iptables nobody else comes in by the
// app side.
func TestMeshPort80(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run()
	on80 := func(name string, annotations ...string) {
		m.applyText(strings.ReplaceAll(injected("Deployment", "shop", name, annotations...), "3000", "80"))
	}
	on80("plain")
	on80("caught", "injector.tyk.io/interception", "iptables")
	m.applyText(injected("Deployment", "shop", "echo"))
	const plain, caught = "Deployment/shop/plain", "Deployment/shop/caught"
	m.call(200, caught, "http://mesh/echo/x")
	m.call(200, plain, "http://mesh:8000/echo/x")
	if a := m.call(200, plain, "http://localhost/x"); a.Workload != plain {
		t.Errorf("its own port 80 is answered by %+v", a)
	}
	for _, from := range []string{plain, caught} {
		if a := m.call(200, "Deployment/shop/echo", "http://mesh/"+strings.TrimPrefix(from, "Deployment/shop/")+"/x"); a.Workload != from {
			t.Errorf("%s answers for %s", a.Workload, from)
		}
	}
	if _, err := m.Call(t.Context(), plain, "http://"+m.podIP("shop", "caught")+":8000/echo/x", nil); err == nil {
		t.Error("another pod uses the app side")
	}
}

// An app on the port of the mesh keeps it, and its sidecar is reached all the same: by the
// mesh, and by a Service that leads to sidecars.
func TestMeshPort8080(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run()
	m.applyText(strings.ReplaceAll(injected("Deployment", "shop", "tea"), "3000", "8080"))
	m.applyText(injected("Deployment", "shop", "sleep"))
	m.applyText(`{apiVersion: v1, kind: Service, metadata: {name: tea, namespace: shop, annotations: {injector.tyk.io/inject: "true"}},
		spec: {selector: {app: tea}, ports: [{port: 80, targetPort: 8080}]}}`)
	if a := m.call(200, sleepApp, "http://mesh/tea/x"); a.Header.Get("X-Forwarded-For") != "127.0.0.1, 127.0.0.1" {
		t.Errorf("by the mesh the app saw %+v", a)
	}
	if a := m.call(200, sleepApp, "http://tea.shop/x"); a.Header.Get("X-Forwarded-For") != "127.0.0.1" {
		t.Errorf("by the Service the app saw %+v", a)
	}
}

// Without the webhook, cuegate inject writes the same into manifests.
func TestMeshInjectedByHand(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run()
	m.applyText(injected("Deployment", "shop", "sleep"))
	byHook := m.deployment("sleep").Spec.Template
	m.deleteWorkload("Deployment", "shop", "sleep")
	if err := m.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(t.Context(), "cuegate", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	// Until the API server has forgotten the webhook.
	eventually(t, "made without a sidecar", func() bool {
		made, err := m.client.AppsV1().Deployments("shop").Create(t.Context(), m.parse(injected("Deployment", "shop", "bare")), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil && len(made.Spec.Template.Spec.InitContainers) == 0
	})
	for _, name := range []string{"sleep", "echo"} {
		inject := exec.Command(program, "inject", "-f", "-")
		inject.Stdin = strings.NewReader(injected("Deployment", "shop", name))
		manifest, err := inject.Output()
		if err != nil {
			t.Fatal(err)
		}
		m.applyText(string(manifest))
	}
	m.call(200, sleepApp, "http://mesh/echo/x")
	if diff := cmp.Diff(byHook, m.deployment("sleep").Spec.Template); diff != "" {
		t.Errorf("by hand it is something else (-webhook +hand):\n%s", diff)
	}
}

// A controller that starts again finds everything as it should be, and writes nothing.
func TestMeshRestart(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	c := m.run()
	m.applyText(injected("Deployment", "shop", "sleep"))
	m.applyText(injected("Deployment", "shop", "echo"))
	m.call(200, sleepApp, "http://mesh/echo/x")
	c.stop()
	before := m.resourceVersions()
	for _, s := range m.sidecars("shop") {
		s.Gateway.ResetCalls()
	}
	m.call(200, sleepApp, "http://mesh/echo/x") // without any controller
	m.run()
	m.applyText(injected("Deployment", "shop", "other"))
	m.call(200, sleepApp, "http://mesh/other/x")
	for name, version := range before {
		if now := m.resourceVersions()[name]; now != version {
			t.Errorf("%s was written", name)
		}
	}
	for _, s := range m.Sidecars("Deployment/shop/echo") {
		for call, n := range s.Gateway.Calls() {
			// The way to other is new, and all else as it was.
			if strings.HasPrefix(call, "PUT") || strings.HasPrefix(call, "DELETE") || strings.HasPrefix(call, "POST /tyk/apis") && n > 1 {
				t.Errorf("%s: %d times %s", s.Pod, n, call)
			}
		}
	}
}

// When the controller that leads is killed, the one beside it goes on.
func TestMeshFailover(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	first := m.run()
	m.applyText(injected("Deployment", "shop", "sleep"))
	m.applyText(injected("Deployment", "shop", "echo"))
	m.call(200, sleepApp, "http://mesh/echo/x")
	m.run()
	first.kill()
	m.call(200, sleepApp, "http://mesh/echo/x")
	m.applyText(injected("Deployment", "shop", "other"))
	m.call(200, sleepApp, "http://mesh/other/x")
	m.deleteWorkload("Deployment", "shop", "echo")
	m.call(404, sleepApp, "http://mesh/echo/x")
	m.noService("shop", "echo-mesh")
}

// A sidecar that lost what it had gets it again.
func TestMeshSidecarLosesAll(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run()
	m.applyText(injected("Deployment", "shop", "sleep"))
	m.applyText(injected("Deployment", "shop", "echo"))
	m.call(200, sleepApp, "http://mesh/echo/x")
	for _, s := range m.Sidecars("Deployment/shop/echo") {
		s.Files.LoseFiles()
		s.Gateway.Restart()
	}
	m.call(200, sleepApp, "http://mesh/echo/x")
}

// annotate sets an annotation of the pod template of a Deployment, or removes it.
func (m *mesh) annotate(namespace, name, key, value string) {
	m.t.Helper()
	text := "null"
	if value != "" {
		text = fmt.Sprintf("%q", value)
	}
	m.patch(namespace, name, types.MergePatchType, fmt.Sprintf(`{"spec": {"template": {"metadata": {"annotations": {%q: %s}}}}}`, key, text))
}

func (m *mesh) patch(namespace, name string, kind types.PatchType, patch string) {
	m.t.Helper()
	if _, err := m.client.AppsV1().Deployments(namespace).Patch(m.t.Context(), name, kind, []byte(patch), metav1.PatchOptions{}); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mesh) scale(namespace, name string, replicas int) {
	m.t.Helper()
	m.patch(namespace, name, types.MergePatchType, fmt.Sprintf(`{"spec": {"replicas": %d}}`, replicas))
}

func (m *mesh) deleteWorkload(kind, namespace, name string) {
	m.t.Helper()
	background := metav1.DeletePropagationBackground
	o := metav1.DeleteOptions{PropagationPolicy: &background}
	if err := m.objects.Resource(workloads[kind]).Namespace(namespace).Delete(m.t.Context(), name, o); err != nil {
		m.t.Fatal(err)
	}
}

// withoutSidecar waits until all pods of a Deployment have none.
func (m *mesh) withoutSidecar(namespace, name string) {
	m.t.Helper()
	eventually(m.t, namespace+"/"+name+" without a sidecar", func() bool {
		all := m.podsOf(namespace, name)
		for _, p := range all {
			if len(p.Spec.InitContainers)+len(p.Spec.Containers) != 1 || p.Labels["cuegate.dev/sidecar"] != "" {
				return false
			}
		}
		return len(all) > 0
	})
}

func (m *mesh) noService(namespace, name string) {
	m.t.Helper()
	eventually(m.t, "the Service "+name+" gone", func() bool {
		_, err := m.client.CoreV1().Services(namespace).Get(m.t.Context(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}
