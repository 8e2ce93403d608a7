package k8s

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	clienttesting "k8s.io/client-go/testing"
)

func isAbsent(s *corev1.Service) bool { return s == nil }

// isRight tells whether a Service is as that of a Deployment has to be.
func isRight(s *corev1.Service) bool {
	if s == nil || len(s.Spec.Ports) != 1 {
		return false
	}
	p, owner := s.Spec.Ports[0], metav1.GetControllerOf(s)
	name := strings.TrimSuffix(s.Name, "-mesh")
	return s.Labels[meshLabel] == serviceLabel && len(s.Spec.Selector) == 2 && s.Spec.Selector["app"] == name && s.Spec.Selector[sidecarKey] == "true" && s.Spec.Type != corev1.ServiceTypeExternalName &&
		p.Port == 8080 && p.TargetPort == intstr.FromInt32(8080) && owner != nil && owner.Kind == kindDeployment && owner.Name == name && string(owner.UID) == "uid-of-"+name
}

// writes counts what was written to Services.
func (m *meshBox) writes() (n int) {
	for _, a := range m.client.Actions() {
		if a.GetResource().Resource == "services" && a.GetVerb() != "list" && a.GetVerb() != "watch" {
			n++
		}
	}
	return n
}

// edit changes the Service of web as somebody else would.
func (m *meshBox) edit(change func(*corev1.Service)) {
	m.t.Helper()
	s := m.service("web-mesh").DeepCopy()
	change(s)
	_, err := m.client.CoreV1().Services("shop").Update(context.Background(), s, metav1.UpdateOptions{})
	must(m.t, err)
}

func TestServiceFollowsWorkload(t *testing.T) {
	m := startMesh(t, builtin, aNamespace(), aDeployment("web"))
	m.has("web-mesh", "is right", isRight)
	m.deploy(aDeployment("site"))
	m.has("site-mesh", "is right", isRight)

	m.deploy(unasked("web"))
	m.has("web-mesh", "is gone", isAbsent)
	m.deploy(aDeployment("web"))
	m.has("web-mesh", "is right again", isRight)
	m.remove("site")
	m.has("site-mesh", "is gone", isAbsent)

	// One that was made anew is another owner.
	m.remove("web")
	other := aDeployment("web")
	other.UID = "another"
	m.deploy(other)
	m.has("web-mesh", "has the new owner", func(s *corev1.Service) bool {
		return s != nil && metav1.GetControllerOf(s) != nil && metav1.GetControllerOf(s).UID == "another"
	})
}

func TestServiceIsMended(t *testing.T) {
	m := startMesh(t, builtin, aNamespace(), aDeployment("web"))
	m.has("web-mesh", "is right", isRight)
	for name, change := range map[string]func(*corev1.Service){
		"selector": func(s *corev1.Service) {
			s.Spec.Selector = map[string]string{"app": "web", sidecarKey: "true", "more": "x"}
		},
		"other": func(s *corev1.Service) { s.Spec.Selector = map[string]string{"other": "x"} },
		"port":  func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.FromInt32(9090) },
		"ports": func(s *corev1.Service) { s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "x", Port: 1}) },
		"owner": func(s *corev1.Service) { s.OwnerReferences = nil },
		"type": func(s *corev1.Service) {
			s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, "example.com"
		},
	} {
		m.edit(func(s *corev1.Service) {
			s.Annotations, s.Spec.SessionAffinity = map[string]string{"theirs": "stays"}, corev1.ServiceAffinityClientIP
			s.Labels["theirs"] = "stays"
			change(s)
		})
		s := m.has("web-mesh", "is right after a change of "+name, isRight)
		if s.Annotations["theirs"] != "stays" || s.Labels["theirs"] != "stays" || s.Spec.SessionAffinity != corev1.ServiceAffinityClientIP || s.Spec.ExternalName != "" {
			t.Errorf("%s: what is not ours is changed: %v", name, s)
		}
	}
	must(t, m.client.CoreV1().Services("shop").Delete(t.Context(), "web-mesh", metav1.DeleteOptions{}))
	m.has("web-mesh", "is there again", isRight)
	for _, a := range m.client.Actions() {
		if p, is := a.(clienttesting.PatchAction); is && a.GetResource().Resource == "services" {
			if p.GetPatchType() != types.MergePatchType || strings.Contains(string(p.GetPatch()), "sessionAffinity") || !strings.Contains(string(p.GetPatch()), `"resourceVersion"`) {
				t.Errorf("the patch is %s", p.GetPatch())
			}
		}
	}
}

// A Service of somebody else is never touched, and its workload's author is told; once.
func TestServiceInTheWay(t *testing.T) {
	theirs := aService("shop", "web-mesh", 80)
	theirs.Spec.Selector = map[string]string{"app": "theirs"}
	m := startMesh(t, builtin, aNamespace(), theirs, aDeployment("web"))
	m.wants(deployment("web"), "is served", isServed)
	m.hears("Deployment/web Failed " + idServiceForeign + ": There is a Service web-mesh already, which is not of the mesh")
	m.loop.again()
	m.deploy(aDeployment("later"))
	m.has("later-mesh", "is right", isRight)
	if s := m.service("web-mesh"); s.Spec.Selector["app"] != "theirs" || m.writes() != 1 {
		t.Errorf("the Service of somebody else was touched: %v", s)
	}
	m.edit(func(s *corev1.Service) { s.Annotations = map[string]string{"touched": "yes"} })
	must(t, m.client.CoreV1().Services("shop").Delete(t.Context(), "web-mesh", metav1.DeleteOptions{}))
	m.has("web-mesh", "is made when the other is gone", isRight)
	told := func() (n int32) {
		list, err := m.client.CoreV1().Events("shop").List(t.Context(), metav1.ListOptions{})
		must(t, err)
		for _, e := range list.Items {
			if strings.Contains(e.Message, idServiceForeign) {
				n += e.Count
			}
		}
		return n
	}
	if n := told(); n != 1 {
		t.Errorf("told %d times", n)
	}

	// One whose label was taken away is not ours any more.
	m.edit(func(s *corev1.Service) { delete(s.Labels, meshLabel) })
	until(t, "told again", func() bool { return told() == 2 })
	m.deploy(unasked("web"))
	m.wants(deployment("web"), "is gone", isGone)
	m.remove("later")
	m.has("later-mesh", "is gone", isAbsent)
	if m.service("web-mesh") == nil {
		t.Error("a Service without our label was deleted")
	}
}

// Of two workloads of one name the first has the Service, until it is gone.
func TestServiceOfTwoWorkloads(t *testing.T) {
	m := startMesh(t, builtin, aNamespace(), aDeployment("web"))
	m.has("web-mesh", "is right", isRight)
	second := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "second"}}
	second.Spec.Selector, second.Spec.Template = aDeployment("web").Spec.Selector, aDeployment("web").Spec.Template
	_, err := m.client.AppsV1().StatefulSets("shop").Create(t.Context(), second, metav1.CreateOptions{})
	must(t, err)
	m.hears("StatefulSet/web Failed " + idServiceForeign + ": There is a Service web-mesh already, which is that of Deployment/shop/web")
	if !isRight(m.service("web-mesh")) {
		t.Error("the Service was taken away")
	}
	m.remove("web")
	m.has("web-mesh", "is that of the other", func(s *corev1.Service) bool {
		return s != nil && metav1.GetControllerOf(s) != nil && metav1.GetControllerOf(s).Kind == kindStatefulSet
	})
}

// Who leads next writes nothing that is right, and clears up what it missed.
func TestServicesOfTheNextLeader(t *testing.T) {
	m := newMeshBox(t, nil, aNamespace(), aDeployment("web"), aDeployment("not-any-more"))
	stop := m.start(builtin)
	m.has("web-mesh", "is right", isRight)
	m.has("not-any-more-mesh", "is right", isRight)
	must(t, stop())
	m.deploy(unasked("not-any-more"))
	m.remove("not-any-more")
	m.deploy(unasked("not-any-more"))
	m.client.ClearActions()
	m.make(nil)
	m.start(builtin)
	m.has("not-any-more-mesh", "is gone", isAbsent)
	m.deploy(aDeployment("later"))
	m.has("later-mesh", "is right", isRight)
	if n := m.writes(); n != 2 {
		t.Errorf("%d writes", n)
	}
}

// What is held keeps its Service, and what is about to go is left to the garbage
// collector.
func TestServiceStays(t *testing.T) {
	m := startMesh(t, builtin, aNamespace(), aDeployment("web"))
	m.has("web-mesh", "is right", isRight)
	m.deploy(aDeployment("web", "injector.tyk.io/port", "nowhere"))
	m.wants(deployment("web"), "is refused", isHeld)
	m.deploy(aDeployment("later"))
	m.has("later-mesh", "is right", isRight)
	if !isRight(m.service("web-mesh")) {
		t.Error("it is gone with a refusal")
	}

	going := aDeployment("web")
	now := metav1.Now()
	going.DeletionTimestamp, going.Finalizers = &now, []string{"foregroundDeletion"}
	m.deploy(going)
	m.wants(deployment("web"), "is served", isServed)
	must(t, m.client.CoreV1().Services("shop").Delete(t.Context(), "web-mesh", metav1.DeleteOptions{}))
	m.deploy(aDeployment("last"))
	m.has("last-mesh", "is right", isRight)
	if m.service("web-mesh") != nil {
		t.Error("the Service of a workload that is being deleted is made again")
	}
}

// A write that fails is tried again, and one that makes no sense is not.
func TestServiceIsTriedAgain(t *testing.T) {
	m := newMeshBox(t, nil, aNamespace(), aDeployment("web"), aDeployment("forbidden"))
	var away, forbidden atomic.Int32
	m.client.PrependReactor("create", "services", func(a clienttesting.Action) (bool, runtime.Object, error) {
		switch name := a.(clienttesting.CreateAction).GetObject().(*corev1.Service).Name; {
		case name == "web-mesh" && away.Add(1) <= 2:
			return true, nil, errors.New("the server is away")
		case name == "forbidden-mesh":
			forbidden.Add(1)
			return true, nil, apierrors.NewForbidden(corev1.Resource("services"), name, errors.New("no right"))
		}
		return false, nil, nil
	})
	m.start(builtin)
	m.has("web-mesh", "is right", isRight)
	if n := forbidden.Load(); n > 1 {
		t.Errorf("what is forbidden was tried %d times", n)
	}
}

// What another decision is about to change is not written before that.
func TestServiceWaitsForTheDecision(t *testing.T) {
	m := startMesh(t, builtin, aNamespace(), aDeployment("web"))
	m.has("web-mesh", "is right", isRight)
	s := newServices(servicesOptions{Client: m.client, Watch: m.watch, Standing: m.loop.standing})
	m.loop.mu.Lock()
	d := m.loop.desired[deployment("web")]
	d.Service = []byte(strings.ReplaceAll(string(d.Service), "uid-of-web", "before"))
	m.loop.desired[deployment("web")] = d
	m.loop.mu.Unlock()
	before := m.writes()
	must(t, s.one(t.Context(), deployment("web"))) // what is decided is of another object
	if n := m.writes(); n != before {
		t.Errorf("%d writes", n-before)
	}
}

// As long as not everything is known, a workload that is not known may be there.
func TestServiceWaitsForTheStart(t *testing.T) {
	m := newMeshBox(t, nil, aNamespace(), aDeployment("web"))
	stop := m.start(builtin)
	m.has("web-mesh", "is right", isRight)
	must(t, stop())
	m.remove("web")
	m.make(nil)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	m.watch.start(ctx)
	until(t, "synced", m.watch.hasSynced)
	s := newServices(servicesOptions{Client: m.client, Watch: m.watch, Standing: m.loop.standing, Log: m.log})
	must(t, s.one(t.Context(), deployment("web")))
	if m.service("web-mesh") == nil {
		t.Error("it is deleted before anything is decided")
	}
	m.loop.mu.Lock()
	m.loop.started = true
	m.loop.mu.Unlock()
	must(t, s.one(t.Context(), deployment("web")))
	if m.service("web-mesh") != nil {
		t.Error("it is there still")
	}
}

func TestServicePatch(t *testing.T) {
	yes := true
	owner := metav1.OwnerReference{APIVersion: "apps/v1", Kind: kindDeployment, Name: "web", UID: "u", Controller: &yes}
	want := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-mesh", Labels: map[string]string{meshLabel: serviceLabel}, OwnerReferences: []metav1.OwnerReference{owner}},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Name: "mesh", Port: 8080, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP}}},
	}
	for name, c := range map[string]struct {
		change func(*corev1.Service)
		want   string
	}{
		"nothing": {func(*corev1.Service) {}, ""},
		"what the API server fills in": {func(s *corev1.Service) {
			s.Spec.ClusterIP, s.Spec.Type, s.Spec.Ports[0].NodePort = "10.0.0.1", corev1.ServiceTypeNodePort, 30000
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}
		}, ""},
		"a selector of more": {func(s *corev1.Service) { s.Spec.Selector["x"] = "y" },
			`{"metadata":{"resourceVersion":"7","uid":"s"},"spec":{"selector":{"app":"web","x":null}}}`},
		"another owner beside": {func(s *corev1.Service) {
			s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "c"}}
		}, `{"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"u","controller":true},{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"c"}],"resourceVersion":"7","uid":"s"}}`},
		"the owner before": {func(s *corev1.Service) { s.OwnerReferences[0].UID = "old" },
			`{"metadata":{"ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"u","controller":true}],"resourceVersion":"7","uid":"s"}}`},
	} {
		have := want.DeepCopy()
		have.UID, have.ResourceVersion = "s", "7"
		c.change(have)
		patch, err := servicePatch(have, want)
		must(t, err)
		if string(patch) != c.want {
			t.Errorf("%s: %s", name, patch)
		}
	}
}
