package k8s

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"github.com/cuegate/cuegate/engine"
)

var (
	secretsResource    = corev1.SchemeGroupVersion.WithResource("secrets")
	configMapsResource = corev1.SchemeGroupVersion.WithResource("configmaps")
)

const home = "cuegate-system" // namespace of the controller in these tests

// cluster is an API server that keeps Secrets and ConfigMaps, and knows old copies from
// new ones.
type cluster struct {
	t       testing.TB
	client  *fake.Clientset
	version atomic.Int64
	// answer gives the error of a write, or nil; refuse sets it.
	answer atomic.Pointer[func(clienttesting.Action) error]
}

func newCluster(t testing.TB) *cluster {
	c := &cluster{t: t, client: fake.NewClientset()}
	c.refuse(func(clienttesting.Action) error { return nil })
	c.client.PrependReactor("*", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetResource() != secretsResource && a.GetResource() != configMapsResource {
			return false, nil, nil
		}
		if slices.Contains([]string{"create", "update", "delete"}, a.GetVerb()) {
			if err := (*c.answer.Load())(a); err != nil {
				return true, nil, err
			}
		}
		switch a := a.(type) {
		case clienttesting.CreateActionImpl:
			o, err := c.create(a)
			return true, o, err
		case clienttesting.UpdateActionImpl:
			o, err := c.update(a)
			return true, o, err
		case clienttesting.DeleteActionImpl:
			return true, nil, c.delete(a)
		}
		return false, nil, nil
	})
	return c
}

func (c *cluster) refuse(answer func(clienttesting.Action) error) { c.answer.Store(&answer) }

// written gives how many objects were written, by whomever.
func (c *cluster) written() int { return int(c.version.Load()) }

// stamp gives an object its next version.
func (c *cluster) stamp(m metav1.Object) {
	m.SetResourceVersion(strconv.FormatInt(c.version.Add(1), 10))
}

func (c *cluster) create(a clienttesting.CreateActionImpl) (runtime.Object, error) {
	o := a.GetObject().DeepCopyObject()
	m := o.(metav1.Object)
	if err := complete(o); err != nil {
		return nil, err
	}
	c.stamp(m)
	m.SetUID(types.UID("uid-" + m.GetResourceVersion()))
	return o, c.client.Tracker().Create(a.GetResource(), o, a.GetNamespace())
}

func (c *cluster) update(a clienttesting.UpdateActionImpl) (runtime.Object, error) {
	o := a.GetObject().DeepCopyObject()
	m := o.(metav1.Object)
	there, err := c.client.Tracker().Get(a.GetResource(), a.GetNamespace(), m.GetName())
	if err != nil {
		return nil, err
	}
	if err := complete(o); err != nil {
		return nil, err
	}
	if m.GetResourceVersion() != there.(metav1.Object).GetResourceVersion() {
		return nil, apierrors.NewConflict(a.GetResource().GroupResource(), m.GetName(), errors.New("it is another one"))
	}
	if equality.Semantic.DeepEqual(o, there) {
		c.t.Errorf("%s is written without a change", m.GetName())
	}
	if s, is := o.(*corev1.Secret); is && s.Type != there.(*corev1.Secret).Type {
		return nil, apierrors.NewBadRequest("the type of a Secret never changes")
	}
	c.stamp(m)
	return o, c.client.Tracker().Update(a.GetResource(), o, a.GetNamespace())
}

func (c *cluster) delete(a clienttesting.DeleteActionImpl) error {
	there, err := c.client.Tracker().Get(a.GetResource(), a.GetNamespace(), a.GetName())
	if err != nil {
		return err
	}
	if p := a.DeleteOptions.Preconditions; p == nil || *p.ResourceVersion != there.(metav1.Object).GetResourceVersion() {
		return apierrors.NewConflict(a.GetResource().GroupResource(), a.GetName(), errors.New("it is another one"))
	}
	return c.client.Tracker().Delete(a.GetResource(), a.GetNamespace(), a.GetName())
}

// complete refuses a TLS Secret that lacks something, as the API server does.
func complete(o runtime.Object) error {
	s, is := o.(*corev1.Secret)
	if is && s.Type == corev1.SecretTypeTLS && (s.Data["tls.crt"] == nil || s.Data["tls.key"] == nil) {
		return apierrors.NewBadRequest("data[tls.crt] and data[tls.key] are required")
	}
	return nil
}

// secrets gives all Secrets that there are.
func (c *cluster) secrets() []corev1.Secret {
	c.t.Helper()
	x, err := c.client.Tracker().List(secretsResource, corev1.SchemeGroupVersion.WithKind(kindSecret), "")
	if err != nil {
		c.t.Fatal(err)
	}
	return x.(*corev1.SecretList).Items
}

func (c *cluster) configMaps() []corev1.ConfigMap {
	c.t.Helper()
	x, err := c.client.Tracker().List(configMapsResource, corev1.SchemeGroupVersion.WithKind("ConfigMap"), "")
	if err != nil {
		c.t.Fatal(err)
	}
	return x.(*corev1.ConfigMapList).Items
}

// secret gives a Secret, or nil.
func (c *cluster) secret(namespace, name string) *corev1.Secret {
	x, err := c.client.Tracker().Get(secretsResource, namespace, name)
	if err != nil {
		return nil
	}
	return x.(*corev1.Secret)
}

func (c *cluster) configMap(namespace, name string) *corev1.ConfigMap {
	x, err := c.client.Tracker().Get(configMapsResource, namespace, name)
	if err != nil {
		return nil
	}
	return x.(*corev1.ConfigMap)
}

// write puts an object there as somebody else would, and tells no counter of it.
func (c *cluster) write(o runtime.Object) {
	c.t.Helper()
	m := o.(metav1.Object)
	c.stamp(m)
	r := secretsResource
	if _, is := o.(*corev1.ConfigMap); is {
		r = configMapsResource
	}
	err := c.client.Tracker().Create(r, o, m.GetNamespace())
	if apierrors.IsAlreadyExists(err) {
		err = c.client.Tracker().Update(r, o, m.GetNamespace())
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// edit changes a Secret as somebody else would.
func (c *cluster) edit(namespace, name string, how func(*corev1.Secret)) {
	c.t.Helper()
	s := c.secret(namespace, name)
	if s == nil {
		c.t.Fatalf("there is no Secret %s/%s", namespace, name)
	}
	how(s)
	c.write(s)
}

func (c *cluster) remove(r schema.GroupVersionResource, namespace, name string) {
	c.t.Helper()
	if err := c.client.Tracker().Delete(r, namespace, name); err != nil {
		c.t.Fatal(err)
	}
}

// counted gives how many calls there were of each verb since it was last asked.
func (c *cluster) counted() map[string]int {
	n := map[string]int{}
	for _, a := range c.client.Actions() {
		n[a.GetVerb()]++
	}
	c.client.ClearActions()
	return n
}

// copies gives what an informer would know now.
func (c *cluster) copies(caName string) meshStores {
	index := func() cache.Indexer {
		return cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	}
	s := meshStores{namespace: home, caName: caName, labelled: index(), authority: index(), secrets: []cache.Indexer{index()}, configMaps: []cache.Indexer{index()}}
	add := func(store cache.Indexer, o any) {
		if err := store.Add(o); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, x := range c.secrets() {
		if _, labelled := x.Labels[meshLabel]; labelled && x.Namespace == home {
			add(s.labelled, &x)
		}
		if x.Namespace == home && x.Name == caName {
			add(s.authority, &x)
		}
		if x.Name == namespaceSecret {
			add(s.secrets[0], &x)
		}
	}
	for _, x := range c.configMaps() {
		if x.Name == namespaceTrust {
			add(s.configMaps[0], &x)
		}
	}
	return s
}

// clock is the time that tests set.
type clock struct{ time.Time }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time           { return c.Time }
func (c *clock) advance(by time.Duration) { c.Time = c.Add(by) }

// pki is a Mesh, its cluster and its clock.
type pki struct {
	*cluster
	*clock
	mesh *Mesh
	log  bytes.Buffer
	o    MeshOptions
}

func newPKI(t *testing.T, o MeshOptions) *pki {
	p := &pki{cluster: newCluster(t), clock: newClock(), o: o}
	p.restart()
	return p
}

// restart gives the pki another Mesh, which knows nothing but what is in the cluster,
// and wants what the one before did.
func (p *pki) restart() {
	p.t.Helper()
	o := p.o
	o.Client, o.Namespace, o.Now = p.client, home, p.now
	o.Log = slog.New(slog.NewTextHandler(&p.log, nil))
	m, err := NewMesh(o)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.mesh != nil {
		m.wanted = p.mesh.wanted
	}
	p.mesh = m
}

// once looks at everything once, and gives when something has to be looked at again.
func (p *pki) once() (due time.Time, err error) {
	p.mesh.mu.Lock()
	keys := p.mesh.keys()
	p.mesh.mu.Unlock()
	for _, key := range keys {
		next, failed := p.mesh.look(p.t.Context(), key)
		due, err = soonerOf(due, next), errors.Join(err, failed)
	}
	return due, err
}

// settle looks at everything until nothing changes any more.
func (p *pki) settle() (due time.Time, err error) {
	p.t.Helper()
	for range 10 {
		before := p.written()
		p.mesh.stores = p.copies(p.mesh.o.CASecret)
		due, err = p.once()
		if p.written() == before {
			return due, err
		}
	}
	p.t.Fatal("it never comes to rest")
	return due, err
}

// settled is settle where nothing may go wrong.
func (p *pki) settled() time.Time {
	p.t.Helper()
	due, err := p.settle()
	if err != nil {
		p.t.Fatal(err)
	}
	return due
}

// reasons gives what is not as it should be: ids and objects.
func (p *pki) reasons() []string {
	var all []string
	for _, x := range p.mesh.Problems() {
		all = append(all, x.ID+" "+x.Object.String())
	}
	return all
}

var (
	echo = engine.Identity{Role: "server", For: "Deployment/shop/echo", Names: []string{"echo-mesh.shop", "echo-mesh.shop.svc"}}
	web  = engine.Identity{Role: "client", For: "shop/web"}
)

// shown gives the certificates that the Secret of an identity presents, the leaf first.
func (p *pki) shown(id engine.Identity) []*x509.Certificate {
	p.t.Helper()
	s := p.secret(home, identitySecret(id.Role, id.For))
	if s == nil {
		p.t.Fatalf("there is no Secret for %s", id.For)
	}
	pair, err := readPair(s.Data["tls.crt"], s.Data["tls.key"])
	if err != nil {
		p.t.Fatalf("%s: %s", id.For, err)
	}
	return append([]*x509.Certificate{pair.leaf}, pair.chain...)
}

// bundle gives what the sidecars of a namespace trust.
func (p *pki) bundle(namespace string) []*x509.Certificate {
	p.t.Helper()
	c := p.configMap(namespace, "cuegate-mesh-ca")
	if c == nil {
		p.t.Fatalf("there is no ConfigMap in %s", namespace)
	}
	return readCertificates([]byte(c.Data["ca.crt"]))
}

// verify does what a caller does that trusts a bundle.
func verify(shown, bundle []*x509.Certificate, name string, at time.Time) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range bundle {
		roots.AddCert(c)
	}
	for _, c := range shown[1:] {
		between.AddCert(c)
	}
	_, err := shown[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err
}

func TestMeshOptions(t *testing.T) {
	good := MeshOptions{Client: fake.NewClientset(), Namespace: home}
	if _, err := NewMesh(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*MeshOptions){
		"no client":                  func(o *MeshOptions) { o.Client = nil },
		"no namespace":               func(o *MeshOptions) { o.Namespace = "" },
		"a bad trust domain":         func(o *MeshOptions) { o.TrustDomain = "a/b" },
		"a bad name of the CA":       func(o *MeshOptions) { o.CASecret = "A" },
		"the CA in another's Secret": func(o *MeshOptions) { o.CASecret = "cuegate-mesh-master" },
		"a negative time":            func(o *MeshOptions) { o.Grace = -1 },
		"too short a life":           func(o *MeshOptions) { o.Lifetime, o.Overlap = time.Second, time.Millisecond },
		"too long an overlap":        func(o *MeshOptions) { o.Lifetime, o.Overlap = 5*time.Hour, time.Hour },
		"too long a CA overlap":      func(o *MeshOptions) { o.CALifetime = 24 * time.Hour },
	} {
		o := good
		change(&o)
		if _, err := NewMesh(o); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}

// TestMeshFirstIssue looks at all that is there when a mesh begins.
func TestMeshFirstIssue(t *testing.T) {
	p := newPKI(t, MeshOptions{TrustDomain: "prod.example.org"})
	twice := engine.Identity{Role: "server", For: echo.For, Names: []string{"echo-mesh.shop.svc", "a.shop"}}
	p.mesh.Want([]engine.Identity{echo, web, twice, web}, []string{"shop", "bar"})
	p.settled()

	s := p.secret(home, identitySecret("server", echo.For))
	if s.Name != "cuegate-mesh-server-50abbfc4dbacfcc1" {
		t.Errorf("the Secret is called %s", s.Name)
	}
	if s.Type != "kubernetes.io/tls" || s.Labels["cuegate.dev/mesh"] != "server" || s.Annotations["cuegate.dev/mesh-for"] != echo.For || len(s.Data) != 2 {
		t.Errorf("the Secret of a server is %s %v %v with %d entries", s.Type, s.Labels, s.Annotations, len(s.Data))
	}
	shown := p.shown(echo)
	if leaf := shown[0]; len(shown) != 1 || fmt.Sprint(leaf.DNSNames) != "[a.shop echo-mesh.shop echo-mesh.shop.svc]" || leaf.IsCA ||
		fmt.Sprint(leaf.ExtKeyUsage) != fmt.Sprint([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || leaf.PublicKeyAlgorithm != x509.ECDSA ||
		!leaf.NotBefore.Equal(p.now().Add(-5*time.Minute)) || !leaf.NotAfter.Equal(p.now().Add(90*24*time.Hour)) {
		t.Errorf("the certificate of a server is for %v, %v, from %s to %s", leaf.DNSNames, leaf.ExtKeyUsage, leaf.NotBefore, leaf.NotAfter)
	}
	if err := verify(shown, p.bundle("shop"), "echo-mesh.shop.svc", p.now()); err != nil {
		t.Error(err)
	}

	shown = p.shown(web)
	if leaf := shown[0]; len(shown) != 1 || leaf.Subject.CommonName != "web.shop" || fmt.Sprint(leaf.URIs) != "[spiffe://prod.example.org/ns/shop/group/web]" ||
		fmt.Sprint(leaf.ExtKeyUsage) != fmt.Sprint([]x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || len(leaf.DNSNames) != 0 {
		t.Errorf("the certificate of a client, with %d others, is for %s, %v, %v", len(shown)-1, leaf.Subject, leaf.URIs, leaf.ExtKeyUsage)
	}

	ca := readCertificates(p.secret(home, "cuegate-mesh-ca").Data["tls.crt"])
	if len(ca) != 1 || !ca[0].IsCA || ca[0].MaxPathLen != 1 || len(ca[0].ExcludedIPRanges) != 2 || !ca[0].NotAfter.Equal(p.now().Add(3650*24*time.Hour)) {
		t.Errorf("the CA is %+v", ca)
	}
	if b := p.bundle("bar"); len(b) != 1 || !b[0].Equal(ca[0]) {
		t.Errorf("sidecars trust %d certificates", len(b))
	}
}

// TestMeshDoesNothing counts calls of a mesh where nothing is due.
func TestMeshDoesNothing(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	p.mesh.stores = p.copies("cuegate-mesh-ca")
	if _, err := p.mesh.look(t.Context(), meshKey{kind: meshAuthority}); err != nil || p.written() != 0 {
		t.Errorf("before anything is wanted, there are %d objects: %v", p.written(), err)
	}
	p.mesh.Want(nil, nil)
	p.settled()
	if n := p.counted(); len(n) != 0 {
		t.Errorf("without a mesh it calls %v", n)
	}
	p.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
	due := p.settled()
	p.counted()
	for range 3 {
		p.mesh.Want([]engine.Identity{web, echo}, []string{"shop"})
		p.settled()
		p.restart()
		p.settled()
	}
	p.Time = due.Add(-time.Second)
	p.settled()
	if n := p.counted(); len(n) != 0 {
		t.Errorf("with nothing due it calls %v", n)
	}
	p.Time = due
	p.settled()
	if n := p.counted(); n["update"] == 0 {
		t.Errorf("with something due it calls %v", n)
	}
}

// TestMeshMany issues what 1,000 workloads need, with one call for each Secret.
func TestMeshMany(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	var all []engine.Identity
	for i := range 1000 {
		name := fmt.Sprint("app-", i)
		all = append(all, engine.Identity{Role: "server", For: "Deployment/shop/" + name, Names: []string{name + "-mesh.shop"}})
	}
	p.mesh.Want(all, []string{"shop"})
	p.settled()
	const others = 5 // CA, trust, master, and two of the namespace
	if n := p.counted(); len(n) != 1 || n["create"] != 1000+others {
		t.Errorf("it calls %v", n)
	}
	dues := map[int]int{}
	for _, id := range all {
		dues[int(renewAt(p.shown(id)[0]).Sub(p.now()).Hours()/24)]++
	}
	for day, n := range dues {
		if day < 60 || day > 64 || n > 400 {
			t.Errorf("%d of 1000 are replaced after %d days", n, day)
		}
	}
}

// TestMeshOneBadItem shows that what cannot be done stops nothing else, and says why.
func TestMeshOneBadItem(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	bad := []engine.Identity{
		{Role: "server", For: "Deployment/shop/nameless"},
		{Role: "server", For: "Deployment/shop/odd", Names: []string{"not a name"}},
		{Role: "server", For: "shop/web", Names: []string{"a.shop"}},
		{Role: "client", For: "web"},
		{Role: "client", For: "shop/"},
		{Role: "other", For: "shop/web"},
	}
	taken := engine.Identity{Role: "client", For: "shop/taken"}
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: identitySecret("client", taken.For)}, Data: map[string][]byte{"a": []byte("b")}}
	p.write(foreign)
	// The type of a Secret cannot be changed, whoever made it.
	opaque := engine.Identity{Role: "client", For: "shop/opaque"}
	typed := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: identitySecret("client", opaque.For), Labels: map[string]string{meshLabel: "client"}}, Type: corev1.SecretTypeOpaque}
	p.write(typed)
	p.mesh.Want(append(bad, echo, web, taken, opaque), []string{"shop"})
	if _, err := p.settle(); err == nil {
		t.Error("all is well")
	}
	p.shown(echo)
	p.shown(web)
	if s := p.secret(home, foreign.Name); !equality.Semantic.DeepEqual(s, foreign) {
		t.Errorf("what is somebody else's is now %v", s)
	}
	n := map[string]int{}
	for _, x := range p.mesh.Problems() {
		n[x.ID]++
		if x.ID == meshForeign && x.Object.Name != foreign.Name && x.Object.Name != typed.Name {
			t.Errorf("%s is said to be in the way", x.Object)
		}
	}
	if n[meshIdentityInvalid] != len(bad) || n[meshForeign] != 2 || len(n) != 2 {
		t.Errorf("the problems are %v", n)
	}
	// It is looked at, and not tried to be written, until it is out of the way.
	p.counted()
	_, _ = p.settle()
	if n := p.counted(); n["create"]+n["update"]+n["delete"] != 0 || n["get"] != 1 {
		t.Errorf("with something in the way it calls %v", n)
	}
	p.remove(secretsResource, home, foreign.Name)
	p.remove(secretsResource, home, typed.Name)
	p.mesh.Want([]engine.Identity{echo, web, taken}, []string{"shop"})
	// What was wanted before is no problem any more, wherever it is looked at.
	p.mesh.stores = p.copies("cuegate-mesh-ca")
	for _, id := range append(bad, opaque) {
		if _, err := p.mesh.look(t.Context(), meshKey{meshLeaf, identitySecret(id.Role, id.For)}); err != nil {
			t.Error(err)
		}
	}
	p.settled()
	p.shown(taken)
	if r := p.reasons(); len(r) != 0 {
		t.Errorf("the problems are %v", r)
	}
}

// TestMeshUnwanted lets go of a certificate, and takes it back in time.
func TestMeshUnwanted(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	p.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
	p.settled()
	before := p.secret(home, identitySecret("client", web.For))
	// Somebody else's, beside ours.
	other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: "cuegate-mesh-client-copy"}}
	p.write(other)

	p.mesh.Want([]engine.Identity{echo}, []string{"shop"})
	p.settled()
	p.advance(23 * time.Hour)
	p.restart()
	p.settled()
	p.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
	p.settled()
	after := p.secret(home, before.Name)
	if !equality.Semantic.DeepEqual(before.Data, after.Data) || !maps.Equal(before.Annotations, after.Annotations) {
		t.Errorf("what is wanted again is not what it was: %v", after.Annotations)
	}

	p.mesh.Want([]engine.Identity{echo}, []string{"shop"})
	p.settled()
	p.advance(24*time.Hour - time.Second)
	if due := p.settled(); p.secret(home, before.Name) == nil || !due.Equal(p.now().Add(time.Second)) {
		t.Errorf("it is looked at again at %s", due)
	}
	p.advance(time.Second)
	p.settled()
	if p.secret(home, before.Name) != nil || p.secret(home, other.Name) == nil {
		t.Error("what nobody wants is still there, or what is somebody else's is not")
	}
	p.shown(echo)
}

// TestMeshLate acts by an old copy of what is gone or another one by now: that is no
// problem, only too late.
func TestMeshLate(t *testing.T) {
	for name, change := range map[string]func(p *pki, secret string){
		"gone":    func(p *pki, secret string) { p.remove(secretsResource, home, secret) },
		"another": func(p *pki, secret string) { p.edit(home, secret, func(s *corev1.Secret) { s.Labels["x"] = "y" }) },
	} {
		p := newPKI(t, MeshOptions{})
		p.mesh.Want([]engine.Identity{echo}, []string{"shop"})
		p.Time = p.settled()
		p.mesh.stores = p.copies("cuegate-mesh-ca")
		before := p.shown(echo)[0]
		change(p, identitySecret("server", echo.For))
		if _, err := p.once(); err == nil || len(p.mesh.Problems()) != 0 {
			t.Errorf("%s: it says %v, and %v", name, err, p.reasons())
		}
		p.settled()
		if p.shown(echo)[0].Equal(before) {
			t.Errorf("%s: it is never replaced", name)
		}
	}
}

func TestMeshMetrics(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	r := prometheus.NewRegistry()
	if err := p.mesh.Register(r); err != nil {
		t.Fatal(err)
	}
	p.write(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cuegate-mesh-ca"}})
	p.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
	p.mesh.stores = p.copies("cuegate-mesh-ca")
	_, _ = p.once()
	day := 24 * time.Hour
	want := fmt.Sprintf(`
# HELP cuegate_mesh_certificate_expiry_timestamp_seconds When a certificate of the mesh expires, in Unix time; role is server, client or ca.
# TYPE cuegate_mesh_certificate_expiry_timestamp_seconds gauge
cuegate_mesh_certificate_expiry_timestamp_seconds{for="",role="ca"} %d
cuegate_mesh_certificate_expiry_timestamp_seconds{for="Deployment/shop/echo",role="server"} %d
cuegate_mesh_certificate_expiry_timestamp_seconds{for="shop/web",role="client"} %[2]d
# HELP cuegate_mesh_certificates_issued_total Certificates of the mesh that were issued.
# TYPE cuegate_mesh_certificates_issued_total counter
cuegate_mesh_certificates_issued_total{role="ca"} 1
cuegate_mesh_certificates_issued_total{role="client"} 1
cuegate_mesh_certificates_issued_total{role="server"} 1
# HELP cuegate_mesh_failures_total Looks at something of the mesh that ended with a problem; reason is its id.
# TYPE cuegate_mesh_failures_total counter
cuegate_mesh_failures_total{reason="mesh-secret-foreign"} 1
`, p.now().Add(3650*day).Unix(), p.now().Add(90*day).Unix())
	if err := testutil.GatherAndCompare(r, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) != 0 {
		t.Errorf("%v, %v", problems, err)
	}
	p.mesh.Want([]engine.Identity{echo}, []string{"shop"})
	_, _ = p.settle()
	n, err := testutil.GatherAndCount(r, "cuegate_mesh_certificate_expiry_timestamp_seconds")
	if err != nil || n != 2 {
		t.Errorf("%d certificates expire, %v", n, err)
	}
}
