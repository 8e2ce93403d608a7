package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cuegate/cuegate/engine/internal/listenpath"
	"github.com/cuegate/cuegate/engine/internal/policy"
	"github.com/cuegate/cuegate/engine/internal/template"
)

// Roles of definitions.
const (
	roleIngress = "ingress"
	roleInbound = "inbound"
	roleMesh    = "mesh"
)

// Modes of TLS between sidecars.
const (
	tlsOff    = "off"
	tlsMutual = "mtls"
)

// Identity is a certificate of the mesh that an object needs. Whoever keeps the mesh's
// certificates issues it, into a Secret of the namespace Config.MeshNamespace with
//
//	type         kubernetes.io/tls
//	labels       cuegate.dev/mesh: server, or client
//	annotations  cuegate.dev/mesh-for: what For is
//	data         tls.crt and tls.key; next.crt and next.key of a pair that is about to
//	             take their place; previous.crt of the one that was in their place
type Identity struct {
	// Role is "server" or "client".
	Role string
	// For is the workload of a server, "Kind/namespace/name", or the group of a
	// client, "namespace/group".
	For string
	// Names are the DNS names of a server.
	Names []string
}

const (
	meshLabel      = "cuegate.dev/mesh"
	meshForKey     = "cuegate.dev/mesh-for"
	identityServer = "server"
	identityClient = "client"
)

// meshPair is what a Secret of the mesh holds: the pair that is shown, and all leaves
// that may be shown for now.
type meshPair struct {
	secret  string // "namespace/name" of it
	current keyPair
	// allowed are current, next and previous, without keys.
	allowed []keyPair
}

// meshSuffix ends the names of the Services by which sidecars find workloads.
const meshSuffix = "-mesh"

var plainLabel = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

// dnsName gives the name of a workload as one label of DNS that begins with a letter, so
// that a Service can be called so. It is the name itself where it can be; of no two
// workloads in a namespace it is the same.
func dnsName(name string) string {
	const limit = 63 - len(meshSuffix)
	if len(name) <= limit && plainLabel.MatchString(name) {
		return name
	}
	words := strings.ReplaceAll(name, ".", "-")
	if !plainLabel.MatchString(words[:min(len(words), 1)]) {
		words = "w-" + words
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight(words[:min(len(words), limit-9)], "-") + "-" + hex.EncodeToString(sum[:4])
}

// Scope is the tag of the definition that the sidecars of a workload alone load:
// "<namespace>.<name>", the name as one label of DNS. It has one dot, groupTag two and
// roleMesh none, so that none passes for another.
func (r Ref) Scope() string { return r.Namespace + "." + dnsName(r.Name) }

// readMeshRoutes gives the facts of the two routes of a workload.
func (e *Engine) readMeshRoutes(d *draft) []Reason {
	o, w := d.object, d.facts.Workload
	path := listenpath.Prefix
	problem := "it would take the requests to all other workloads"
	if w.Route != "/" {
		problem = ""
		if _, err := listenpath.Parse("mesh", w.Route, path); err != nil {
			problem = err.Error()
		}
	}
	if problem != "" {
		return []Reason{{ID: "route-invalid", Field: d.workload.annotationField(routeAnnotation), Msg: fmt.Sprintf("The route %q cannot be served: %s.", clip(w.Route), problem), Fix: `Write a path such as "/sleep".`}}
	}
	service := dnsName(o.Name) + meshSuffix
	host := service + "." + o.Namespace
	for _, f := range []RouteFacts{
		{Role: roleInbound, Host: host, HostKind: "exact", Path: "/", PathType: string(path), Field: "spec.template"},
		{Role: roleMesh, Host: "mesh", HostKind: "exact", Path: w.Route, PathType: string(path), Field: d.workload.annotationField(routeAnnotation)},
	} {
		f.Backend = BackendFacts{Kind: "service", Name: service, Port: w.Port, ServiceType: "ClusterIP"}
		f.TLSSecrets, f.Certificates, f.Claims = []string{}, []string{}, []Claim{}
		f.ID = e.meshID(o.Ref, f, "")
		d.facts.Routes = append(d.facts.Routes, f)
	}
	return nil
}

// meshID gives the api_id of a definition of a workload; group is that of the callers
// whose sidecars load it, or "".
func (e *Engine) meshID(o Ref, f RouteFacts, group string) string {
	f.PathType += " " + f.Role + " " + group
	return e.routeID(o, f)
}

// layRoutes makes the routes that the decision asks for: the way in, and the way from
// the mesh, in the mode mtls one for each group of callers.
func (w *walk) layRoutes(d *draft, decision policy.Decision) error {
	e, part := w.engine, decision.Mesh
	inbound, mesh := d.facts.Routes[0], d.facts.Routes[1]
	if host, kind, err := listenpath.Domain(part.Host); err != nil || kind != listenpath.ExactHost || host != part.Host {
		return w.broken("decide", Reason{ID: "policy-failed", Msg: fmt.Sprintf("The host of the mesh (settings.mesh.host), %q, is not a lower-case DNS name.", clip(part.Host))})
	}
	mesh.Host = part.Host
	scheme := "http"
	if part.TLS != tlsOff {
		scheme = "https"
	}
	d.lay(e, inbound, decision.Templates.Inbound, d.object.Ref.Scope(), "", fmt.Sprintf("http://127.0.0.1:%d", d.facts.Workload.Port))
	target := fmt.Sprintf("%s://%s:%d", scheme, inbound.Host, part.Port)
	if part.TLS != tlsMutual {
		d.lay(e, mesh, decision.Templates.Mesh, roleMesh, "", target)
		return nil
	}
	for _, group := range part.Callers {
		d.lay(e, mesh, decision.Templates.Mesh, groupTag(group), group, target)
	}
	return nil
}

// groupTag is the tag of the definitions that sidecars of a group load.
func groupTag(group string) string { return roleMesh + "." + strings.ReplaceAll(group, "/", ".") }

func (d *draft) lay(e *Engine, f RouteFacts, name, tag, group, target string) {
	o := d.object
	// Hosts and paths have been parsed before.
	match, _ := listenpath.Parse(f.Host, f.Path, listenpath.Prefix)
	listenPath, _ := match.Encode(e.mode)
	r := route{facts: f, template: name, match: f.Role + " " + tag + " " + match.MatchKey(), scope: tag, group: group, domain: f.Host}
	if group != "" {
		r.facts.ID = e.meshID(o.Ref, f, group)
	}
	r.in = template.In{
		ID:         r.facts.ID,
		Org:        e.config.OrgID,
		Role:       f.Role,
		Name:       o.Name + "-" + f.Role,
		Slug:       slug(o.Ref, r.facts.ID),
		Object:     template.Object{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Labels: d.facts.Object.Labels, Annotations: d.facts.Object.Annotations},
		Namespace:  template.Namespace{Name: o.Namespace, Labels: d.facts.Namespace.Labels},
		Host:       f.Host,
		Domain:     r.domain,
		Path:       f.Path,
		PathType:   f.PathType,
		ListenPath: listenPath,
		Service:    template.Service{Name: f.Backend.Name, Namespace: o.Namespace, Port: f.Backend.Port},
		Target:     target,
		Tags:       []string{tag},
	}
	d.routes = append(d.routes, r)
}

// identities are the certificates that the workload's part in the mesh needs.
func (d *draft) identities(part *policy.Mesh) []Identity {
	if part.TLS == tlsOff {
		return nil
	}
	host := d.facts.Routes[0].Host
	all := []Identity{{Role: identityServer, For: d.object.String(), Names: []string{host, host + ".svc", host + ".svc.cluster.local"}}}
	if part.TLS == tlsMutual {
		// Those of callers too, so that none of them comes as a surprise.
		groups := append(slices.Clone(part.Callers), part.Group)
		slices.Sort(groups)
		for _, group := range slices.Compact(groups) {
			all = append(all, Identity{Role: identityClient, For: group})
		}
	}
	return all
}

// secured are the paths of a definition of the mesh that nobody else decides. With one
// of them an author could open the way between sidecars.
var secured = map[string][]string{
	roleInbound: {"domain", "domain_disabled", "listen_port", "protocol", "certificates", "use_mutual_tls_auth", "client_certificates", "tags", "tags_disabled"},
	roleMesh:    {"domain", "domain_disabled", "listen_port", "protocol", "certificates", "upstream_certificates", "upstream_certificates_disabled", "tags", "tags_disabled"},
}

// checkSecured refuses annotations, and finds policies, that touch what secures the mesh.
func (w *walk) checkSecured(d *draft, sets []policy.Set) error {
	for _, role := range []string{roleInbound, roleMesh} {
		for _, path := range secured[role] {
			for _, o := range d.overridesOf(role) {
				if o.path[0] == path {
					return w.refuse("override", Reason{ID: "override-secured", Field: o.field(),
						Msg: fmt.Sprintf("%s is part of what secures the mesh and is never overridden.", path), Fix: "Remove the annotation."})
				}
			}
			for _, s := range sets {
				if splitPath(s.Path)[0] == path {
					return w.broken("render", Reason{ID: "policy-set-invalid", Rule: s.ID,
						Msg: fmt.Sprintf("The policy %s sets %s, which is part of what secures the mesh.", s.ID, path)})
				}
			}
		}
	}
	return nil
}

// secure writes into finished definitions what secures the way between sidecars,
// whatever the template says. pending says which certificates are not there yet.
func (w *walk) secure(d *draft, part *policy.Mesh, all []rendered) (pending []Reason, err error) {
	missing := func(id Identity) {
		r := Reason{ID: "mesh-certificate-pending", Field: "spec.template", Msg: fmt.Sprintf("The certificate of the mesh for %s %s is not there yet.", id.Role, id.For),
			Fix: "Wait a moment; where it lasts, look for what the controller says of the mesh's certificates."}
		if !slices.Contains(pending, r) {
			pending = append(pending, r)
		}
	}
	namespace := w.engine.config.MeshNamespace
	for i := range all {
		x := &all[i]
		for _, path := range []string{"domain_disabled", "tags_disabled", "upstream_certificates_disabled"} {
			delete(x.doc, path)
		}
		x.secure("tags", []any{x.route.scope})
		if x.route.facts.Role == roleMesh {
			x.secure("domain", part.Host)
			delete(x.doc, "listen_port")
			delete(x.doc, "protocol")
			if part.TLS != tlsMutual {
				continue
			}
			pair, ok := d.around.meshClients[namespace][x.route.group]
			if !ok {
				missing(Identity{Role: identityClient, For: x.route.group})
				continue
			}
			id := d.certificate(w.engine, pair)
			x.route.shown = append(x.route.shown, id)
			x.secure("upstream_certificates", map[string]any{fmt.Sprintf("%s:%d", d.facts.Routes[0].Host, part.Port): id})
			continue
		}
		x.secure("listen_port", json.Number(strconv.Itoa(d.meshPort(part))))
		x.secure("protocol", "http")
		if part.TLS == tlsOff {
			// Any Service may lead here.
			x.secure("domain", "")
			x.route.facts.Host = ""
			continue
		}
		x.secure("protocol", "https")
		x.secure("domain", d.facts.Routes[0].Host)
		if pair, ok := d.around.meshServers[namespace][d.object.String()]; ok {
			id := d.certificate(w.engine, pair)
			x.route.shown = append(x.route.shown, id)
			x.secure("certificates", []any{id})
		} else {
			missing(Identity{Role: identityServer, For: d.object.String()})
		}
		if part.TLS != tlsMutual {
			continue
		}
		if err := w.checkGuarded(d, x); err != nil {
			return nil, err
		}
		x.secure("use_mutual_tls_auth", true)
		x.secure("client_certificates", w.allowed(d, part, x, missing))
	}
	return pending, nil
}

// secure writes a value that nobody else has a say in.
func (x *rendered) secure(key string, value any) {
	x.doc[key] = value
	if x.secured == nil {
		x.secured = map[string]bool{}
	}
	x.secured[key] = true
}

// checkGuarded refuses a way in that does not ask each request for the certificate of a
// caller, and nothing but that.
func (w *walk) checkGuarded(d *draft, x *rendered) error {
	if boolAt(x.doc, "use_mutual_tls_auth") {
		return w.refuse("validate", Reason{ID: "mesh-certificates-doubled", Field: x.route.facts.Field,
			Msg: fmt.Sprintf("The template %s asks for client certificates of its own, and the mesh, in TLS mode mtls, asks for those of its callers.", x.route.template),
			Fix: "Choose another template for inbound."})
	}
	// The gateway looks for ignored endpoints, and for OPTIONS that pass, before it looks
	// at certificates (its source near v5.11, not measured).
	guarded := maps.Clone(x.doc)
	guarded["use_mutual_tls_auth"] = true
	if !keyless(guarded) {
		return nil
	}
	r := Reason{ID: "mesh-unguarded", Field: x.route.facts.Field,
		Msg: "In TLS mode mtls every request must show the certificate of a caller, and ignored endpoints, or CORS with options_passthrough, let requests in without.",
		Fix: "Remove them, or choose another template for inbound."}
	for _, o := range d.overridesOf(roleInbound) {
		if o.path[0] == "version_data" || o.path[0] == "CORS" {
			r.Field = o.field()
		}
	}
	return w.refuse("validate", r)
}

// allowed are the ids of the certificates that callers may show, sorted: the definition
// shall not change when a pair takes the place of another.
func (w *walk) allowed(d *draft, part *policy.Mesh, x *rendered, missing func(Identity)) []any {
	var ids []string
	for _, group := range part.Callers {
		pair, ok := d.around.meshClients[w.engine.config.MeshNamespace][group]
		if !ok {
			missing(Identity{Role: identityClient, For: group})
		}
		for _, leaf := range pair.allowed {
			id := w.engine.config.OrgID + leaf.fingerprint
			ids = append(ids, id)
			if d.publics == nil {
				d.publics = map[string]Certificate{}
			}
			d.publics[id] = Certificate{ID: id, Secret: pair.secret, NotAfter: leaf.notAfter, PEM: leaf.pem, Public: true}
		}
	}
	slices.Sort(ids)
	x.route.checked = slices.Compact(ids)
	all := []any{}
	for _, id := range x.route.checked {
		all = append(all, id)
	}
	return all
}

// certificate notes the pair that is shown and gives its id.
func (d *draft) certificate(e *Engine, pair meshPair) string {
	id := e.config.OrgID + pair.current.fingerprint
	if d.certificates == nil {
		d.certificates = map[string]Certificate{}
	}
	d.certificates[id] = Certificate{ID: id, Secret: pair.secret, NotAfter: pair.current.notAfter, PEM: pair.current.pem}
	return id
}

// meshSecret is what is read of a Secret of the mesh.
type meshSecret struct {
	Metadata struct {
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Data struct {
		Current  []byte `json:"tls.crt"`
		Key      []byte `json:"tls.key"`
		Next     []byte `json:"next.crt"`
		Previous []byte `json:"previous.crt"`
	} `json:"data"`
}

// decodeMeshSecret reads a Secret of the mesh: role and for are "" where it is none.
// What is about to come or gone by now, and cannot be read, is left out.
func decodeMeshSecret(o Object) (role, owner string, pair meshPair) {
	var s meshSecret
	if json.Unmarshal(o.JSON, &s) != nil {
		return "", "", meshPair{}
	}
	role, owner = s.Metadata.Labels[meshLabel], s.Metadata.Annotations[meshForKey]
	if role != identityServer && role != identityClient || owner == "" {
		return "", "", meshPair{}
	}
	if role == identityClient {
		// Of a chain the gateway compares the last certificate with what a caller shows
		// (its source near v5.11, not measured): every certificate of the CA would do.
		s.Data.Current, s.Data.Next, s.Data.Previous = leafOf(s.Data.Current), leafOf(s.Data.Next), leafOf(s.Data.Previous)
	}
	current, err := parseKeyPair(s.Data.Current, s.Data.Key)
	if err != nil {
		return "", "", meshPair{}
	}
	pair = meshPair{secret: key(o.Namespace, o.Name), current: current}
	for _, text := range [][]byte{s.Data.Current, s.Data.Next, s.Data.Previous} {
		leaf, chain, err := parseChain(text)
		if err != nil {
			continue
		}
		sum := sha256.Sum256(leaf.Raw)
		pair.allowed = append(pair.allowed, keyPair{fingerprint: hex.EncodeToString(sum[:]), notAfter: leaf.NotAfter, pem: chain})
	}
	return role, owner, pair
}

// leafOf gives the first certificate of a chain alone.
func leafOf(text []byte) []byte {
	leaf, _, err := parseChain(text)
	if err != nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
}

// meshSecretOf says what a Secret of the mesh is for.
type meshSecretOf struct{ role, owner string }

func (c *Cluster) meshPairs(role string) map[string]map[string]meshPair {
	if role == identityServer {
		return c.meshServers
	}
	return c.meshClients
}

func (c *Cluster) addMesh(o Object) {
	if role, owner, pair := decodeMeshSecret(o); role != "" {
		c.putMesh(o, role, owner, pair)
	}
}

// putMesh notes what a Secret of the mesh holds.
func (c *Cluster) putMesh(o Object, role, owner string, pair meshPair) {
	pairs := c.meshPairs(role)
	if pairs[o.Namespace] == nil {
		pairs[o.Namespace] = map[string]meshPair{}
	}
	pairs[o.Namespace][owner] = pair
	c.meshSecrets[key(o.Namespace, o.Name)] = meshSecretOf{role, owner}
}

func (c *Cluster) deleteMesh(o Object) {
	of, ok := c.meshSecrets[key(o.Namespace, o.Name)]
	if !ok {
		return
	}
	delete(c.meshSecrets, key(o.Namespace, o.Name))
	pairs := c.meshPairs(of.role)
	// Another Secret may say the same of itself.
	if pairs[o.Namespace][of.owner].secret == key(o.Namespace, o.Name) {
		delete(pairs[o.Namespace], of.owner)
	}
}
