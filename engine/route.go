package engine

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/cuegate/cuegate/engine/internal/listenpath"
	"github.com/cuegate/cuegate/engine/internal/schema"
	"github.com/cuegate/cuegate/engine/internal/template"
)

// RouteFacts is #RouteFacts.
type RouteFacts struct {
	ID           string       `json:"id"`
	Role         string       `json:"role"`
	Field        string       `json:"field"`
	Host         string       `json:"host"`
	HostKind     string       `json:"hostKind"`
	Path         string       `json:"path"`
	PathType     string       `json:"pathType"`
	Backend      BackendFacts `json:"backend"`
	TLSSecrets   []string     `json:"tlsSecrets"`
	Certificates []string     `json:"certificates"`
	Claims       []Claim      `json:"claims"`
}

// BackendFacts is #BackendFacts.
type BackendFacts struct {
	Kind         string `json:"kind"`
	Name         string `json:"name"`
	Port         int    `json:"port"`
	ServiceType  string `json:"serviceType"`
	ExternalName string `json:"externalName"`
	Resource     string `json:"resource"`
}

// Claim is #Claim.
type Claim struct {
	Host            string            `json:"host"`
	Namespace       string            `json:"namespace"`
	Name            string            `json:"name"`
	Since           string            `json:"since"`
	Older           bool              `json:"older"`
	Class           ClassFacts        `json:"class"`
	Labels          map[string]string `json:"labels"`
	NamespaceLabels map[string]string `json:"namespaceLabels"`
}

// pathTypeDefault is the path type of the default backend.
const pathTypeDefault = "Default"

// route is one (rule, path) of an Ingress, its default backend, or a way through the
// mesh.
type route struct {
	facts RouteFacts
	// match is what the route takes; routes of one match are in conflict.
	match  string
	domain string
	in     template.In
	// template is the name of the one that renders it.
	template string

	// Of a workload only: scope is the tag of the sidecars that load the definition,
	// group that of the callers among them. shown and checked are the ids of mesh
	// certificates that the definition shows, or lets in.
	scope, group   string
	shown, checked []string
}

// readRoutes reads all routes of the draft's Ingress. A route that is wrong comes
// as a reason and is left out.
func (e *Engine) readRoutes(d *draft, around Cluster) []Reason {
	r := routeReader{engine: e, draft: d, around: around, seen: map[string]route{}}
	spec := d.ingress.Spec
	if len(spec.Rules) == 0 && spec.DefaultBackend == nil {
		r.refuse("rules-missing", "spec.rules", "The Ingress has neither rules nor a default backend.")
	}
	for i, rule := range spec.Rules {
		at := fmt.Sprintf("spec.rules[%d]", i)
		if rule.HTTP == nil || len(rule.HTTP.Paths) == 0 {
			d.warnings = append(d.warnings, Reason{
				ID: "rule-without-paths", Field: at + ".http",
				Msg: "The rule has no paths, so it routes nothing.",
			})
			continue
		}
		for j, p := range rule.HTTP.Paths {
			r.read(fmt.Sprintf("%s.http.paths[%d]", at, j), at+".host", rule.Host, p)
		}
	}
	if spec.DefaultBackend != nil {
		r.readDefault(*spec.DefaultBackend)
	}
	d.facts.Routes = []RouteFacts{}
	for _, route := range d.routes {
		d.facts.Routes = append(d.facts.Routes, route.facts)
	}
	return r.reasons
}

type routeReader struct {
	engine  *Engine
	draft   *draft
	around  Cluster
	reasons []Reason
	seen    map[string]route // by match
}

func (r *routeReader) refuse(id, field, format string, args ...any) {
	r.reasons = append(r.reasons, Reason{ID: id, Field: field, Msg: fmt.Sprintf(format, args...), Fix: routeFixes[id]})
}

// routeFixes say what edit would change a refusal, where the message does not.
var routeFixes = map[string]string{
	"rules-missing":   "Add spec.rules or spec.defaultBackend.",
	"host-invalid":    `Write a DNS name such as "shop.example.com" or "*.example.com".`,
	"path-invalid":    "Change the path.",
	"path-repeated":   "Remove one of the two paths.",
	"backend-missing": "Add service.name and service.port.",
	"service-invalid": "Write the metadata.name of a Service.",
	"service-unknown": "Create the Service, or name another.",
	"port-unknown":    "Name a port of the Service.",
}

func (r *routeReader) read(at, hostField, host string, p networkingv1.HTTPIngressPath) {
	if p.PathType == nil || *p.PathType == "" {
		r.refuse("path-type-missing", at+".pathType", "The path has no pathType: write Exact, Prefix or ImplementationSpecific.")
		return
	}
	domain, _, err := listenpath.Domain(host)
	if err != nil {
		r.refuse("host-invalid", hostField, "The host cannot be served: %s.", err)
		return
	}
	match, err := listenpath.Parse(host, p.Path, listenpath.PathType(*p.PathType))
	if err != nil {
		r.refuse("path-invalid", at+".path", "The path cannot be served: %s.", err)
		return
	}
	path := p.Path
	if path == "" {
		path = "/"
	}
	r.warnReserved(at+".path", path, string(*p.PathType))
	r.add(at, match, route{
		domain: domain,
		facts:  RouteFacts{Field: at, Host: lowerHost(host), Path: path, PathType: string(*p.PathType)},
	}, at+".backend", p.Backend)
}

func (r *routeReader) readDefault(b networkingv1.IngressBackend) {
	const at = "spec.defaultBackend"
	r.add(at, listenpath.DefaultBackend(), route{
		facts: RouteFacts{Field: at, Path: "/", PathType: pathTypeDefault},
	}, at, b)
}

var hostKinds = map[listenpath.HostKind]string{
	listenpath.AnyHost:      "any",
	listenpath.WildcardHost: "wildcard",
	listenpath.ExactHost:    "exact",
}

func (r *routeReader) add(at string, match listenpath.Route, x route, backendField string, b networkingv1.IngressBackend) {
	listenPath, err := match.Encode(r.engine.mode)
	if err != nil {
		r.refuse("path-invalid", at+".path", "The path cannot be served: %s.", err)
		return
	}
	backend, target, ok := r.backend(backendField, b)
	if !ok {
		return
	}
	x.match = match.MatchKey()
	x.facts.Backend = backend
	if first, ok := r.seen[x.match]; ok {
		r.repeated(x, first)
		return
	}
	o := r.draft.object
	x.facts.Role = roleIngress
	x.facts.HostKind = hostKinds[match.HostKind()]
	x.facts.ID = r.engine.routeID(o.Ref, x.facts)
	r.certificates(&x.facts)
	x.facts.Claims = r.claims(x.facts.Host)
	f := r.draft.facts
	x.in = template.In{
		ID:           x.facts.ID,
		Org:          r.engine.config.OrgID,
		Role:         roleIngress,
		Name:         o.Name + ":" + backend.Name,
		Slug:         slug(o.Ref, x.facts.ID),
		Object:       template.Object{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Labels: f.Object.Labels, Annotations: f.Object.Annotations},
		Namespace:    template.Namespace{Name: o.Namespace, Labels: f.Namespace.Labels},
		Host:         x.facts.Host,
		Domain:       x.domain,
		Path:         x.facts.Path,
		PathType:     x.facts.PathType,
		ListenPath:   listenPath,
		Service:      template.Service{Name: backend.Name, Namespace: o.Namespace, Port: backend.Port},
		Target:       target,
		Tags:         []string{"ingress"},
		Certificates: x.facts.Certificates,
	}
	r.seen[x.match] = x
	r.draft.routes = append(r.draft.routes, x)
}

// repeated handles a route that matches what an earlier one of the same object
// matches: harmless when both lead to the same place.
func (r *routeReader) repeated(x, first route) {
	if x.facts.Backend == first.facts.Backend {
		r.draft.warnings = append(r.draft.warnings, Reason{
			ID: "path-repeated", Field: x.facts.Field,
			Msg: fmt.Sprintf("The path matches the same requests as %s and leads to the same service; it is left out.", first.facts.Field),
		})
		return
	}
	r.refuse("path-repeated", x.facts.Field, "The path matches the same requests as %s, which leads to another service.", first.facts.Field)
}

// routeID gives the api_id: it changes with nothing but what it is made of.
func (e *Engine) routeID(o Ref, f RouteFacts) string {
	h := sha256.New()
	for _, part := range []string{e.config.ClusterID, o.Kind, o.Namespace, o.Name, f.Host, f.Path, f.PathType} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

var notSlug = regexp.MustCompile(`[^A-Za-z0-9]+`)

func slug(o Ref, id string) string {
	words := notSlug.ReplaceAllString(o.Namespace+"-"+o.Name, "-")
	return words[:min(len(words), 100)] + "-" + id[:12]
}

// backend resolves the Service and its port, and gives the URL of both.
func (r *routeReader) backend(at string, b networkingv1.IngressBackend) (BackendFacts, string, bool) {
	if b.Resource != nil {
		group := ""
		if b.Resource.APIGroup != nil {
			group = *b.Resource.APIGroup
		}
		return BackendFacts{Kind: "resource", Name: b.Resource.Name, Resource: group + "/" + b.Resource.Kind}, "", true
	}
	if b.Service == nil || b.Service.Name == "" {
		r.refuse("backend-missing", at, "The path has no backend: it needs a service with a name and a port.")
		return BackendFacts{}, "", false
	}
	o := r.draft.object
	name, port := b.Service.Name, b.Service.Port
	at += ".service"
	if !dnsLabel.MatchString(name) {
		r.refuse("service-invalid", at+".name", "The name of the service, %q, is not one that a Service can have.", clip(name))
		return BackendFacts{}, "", false
	}
	f := BackendFacts{Kind: "service", Name: name, Port: int(port.Number)}
	svc, known := r.around.services[o.Namespace][name]
	switch {
	case port.Name == "" && (port.Number < 1 || port.Number > 65535):
		r.refuse("port-missing", at+".port", "The service needs the name or the number of a port, 1 to 65535.")
		return f, "", false
	case !known && r.around.allServices:
		msg := fmt.Sprintf("There is no Service %q in namespace %q.", name, o.Namespace)
		if near := r.around.nearestService(o.Namespace, name); near != "" {
			msg += fmt.Sprintf(" Did you mean %q?", near)
		}
		r.refuse("service-unknown", at+".name", "%s", msg)
		return f, "", false
	case !known && port.Name != "":
		r.refuse("port-unknown", at+".port.name", "The port is given by its name, %q, and the Service %q that defines it was not given.", clip(port.Name), name)
		return f, "", false
	case !known:
		r.draft.warnings = append(r.draft.warnings, Reason{
			ID: "service-unchecked", Field: at + ".name",
			Msg: fmt.Sprintf("No Services were given, so nothing is known of Service %q and its ports.", name),
		})
		return f, fmt.Sprintf("http://%s.%s:%d", name, o.Namespace, f.Port), true
	}
	f.ServiceType, f.ExternalName = svc.kind, svc.externalName
	scheme, number, msg := svc.port(name, port)
	if msg != "" {
		r.refuse("port-unknown", at+".port", "%s", msg)
		return f, "", false
	}
	f.Port = number
	return f, fmt.Sprintf("%s://%s.%s:%d", scheme, name, o.Namespace, number), true
}

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func (c Cluster) nearestService(namespace, name string) string {
	return schema.Nearest(name, slices.Sorted(maps.Keys(c.services[namespace])))
}

// certificates finds the certificates of spec.tls that cover the route's host. An
// entry without hosts covers every host.
func (r *routeReader) certificates(f *RouteFacts) {
	f.TLSSecrets, f.Certificates = []string{}, []string{}
	for i, t := range r.draft.ingress.Spec.TLS {
		if t.SecretName == "" || (len(t.Hosts) > 0 && !slices.ContainsFunc(t.Hosts, func(h string) bool { return covers(h, f.Host) })) {
			continue
		}
		secret := key(r.draft.object.Namespace, t.SecretName)
		if slices.Contains(f.TLSSecrets, secret) {
			continue
		}
		f.TLSSecrets = append(f.TLSSecrets, secret)
		pair, ok := r.around.certs[secret]
		if why, broken := r.around.broken[secret]; broken {
			// What is served with the last good pair stays so.
			x := Reason{ID: "certificate-broken", Field: fmt.Sprintf("spec.tls[%d].secretName", i), Msg: fmt.Sprintf("The Secret %s cannot be served: %s.", secret, why),
				Fix: "Put a certificate and its key into the Secret, or take it out of spec.tls."}
			if !slices.Contains(r.reasons, x) {
				r.reasons = append(r.reasons, x)
			}
			continue
		}
		if !ok {
			w := Reason{
				ID: "certificate-missing", Field: fmt.Sprintf("spec.tls[%d].secretName", i),
				Msg: fmt.Sprintf("The Secret %s was not given or holds no TLS certificate, so TLS is not served with it.", secret),
			}
			if !slices.Contains(r.draft.warnings, w) {
				r.draft.warnings = append(r.draft.warnings, w)
			}
			continue
		}
		if id := r.engine.config.OrgID + pair.fingerprint; !slices.Contains(f.Certificates, id) {
			f.Certificates = append(f.Certificates, id)
			if r.draft.certificates == nil {
				r.draft.certificates = map[string]Certificate{}
			}
			r.draft.certificates[id] = Certificate{ID: id, Secret: secret, NotAfter: pair.notAfter, PEM: pair.pem}
		}
	}
}

// covers tells whether a host of spec.tls covers a host of a rule. A wildcard
// stands for one label, as in a certificate.
func covers(tlsHost, host string) bool {
	tlsHost = lowerHost(tlsHost)
	if tlsHost == host {
		return true
	}
	suffix, ok := strings.CutPrefix(tlsHost, "*")
	if !ok || !strings.HasPrefix(suffix, ".") {
		return false
	}
	label, ok := strings.CutSuffix(host, suffix)
	return ok && label != "" && label != "*" && !strings.Contains(label, ".")
}

// claims lists the Ingresses of other namespaces that name the host, or the wildcard
// that covers it.
func (r *routeReader) claims(host string) []Claim {
	list := []Claim{}
	hosts := []string{host}
	if _, parent, ok := strings.Cut(host, "."); ok && !strings.HasPrefix(host, "*") {
		hosts = append(hosts, "*."+parent)
	}
	for _, named := range hosts {
		for _, c := range r.around.claims[named] {
			if c.owner.Namespace != r.draft.object.Namespace {
				list = append(list, r.claim(named, c))
			}
		}
	}
	slices.SortFunc(list, func(a, b Claim) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name), strings.Compare(a.Host, b.Host))
	})
	return list
}

func (r *routeReader) claim(host string, c claim) Claim {
	d := r.draft
	return Claim{
		Host:            host,
		Namespace:       c.owner.Namespace,
		Name:            c.owner.Name,
		Since:           formatTime(c.created),
		Older:           older(c.created, c.owner, d.created, d.object.Ref),
		Class:           r.around.classFacts(c.class, c.annotation),
		Labels:          orEmpty(c.labels),
		NamespaceLabels: orEmpty(r.around.namespaces[c.owner.Namespace]),
	}
}

// clip keeps messages short whatever the input.
func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "..."
	}
	return s
}
