package k8s

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/cuegate/cuegate/engine"
)

func listedNamespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{lastApplied: "{}"}}}
}

func tlsSecret(namespace, name string, labels map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}, Type: corev1.SecretTypeTLS}
}

func listedDeployment(namespace, name, inject string) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Ports: []corev1.ContainerPort{{ContainerPort: 3000}}}}
	if inject != "" {
		d.Spec.Template.Annotations = map[string]string{injectKey: inject}
	}
	return d
}

func refsOf(objects []engine.Object) string {
	var all []string
	for _, o := range objects {
		all = append(all, o.Ref.String())
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// What a controller watches is listed, and no more: of workloads those of the mesh, of
// Secrets those of the mesh.
func TestList(t *testing.T) {
	server := map[string]string{meshLabel: roleServer}
	objects := []runtime.Object{
		listedNamespace("shop"), listedNamespace("other"), aClass(ourController), aService("shop", "web", 80), aService("other", "web", 80),
		anIngress("shop", "a", "a.example.com", "tls"), anIngress("other", "b", "b.example.com", ""),
		listedDeployment("shop", "echo", "true"), listedDeployment("shop", "plain", ""),
		tlsSecret("shop", "tls", nil), tlsSecret("mesh", "server", server), tlsSecret("shop", "server", server),
	}
	for _, c := range []struct {
		name string
		o    ListOptions
		want string
	}{
		{"all", ListOptions{MeshNamespace: "mesh"}, "Deployment/shop/echo Ingress/other/b Ingress/shop/a IngressClass/tyk Namespace/other Namespace/shop Secret/mesh/server Service/other/web Service/shop/web"},
		{"one namespace", ListOptions{Namespaces: []string{"other"}, MeshNamespace: "mesh"}, "Ingress/other/b IngressClass/tyk Namespace/other Secret/mesh/server Service/other/web"},
		{"a namespace that is not there", ListOptions{Namespaces: []string{"none", "shop"}}, "Ingress/shop/a IngressClass/tyk Namespace/shop Service/shop/web"},
		{"no mesh", ListOptions{}, "Ingress/other/b Ingress/shop/a IngressClass/tyk Namespace/other Namespace/shop Service/other/web Service/shop/web"},
	} {
		client := fake.NewClientset(objects...)
		got, err := List(t.Context(), client, c.o)
		if err != nil {
			t.Fatal(err)
		}
		if refs := refsOf(got); refs != c.want {
			t.Errorf("%s: got  %s\nwant %s", c.name, refs, c.want)
		}
		for _, o := range got {
			if bytes.Contains(o.JSON, []byte("last-applied")) || o.APIVersion == "" {
				t.Errorf("%s: not as a controller has it: %s", c.name, o.JSON)
			}
		}
		for _, a := range client.Actions() {
			if list, is := a.(clienttesting.ListAction); a.GetVerb() != "get" && !is || is && a.GetResource().Resource == "secrets" && list.GetListRestrictions().Labels.Empty() {
				t.Errorf("%s: %s %s", c.name, a.GetVerb(), a.GetResource().Resource)
			}
		}
	}
}

// Lists come in pages.
func TestListPages(t *testing.T) {
	client := fake.NewClientset()
	pages := 0
	client.PrependReactor("list", "ingresses", func(a clienttesting.Action) (bool, runtime.Object, error) {
		o := a.(clienttesting.ListActionImpl).ListOptions
		page, _ := strconv.Atoi(o.Continue)
		if o.Limit == 0 {
			return true, nil, errors.New("a list without a limit")
		}
		pages++
		list := &networkingv1.IngressList{Items: []networkingv1.Ingress{*anIngress("shop", fmt.Sprint("i", page), "a.example.com", "")}}
		if page < 2 {
			list.Continue = strconv.Itoa(page + 1)
		}
		return true, list, nil
	})
	got, err := List(t.Context(), client, ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if refs := refsOf(got); refs != "Ingress/shop/i0 Ingress/shop/i1 Ingress/shop/i2" || pages != 3 {
		t.Errorf("%d pages give %s", pages, refs)
	}
}

// What may not be read is an error that says so, and not an empty list.
func TestListForbidden(t *testing.T) {
	for _, resource := range []string{"ingresses", "services", "ingressclasses", "namespaces", "deployments", "secrets"} {
		client := fake.NewClientset()
		client.PrependReactor("*", resource, func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, errors.New("forbidden: " + resource)
		})
		_, err := List(t.Context(), client, ListOptions{MeshNamespace: "mesh"})
		if err == nil || !strings.Contains(err.Error(), "forbidden: "+resource) {
			t.Errorf("%s: got %v", resource, err)
		}
	}
}

// Of the Secrets that Ingresses name those are read that are ours and of type TLS.
func TestNamedSecrets(t *testing.T) {
	opaque := tlsSecret("shop", "opaque", nil)
	opaque.Type = corev1.SecretTypeOpaque
	client := fake.NewClientset(tlsSecret("shop", "a", nil), tlsSecret("shop", "b", nil), tlsSecret("shop", "known", nil), opaque)
	var objects []engine.Object
	for _, x := range []any{
		anIngress("shop", "a", "a.example.com", "a"), anIngress("shop", "foreign", "b.example.com", "b"), anIngress("shop", "c", "c.example.com", "opaque"),
		anIngress("shop", "d", "d.example.com", "none"), anIngress("shop", "e", "e.example.com", "known"), tlsSecret("shop", "known", nil),
	} {
		o, err := object(x)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
	ours := func(ref engine.Ref) bool { return ref.Name != "foreign" }
	got, err := NamedSecrets(t.Context(), client, objects, ours)
	if err != nil {
		t.Fatal(err)
	}
	if refs := refsOf(got); refs != "Secret/shop/a" {
		t.Errorf("read %s", refs)
	}
	for _, a := range client.Actions() {
		if get, is := a.(clienttesting.GetAction); !is || get.GetName() == "b" || get.GetName() == "known" {
			t.Errorf("%v", a)
		}
	}
	client.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("forbidden")
	})
	if _, err := NamedSecrets(t.Context(), client, objects, ours); err == nil || !strings.Contains(err.Error(), "reading the Secret shop/") {
		t.Errorf("got %v", err)
	}
}

// From what is listed, and from a snapshot of it, that is decided which the controller
// decides.
func TestListDecides(t *testing.T) {
	l := startLoop(t, listedNamespace("shop"), aClass(ourController), aService("shop", "web", 80),
		anIngress("shop", "a", "a.example.com", ""), anIngress("shop", "b", "b.example.com", ""), anIngress("other", "c", "c.example.com", ""))
	l.has("shop", "a", "managed", isManaged)
	l.has("shop", "b", "managed", isManaged)
	l.has("other", "c", "refused", isRefused) // it has no Service
	listed, err := List(t.Context(), l.client, ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	saved, err := engine.Snapshot(listed, engine.SnapshotOf{Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	b, err := builtin()
	if err != nil {
		t.Fatal(err)
	}
	e := engine.New(b, engine.Config{ClusterID: "test", OrgID: "org"})
	around, rejected := engine.NewCluster(saved)
	if len(rejected) > 0 {
		t.Fatal(rejected)
	}
	n := 0
	for _, o := range saved {
		if o.Kind != kindIngress {
			continue
		}
		n++
		d, _, _ := e.Decide(t.Context(), o, around)
		l.loop.mu.RLock()
		want := l.desired[o.Ref].Desired
		l.loop.mu.RUnlock()
		if d.Outcome != want.Outcome || len(d.Definitions) != len(want.Definitions) {
			t.Errorf("%s is %s, and %s to the controller", o.Ref, d.Outcome, want.Outcome)
			continue
		}
		for i := range d.Definitions {
			if !bytes.Equal(d.Definitions[i].JSON, want.Definitions[i].JSON) {
				t.Errorf("%s: %s, and to the controller %s", o.Ref, d.Definitions[i].JSON, want.Definitions[i].JSON)
			}
		}
	}
	if n != 3 {
		t.Errorf("%d Ingresses are listed", n)
	}
}
