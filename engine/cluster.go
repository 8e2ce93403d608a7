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
	services   map[string]map[string]service // by namespace and name
	// allServices is set when what is not in services does not exist.
	allServices bool
	// addresses are the Services by spec.clusterIPs: "namespace/name" of each that
	// claims the address.
	addresses map[netip.Addr][]string
	certs     map[string]keyPair // of TLS secrets, by "namespace/name"
	broken    map[string]string  // why a TLS secret holds no pair that can be served
	claims    map[string][]claim // by host
	// meshServers and meshClients are the certificates of the mesh, by the namespace of
	// their Secrets and by whom they are for; meshSecrets say which Secret is which.
	meshServers, meshClients map[string]map[string]meshPair
	meshSecrets              map[string]meshSecretOf // by "namespace/name"
	// inhabited counts, for the namespaces that exist, those given and what lives in
	// them.
	inhabited map[string]int
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
	addresses    []netip.Addr
}

// claim is one Ingress that names a host.
type claim struct {
	owner   Ref
	created time.Time
	labels  map[string]string
	// class and annotation name its class.
	class, annotation *string
}

const defaultClassAnnotation = "ingressclass.kubernetes.io/is-default-class"

// NewCluster builds the view from objects: Namespaces, IngressClasses, Services,
// Secrets of type kubernetes.io/tls, or what a snapshot has in their place, and
// Ingresses for the hosts they name. Other kinds are passed over. A neighbour that
// cannot be read is rejected and left out.
//
// A view without any Service is taken as one that knows no Services at all, and
// not as a cluster in which there are none, unless a snapshot says that it is.
func NewCluster(objects []Object) (Cluster, []Rejected) {
	n := NewNeighbours()
	var rejected []Rejected
	for _, o := range objects {
		if r := n.Put(o); r != nil {
			rejected = append(rejected, *r)
		}
	}
	n.view.allServices = n.whole || len(n.view.services) > 0
	return n.view, rejected
}

func decodeService(o Object) (service, error) {
	var s corev1.Service
	if err := json.Unmarshal(o.JSON, &s); err != nil {
		return service{}, err
	}
	kind := cmp.Or(string(s.Spec.Type), string(corev1.ServiceTypeClusterIP))
	read := service{kind: kind, externalName: s.Spec.ExternalName, ports: s.Spec.Ports}
	for _, ip := range append(s.Spec.ClusterIPs, s.Spec.ClusterIP) {
		addr, err := netip.ParseAddr(ip) // "None" is none
		if err != nil {
			continue
		}
		if addr = plainAddr(addr); !slices.Contains(read.addresses, addr) {
			read.addresses = append(read.addresses, addr)
		}
	}
	return read, nil
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

// decodeSecret reads what a TLS secret holds; ok is false for one of another type.
func decodeSecret(o Object) (pair keyPair, ok bool, err error) {
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
		return keyPair{}, false, errSecret
	}
	if s.Type != string(corev1.SecretTypeTLS) {
		return keyPair{}, false, nil
	}
	cert, key := s.Data.Cert, s.Data.Key
	if s.StringData.Cert != "" {
		cert = []byte(s.StringData.Cert)
	}
	if s.StringData.Key != "" {
		key = []byte(s.StringData.Key)
	}
	pair, err = parseKeyPair(cert, key)
	return pair, err == nil, err
}

// decodeClaim gives the hosts that an Ingress names, be it wrong elsewhere, and what
// others may know of it.
func decodeClaim(o Object) (hosts []string, mine claim) {
	ing, _, err := decodeIngress(o)
	if err != nil {
		ing, _ = decodeHead(o)
	}
	mine = claim{owner: o.Ref, created: ing.CreationTimestamp.Time, labels: ing.Labels, class: ing.Spec.IngressClassName}
	if a, ok := ing.Annotations[classAnnotation]; ok {
		mine.annotation = &a
	}
	for _, r := range ing.Spec.Rules {
		if host := lowerHost(r.Host); host != "" && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts, mine
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
