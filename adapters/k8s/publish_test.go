package k8s

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/cuegate/cuegate/engine"
)

func addressText(list []networkingv1.IngressLoadBalancerIngress) string {
	var texts []string
	for _, x := range list {
		texts = append(texts, "ip="+x.IP+" host="+x.Hostname)
	}
	return strings.Join(texts, ", ")
}

func TestAddresses(t *testing.T) {
	balanced := corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{Hostname: "lb.example.com"}, {IP: "192.0.2.1"}}}}
	for name, c := range map[string]struct {
		fixed   []string
		service *corev1.Service
		want    string
	}{
		"nothing":    {nil, nil, ""},
		"addresses":  {[]string{"lb.example.com", "192.0.2.1", "2001:DB8::1", "192.0.2.1"}, nil, "ip=192.0.2.1 host=, ip=2001:db8::1 host=, ip= host=lb.example.com"},
		"balanced":   {nil, &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ExternalIPs: []string{"192.0.2.2"}}, Status: balanced}, "ip=192.0.2.1 host=, ip= host=lb.example.com"},
		"external":   {nil, &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1", ExternalIPs: []string{"192.0.2.2"}}}, "ip=192.0.2.2 host="},
		"cluster":    {nil, &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1"}}, "ip=10.0.0.1 host="},
		"no balance": {nil, &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.0.0.1"}}, ""},
		"headless":   {nil, &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "None"}}, ""},
		"by name":    {nil, &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "gw.example.com"}}, "ip= host=gw.example.com"},
	} {
		var service func() (*corev1.Service, bool)
		if c.service != nil {
			service = func() (*corev1.Service, bool) { return c.service, true }
		}
		if got := addressText(newPublisher(c.fixed, service).addresses()); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := newPublisher(nil, func() (*corev1.Service, bool) { return nil, false }).addresses(); got != nil {
		t.Errorf("a Service that is not known has %v", got)
	}
}

func TestRetract(t *testing.T) {
	told := func(name string, addresses ...networkingv1.IngressLoadBalancerIngress) *networkingv1.Ingress {
		ing := newIngress(name, addresses...)
		ing.Annotations[engine.StatusAnnotation] = "{}"
		return ing
	}
	all := []*networkingv1.Ingress{
		told("ours", oursIP), told("both", theirs, oursIP), told("theirs", theirs), told("none"), told("gone", oursIP), newIngress("untold", oursIP),
	}
	var objects []runtime.Object
	for _, ing := range all {
		if ing.Name != "gone" {
			objects = append(objects, ing.DeepCopy())
		}
	}
	client := fake.NewClientset(objects...)
	conflicts := 2
	client.PrependReactor("patch", "ingresses", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.(clienttesting.PatchAction).GetName() == "both" && conflicts > 0 {
			conflicts--
			return true, nil, apierrors.NewConflict(schema.GroupResource{}, "both", errors.New("newer"))
		}
		return false, nil, nil
	})
	p := newPublisher([]string{oursIP.IP}, nil)
	if err := p.retract(t.Context(), client, all); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"ours": "", "both": addressText([]networkingv1.IngressLoadBalancerIngress{theirs}), "theirs": addressText([]networkingv1.IngressLoadBalancerIngress{theirs}),
		"none": "", "untold": addressText([]networkingv1.IngressLoadBalancerIngress{oursIP}),
	} {
		o, err := client.Tracker().Get(networkingv1.SchemeGroupVersion.WithResource("ingresses"), "shop", name)
		if err != nil {
			t.Fatal(err)
		}
		ing := o.(*networkingv1.Ingress)
		if got := addressText(ing.Status.LoadBalancer.Ingress); got != want {
			t.Errorf("%s has %s", name, got)
		}
		if _, carries := ing.Annotations[engine.StatusAnnotation]; carries != (name != "untold") {
			t.Errorf("%s lost its annotation", name)
		}
	}
}

func TestRetractCountsFailures(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("patch", "ingresses", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewInternalError(errors.New("broken"))
	})
	var all []*networkingv1.Ingress
	for i := range 20 {
		ing := newIngress(fmt.Sprint(i), oursIP)
		ing.Annotations[engine.StatusAnnotation] = "{}"
		all = append(all, ing)
	}
	err := newPublisher([]string{oursIP.IP}, nil).retract(t.Context(), client, all)
	if err == nil || !strings.Contains(err.Error(), "addresses of 20 objects") {
		t.Errorf("the error is %v", err)
	}
}

func TestRetractAfterTheServiceWent(t *testing.T) {
	ing := newIngress("a", oursIP)
	ing.Annotations[engine.StatusAnnotation] = `{"outcome":"served"}`
	client := fake.NewClientset(ing)
	there := true
	p := newPublisher(nil, func() (*corev1.Service, bool) {
		return &corev1.Service{Spec: corev1.ServiceSpec{ExternalIPs: []string{oursIP.IP}}}, there
	})
	if len(p.addresses()) != 1 {
		t.Fatal("nothing is published")
	}
	there = false
	if err := p.retract(t.Context(), client, []*networkingv1.Ingress{ing}); err != nil {
		t.Fatal(err)
	}
	now, err := client.NetworkingV1().Ingresses("shop").Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || len(now.Status.LoadBalancer.Ingress) != 0 {
		t.Errorf("the status has %v, %v", now.Status.LoadBalancer.Ingress, err)
	}
}

func TestCheckAddresses(t *testing.T) {
	if err := checkAddresses([]string{"192.0.2.7", "2001:db8::1", "LB.example.org"}); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "http://lb.example.org", "lb.example.org:80", "a b"} {
		if checkAddresses([]string{bad}) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if got := entries([]string{"LB.example.org"}); got[0].Hostname != "lb.example.org" {
		t.Errorf("the API server refuses %v", got)
	}
}
