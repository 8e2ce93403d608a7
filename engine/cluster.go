package engine

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Cluster is an immutable view of the neighbours that a decision may look at. The
// zero Cluster knows nothing.
type Cluster struct {
	namespaces map[string]map[string]string // labels by name
	classes    map[string]ingressClass
	services   map[string]service // by "namespace/name"
	// addresses are the Services by spec.clusterIPs: "namespace/name", or "" where
	// several claim the address.
	addresses map[netip.Addr]string
	certs     map[string]keyPair // of TLS secrets, by "namespace/name"
	claims    map[string][]claim // by host
	// inhabited holds the namespaces that exist: those given and those that anything
	// given lives in.
	inhabited map[string]bool
}

type ingressClass struct {
	controller string
	isDefault  bool
	parameters *ClassParameters
}

type service struct {
	kind         string // spec.type
	externalName string
	ports        []corev1.ServicePort
}

// claim is one Ingress that names a host.
type claim struct {
	owner   Ref
	created time.Time
	class   ClassFacts
	labels  map[string]string
}

const defaultClassAnnotation = "ingressclass.kubernetes.io/is-default-class"

// NewCluster builds the view from objects: Namespaces, IngressClasses, Services,
// Secrets of type kubernetes.io/tls, and Ingresses for the hosts they name. Other
// kinds are passed over. A neighbour that cannot be read is rejected and left out.
//
// A view without any Service is taken as one that knows no Services at all, and
// not as a cluster in which there are none.
func NewCluster(objects []Object) (Cluster, []Rejected) {
	c := Cluster{
		namespaces: map[string]map[string]string{},
		classes:    map[string]ingressClass{},
		services:   map[string]service{},
		addresses:  map[netip.Addr]string{},
		certs:      map[string]keyPair{},
		claims:     map[string][]claim{},
		inhabited:  map[string]bool{"default": true, "kube-system": true, "kube-public": true, "kube-node-lease": true},
	}
	var rejected []Rejected
	for _, o := range objects {
		if o.Namespace != "" {
			c.inhabited[o.Namespace] = true
		}
		if err := c.add(o); err != nil {
			rejected = append(rejected, Rejected{Source: o.Source, Reason: Reason{
				ID:  "object-invalid",
				Msg: o.Ref.String() + " cannot be read: " + decodeMessage(err) + ".",
			}})
		}
	}
	for _, o := range objects {
		c.addClaims(o)
	}
	return c, rejected
}

func (c *Cluster) add(o Object) error {
	if !o.Neighbour() {
		return nil
	}
	switch o.Kind {
	case "Namespace":
		var ns corev1.Namespace
		if err := json.Unmarshal(o.JSON, &ns); err != nil {
			return err
		}
		c.namespaces[o.Name] = ns.Labels
		c.inhabited[o.Name] = true
	case "IngressClass":
		var class networkingv1.IngressClass
		if err := json.Unmarshal(o.JSON, &class); err != nil {
			return err
		}
		c.classes[o.Name] = newIngressClass(class)
	case "Service":
		var s corev1.Service
		if err := json.Unmarshal(o.JSON, &s); err != nil {
			return err
		}
		kind := cmp.Or(string(s.Spec.Type), string(corev1.ServiceTypeClusterIP))
		c.services[key(o.Namespace, o.Name)] = service{kind, s.Spec.ExternalName, s.Spec.Ports}
		c.addAddresses(key(o.Namespace, o.Name), append(s.Spec.ClusterIPs, s.Spec.ClusterIP))
	case "Secret":
		return c.addSecret(o)
	}
	return nil
}

// addAddresses notes the addresses of a Service; "None" is none.
func (c *Cluster) addAddresses(owner string, ips []string) {
	for _, ip := range ips {
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			continue
		}
		addr = plainAddr(addr)
		if other, taken := c.addresses[addr]; taken && other != owner {
			c.addresses[addr] = ""
		} else {
			c.addresses[addr] = owner
		}
	}
}

func newIngressClass(class networkingv1.IngressClass) ingressClass {
	ic := ingressClass{
		controller: class.Spec.Controller,
		isDefault:  class.Annotations[defaultClassAnnotation] == "true",
	}
	if p := class.Spec.Parameters; p != nil {
		ic.parameters = &ClassParameters{Kind: p.Kind, Name: p.Name}
		if p.APIGroup != nil {
			ic.parameters.APIGroup = *p.APIGroup
		}
	}
	return ic
}

// addSecret keeps what a TLS secret holds.
func (c *Cluster) addSecret(o Object) error {
	var s struct {
		Type string `json:"type"`
		Data struct {
			Cert []byte `json:"tls.crt"`
			Key  []byte `json:"tls.key"`
		} `json:"data"`
		StringData struct {
			Cert string `json:"tls.crt"`
			Key  string `json:"tls.key"`
		} `json:"stringData"`
	}
	if err := json.Unmarshal(o.JSON, &s); err != nil {
		// The text of the error could quote the data.
		return errSecret
	}
	if s.Type != string(corev1.SecretTypeTLS) {
		return nil
	}
	cert, key := s.Data.Cert, s.Data.Key
	if s.StringData.Cert != "" {
		cert = []byte(s.StringData.Cert)
	}
	if s.StringData.Key != "" {
		key = []byte(s.StringData.Key)
	}
	pair, err := parseKeyPair(cert, key)
	if err != nil {
		return err
	}
	c.certs[o.Namespace+"/"+o.Name] = pair
	return nil
}

// addClaims notes the hosts that an Ingress names, be it wrong elsewhere.
func (c *Cluster) addClaims(o Object) {
	if !o.ingress() {
		return
	}
	ing, _, err := decodeIngress(o)
	if err != nil {
		ing, _ = decodeHead(o)
	}
	mine := claim{owner: o.Ref, created: ing.CreationTimestamp.Time, class: c.classFacts(ing), labels: ing.Labels}
	for _, r := range ing.Spec.Rules {
		host := lowerHost(r.Host)
		if host != "" && !slices.ContainsFunc(c.claims[host], func(x claim) bool { return x.owner == o.Ref }) {
			c.claims[host] = append(c.claims[host], mine)
		}
	}
}

func key(namespace, name string) string { return namespace + "/" + name }

// older orders objects by age: one without a creation time is younger than any
// with one, and equal ages are ordered by namespace, then by name.
func older(a time.Time, aRef Ref, b time.Time, bRef Ref) bool {
	if !a.Equal(b) {
		return !a.IsZero() && (b.IsZero() || a.Before(b))
	}
	return cmp.Or(cmp.Compare(aRef.Namespace, bRef.Namespace), cmp.Compare(aRef.Name, bRef.Name), cmp.Compare(aRef.Kind, bRef.Kind)) < 0
}
