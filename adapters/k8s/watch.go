package k8s

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/cuegate/cuegate/engine"
)

// The kinds that are watched.
const (
	kindIngress      = "Ingress"
	kindIngressClass = "IngressClass"
	kindService      = "Service"
	kindNamespace    = "Namespace"
	kindSecret       = "Secret"
)

// An object that has to wait is looked at again after soonest, then after twice that,
// and so on up to latest.
const soonest, latest = 100 * time.Millisecond, time.Minute

// lastApplied is what kubectl apply keeps of a manifest: as large as the object, and
// nothing that anyone decides by.
const lastApplied = corev1.LastAppliedConfigAnnotation

// watch keeps a copy of what is in the cluster, and a queue of what changed.
//
// Of Secrets it keeps the metadata alone: what they hold is read when an object of
// ours names them (secrets.go). Workloads, and the certificates of the mesh, are in
// meshwatch.go.
type watch struct {
	dirty     workqueue.TypedRateLimitingInterface[engine.Ref]
	factories []informers.SharedInformerFactory
	// others are informers that no factory starts.
	others []cache.SharedIndexInformer
	stores map[string][]cache.Indexer // by kind
	synced []cache.InformerSynced
}

// newWatch watches the namespaces, or all of them where the list is empty. With a list
// it asks for no right on other namespaces.
func newWatch(client kubernetes.Interface, meta metadata.Interface, namespaces []string) (*watch, error) {
	w := &watch{
		dirty:  workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[engine.Ref](soonest, latest)),
		stores: map[string][]cache.Indexer{},
	}
	whole := w.factory(client, metav1.NamespaceAll, "")
	err := w.add(kindIngressClass, whole.Networking().V1().IngressClasses().Informer())
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, ns := range namespaces {
		f, named := w.factory(client, ns, ""), whole
		if ns != metav1.NamespaceAll {
			// The right to watch one object by its name goes with the right to get it.
			named = w.factory(client, metav1.NamespaceAll, fields.OneTermEqualSelector(metav1.ObjectNameField, ns).String())
		}
		secrets := metadatainformer.NewFilteredMetadataInformer(meta, corev1.SchemeGroupVersion.WithResource("secrets"), ns, 0, cache.Indexers{},
			func(o *metav1.ListOptions) {
				o.FieldSelector = fields.OneTermEqualSelector("type", string(corev1.SecretTypeTLS)).String()
			})
		w.others = append(w.others, secrets.Informer())
		for kind, informer := range map[string]cache.SharedIndexInformer{
			kindNamespace: named.Core().V1().Namespaces().Informer(),
			kindIngress:   f.Networking().V1().Ingresses().Informer(),
			kindService:   f.Core().V1().Services().Informer(),
			kindSecret:    secrets.Informer(),
		} {
			if err == nil {
				err = w.add(kind, informer)
			}
		}
	}
	return w, err
}

// factory gives one whose informers keep no more than is needed.
func (w *watch) factory(client kubernetes.Interface, namespace, fieldSelector string) informers.SharedInformerFactory {
	f := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace), informers.WithTransform(trim),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = fieldSelector }))
	w.factories = append(w.factories, f)
	return f
}

// one gives an informer of a single Service.
func (w *watch) one(client kubernetes.Interface, name cache.ObjectName) cache.SharedIndexInformer {
	f := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(name.Namespace), informers.WithTransform(trim),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name.Name).String()
		}))
	return f.Core().V1().Services().Informer()
}

// trim drops what nobody reads: for many objects it is the larger part.
func trim(o any) (any, error) {
	if m, ok := o.(metav1.Object); ok {
		m.SetManagedFields(nil)
		if a := m.GetAnnotations(); a[lastApplied] != "" {
			delete(a, lastApplied)
			m.SetAnnotations(a)
		}
	}
	return trimWorkload(o), nil
}

func (w *watch) add(kind string, informer cache.SharedIndexInformer) error {
	if slices.Contains(w.stores[kind], informer.GetIndexer()) {
		return nil
	}
	queue := func(o any) {
		if key, err := cache.DeletionHandlingObjectToName(o); err == nil {
			w.dirty.Add(engine.Ref{Kind: kind, Namespace: key.Namespace, Name: key.Name})
		}
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) {
			if !isWorkload(kind) || !isNameOnly(o) {
				queue(o)
			}
		},
		UpdateFunc: func(old, o any) {
			before, ok := old.(*networkingv1.Ingress)
			if after, is := o.(*networkingv1.Ingress); ok && is && sameForUs(before, after) {
				return // most often what we wrote ourselves
			}
			if isWorkload(kind) && sameWorkload(old, o) {
				return
			}
			queue(o)
		},
		DeleteFunc: queue,
	})
	if err != nil {
		return fmt.Errorf("watching kind %s: %w", kind, err)
	}
	w.stores[kind] = append(w.stores[kind], informer.GetIndexer())
	w.synced = append(w.synced, registration.HasSynced)
	return nil
}

// start begins to watch until ctx ends.
func (w *watch) start(ctx context.Context) {
	for _, f := range w.factories {
		f.Start(ctx.Done())
	}
	for _, informer := range w.others {
		go informer.RunWithContext(ctx)
	}
	context.AfterFunc(ctx, w.dirty.ShutDown)
}

// hasSynced tells whether everything that was there at the start is in the queue.
func (w *watch) hasSynced() bool {
	for _, synced := range w.synced {
		if !synced() {
			return false
		}
	}
	return true
}

// changed waits for something to change, and gives all that did; nil when the watch
// has ended. done has to be called when the state that follows from it is known.
func (w *watch) changed(settle func()) (refs []engine.Ref, done func()) {
	ref, ended := w.dirty.Get()
	if ended {
		return nil, func() {}
	}
	refs = append(refs, ref)
	settle()
	for w.dirty.Len() > 0 {
		if ref, ended = w.dirty.Get(); ended {
			break
		}
		refs = append(refs, ref)
	}
	return refs, func() {
		for _, ref := range refs {
			w.dirty.Done(ref)
		}
	}
}

// get gives what is in the cluster now.
func (w *watch) get(ref engine.Ref) (any, bool) {
	name := ref.Name
	if ref.Namespace != "" {
		name = ref.Namespace + "/" + name
	}
	for _, store := range w.stores[ref.Kind] {
		if o, ok, err := store.GetByKey(name); ok && err == nil {
			return o, true
		}
	}
	return nil, false
}

// each visits all objects of a kind.
func (w *watch) each(kind string, visit func(o any)) {
	for _, store := range w.stores[kind] {
		for _, o := range store.List() {
			visit(o)
		}
	}
}

// object gives what the API server said as the engine reads it. Informers leave
// apiVersion and kind out, and share what they give, so these go into a copy.
func object(o any) (engine.Object, error) {
	switch x := o.(type) {
	case *networkingv1.Ingress:
		y := *x
		return written(&y, &y.TypeMeta, networkingv1.SchemeGroupVersion, kindIngress)
	case *networkingv1.IngressClass:
		y := *x
		return written(&y, &y.TypeMeta, networkingv1.SchemeGroupVersion, kindIngressClass)
	case *corev1.Service:
		y := *x
		return written(&y, &y.TypeMeta, corev1.SchemeGroupVersion, kindService)
	case *corev1.Namespace:
		y := *x
		return written(&y, &y.TypeMeta, corev1.SchemeGroupVersion, kindNamespace)
	case *corev1.Secret:
		y := *x
		return written(&y, &y.TypeMeta, corev1.SchemeGroupVersion, kindSecret)
	}
	return workloadObject(o)
}

// written writes version and kind into the head of an object, and all of it as JSON.
func written(o metav1.Object, head *metav1.TypeMeta, version schema.GroupVersion, kind string) (engine.Object, error) {
	head.APIVersion, head.Kind = version.String(), kind
	data, err := json.Marshal(o)
	ref := engine.Ref{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}
	return engine.Object{Ref: ref, APIVersion: head.APIVersion, JSON: data}, err
}
