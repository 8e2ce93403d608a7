package k8s

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/cuegate/cuegate/engine"
)

const (
	// meshAtOnce is how many objects of the mesh are looked at at the same time.
	meshAtOnce = 8
	// A write that fails is tried again after meshSoonest, then after twice that, and so
	// on up to meshLatest, after which also those are looked at that somebody has to mend.
	meshSoonest, meshLatest = 200 * time.Millisecond, 5 * time.Minute
	// meshWithin bounds one look.
	meshWithin = 30 * time.Second
	// meshAgain is how often everything is looked at, from what is known: timers stand
	// still while a machine sleeps, and whether a CA is in use still, no event tells.
	meshAgain = time.Hour
	// meshPause is how long it is waited at least before something is looked at again that
	// did not change.
	meshPause = time.Second
)

// meshKey is something to look at; name is that of a Secret or a namespace.
type meshKey struct{ kind, name string }

const (
	meshAuthority = "authority"
	meshMaster    = "master"
	meshLeaf      = "leaf"
	meshNamespace = "namespace"
)

func (m *Mesh) objectOf(key meshKey) engine.Ref {
	ref := engine.Ref{Kind: kindSecret, Namespace: m.o.Namespace, Name: key.name}
	switch key.kind {
	case meshAuthority:
		ref.Name = m.o.CASecret
	case meshMaster:
		ref.Name = masterSecret
	case meshNamespace:
		return engine.Ref{Kind: kindNamespace, Name: key.name}
	}
	return ref
}

// Run keeps up what is wanted until ctx ends. Only one controller should run it; that
// two do for a moment does no harm. It may run again after it ended.
func (m *Mesh) Run(ctx context.Context) error {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[meshKey](meshSoonest, meshLatest))
	defer context.AfterFunc(ctx, queue.ShutDown)()
	stores, err := m.follow(ctx, queue)
	if err != nil || ctx.Err() != nil {
		return err
	}
	m.mu.Lock()
	m.queue, m.stores, m.authority = queue, stores, nil
	m.enqueueAll()
	m.mu.Unlock()
	var workers sync.WaitGroup
	for range meshAtOnce {
		workers.Go(func() {
			for m.next(ctx, queue) {
			}
		})
	}
	workers.Wait()
	m.mu.Lock()
	m.queue = nil
	clear(m.problems)
	m.mu.Unlock()
	m.metrics.forgetAll()
	return nil
}

// next looks at what is due; false at the end.
func (m *Mesh) next(ctx context.Context, queue workqueue.TypedRateLimitingInterface[meshKey]) bool {
	key, ended := queue.Get()
	if ended {
		return false
	}
	defer queue.Done(key)
	if ctx.Err() != nil {
		return false
	}
	due, err := m.look(ctx, key)
	if ctx.Err() != nil {
		return false
	}
	wait := meshAgain
	if !due.IsZero() {
		wait = min(wait, max(meshPause, due.Sub(m.o.Now())))
	}
	switch {
	case err == nil:
		queue.Forget(key)
		queue.AddAfter(key, wait)
	case onlyFaults(err):
		queue.Forget(key)
		queue.AddAfter(key, min(wait, meshLatest))
	default:
		queue.AddRateLimited(key)
	}
	return true
}

// look does what is due to something, and gives when that has to be looked at again; no
// time is when something changes.
func (m *Mesh) look(ctx context.Context, key meshKey) (due time.Time, err error) {
	if !m.told() {
		return time.Time{}, nil
	}
	within, cancel := context.WithTimeout(ctx, meshWithin)
	defer cancel()
	switch key.kind {
	case meshAuthority:
		due, err = m.keepAuthority(within)
	case meshMaster:
		err = m.keepMaster(within)
	case meshLeaf:
		due, err = m.keepLeaf(within, key.name)
	case meshNamespace:
		err = m.keepNamespace(within, key.name)
	}
	if ctx.Err() == nil {
		m.report(key, err)
	}
	return due, err
}

func (m *Mesh) told() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wanted != nil
}

// onlyFaults tells whether an error has nothing in it that a quick retry may mend.
func onlyFaults(err error) bool {
	if joined, several := err.(interface{ Unwrap() []error }); several {
		for _, e := range joined.Unwrap() {
			if !onlyFaults(e) {
				return false
			}
		}
		return true
	}
	var fault *meshFault
	return errors.As(err, &fault)
}

// enqueue has something looked at soon, if this runs. The caller holds the lock.
func (m *Mesh) enqueue(key meshKey) {
	if m.queue != nil {
		m.queue.Add(key)
	}
}

// enqueueAll has everything looked at. The caller holds the lock.
func (m *Mesh) enqueueAll() {
	if m.queue == nil || m.wanted == nil {
		return
	}
	for _, key := range m.keys() {
		m.queue.Add(key)
	}
}

// keys are all that there is to look at; what others depend on comes first. The caller
// holds the lock.
func (m *Mesh) keys() []meshKey {
	keys := []meshKey{{kind: meshMaster}, {kind: meshAuthority}}
	seen := map[meshKey]bool{}
	add := func(key meshKey) {
		if !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	for name := range m.wanted.identities {
		add(meshKey{meshLeaf, name})
	}
	for namespace := range m.wanted.namespaces {
		add(meshKey{meshNamespace, namespace})
	}
	for _, s := range m.stores.leaves() {
		if key, is := m.keyOf(s); is {
			add(key)
		}
	}
	for _, o := range m.stores.inNamespaces() {
		if key, is := m.keyOf(o); is {
			add(key)
		}
	}
	return keys
}

// keyOf says what an object belongs to; false for what is none of ours.
func (m *Mesh) keyOf(o metav1.Object) (meshKey, bool) {
	_, isMap := o.(*corev1.ConfigMap)
	name, own := o.GetName(), o.GetNamespace() == m.o.Namespace && !isMap
	switch {
	case isMap && name == namespaceTrust, !isMap && name == namespaceSecret:
		return meshKey{meshNamespace, o.GetNamespace()}, true
	case own && (name == m.o.CASecret || name == trustSecret):
		return meshKey{kind: meshAuthority}, true
	case own && name == masterSecret:
		return meshKey{kind: meshMaster}, true
	case own && (strings.HasPrefix(name, secretPrefix+roleServer+"-") || strings.HasPrefix(name, secretPrefix+roleClient+"-")):
		return meshKey{meshLeaf, name}, true
	}
	return meshKey{}, false
}

// meshStores are copies of what is in the cluster. Nobody changes what they give.
type meshStores struct {
	namespace, caName string
	// labelled has the Secrets of the controller's namespace that have our label, and
	// authority that of the CA.
	labelled, authority cache.Indexer
	// secrets and configMaps have those of the one name in namespaces of the mesh.
	secrets, configMaps []cache.Indexer
}

// own gives a Secret of ours in the namespace of the controller.
func (s meshStores) own(name, label string) *corev1.Secret {
	x, _, _ := s.labelled.GetByKey(s.namespace + "/" + name)
	secret, _ := x.(*corev1.Secret)
	if secret == nil || secret.Labels[meshLabel] != label {
		return nil
	}
	return secret
}

func (s meshStores) ca() *corev1.Secret {
	x, _, _ := s.authority.GetByKey(s.namespace + "/" + s.caName)
	secret, _ := x.(*corev1.Secret)
	return secret
}

// leaves gives the Secrets of certificates.
func (s meshStores) leaves() []*corev1.Secret {
	var all []*corev1.Secret
	for _, x := range s.labelled.List() {
		if secret, is := x.(*corev1.Secret); is && (secret.Labels[meshLabel] == roleServer || secret.Labels[meshLabel] == roleClient) {
			all = append(all, secret)
		}
	}
	return all
}

func (s meshStores) secret(namespace string) *corev1.Secret {
	for _, store := range s.secrets {
		if x, ok, err := store.GetByKey(namespace + "/" + namespaceSecret); ok && err == nil {
			secret, _ := x.(*corev1.Secret)
			return secret
		}
	}
	return nil
}

func (s meshStores) configMap(namespace string) *corev1.ConfigMap {
	for _, store := range s.configMaps {
		if x, ok, err := store.GetByKey(namespace + "/" + namespaceTrust); ok && err == nil {
			c, _ := x.(*corev1.ConfigMap)
			return c
		}
	}
	return nil
}

// inNamespaces gives what is in the namespaces of the mesh.
func (s meshStores) inNamespaces() []metav1.Object {
	var all []metav1.Object
	for _, stores := range [][]cache.Indexer{s.secrets, s.configMaps} {
		for _, store := range stores {
			for _, x := range store.List() {
				if o, is := x.(metav1.Object); is {
					all = append(all, o)
				}
			}
		}
	}
	return all
}

// follow watches what is kept, and waits until it is known what there is of it.
func (m *Mesh) follow(ctx context.Context, queue workqueue.TypedRateLimitingInterface[meshKey]) (meshStores, error) {
	labelled := func(o *metav1.ListOptions) { o.LabelSelector = meshLabel }
	named := func(name string) func(*metav1.ListOptions) {
		selector := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
		return func(o *metav1.ListOptions) { o.FieldSelector = selector }
	}
	own := coreinformers.NewFilteredSecretInformer(m.o.Client, m.o.Namespace, 0, cache.Indexers{}, labelled)
	ca := coreinformers.NewFilteredSecretInformer(m.o.Client, m.o.Namespace, 0, cache.Indexers{}, named(m.o.CASecret))
	stores := meshStores{namespace: m.o.Namespace, caName: m.o.CASecret, labelled: own.GetIndexer(), authority: ca.GetIndexer()}
	all := []cache.SharedIndexInformer{own, ca}
	namespaces := m.o.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		secrets := coreinformers.NewFilteredSecretInformer(m.o.Client, namespace, 0, cache.Indexers{}, named(namespaceSecret))
		configMaps := coreinformers.NewFilteredConfigMapInformer(m.o.Client, namespace, 0, cache.Indexers{}, named(namespaceTrust))
		stores.secrets, stores.configMaps = append(stores.secrets, secrets.GetIndexer()), append(stores.configMaps, configMaps.GetIndexer())
		all = append(all, secrets, configMaps)
	}
	var synced []cache.InformerSynced
	for _, informer := range all {
		if err := informer.SetTransform(unmanaged); err != nil {
			return stores, err
		}
		r, err := informer.AddEventHandler(m.handler(queue))
		if err != nil {
			return stores, err
		}
		synced = append(synced, r.HasSynced)
	}
	for _, informer := range all {
		go informer.RunWithContext(ctx)
	}
	for !waitFor(ctx, synced) && ctx.Err() == nil {
		m.log.Warn("the Secrets and ConfigMaps of the mesh are not known yet; the right to list them may be missing")
	}
	return stores, nil
}

// waitFor waits a while for informers to be up to date, and tells whether they are.
func waitFor(ctx context.Context, synced []cache.InformerSynced) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return cache.WaitForCacheSync(ctx.Done(), synced...)
}

// handler has looked at what changed.
func (m *Mesh) handler(queue workqueue.TypedRateLimitingInterface[meshKey]) cache.ResourceEventHandler {
	changed := func(x any) {
		if gone, is := x.(cache.DeletedFinalStateUnknown); is {
			x = gone.Obj
		}
		o, is := x.(metav1.Object)
		if !is {
			return
		}
		key, is := m.keyOf(o)
		if !is {
			return
		}
		queue.Add(key)
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: changed,
		UpdateFunc: func(old, x any) {
			before, is := old.(metav1.Object)
			if after, also := x.(metav1.Object); is && also && before.GetResourceVersion() == after.GetResourceVersion() && after.GetResourceVersion() != "" {
				return
			}
			changed(x)
		},
		DeleteFunc: changed,
	}
}

// unmanaged drops what nobody reads. What it leaves can be written back.
func unmanaged(x any) (any, error) {
	if o, is := x.(metav1.Object); is {
		o.SetManagedFields(nil)
	}
	return x, nil
}
