package engine

import (
	"encoding/json"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Neighbours is a Cluster that follows its objects as they come, change and go. It is
// not safe for concurrent use.
type Neighbours struct {
	view Cluster
	// hosts are those that each Ingress claims.
	hosts map[Ref][]string
	// present are the objects that were put.
	present map[presence]bool
	// whole is set where a snapshot says that what is not in it does not exist.
	whole bool
}

// presence names an object: one name may be that of kinds of several groups.
type presence struct {
	Ref
	ours bool
}

// NewNeighbours gives a view of a cluster that is known whole: what was not put does
// not exist.
func NewNeighbours() *Neighbours {
	return &Neighbours{
		view: Cluster{
			namespaces:  map[string]map[string]string{},
			classes:     map[string]ingressClass{},
			services:    map[string]map[string]service{},
			allServices: true,
			addresses:   map[netip.Addr][]string{},
			certs:       map[string]keyPair{},
			broken:      map[string]string{},
			claims:      map[string][]claim{},
			meshServers: map[string]map[string]meshPair{},
			meshClients: map[string]map[string]meshPair{},
			meshSecrets: map[string]meshSecretOf{},
			inhabited:   map[string]int{"default": 1, "kube-system": 1, "kube-public": 1, "kube-node-lease": 1},
		},
		hosts:   map[Ref][]string{},
		present: map[presence]bool{},
	}
}

// Cluster gives the view, which is good until the next call of Put or Delete.
func (n *Neighbours) Cluster() Cluster { return n.view }

// Put takes an object in place of what was known under its name: a Namespace, an
// IngressClass, a Service, a Secret of type kubernetes.io/tls, or an Ingress. Other
// kinds are passed over, but they show that their namespace exists. What cannot be
// read is left out, and a reason given that quotes nothing of a Secret.
func (n *Neighbours) Put(o Object) *Rejected {
	n.Delete(o)
	n.present[presenceOf(o)] = true
	if home := homeOf(o); home != "" {
		n.view.inhabited[home]++
	}
	if o.ingress() {
		n.claim(o)
		return nil
	}
	if !o.Neighbour() {
		return nil
	}
	if err := n.add(o); err != nil {
		return &Rejected{Source: o.Source, Reason: Reason{
			ID:  "object-invalid",
			Msg: o.Ref.String() + " cannot be read: " + decodeMessage(err) + ".",
		}}
	}
	return nil
}

// presenceOf tells an object from others of its name and kind.
func presenceOf(o Object) presence { return presence{o.Ref, o.ingress() || o.Neighbour()} }

// homeOf is the namespace that an object shows to exist.
func homeOf(o Object) string {
	if o.Kind == "Namespace" && o.Neighbour() {
		return o.Name
	}
	return o.Namespace
}

func (n *Neighbours) add(o Object) error {
	c := &n.view
	switch o.Kind {
	case "Namespace":
		var ns corev1.Namespace
		if err := json.Unmarshal(o.JSON, &ns); err != nil {
			return err
		}
		c.namespaces[o.Name] = ns.Labels
	case "IngressClass":
		var class networkingv1.IngressClass
		if err := json.Unmarshal(o.JSON, &class); err != nil {
			return err
		}
		c.classes[o.Name] = newIngressClass(class)
	case "Service":
		s, err := decodeService(o)
		if err != nil {
			return err
		}
		if c.services[o.Namespace] == nil {
			c.services[o.Namespace] = map[string]service{}
		}
		c.services[o.Namespace][o.Name] = s
		for _, a := range s.addresses {
			c.addresses[a] = append(c.addresses[a], key(o.Namespace, o.Name))
		}
	case "Secret":
		pair, ok, err := decodeSecret(o)
		if err != nil {
			c.broken[key(o.Namespace, o.Name)] = decodeMessage(err)
			return err
		}
		if ok {
			c.certs[key(o.Namespace, o.Name)] = pair
			c.addMesh(o)
		}
	case factsKind:
		return n.addFacts(o)
	case snapshotKind:
		return n.addSnapshot(o)
	}
	return nil
}

func (n *Neighbours) claim(o Object) {
	hosts, mine := decodeClaim(o)
	for _, host := range hosts {
		n.view.claims[host] = append(n.view.claims[host], mine)
	}
	n.hosts[o.Ref] = hosts
}

// Delete forgets the object of this name and kind; its content does not matter.
func (n *Neighbours) Delete(o Object) {
	if !n.present[presenceOf(o)] {
		return
	}
	delete(n.present, presenceOf(o))
	c := &n.view
	if home := homeOf(o); home != "" {
		if c.inhabited[home]--; c.inhabited[home] == 0 {
			delete(c.inhabited, home)
		}
	}
	if o.ingress() {
		for _, host := range n.hosts[o.Ref] {
			without(c.claims, host, func(x claim) bool { return x.owner == o.Ref })
		}
		delete(n.hosts, o.Ref)
		return
	}
	if !o.Neighbour() {
		return
	}
	switch o.Kind {
	case "Namespace":
		delete(c.namespaces, o.Name)
	case "IngressClass":
		delete(c.classes, o.Name)
	case "Service":
		name := key(o.Namespace, o.Name)
		for _, a := range c.services[o.Namespace][o.Name].addresses {
			without(c.addresses, a, func(owner string) bool { return owner == name })
		}
		delete(c.services[o.Namespace], o.Name)
		if len(c.services[o.Namespace]) == 0 {
			delete(c.services, o.Namespace)
		}
	case "Secret":
		delete(c.certs, key(o.Namespace, o.Name))
		delete(c.broken, key(o.Namespace, o.Name))
		c.deleteMesh(o)
	case factsKind:
		n.deleteFacts(o)
	}
}

// without takes elements out of a list in a map, and the list when none is left.
func without[K comparable, E any](lists map[K][]E, at K, gone func(E) bool) {
	if lists[at] = slices.DeleteFunc(lists[at], gone); len(lists[at]) == 0 {
		delete(lists, at)
	}
}
