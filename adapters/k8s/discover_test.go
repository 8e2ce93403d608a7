package k8s

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// slice makes an EndpointSlice of the Service gateways; ports are NAME:NUMBER or
// NAME:NUMBER/PROTOCOL.
func slice(name string, ports string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "tyk", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: "gateways"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   endpoints,
	}
	for p := range strings.FieldsSeq(ports) {
		name, rest, _ := strings.Cut(p, ":")
		number, protocol, _ := strings.Cut(rest, "/")
		var n int32
		fmt.Sscan(number, &n)
		port := discoveryv1.EndpointPort{Name: &name, Port: &n}
		if protocol != "" {
			port.Protocol = (*corev1.Protocol)(&protocol)
		}
		s.Ports = append(s.Ports, port)
	}
	for _, e := range endpoints {
		if strings.Contains(e.Addresses[0], ":") {
			s.AddressType = discoveryv1.AddressTypeIPv6
		}
	}
	return s
}

func pod(name, address string) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{address}}
	if name != "" {
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: "tyk", Name: name}
	}
	return e
}

func conditions(e discoveryv1.Endpoint, ready, serving, terminating string) discoveryv1.Endpoint {
	is := func(s string) *bool {
		if s == "" {
			return nil
		}
		yes := s == "yes"
		return &yes
	}
	e.Conditions = discoveryv1.EndpointConditions{Ready: is(ready), Serving: is(serving), Terminating: is(terminating)}
	return e
}

func TestDiscoveryEndpoints(t *testing.T) {
	a, b := pod("gw-a", "10.0.0.1"), pod("gw-b", "10.0.0.2")
	for _, s := range []struct {
		what   string
		d      Discovery
		slices []*discoveryv1.EndpointSlice
		want   string
	}{
		{"nothing", Discovery{}, nil, ""},
		{"one port, in order of names", Discovery{}, []*discoveryv1.EndpointSlice{slice("s2", "x:8080", b), slice("s1", "x:8080", a)}, "gw-a http://10.0.0.1:8080, gw-b http://10.0.0.2:8080"},
		{"a port without a name", Discovery{}, []*discoveryv1.EndpointSlice{slice("s", ":8080", a)}, "gw-a http://10.0.0.1:8080"},
		{"the port control before api", Discovery{}, []*discoveryv1.EndpointSlice{slice("s", "api:1 control:2 http:3", a)}, "gw-a http://10.0.0.1:2"},
		{"the port api", Discovery{}, []*discoveryv1.EndpointSlice{slice("s", "api:1 http:3", a)}, "gw-a http://10.0.0.1:1"},
		{"by name", Discovery{Port: "http"}, []*discoveryv1.EndpointSlice{slice("s", "api:1 http:3", a)}, "gw-a http://10.0.0.1:3"},
		{"by number", Discovery{Port: "9696", Scheme: "https"}, []*discoveryv1.EndpointSlice{slice("s", "http:3", a)}, "gw-a https://10.0.0.1:9696"},
		{"none of that name", Discovery{Port: "nope"}, []*discoveryv1.EndpointSlice{slice("s", "api:1 http:3", a)}, `error: there is no TCP port "nope"; there are ["api" "http"]`},
		{"ambiguous", Discovery{}, []*discoveryv1.EndpointSlice{slice("s", "web:1 http:3", a)}, `error: which TCP port is that of the control API? None is called control or api; there are ["http" "web"]`},
		{"UDP does not count", Discovery{}, []*discoveryv1.EndpointSlice{slice("s", "dns:53/UDP http:3/TCP", a)}, "gw-a http://10.0.0.1:3"},
		{"no port", Discovery{}, []*discoveryv1.EndpointSlice{slice("s", "", a)}, "error: there is no TCP port"},
		{"no port and nobody there", Discovery{}, []*discoveryv1.EndpointSlice{slice("s", "")}, ""},
		{"IPv6", Discovery{}, []*discoveryv1.EndpointSlice{slice("s", "x:8080", pod("gw-a", "fd00::1"))}, "gw-a http://[fd00::1]:8080"},
		{"both families are one pod", Discovery{}, []*discoveryv1.EndpointSlice{slice("a6", "x:8080", pod("gw-a", "fd00::1")), slice("b4", "x:8080", a)}, "gw-a http://10.0.0.1:8080"},
		{"no pod", Discovery{}, []*discoveryv1.EndpointSlice{slice("s", "x:8080", pod("", "10.0.0.9"))}, "10.0.0.9 http://10.0.0.9:8080"},
		{"conditions", Discovery{}, []*discoveryv1.EndpointSlice{slice("s", "x:8080",
			conditions(a, "yes", "yes", "no"),
			conditions(pod("not-ready", "10.0.1.1"), "no", "no", "no"),
			conditions(pod("published-unready", "10.0.1.2"), "yes", "no", "no"),
			conditions(pod("draining", "10.0.1.3"), "no", "yes", "yes"),
			conditions(pod("published-draining", "10.0.1.4"), "yes", "yes", "yes"),
			conditions(pod("old-style", "10.0.1.5"), "no", "", ""),
		)}, "gw-a http://10.0.0.1:8080"},
	} {
		s.d.Scheme = cmp.Or(s.d.Scheme, "http")
		found, err := s.d.endpoints(s.slices)
		var texts []string
		for _, e := range found {
			texts = append(texts, e.Name+" "+e.URL)
		}
		got := strings.Join(texts, ", ")
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != s.want {
			t.Errorf("%s:\ngot  %s\nwant %s", s.what, got, s.want)
		}
	}
}

func TestDiscovererFollows(t *testing.T) {
	ctx := t.Context()
	other := slice("other", "x:8080", pod("stranger", "10.0.9.9"))
	other.Labels[discoveryv1.LabelServiceName] = "other"
	first := slice("first", "x:8080", pod("gw-a", "10.0.0.1"))
	client := fake.NewClientset(first, other)
	x, err := NewDiscoverer(client, Discovery{Namespace: "tyk", Service: "gateways"})
	must(t, err)
	if found, err := x.Endpoints(ctx); err == nil {
		t.Errorf("before anything is known: %v", found)
	}
	x.Start(ctx)
	is := func(want string) func() bool {
		return func() bool {
			found, err := x.Endpoints(ctx)
			return err == nil && fmt.Sprint(found) == want
		}
	}
	eventually(t, "the one is found", is("[{gw-a http://10.0.0.1:8080}]"))
	slices := client.DiscoveryV1().EndpointSlices("tyk")
	_, err = slices.Create(ctx, slice("second", "x:8080", pod("gw-b", "10.0.0.2")), metav1.CreateOptions{})
	must(t, err)
	eventually(t, "both are found", is("[{gw-a http://10.0.0.1:8080} {gw-b http://10.0.0.2:8080}]"))
	must(t, slices.Delete(ctx, "first", metav1.DeleteOptions{}))
	must(t, slices.Delete(ctx, "second", metav1.DeleteOptions{}))
	eventually(t, "none are found", is("[]"))
}

func TestDiscoveryRefused(t *testing.T) {
	for _, d := range []Discovery{
		{},
		{Namespace: "tyk"},
		{Namespace: "tyk", Service: "a/b"},
		{Namespace: "tyk", Service: "gateways,app=x"},
		{Namespace: "tyk", Service: "gateways", Port: "0"},
		{Namespace: "tyk", Service: "gateways", Port: "70000"},
		{Namespace: "tyk", Service: "gateways", Port: "a b"},
		{Namespace: "tyk", Service: "gateways", Scheme: "ftp"},
	} {
		if _, err := NewDiscoverer(fake.NewClientset(), d); err == nil {
			t.Errorf("%+v is taken", d)
		}
	}
}
