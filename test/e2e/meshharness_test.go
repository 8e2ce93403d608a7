//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cuegate/cuegate/test/box"
	"github.com/cuegate/cuegate/test/pods"
)

// mesh is a world whose Deployments, StatefulSets and DaemonSets have pods in which an
// app runs, and a sidecar where the pod has one.
type mesh struct {
	*world
	*pods.Pods
	// key is one that sidecars let in where a token is wanted.
	key string
}

// newMesh starts an API server with controllers, and what runs in pods. The API server
// calls webhooks by their Services, as in a cluster.
func newMesh(t testing.TB, options ...box.Option) *mesh {
	t.Helper()
	return newMeshWith(t, "rbac.yaml", "rbac-mesh.yaml", options...)
}

// newMeshWith has a controller with the rights that these two manifests give.
func newMeshWith(t testing.TB, roles, meshRoles string, options ...box.Option) *mesh {
	t.Helper()
	dir, err := os.MkdirTemp("", "mesh-") // names of unix sockets have to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	egress, err := pods.NewEgress(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := &mesh{world: newWorld(t, roles, append(options, box.Flags(egress.Flag))...), key: rand.Text()}
	m.applyText("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
	m.apply("../../deploy/" + meshRoles)
	m.apply("../../deploy/webhook.yaml")
	ctx, cancel := context.WithCancel(context.Background())
	log := &lockedBuffer{}
	m.Pods, err = pods.Start(ctx, m.client, pods.Options{Keys: []string{m.key}, Egress: egress.Socket, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	m.env = []string{"HTTP_PROXY=" + m.Proxy(), "NO_PROXY=127.0.0.1,localhost"}
	t.Cleanup(func() {
		cancel()
		m.Wait()
		if t.Failed() {
			t.Logf("what goes wrong in pods:\n%s", tail(log.String(), 3000))
		}
	})
	return m
}

// app gives the manifest of a workload with one container whose port is called http, and
// pairs that annotate its pods.
func app(kind, namespace, name string, annotations ...string) string {
	text := ""
	for i := 0; i+1 < len(annotations); i += 2 {
		text += fmt.Sprintf(", %q: %q", annotations[i], annotations[i+1])
	}
	spec := map[string]string{"Deployment": `"replicas": 1, `, "StatefulSet": fmt.Sprintf(`"replicas": 1, "serviceName": %q, `, name)}[kind]
	return fmt.Sprintf(`{"apiVersion": "apps/v1", "kind": %q, "metadata": {"name": %q, "namespace": %q}, "spec": {%s"selector": {"matchLabels": {"app": %q}},
		"template": {"metadata": {"labels": {"app": %q}, "annotations": {%s}},
		"spec": {"containers": [{"name": "app", "image": "example.com/app:1", "ports": [{"name": "http", "containerPort": 3000}]}]}}}}`,
		kind, name, namespace, spec, name, name, strings.TrimPrefix(text, ", "))
}

// injected gives the annotations of app one more that asks for a sidecar.
func injected(kind, namespace, name string, annotations ...string) string {
	return app(kind, namespace, name, append([]string{"injector.tyk.io/inject", "true"}, annotations...)...)
}

// call waits until an app of the workload gets an answer with the status, and gives it.
// Pairs are headers.
func (m *mesh) call(want int, from, url string, header ...string) pods.Answer {
	m.t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	var answer pods.Answer
	var err error
	ok := false
	defer func() {
		if !ok {
			m.t.Logf("%s calls %s: %d %s, %v", from, url, answer.Status, answer.Text, err)
		}
	}()
	eventually(m.t, fmt.Sprintf("%s called by %s with %d", url, from, want), func() bool {
		answer, err = m.Call(m.t.Context(), from, url, h)
		ok = err == nil && answer.Status == want
		return ok
	})
	return answer
}

var workloads = map[string]schema.GroupVersionResource{
	"Deployment":  {Group: "apps", Version: "v1", Resource: "deployments"},
	"StatefulSet": {Group: "apps", Version: "v1", Resource: "statefulsets"},
	"DaemonSet":   {Group: "apps", Version: "v1", Resource: "daemonsets"},
}

// podsOf gives the pods that are labelled with the name.
func (m *mesh) podsOf(namespace, name string) []corev1.Pod {
	m.t.Helper()
	list, err := m.client.CoreV1().Pods(namespace).List(m.t.Context(), metav1.ListOptions{LabelSelector: "app=" + name})
	if err != nil {
		m.t.Fatal(err)
	}
	return list.Items
}

// podIP is the address of the first of them.
func (m *mesh) podIP(namespace, name string) string {
	m.t.Helper()
	all := m.podsOf(namespace, name)
	if len(all) == 0 {
		m.t.Fatalf("no pods of %s/%s", namespace, name)
	}
	return all[0].Status.PodIP
}

// sidecars are those of the Deployments of a namespace.
func (m *mesh) sidecars(namespace string) []pods.Sidecar {
	m.t.Helper()
	list, err := m.client.AppsV1().Deployments(namespace).List(m.t.Context(), metav1.ListOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	var all []pods.Sidecar
	for _, d := range list.Items {
		all = append(all, m.Sidecars("Deployment/"+namespace+"/"+d.Name)...)
	}
	return all
}

// sub runs a part of a test, whose failures are its own.
func (m *mesh) sub(name string, run func(*testing.T)) {
	m.t.Helper()
	whole := m.t.(*testing.T)
	defer func() { m.t = whole }()
	whole.Run(name, func(t *testing.T) {
		m.t = t
		run(t)
	})
}

// pace is between two requests of who makes them all the time, to leave time to others.
const pace = 2 * time.Millisecond

// run starts a controller that looks after the mesh, pushes to sidecars and serves the
// webhook, and waits until the API server calls that.
func (m *mesh) run(args ...string) *controller {
	m.t.Helper()
	return m.runWith([]string{"--mesh-push"}, args...)
}

// runWith is run, pushing elsewhere.
func (m *mesh) runWith(push []string, args ...string) *controller {
	m.t.Helper()
	address := freeAddress(m.t)
	if err := m.Stand(m.t.Context(), "cuegate", "cuegate-webhook", "https", 9443, address); err != nil {
		m.t.Fatal(err)
	}
	c := m.start(slices.Concat([]string{"--mesh", "--webhook", address}, push, args)...).ready()
	m.t.Cleanup(func() {
		if strings.Contains(c.log.String(), "forbidden") {
			m.t.Error("the controller lacks a right")
		}
	})
	probe := m.parse(injected("Deployment", "shop", "probe"))
	eventually(m.t, "the webhook called", func() bool {
		made, err := m.client.AppsV1().Deployments("shop").Create(m.t.Context(), probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err == nil && slices.Contains(namesOf(made.Spec.Template.Spec.InitContainers), "tyk-mesh")
	})
	return c
}

// resourceVersions are those of all that the controller writes, but for definitions.
func (m *mesh) resourceVersions() map[string]string {
	m.t.Helper()
	all := map[string]string{}
	for _, namespace := range []string{"shop", "cuegate"} {
		for _, s := range m.secrets(namespace) {
			all["Secret/"+namespace+"/"+s.Name] = s.ResourceVersion
		}
		services, err := m.client.CoreV1().Services(namespace).List(m.t.Context(), metav1.ListOptions{})
		if err != nil {
			m.t.Fatal(err)
		}
		for _, s := range services.Items {
			all["Service/"+namespace+"/"+s.Name] = s.ResourceVersion
		}
		configs, err := m.client.CoreV1().ConfigMaps(namespace).List(m.t.Context(), metav1.ListOptions{})
		if err != nil {
			m.t.Fatal(err)
		}
		for _, c := range configs.Items {
			all["ConfigMap/"+namespace+"/"+c.Name] = c.ResourceVersion
		}
		events, err := m.client.CoreV1().Events(namespace).List(m.t.Context(), metav1.ListOptions{FieldSelector: "source=cuegate"})
		if err != nil {
			m.t.Fatal(err)
		}
		for _, e := range events.Items {
			all["Event/"+namespace+"/"+e.Name] = e.ResourceVersion
		}
	}
	return all
}

// failurePolicy sets that of the webhook.
func (m *mesh) failurePolicy(policy string) {
	m.t.Helper()
	patch := fmt.Sprintf(`[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": %q}]`, policy)
	if _, err := m.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(m.t.Context(), "cuegate", types.JSONPatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		m.t.Fatal(err)
	}
}

func fingerprintOf(c *x509.Certificate) string { return fmt.Sprintf("%x", sha256.Sum256(c.Raw)) }

// keysAreNowhere looks whether private keys and secrets of the mesh are in definitions,
// and in what the controller says.
func (m *mesh) keysAreNowhere(c *controller) {
	m.t.Helper()
	var secrets []string
	for _, s := range append(m.secrets("cuegate"), m.secrets("shop")...) {
		for key, value := range s.Data {
			if strings.HasSuffix(key, ".key") {
				block, _ := pem.Decode(value)
				secrets = append(secrets, base64.StdEncoding.EncodeToString(block.Bytes)[:60])
			} else if !strings.HasSuffix(key, ".crt") && len(value) > 0 {
				secrets = append(secrets, string(value))
			}
		}
	}
	if len(secrets) < 4 {
		m.t.Errorf("%d secrets", len(secrets))
	}
	texts := map[string]string{"the log": c.log.String()}
	for _, path := range []string{"/metrics", "/debug/plan", "/debug/explain?object=Deployment/shop/echo"} {
		_, texts[path] = c.get(path)
	}
	events, err := m.client.CoreV1().Events("shop").List(m.t.Context(), metav1.ListOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range events.Items {
		texts["an Event"] += e.Message
	}
	for _, s := range m.sidecars("shop") {
		for name, file := range s.Files.Files() {
			texts["the definition "+name] = string(file)
		}
	}
	for where, text := range texts {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				m.t.Errorf("%s has a secret", where)
			}
		}
	}
}
