package k8s

import (
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/cuegate/cuegate/engine"
)

// index knows which Ingresses and workloads a change may matter to. It may name too
// many, and never too few.
type index struct {
	links map[engine.Ref]links
	// The objects by what they name: services and secrets as "namespace/name".
	byNamespace, byService, bySecret, byHost group
	// byParent are those of a host by the wildcard that covers it.
	byParent group
	// byCallers are the workloads by the groups that they are of, and let in.
	byCallers group
	// far are those whose definitions may be about Services that they do not name.
	far set
}

// links is what an object names.
type links struct {
	services, secrets, hosts []string
	// callers of a workload are as its last decision has them.
	callers []string
}

type (
	set   map[engine.Ref]struct{}
	group map[string]set
)

func newIndex() *index {
	return &index{links: map[engine.Ref]links{}, byNamespace: group{}, byService: group{}, bySecret: group{}, byHost: group{}, byParent: group{}, byCallers: group{}, far: set{}}
}

func linksOf(ing *networkingv1.Ingress) links {
	var l links
	note := func(list *[]string, name string) {
		if !slices.Contains(*list, name) {
			*list = append(*list, name)
		}
	}
	backend := func(b *networkingv1.IngressBackend) {
		if b != nil && b.Service != nil {
			note(&l.services, ing.Namespace+"/"+b.Service.Name)
		}
	}
	backend(ing.Spec.DefaultBackend)
	for _, r := range ing.Spec.Rules {
		if r.Host != "" {
			note(&l.hosts, strings.ToLower(r.Host))
		}
		if r.HTTP == nil {
			continue
		}
		for i := range r.HTTP.Paths {
			backend(&r.HTTP.Paths[i].Backend)
		}
	}
	for _, t := range ing.Spec.TLS {
		if t.SecretName != "" {
			note(&l.secrets, ing.Namespace+"/"+t.SecretName)
		}
	}
	return l
}

// put notes an Ingress, or what has become of it.
func (x *index) put(ref engine.Ref, ing *networkingv1.Ingress) { x.set(ref, linksOf(ing)) }

// workload notes a workload; what it names is known when it is decided.
func (x *index) workload(ref engine.Ref) {
	if _, known := x.links[ref]; !known {
		x.set(ref, links{})
	}
}

// learn notes what a workload names.
func (x *index) learn(ref engine.Ref, callers, services []string) {
	if l, known := x.links[ref]; known && (!slices.Equal(l.callers, callers) || !slices.Equal(l.services, services)) {
		x.set(ref, links{callers: callers, services: services})
	}
}

func (x *index) set(ref engine.Ref, l links) {
	x.remove(ref)
	x.links[ref] = l
	x.each(ref, l, group.add)
}

// remove forgets an object.
func (x *index) remove(ref engine.Ref) {
	l, ok := x.links[ref]
	if !ok {
		return
	}
	x.each(ref, l, group.remove)
	delete(x.links, ref)
	delete(x.far, ref)
}

func (x *index) each(ref engine.Ref, l links, do func(group, string, engine.Ref)) {
	do(x.byNamespace, ref.Namespace, ref)
	for _, s := range l.services {
		do(x.byService, s, ref)
	}
	for _, s := range l.secrets {
		do(x.bySecret, s, ref)
	}
	for _, c := range l.callers {
		do(x.byCallers, c, ref)
	}
	for _, h := range l.hosts {
		do(x.byHost, h, ref)
		if p := parent(h); p != "" {
			do(x.byParent, p, ref)
		}
	}
}

func (g group) add(key string, ref engine.Ref) {
	if g[key] == nil {
		g[key] = set{}
	}
	g[key][ref] = struct{}{}
}

func (g group) remove(key string, ref engine.Ref) {
	delete(g[key], ref)
	if len(g[key]) == 0 {
		delete(g, key)
	}
}

// parent is the wildcard that covers a host, or "".
func parent(host string) string {
	_, rest, ok := strings.Cut(host, ".")
	if !ok || strings.HasPrefix(host, "*") {
		return ""
	}
	return "*." + rest
}

// rivals visits the Ingresses of other namespaces that know of this one because of
// its hosts.
func (x *index) rivals(ref engine.Ref, visit func(engine.Ref)) {
	for _, h := range x.links[ref].hosts {
		for _, s := range []set{x.byHost[h], x.byHost[parent(h)], x.byParent[h]} {
			for other := range s {
				if other.Namespace != ref.Namespace {
					visit(other)
				}
			}
		}
	}
}

// certified visits the workloads that a certificate of the mesh matters to.
func (x *index) certified(o meshOwner, visit func(engine.Ref)) {
	switch o.role {
	case roleServer:
		if ref, err := engine.ParseRef(o.of); err == nil && isWorkload(ref.Kind) {
			visit(ref)
		}
	case roleClient:
		for ref := range x.byCallers[o.of] {
			visit(ref)
		}
	}
}

// dependents visits the objects that one of another kind matters to.
func (x *index) dependents(changed engine.Ref, visit func(engine.Ref)) {
	all := func(s set) {
		for ref := range s {
			visit(ref)
		}
	}
	switch changed.Kind {
	case kindService:
		all(x.byService[changed.Namespace+"/"+changed.Name])
		all(x.far)
	case kindSecret:
		all(x.bySecret[changed.Namespace+"/"+changed.Name])
	case kindNamespace:
		for ref := range x.byNamespace[changed.Name] {
			visit(ref)
			x.rivals(ref, visit) // they see the labels of this namespace
		}
		all(x.far)
	case kindIngressClass:
		for ref := range x.links {
			if ref.Kind == kindIngress {
				visit(ref)
			}
		}
	}
}
