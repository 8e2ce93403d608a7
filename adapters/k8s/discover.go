package k8s

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	discoveryinformers "k8s.io/client-go/informers/discovery/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Discovery says which pods are gateways: those behind a headless Service.
type Discovery struct {
	Namespace, Service string
	// Port is a number, or the name of a port of the Service. Where it is "", the
	// Service has one port, or one that is called control or api.
	Port string
	// Scheme is http where it is "", or https.
	Scheme string
}

// controlPorts are names of the port of a gateway's control API, the likelier first.
var controlPorts = []string{"control", "api"}

// Endpoint is a gateway that was found.
type Endpoint struct {
	// Name is that of the pod, or the address where no pod is known.
	Name string
	// URL is scheme, address and port.
	URL string
}

// Discoverer follows the pods of a Service.
type Discoverer struct {
	d        Discovery
	informer cache.SharedIndexInformer
}

// NewDiscoverer asks for EndpointSlices of the one Service only; it calls nobody yet.
func NewDiscoverer(client kubernetes.Interface, d Discovery) (*Discoverer, error) {
	d.Scheme = cmp.Or(d.Scheme, "http")
	number, err := strconv.Atoi(d.Port)
	switch {
	case len(validation.IsDNS1123Label(d.Namespace)) > 0 || len(validation.IsDNS1123Label(d.Service)) > 0:
		return nil, fmt.Errorf("finding gateways: %q is no NAMESPACE/NAME of a Service", d.Namespace+"/"+d.Service)
	case d.Scheme != "http" && d.Scheme != "https":
		return nil, fmt.Errorf("finding gateways: the scheme %q is neither http nor https", d.Scheme)
	case err == nil && len(validation.IsValidPortNum(number)) > 0, err != nil && d.Port != "" && len(validation.IsDNS1123Label(d.Port)) > 0:
		return nil, fmt.Errorf("finding gateways: the port %q is neither a number from 1 to 65535 nor a name", d.Port)
	}
	selector := labels.Set{discoveryv1.LabelServiceName: d.Service}.String()
	x := &Discoverer{d: d}
	x.informer = discoveryinformers.NewFilteredEndpointSliceInformer(client, d.Namespace, 0, cache.Indexers{},
		func(o *metav1.ListOptions) { o.LabelSelector = selector })
	return x, nil
}

// Start follows the Service until ctx ends. It returns at once, and is called once.
func (x *Discoverer) Start(ctx context.Context) { go x.informer.RunWithContext(ctx) }

// Endpoints gives the pods that are ready and not about to end, in order of their
// names. An error says that they are not known, and not that there are none.
func (x *Discoverer) Endpoints(ctx context.Context) ([]Endpoint, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !x.informer.HasSynced() {
		return nil, fmt.Errorf("the endpoints of Service %s/%s are not known yet", x.d.Namespace, x.d.Service)
	}
	var all []*discoveryv1.EndpointSlice
	for _, o := range x.informer.GetStore().List() {
		if s, ok := o.(*discoveryv1.EndpointSlice); ok {
			all = append(all, s)
		}
	}
	found, err := x.d.endpoints(all)
	if err != nil {
		return nil, fmt.Errorf("the endpoints of Service %s/%s: %w", x.d.Namespace, x.d.Service, err)
	}
	return found, nil
}

// endpoints gives one for each pod: of a pod with addresses of both families the IPv4
// one.
func (d Discovery) endpoints(all []*discoveryv1.EndpointSlice) ([]Endpoint, error) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b *discoveryv1.EndpointSlice) int {
		// "IPv4" comes before "IPv6".
		return cmp.Or(cmp.Compare(a.AddressType, b.AddressType), cmp.Compare(a.Name, b.Name))
	})
	found := map[string]Endpoint{}
	for _, s := range all {
		for _, e := range s.Endpoints {
			if !serves(e) || len(e.Addresses) == 0 {
				continue
			}
			port, err := d.port(s)
			if err != nil {
				return nil, err
			}
			// Of several addresses of one endpoint all are the same pod.
			address := e.Addresses[0]
			name := address
			if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
				name = e.TargetRef.Name
			}
			if _, known := found[name]; !known {
				u := url.URL{Scheme: d.Scheme, Host: net.JoinHostPort(address, strconv.Itoa(port))}
				found[name] = Endpoint{Name: name, URL: u.String()}
			}
		}
	}
	list := make([]Endpoint, 0, len(found))
	for _, e := range found {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Endpoint) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// serves tells whether a pod is ready, also where the Service publishes those that are
// not, and is not about to end.
func serves(e discoveryv1.Endpoint) bool {
	is := func(p *bool, otherwise bool) bool {
		if p == nil {
			return otherwise
		}
		return *p
	}
	c := e.Conditions
	return is(c.Serving, is(c.Ready, true)) && !is(c.Terminating, false)
}

// port gives the port of the endpoints of a slice. One that is given as a number need
// not be a port of the Service: a headless one translates none.
func (d Discovery) port(s *discoveryv1.EndpointSlice) (int, error) {
	if n, err := strconv.Atoi(d.Port); err == nil {
		return n, nil
	}
	ports := map[string]int{}
	var names []string
	for _, p := range s.Ports {
		if p.Port == nil || p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP {
			continue
		}
		name := ""
		if p.Name != nil {
			name = *p.Name
		}
		ports[name] = int(*p.Port)
		names = append(names, name)
	}
	slices.Sort(names)
	wanted := controlPorts
	switch {
	case d.Port != "":
		wanted = []string{d.Port}
	case len(names) == 1:
		wanted = names
	}
	for _, name := range wanted {
		if n, ok := ports[name]; ok {
			return n, nil
		}
	}
	if d.Port != "" {
		return 0, fmt.Errorf("there is no TCP port %q; there are %q", d.Port, names)
	}
	if len(names) == 0 {
		return 0, errors.New("there is no TCP port")
	}
	return 0, fmt.Errorf("which TCP port is that of the control API? None is called %s; there are %q", strings.Join(controlPorts, " or "), names)
}
