package k8s

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"

	"github.com/cuegate/cuegate/engine"
)

// MeshOptions say where a Mesh keeps what, and for how long.
type MeshOptions struct {
	Client kubernetes.Interface
	// Namespace of the controller, where the certificates are.
	Namespace string
	// Namespaces that may be part of the mesh; all of them where it is empty.
	Namespaces []string
	// TrustDomain is the first part of the ids in certificates of clients,
	// "spiffe://<trust domain>/ns/<namespace>/group/<group>"; cluster.local where it is "".
	TrustDomain string
	// CASecret is the name of the Secret of the CA; cuegate-mesh-ca where it is "".
	CASecret string

	// Lifetime of certificates; 90 days where it is 0. They are replaced when two thirds
	// of it are over.
	Lifetime time.Duration
	// Overlap is for how long what comes is let in before it is presented, and what was
	// is let in still; 1 hour where it is 0. Gateways that are not brought up to date
	// within it may refuse each other. It is a sixth of Lifetime at most.
	Overlap time.Duration
	// CALifetime is that of a CA that is made here, 10 years where it is 0, and CAOverlap
	// for how long it is trusted before it signs, and after nothing needs it; 7 days
	// where it is 0, and a sixth of CALifetime at most.
	CALifetime, CAOverlap time.Duration
	// Grace is for how long a certificate is kept that nobody wants; 24 hours where it
	// is 0.
	Grace time.Duration

	// Now is the clock; time.Now where it is nil.
	Now func() time.Time
	Log *slog.Logger
}

// Mesh looks after the certificates and secrets of the service mesh. meshkeeper.go has
// the rules of certificates, meshca.go those of the CA, meshtrust.go those of what is
// trusted. Everything is kept in objects of the cluster, so that another controller can
// go on at any time.
//
// In the namespace of the controller it keeps, as Secrets with the label
// cuegate.dev/mesh,
//
//	cuegate-mesh-server-<hash>, cuegate-mesh-client-<hash>  the certificates
//	cuegate-mesh-ca      the CA, unless somebody supplies one
//	cuegate-mesh-trust   all that sidecars trust, and since when
//	cuegate-mesh-master  the key that the secrets of namespaces are derived from
//
// and in each namespace of the mesh
//
//	Secret cuegate-mesh        gateway-secret, of the control API of the sidecars of this
//	                           namespace; certificate-secret, the same for all, by which
//	                           gateways encrypt keys in the Redis that they share
//	ConfigMap cuegate-mesh-ca  ca.crt, all that sidecars trust
//
// It needs these rights. In the namespace of the controller:
//
//	secrets     list, watch, get, create, update, delete
//
// In the namespaces of the mesh, or in all; every verb but create can be limited to the
// one name:
//
//	secrets     list, watch, update, delete (cuegate-mesh); create
//	configmaps  list, watch, update, delete (cuegate-mesh-ca); create
type Mesh struct {
	o       MeshOptions
	log     *slog.Logger
	keeper  keeper
	metrics *meshMetrics

	mu        sync.Mutex
	wanted    *meshWant // nil until somebody says
	authority *authority
	master    []byte // nil while it is not known
	problems  map[meshKey][]MeshProblem
	queue     workqueue.TypedRateLimitingInterface[meshKey] // nil while it does not run
	stores    meshStores                                    // of the time that it runs
}

// MeshProblem is why something of the mesh is not as it should be.
type MeshProblem struct {
	// Object that has to be looked at.
	Object engine.Ref
	// ID is one of
	//
	//	mesh-secret-foreign       an object of that name is there and is not ours
	//	mesh-ca-broken            the CA cannot sign: nothing is issued
	//	mesh-certificate-refused  what was wanted cannot be issued by this CA
	//	mesh-identity-invalid     what was wanted cannot be in a certificate
	//	mesh-unreachable          the API server refuses or does not answer; tried again
	ID string
	// Msg is a sentence.
	Msg string
}

const (
	meshForeign         = "mesh-secret-foreign"
	meshCABroken        = "mesh-ca-broken"
	meshRefused         = "mesh-certificate-refused"
	meshIdentityInvalid = "mesh-identity-invalid"
	meshUnreachable     = "mesh-unreachable"
)

var trustDomainForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$`)

// NewMesh makes one; it calls nobody.
func NewMesh(o MeshOptions) (*Mesh, error) {
	const day = 24 * time.Hour
	o.TrustDomain = cmp.Or(o.TrustDomain, "cluster.local")
	o.CASecret = cmp.Or(o.CASecret, "cuegate-mesh-ca")
	o.Lifetime, o.Overlap = cmp.Or(o.Lifetime, 90*day), cmp.Or(o.Overlap, time.Hour)
	o.CALifetime, o.CAOverlap = cmp.Or(o.CALifetime, 10*365*day), cmp.Or(o.CAOverlap, 7*day)
	o.Grace = cmp.Or(o.Grace, day)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.Client == nil:
		return nil, errors.New("keeping the mesh: there is no client")
	case len(validation.IsDNS1123Label(o.Namespace)) > 0:
		return nil, fmt.Errorf("keeping the mesh: %q is no namespace", o.Namespace)
	case len(o.TrustDomain) > 255 || !trustDomainForm.MatchString(o.TrustDomain):
		return nil, fmt.Errorf("keeping the mesh: the trust domain %q does not consist of lower-case letters, digits, dots and dashes", o.TrustDomain)
	case len(validation.IsDNS1123Subdomain(o.CASecret)) > 0, slices.Contains([]string{namespaceSecret, masterSecret, trustSecret}, o.CASecret):
		return nil, fmt.Errorf("keeping the mesh: the CA cannot be in a Secret %q", o.CASecret)
	case min(o.Lifetime, o.Overlap, o.CALifetime, o.CAOverlap, o.Grace) < 0:
		return nil, errors.New("keeping the mesh: a time is negative")
	case min(o.Lifetime, o.CALifetime) < time.Minute:
		return nil, errors.New("keeping the mesh: certificates have to live a minute at least")
	case o.Overlap > o.Lifetime/6:
		return nil, fmt.Errorf("keeping the mesh: an overlap of %s is more than a sixth of the lifetime of certificates, %s", o.Overlap, o.Lifetime)
	case o.CAOverlap > o.CALifetime/6:
		return nil, fmt.Errorf("keeping the mesh: an overlap of %s is more than a sixth of the lifetime of the CA, %s", o.CAOverlap, o.CALifetime)
	}
	return &Mesh{
		o: o, log: o.Log, metrics: newMeshMetrics(), problems: map[meshKey][]MeshProblem{},
		keeper: keeper{lifetime: o.Lifetime, overlap: o.Overlap, caOverlap: o.CAOverlap},
	}, nil
}

// meshWant is what is wanted.
type meshWant struct {
	identities map[string]identity // by the names of their Secrets
	namespaces map[string]bool
}

// Want says which certificates are needed, and which namespaces have sidecars. It
// returns at once. Before it is called nothing is done, so that nothing is taken away
// from those who were not heard yet. An identity that is there several times has the
// names of all.
func (m *Mesh) Want(identities []engine.Identity, namespaces []string) {
	w := newMeshWant(identities, namespaces)
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.wanted
	if before == nil {
		m.wanted = w
		m.enqueueAll()
		return
	}
	changed := map[meshKey]bool{}
	for _, pair := range [2][2]*meshWant{{before, w}, {w, before}} {
		for name, id := range pair[0].identities {
			if !id.equal(pair[1].identities[name]) {
				changed[meshKey{meshLeaf, name}] = true
			}
		}
		for namespace := range pair[0].namespaces {
			if !pair[1].namespaces[namespace] {
				changed[meshKey{meshNamespace, namespace}] = true
			}
		}
	}
	if len(changed) == 0 {
		return
	}
	m.wanted = w
	for _, key := range append(slices.Collect(maps.Keys(changed)), meshKey{kind: meshAuthority}, meshKey{kind: meshMaster}) {
		m.enqueue(key)
	}
}

func newMeshWant(identities []engine.Identity, namespaces []string) *meshWant {
	w := &meshWant{identities: make(map[string]identity, len(identities)), namespaces: make(map[string]bool, len(namespaces))}
	for _, i := range identities {
		name := identitySecret(i.Role, i.For)
		names := i.Names
		if before, is := w.identities[name]; is {
			names = slices.Concat(before.names, names)
		}
		w.identities[name] = identity{role: i.Role, of: i.For, names: slices.Compact(slices.Sorted(slices.Values(names)))}
	}
	for _, namespace := range namespaces {
		w.namespaces[namespace] = true
	}
	return w
}

func (id identity) equal(other identity) bool {
	return id.role == other.role && id.of == other.of && slices.Equal(id.names, other.names)
}

// GatewaySecret gives the secret of the control API of the sidecars of a namespace;
// false while it is not known, which it is soon after Run began.
func (m *Mesh) GatewaySecret(namespace string) (string, bool) {
	master := m.currentMaster()
	if master == nil {
		return "", false
	}
	return gatewaySecret(master, namespace), true
}

// Problems gives what is not as it should be, in order of the objects.
func (m *Mesh) Problems() []MeshProblem {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []MeshProblem
	for _, problems := range m.problems {
		all = append(all, problems...)
	}
	slices.SortFunc(all, func(a, b MeshProblem) int {
		return cmp.Or(cmp.Compare(a.Object.String(), b.Object.String()), cmp.Compare(a.ID, b.ID))
	})
	return all
}

func (m *Mesh) identity(secret string) (identity, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id, is := m.wanted.identities[secret]
	return id, is
}

func (m *Mesh) wantsNamespace(namespace string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wanted.namespaces[namespace]
}

// needed tells whether there is a mesh at all.
func (m *Mesh) needed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.wanted.identities)+len(m.wanted.namespaces) > 0
}

func (m *Mesh) currentAuthority() *authority {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.authority
}

func (m *Mesh) currentMaster() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.master
}

// meshFault is a problem that somebody has to solve: it is not worth a quick retry.
type meshFault struct{ MeshProblem }

func (f *meshFault) Error() string { return f.Msg }

func (m *Mesh) fault(kind, namespace, name, id, msg string) error {
	return &meshFault{MeshProblem{Object: engine.Ref{Kind: kind, Namespace: namespace, Name: name}, ID: id, Msg: msg}}
}

func (m *Mesh) foreign(ref engine.Ref) error {
	return &meshFault{MeshProblem{Object: ref, ID: meshForeign,
		Msg: fmt.Sprintf("%s is in the way: it is not of the mesh of Cuegate, and is not touched. Move it away, or have the mesh without it.", ref)}}
}

// isForeign tells whether the object was somebody else's when it was last looked at.
func (m *Mesh) isForeign(ref engine.Ref) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, problems := range m.problems {
		for _, p := range problems {
			if p.Object == ref && p.ID == meshForeign {
				return true
			}
		}
	}
	return false
}

// report notes what came of a look at something, and logs what is new. What was only
// late is no problem.
func (m *Mesh) report(key meshKey, err error) {
	problems := m.problemsOf(key, err)
	m.mu.Lock()
	before := m.problems[key]
	delete(m.problems, key)
	if len(problems) > 0 {
		m.problems[key] = problems
	}
	m.mu.Unlock()
	for _, p := range problems {
		m.metrics.failures.WithLabelValues(p.ID).Inc()
		if !slices.Contains(before, p) {
			m.log.Warn("something of the mesh is not as it should be", "reason", p.ID, "object", p.Object.String(), "error", p.Msg)
		}
	}
}

func (m *Mesh) problemsOf(key meshKey, err error) []MeshProblem {
	var fault *meshFault
	joined, several := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case several:
		var all []MeshProblem
		for _, e := range joined.Unwrap() {
			all = append(all, m.problemsOf(key, e)...)
		}
		return all
	case errors.As(err, &fault):
		return []MeshProblem{fault.MeshProblem}
	case isLate(err):
		return nil
	}
	return []MeshProblem{{Object: m.objectOf(key), ID: meshUnreachable, Msg: fmt.Sprintf("The mesh could not be kept up: %s.", err)}}
}

// isLate tells whether an error says only that what is known of an object is old, or that
// its namespace is about to go.
func isLate(err error) bool {
	var status apierrors.APIStatus
	gone := apierrors.IsNotFound(err) && errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind != "namespaces"
	return gone || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}
