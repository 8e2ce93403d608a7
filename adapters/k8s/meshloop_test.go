package k8s

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/cuegate/cuegate/engine"
)

// paths gives the listen paths of definitions for other sidecars.
func paths(d engine.Desired) string {
	var all []string
	for _, def := range d.Definitions {
		if gjson.GetBytes(def.JSON, "listen_port").Exists() {
			continue // the way in
		}
		all = append(all, gjson.GetBytes(def.JSON, "proxy.listen_path").String())
	}
	return strings.Join(all, " ")
}

func TestWorkloadIsServed(t *testing.T) {
	sts := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db", UID: "s"}}
	sts.Spec.Selector, sts.Spec.Template = aDeployment("db").Spec.Selector, aDeployment("db").Spec.Template
	ds := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "agent", UID: "d"}}
	ds.Spec.Selector, ds.Spec.Template = aDeployment("agent").Spec.Selector, aDeployment("agent").Spec.Template
	onItself := unasked("itself")
	onItself.Annotations = map[string]string{injectKey: "true"}
	m := startMesh(t, builtin, aNamespace(), aDeployment("web"), unasked("other"), onItself, sts, ds)
	for _, ref := range []engine.Ref{deployment("web"), deployment("itself"), {Kind: kindStatefulSet, Namespace: "shop", Name: "db"}, {Kind: kindDaemonSet, Namespace: "shop", Name: "agent"}} {
		d := m.wants(ref, "is served", isServed)
		if len(d.Definitions) != 2 {
			t.Errorf("%s has %d definitions", ref, len(d.Definitions))
		}
	}
	m.wants(deployment("other"), "is not served", isGone)

	w := aDeployment("web")
	none := int32(0)
	w.Spec.Replicas = &none
	m.deploy(w)
	deleting := metav1.Now()
	w = w.DeepCopy()
	w.DeletionTimestamp, w.Finalizers = &deleting, []string{"foregroundDeletion"}
	m.deploy(w)
	until(t, "about to go", func() bool {
		x, ok := m.watch.workload(deployment("web"))
		return ok && x.meta.DeletionTimestamp != nil
	})
	// Something that comes after it is served, so that it was looked at.
	m.deploy(aDeployment("later"))
	m.wants(deployment("later"), "is served", isServed)
	m.wants(deployment("web"), "is served until it is gone", isServed)
	m.remove("web")
	m.wants(deployment("web"), "is gone", isGone)
}

// The route moves, the name changes, the annotation goes and comes.
func TestWorkloadChanges(t *testing.T) {
	m := startMesh(t, builtin, aNamespace(), aDeployment("web"))
	before := m.wants(deployment("web"), "is served", isServed)
	if got := paths(before); !strings.Contains(got, "/web") {
		t.Errorf("listen paths %s", got)
	}
	m.deploy(aDeployment("web", "injector.tyk.io/route", "/shop"))
	m.wants(deployment("web"), "has moved", func(d engine.Desired, there bool) bool {
		return isServed(d, there) && strings.Contains(paths(d), "/shop") && !strings.Contains(paths(d), "/web")
	})

	m.remove("web")
	m.deploy(aDeployment("site"))
	after := m.wants(deployment("site"), "is served", isServed)
	m.wants(deployment("web"), "is gone", isGone)
	if before.Definitions[0].ID == after.Definitions[0].ID {
		t.Error("two workloads have one definition")
	}

	m.deploy(unasked("site"))
	m.wants(deployment("site"), "is gone", isGone)
	m.deploy(aDeployment("site", injectKey, "no"))
	m.deploy(aDeployment("site"))
	m.wants(deployment("site"), "is served again", isServed)
	m.deploy(aDeployment("site", injectKey, "no"))
	m.wants(deployment("site"), "is gone again", isGone)
}

// Of what does not speak of the mesh nothing is kept, counted or told.
func TestWorkloadsOfOthers(t *testing.T) {
	asks := aDeployment("asks")
	asks.ManagedFields, asks.Annotations = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}, map[string]string{lastApplied: "{}"}
	var objects []runtime.Object
	for _, name := range []string{"a", "b", "c"} {
		objects = append(objects, unasked(name))
	}
	m := startMesh(t, builtin, append(objects, aNamespace(), asks, aDeployment("no", injectKey, "off"))...)
	m.wants(deployment("asks"), "is served", isServed)
	names := 0
	m.watch.each(kindDeployment, func(o any) {
		switch x := o.(type) {
		case *metav1.PartialObjectMetadata:
			names++
			x = x.DeepCopy()
			x.Namespace, x.Name, x.ResourceVersion = "", "", ""
			if text, err := json.Marshal(x); err != nil || string(text) != `{"metadata":{}}` {
				t.Errorf("kept is %s", text)
			}
		case *appsv1.Deployment:
			if x.ManagedFields != nil || x.Annotations[lastApplied] != "" {
				t.Errorf("%s is kept with what nobody reads", x.Name)
			}
		}
	})
	if names != 3 {
		t.Errorf("of %d workloads the name alone is kept", names)
	}
	m.loop.mu.RLock()
	desired := len(m.loop.desired)
	m.loop.mu.RUnlock()
	if desired != 1 {
		t.Errorf("%d decisions are kept", desired)
	}
	expect(t, m.metrics, "decisions_total kind=Deployment,outcome=managed,reason= 1\nobjects outcome=ignored 0\nobjects outcome=managed 1\nobjects outcome=refused 0",
		"decisions_total", "objects")
	m.deploy(aDeployment("comes"))
	m.hears("Deployment/comes Synced")
	if all := m.events(); len(all) != 1 {
		t.Errorf("Events %q", all)
	}
}

func TestWorkloadFollowsNamespace(t *testing.T) {
	m := startMesh(t, builtin, aNamespace(), aDeployment("web"))
	m.wants(deployment("web"), "is served", isServed)
	m.has("web-mesh", "is there", func(s *corev1.Service) bool { return s != nil })
	label := func(labels ...string) {
		_, err := m.client.CoreV1().Namespaces().Update(t.Context(), aNamespace(labels...), metav1.UpdateOptions{})
		must(t, err)
	}
	label(meshLabel, "disabled")
	m.wants(deployment("web"), "is not served", isGone)
	m.hears("Deployment/web Ignored namespace-opted-out")
	m.has("web-mesh", "is gone", func(s *corev1.Service) bool { return s == nil })
	label()
	m.wants(deployment("web"), "is served again", isServed)
}

// With mutual TLS a workload waits for the certificates of all groups that it knows, and
// of those alone.
func TestWorkloadWaitsForCertificates(t *testing.T) {
	const callers = "injector.tyk.io/caller-access-groups"
	m := startMesh(t, mutual, aNamespace(), aDeployment("web", "injector.tyk.io/group", "front"),
		aDeployment("orders", "injector.tyk.io/group", "back", callers, "front"), aDeployment("lonely", "injector.tyk.io/group", "alone", callers, "alone"))
	for _, name := range []string{"web", "orders", "lonely"} {
		d := m.wants(deployment(name), "waits", isHeld)
		if d.Reasons[0].ID != idCertificatePending {
			t.Errorf("%s waits for %v", name, d.Reasons)
		}
	}
	for _, of := range []string{"Deployment/shop/web", "Deployment/shop/orders", "Deployment/shop/lonely"} {
		m.keep(meshCertificate(t, roleServer, of))
	}
	m.keep(meshCertificate(t, roleClient, "shop/alone"))
	m.keep(meshCertificate(t, roleClient, "shop/default"))
	m.wants(deployment("lonely"), "is served", isServed)
	m.wants(deployment("orders"), "waits still", isHeld)

	front := meshCertificate(t, roleClient, "shop/front")
	m.keep(front)
	d := m.wants(deployment("orders"), "is served", isServed)
	if len(d.Definitions) != 2 || len(d.Definitions[0].Checked) != 1 {
		t.Errorf("orders has %d definitions, which let in %v", len(d.Definitions), d.Definitions[0].Checked)
	}
	next := meshCertificate(t, roleClient, "shop/front")
	rotated := front.DeepCopy()
	rotated.Data["next.crt"], rotated.Data["next.key"] = next.Data["tls.crt"], next.Data["tls.key"]
	_, err := m.client.CoreV1().Secrets(meshHome).Update(t.Context(), rotated, metav1.UpdateOptions{})
	must(t, err)
	m.wants(deployment("orders"), "lets the next in", func(d engine.Desired, there bool) bool {
		return isServed(d, there) && len(d.Definitions[0].Checked) == 2
	})
	x, _ := m.watch.get(engine.Ref{Kind: kindMeshSecret, Namespace: meshHome, Name: front.Name})
	if s := x.(*corev1.Secret); s.Data["next.key"] != nil {
		t.Error("a key is kept that nobody needs")
	}

	// It is not taken for one of the mesh any more.
	plain := rotated.DeepCopy()
	plain.Labels = nil
	_, err = m.client.CoreV1().Secrets(meshHome).Update(t.Context(), plain, metav1.UpdateOptions{})
	must(t, err)
	m.wants(deployment("orders"), "waits again", isHeld)
	must(t, m.client.CoreV1().Secrets(meshHome).Delete(t.Context(), identitySecret(roleServer, "Deployment/shop/lonely"), metav1.DeleteOptions{}))
	m.wants(deployment("lonely"), "waits again", isHeld)
}

// A certificate matters to the workload of a server, and to those that a group of callers
// is of or may call.
func TestIndexOfCertificates(t *testing.T) {
	x := newIndex()
	for name, groups := range map[string][]string{"web": {"shop/front", "shop/back"}, "orders": {"shop/back"}, "lonely": nil} {
		x.workload(deployment(name))
		x.learn(deployment(name), groups, nil)
	}
	for o, want := range map[meshOwner]string{
		{roleClient, "shop/front"}:           "web",
		{roleClient, "shop/back"}:            "orders web",
		{roleClient, "other/back"}:           "",
		{roleServer, "Deployment/shop/web"}:  "web",
		{roleServer, "Ingress/shop/web"}:     "",
		{roleServer, "Deployment/shop/web/"}: "",
		{}:                                   "",
	} {
		var got []string
		x.certified(o, func(ref engine.Ref) { got = append(got, ref.Name) })
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%v matters to %v", o, got)
		}
	}
	x.learn(deployment("web"), []string{"shop/front"}, nil)
	x.remove(deployment("orders"))
	x.certified(meshOwner{roleClient, "shop/back"}, func(ref engine.Ref) { t.Errorf("%s is still of a group", ref) })
}

// An Ingress may name a certificate of the mesh; when it is gone, the mesh still has it.
func TestCertificateThatAnIngressNames(t *testing.T) {
	server := meshCertificate(t, roleServer, "Deployment/cuegate/web")
	server.ResourceVersion = "1"
	plain := server.DeepCopy()
	plain.Labels = nil
	web := aDeployment("web", "injector.tyk.io/group", "front", "injector.tyk.io/caller-access-groups", "front")
	web.Namespace = meshHome
	workload, ingress := engine.Ref{Kind: kindDeployment, Namespace: meshHome, Name: "web"}, engine.Ref{Kind: kindIngress, Namespace: meshHome, Name: "a"}
	for name, stored := range map[string]*corev1.Secret{"from the start": server, "later": plain} {
		t.Run(name, func(t *testing.T) {
			m := newMeshBox(t, nil, stored, meshCertificate(t, roleClient, meshHome+"/front"), web, aClass(ourController), aService(meshHome, "web", 80))
			seen := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: stored.ObjectMeta}
			must(t, m.meta.Tracker().Create(corev1.SchemeGroupVersion.WithResource("secrets"), seen, meshHome))
			m.start(mutual)
			_, err := m.client.NetworkingV1().Ingresses(meshHome).Create(t.Context(), anIngress(meshHome, "a", "a.example.com", server.Name), metav1.CreateOptions{})
			must(t, err)
			d := m.wants(ingress, "is served", isServed)
			if len(d.Certificates) != 1 {
				t.Errorf("the Ingress has %d certificates", len(d.Certificates))
			}
			if stored != server {
				_, err := m.client.CoreV1().Secrets(meshHome).Update(t.Context(), server, metav1.UpdateOptions{})
				must(t, err)
			}
			m.wants(workload, "is served", isServed)
			for _, a := range m.client.Actions() {
				if stored == server && a.GetResource().Resource == "secrets" && a.GetVerb() == "get" {
					t.Error("what is watched is read once more")
				}
			}
			must(t, m.client.NetworkingV1().Ingresses(meshHome).Delete(t.Context(), "a", metav1.DeleteOptions{}))
			m.wants(ingress, "is gone", isGone)
			moved := web.DeepCopy()
			moved.Spec.Template.Annotations["injector.tyk.io/route"] = "/moved"
			m.deploy(moved)
			m.wants(workload, "is decided again", func(d engine.Desired, there bool) bool {
				return isHeld(d, there) || strings.Contains(paths(d), "/moved")
			})
			m.wants(workload, "is served still", isServed)
		})
	}
}

// What was decided is decided again every so often.
func TestWorkloadsAreDecidedAgain(t *testing.T) {
	m := startMesh(t, builtin, aNamespace(), aDeployment("web"))
	m.wants(deployment("web"), "is served", isServed)
	before := m.decisions(deployment("web"))
	m.loop.again()
	until(t, "decided again", func() bool { return m.decisions(deployment("web")) > before })
}

// metricsText gives the line of /metrics that begins so.
func metricsText(t *testing.T, c *Controller, begin string) string {
	t.Helper()
	_, _, body := asked(t, c.Handler(), http.MethodGet, "/metrics")
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, begin) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func TestWorkloadIsExplained(t *testing.T) {
	m := startMesh(t, builtin, aNamespace(), aDeployment("web"), unasked("other"))
	m.wants(deployment("web"), "is served", isServed)
	for path, want := range map[string]string{
		"/debug/explain?object=Deployment/shop/web":   `"outcome": "managed"`,
		"/debug/explain?object=Deployment/shop/other": idNotAsked,
		"/debug/plan": `"objects": 1`,
	} {
		if status, _, body := asked(t, m.Handler(), http.MethodGet, path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _, _ := asked(t, m.Handler(), http.MethodGet, "/debug/explain?object=Deployment/shop/none"); status != http.StatusNotFound {
		t.Errorf("what is not there is explained: %d", status)
	}
}

// Services that a workload does not send requests to are no reason to look at it.
func TestWorkloadsThatServicesMatterTo(t *testing.T) {
	m := startMesh(t, builtin, aNamespace(), aDeployment("web"), aService("shop", "other", 80), aDeployment("refused", "injector.tyk.io/port", "nowhere"),
		aDeployment("aims", "string.service.tyk.io/inbound.proxy.target-url", "http://other.shop:80"))
	m.wants(deployment("web"), "is served", isServed)
	m.wants(deployment("aims"), "is served", isServed)
	m.wants(deployment("refused"), "is refused", isHeld)
	m.loop.mu.RLock()
	for name, want := range map[string]bool{"web": false, "aims": true, "refused": true} {
		if _, is := m.loop.index.far[deployment(name)]; is != want {
			t.Errorf("all Services matter to %s: %v", name, is)
		}
	}
	m.loop.mu.RUnlock()
	external := aService("shop", "other", 80)
	external.Spec.Type, external.Spec.ExternalName = corev1.ServiceTypeExternalName, "example.com"
	_, err := m.client.CoreV1().Services("shop").Update(t.Context(), external, metav1.UpdateOptions{})
	must(t, err)
	m.wants(deployment("aims"), "is refused", isHeld)
}

// Without a mesh no workload is looked at, and no right on any is needed.
func TestNoMesh(t *testing.T) {
	m := newMeshBox(t, func(o *Options) { o.Mesh, o.Engine.MeshNamespace = nil, "" }, aNamespace(), aDeployment("web"), aClass(ourController), aService("shop", "web", 80), anIngress("shop", "a", "a.example.com", ""))
	m.start(builtin)
	m.wants(engine.Ref{Kind: kindIngress, Namespace: "shop", Name: "a"}, "is served", isServed)
	m.wants(deployment("web"), "is left alone", isGone)
	for _, a := range m.client.Actions() {
		if r := a.GetResource(); r.Group == "apps" || r.Resource == "secrets" {
			t.Errorf("it asks for %s %s", a.GetVerb(), r.Resource)
		}
	}
	if got := metricsText(t, m.Controller, "cuegate_mesh"); got != "" {
		t.Errorf("it counts %s", got)
	}
}

func TestMeshNeedsANamespace(t *testing.T) {
	o := Options{Client: newMeshBox(t, nil).client, Metadata: newMeshBox(t, nil).meta, Mesh: &MeshSettings{}}
	if _, err := New(o); err == nil {
		t.Error("the certificates of a mesh may be anywhere")
	}
}

// Only workloads of the namespaces are watched.
func TestMeshOfSomeNamespaces(t *testing.T) {
	elsewhere := aDeployment("web")
	elsewhere.Namespace = "elsewhere"
	m := newMeshBox(t, func(o *Options) { o.Namespaces = []string{"shop"} }, aNamespace(), aDeployment("web"), elsewhere)
	m.start(builtin)
	m.wants(deployment("web"), "is served", isServed)
	for _, a := range m.client.Actions() {
		if ns := a.GetNamespace(); a.GetResource().Resource != "ingressclasses" && a.GetResource().Resource != "namespaces" && ns != "shop" && ns != meshHome {
			t.Errorf("it asks for %s %s in namespace %q", a.GetVerb(), a.GetResource().Resource, ns)
		}
	}
	o, err := object(elsewhere)
	must(t, err)
	d, err := m.Decide(context.Background(), o)
	if err != nil || d.Outcome != engine.Ignored || d.Patch != nil || d.Reasons[0].ID != "namespace-not-watched" {
		t.Errorf("elsewhere: %v %v", d, err)
	}
}
