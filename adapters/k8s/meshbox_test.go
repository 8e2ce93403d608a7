package k8s

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

// meshHome is the namespace of the controller in these tests.
const meshHome = "cuegate"

// mutual is a bundle in which sidecars know each other by certificates.
var mutual = sync.OnceValues(func() (*engine.Bundle, error) {
	return engine.LoadBundle(context.Background(), cuegate.Builtin(),
		fstest.MapFS{"policies/data.yaml": {Data: []byte("settings: {mesh: {tls: mtls}}")}})
})

// notingPusher serves whatever is wanted at once, and notes it.
type notingPusher struct {
	report func(Pushed)
	more   chan struct{}

	mu         sync.Mutex
	generation uint64
	wanted     map[engine.Ref]engine.Desired
}

func (p *notingPusher) Want(all []engine.Desired) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.generation++
	p.wanted = map[engine.Ref]engine.Desired{}
	for _, d := range all {
		p.wanted[d.Object] = d
	}
	select {
	case p.more <- struct{}{}:
	default:
	}
}

func (p *notingPusher) Targets() []Target { return []Target{{Name: "gateway"}} }

func (p *notingPusher) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.more:
			p.mu.Lock()
			g := p.generation
			p.mu.Unlock()
			p.report(Pushed{Target: "gateway", Generation: g})
		}
	}
}

func (p *notingPusher) Plan(_ context.Context, all []engine.Desired) (any, error) {
	return map[string]int{"objects": len(all)}, nil
}

// notingKeeper notes what it is to keep.
type notingKeeper struct {
	mu         sync.Mutex
	calls      int
	identities []engine.Identity
	namespaces []string
	running    bool
	fails      error
}

func (k *notingKeeper) Want(identities []engine.Identity, namespaces []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	k.identities, k.namespaces = identities, namespaces
}

func (k *notingKeeper) Run(ctx context.Context) error {
	k.runs(true)
	defer k.runs(false)
	if k.fails != nil {
		return k.fails
	}
	<-ctx.Done()
	return nil
}

func (k *notingKeeper) runs(yes bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running = yes
}

// said gives "role for" of each identity, and the namespaces.
func (k *notingKeeper) said() (identities, namespaces string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []string
	for _, i := range k.identities {
		all = append(all, i.Role+" "+i.For)
	}
	return strings.Join(all, ", "), strings.Join(k.namespaces, ", ")
}

// meshBox is a controller of a mesh over a fake cluster.
type meshBox struct {
	*Controller
	t      *testing.T
	client *fake.Clientset
	meta   *metadatafake.FakeMetadataClient
	keeper *notingKeeper

	mu      sync.Mutex
	pusher  *notingPusher
	decided map[engine.Ref]int
}

// newMeshBox makes one that does not run yet. change may be nil.
func newMeshBox(t *testing.T, change func(*Options), objects ...runtime.Object) *meshBox {
	t.Helper()
	kinds := metadatafake.NewTestScheme()
	must(t, metav1.AddMetaToScheme(kinds))
	m := &meshBox{t: t, client: fake.NewClientset(objects...), meta: metadatafake.NewSimpleMetadataClient(kinds), keeper: &notingKeeper{}}
	m.make(change)
	return m
}

// make makes a controller, which knows nothing of one before.
func (m *meshBox) make(change func(*Options)) {
	m.t.Helper()
	o := Options{
		Client: m.client, Metadata: m.meta, Builtin: cuegate.Builtin(), Engine: engine.Config{ClusterID: "test", OrgID: "org", MeshNamespace: meshHome},
		Mesh: &MeshSettings{Keeper: m.keeper}, Resync: time.Hour, Log: slog.New(slog.DiscardHandler),
		NewPusher: func(report func(Pushed)) (Pusher, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.pusher = &notingPusher{report: report, more: make(chan struct{}, 1)}
			return m.pusher, nil
		},
	}
	if change != nil {
		change(&o)
	}
	var err error
	m.Controller, err = New(o)
	must(m.t, err)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.decided = map[engine.Ref]int{}
	note := m.loop.decided
	m.loop.decided = func(d engine.Desired, bundle string, took time.Duration, changed bool) {
		m.mu.Lock()
		m.decided[d.Object]++
		m.mu.Unlock()
		note(d, bundle, took, changed)
	}
}

// decisions counts those about an object.
func (m *meshBox) decisions(ref engine.Ref) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.decided[ref]
}

// start runs it with a bundle, and waits until everything is decided. What stop gives is
// the error that ended it, if one did.
func (m *meshBox) start(bundle func() (*engine.Bundle, error)) (stop func() error) {
	m.t.Helper()
	stop = m.begin(bundle)
	until(m.t, "started", func() bool { m.loop.mu.RLock(); defer m.loop.mu.RUnlock(); return m.loop.started })
	return stop
}

func (m *meshBox) begin(bundle func() (*engine.Bundle, error)) (stop func() error) {
	m.t.Helper()
	b, err := bundle()
	must(m.t, err)
	ctx, end := context.WithCancelCause(context.Background())
	m.loop.swap(b)
	m.watch.start(ctx)
	var running sync.WaitGroup
	running.Go(func() { m.work(ctx) })
	running.Go(func() {
		_ = m.terms(ctx, func(err error) {
			if err != nil {
				end(err)
			}
		})
	})
	stop = sync.OnceValue(func() error {
		end(nil)
		running.Wait()
		if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
	m.t.Cleanup(func() { _ = stop() })
	return stop
}

func startMesh(t *testing.T, bundle func() (*engine.Bundle, error), objects ...runtime.Object) *meshBox {
	t.Helper()
	m := newMeshBox(t, nil, objects...)
	m.start(bundle)
	return m
}

// wants waits until what is wanted of a workload is as it should be.
func (m *meshBox) wants(ref engine.Ref, what string, ok func(d engine.Desired, there bool) bool) engine.Desired {
	m.t.Helper()
	var d engine.Desired
	until(m.t, ref.String()+" "+what, func() bool {
		m.mu.Lock()
		p := m.pusher
		m.mu.Unlock()
		if p == nil {
			return false
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		var there bool
		d, there = p.wanted[ref]
		return ok(d, there)
	})
	return d
}

func isServed(d engine.Desired, there bool) bool { return there && d.Outcome == engine.Managed }
func isHeld(d engine.Desired, there bool) bool   { return there && d.Outcome == engine.Held }
func isGone(_ engine.Desired, there bool) bool   { return !there }

// has waits until a Service is as it should be; it is nil where there is none.
func (m *meshBox) has(name, what string, ok func(*corev1.Service) bool) *corev1.Service {
	m.t.Helper()
	var s *corev1.Service
	until(m.t, "Service "+name+" "+what, func() bool {
		s = m.service(name)
		return ok(s)
	})
	return s
}

func (m *meshBox) service(name string) *corev1.Service {
	o, err := m.client.Tracker().Get(corev1.SchemeGroupVersion.WithResource("services"), "shop", name)
	if err != nil {
		return nil
	}
	return o.(*corev1.Service)
}

// events gives "Kind/name Reason message" of each, sorted; those that say the same are
// counted on.
func (m *meshBox) events() []string {
	m.t.Helper()
	list, err := m.client.CoreV1().Events("").List(context.Background(), metav1.ListOptions{})
	must(m.t, err)
	var all []string
	for _, e := range list.Items {
		all = append(all, e.InvolvedObject.Kind+"/"+e.InvolvedObject.Name+" "+e.Reason+" "+e.Message)
	}
	slices.Sort(all)
	return all
}

// hears waits for an Event that begins so.
func (m *meshBox) hears(begin string) {
	m.t.Helper()
	until(m.t, "an Event "+begin, func() bool {
		return slices.ContainsFunc(m.events(), func(e string) bool { return strings.HasPrefix(e, begin) })
	})
}

// deploy creates a Deployment, or changes it.
func (m *meshBox) deploy(d *appsv1.Deployment) {
	m.t.Helper()
	api := m.client.AppsV1().Deployments(d.Namespace)
	_, err := api.Update(context.Background(), d, metav1.UpdateOptions{})
	if err != nil {
		_, err = api.Create(context.Background(), d, metav1.CreateOptions{})
	}
	must(m.t, err)
}

func (m *meshBox) remove(name string) {
	m.t.Helper()
	must(m.t, m.client.AppsV1().Deployments("shop").Delete(context.Background(), name, metav1.DeleteOptions{}))
}

// keep creates the Secret of a certificate.
func (m *meshBox) keep(s *corev1.Secret) {
	m.t.Helper()
	_, err := m.client.CoreV1().Secrets(meshHome).Create(context.Background(), s, metav1.CreateOptions{})
	must(m.t, err)
}

// injected gives a Deployment as the API server stores it when a webhook has seen it.
func (m *meshBox) injected(d *appsv1.Deployment) *appsv1.Deployment {
	m.t.Helper()
	o, err := object(d)
	must(m.t, err)
	desired, err := m.Decide(context.Background(), o)
	must(m.t, err)
	patch, err := jsonpatch.DecodePatch(desired.Patch)
	must(m.t, err)
	text, err := patch.Apply(o.JSON)
	must(m.t, err)
	var with appsv1.Deployment
	must(m.t, json.Unmarshal(text, &with))
	with.Status = d.Status
	return &with
}

func deployment(name string) engine.Ref {
	return engine.Ref{Kind: kindDeployment, Namespace: "shop", Name: name}
}

// aDeployment asks for a sidecar by its pod template; annotations are more of that, in
// pairs.
func aDeployment(name string, annotations ...string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-of-" + name), CreationTimestamp: metav1.NewTime(time.Unix(1000, 0))},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{injectKey: "true"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app:1", Ports: []corev1.ContainerPort{{ContainerPort: 8081}}}}},
			},
		},
	}
	for pair := range slices.Chunk(annotations, 2) {
		d.Spec.Template.Annotations[pair[0]] = pair[1]
	}
	return d
}

// unasked is aDeployment that does not speak of the mesh.
func unasked(name string) *appsv1.Deployment {
	d := aDeployment(name)
	d.Spec.Template.Annotations = nil
	return d
}

func aNamespace(labels ...string) *corev1.Namespace {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{}}}
	for pair := range slices.Chunk(labels, 2) {
		ns.Labels[pair[0]] = pair[1]
	}
	return ns
}

// meshCertificate is a Secret as a keeper makes it.
func meshCertificate(t *testing.T, role, of string) *corev1.Secret {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: of}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: meshHome, Name: identitySecret(role, of), Labels: map[string]string{meshLabel: role}, Annotations: map[string]string{meshForKey: of}},
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			"tls.key": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}),
		},
	}
}
