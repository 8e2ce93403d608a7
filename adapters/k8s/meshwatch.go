package k8s

import (
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/cuegate/cuegate/engine"
)

// The kinds that are watched for the mesh.
const (
	kindDeployment  = "Deployment"
	kindStatefulSet = "StatefulSet"
	kindDaemonSet   = "DaemonSet"
	// kindMeshSecret are the Secrets with certificates of the mesh; unlike others they
	// are watched with what they hold.
	kindMeshSecret = "Secret of the mesh"
)

var workloadKinds = []string{kindDeployment, kindStatefulSet, kindDaemonSet}

func isWorkload(kind string) bool {
	return kind == kindDeployment || kind == kindStatefulSet || kind == kindDaemonSet
}

// Annotations of a workload, or of its pod template, that say that it asks for a sidecar,
// and what was injected; and the label of pods that have one. Without any of them it has
// no part in the mesh.
const (
	injectKey   = "injector.tyk.io/inject"
	injectedKey = "injector.tyk.io/status"
	sidecarKey  = "cuegate.dev/sidecar"
)

// byOwner is an index of the Services of the mesh, by the workload that they are of.
const byOwner = "owner"

// addMesh watches workloads too, and the certificates of the mesh, which are in the
// namespace home.
func (w *watch) addMesh(client kubernetes.Interface, namespaces []string, home string) error {
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, ns := range namespaces {
		apps := w.factory(client, ns, "").Apps().V1()
		for kind, informer := range map[string]cache.SharedIndexInformer{
			kindDeployment:  apps.Deployments().Informer(),
			kindStatefulSet: apps.StatefulSets().Informer(),
			kindDaemonSet:   apps.DaemonSets().Informer(),
		} {
			if err := w.add(kind, informer); err != nil {
				return err
			}
		}
	}
	for _, services := range w.stores[kindService] {
		if err := services.AddIndexers(cache.Indexers{byOwner: ownersOf}); err != nil {
			return fmt.Errorf("watching Services of the mesh: %w", err)
		}
	}
	certificates := coreinformers.NewFilteredSecretInformer(client, home, 0, cache.Indexers{},
		func(o *metav1.ListOptions) {
			o.LabelSelector = meshLabel + " in (" + roleServer + "," + roleClient + ")"
		})
	if err := certificates.SetTransform(trimMeshSecret); err != nil {
		return fmt.Errorf("watching certificates of the mesh: %w", err)
	}
	w.others = append(w.others, certificates)
	return w.add(kindMeshSecret, certificates)
}

// trimWorkload leaves of a workload that does not speak of the mesh nothing but its name:
// most are of that kind, and they are large.
func trimWorkload(o any) any {
	w, ok := workloadOf(o)
	if !ok {
		return o
	}
	if !speaks(w.meta.Annotations) && !speaks(w.template.Annotations) && !w.isInjected() {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: w.meta.Namespace, Name: w.meta.Name, ResourceVersion: w.meta.ResourceVersion,
		}}
	}
	return o
}

func speaks(annotations map[string]string) bool {
	_, asks := annotations[injectKey]
	_, was := annotations[injectedKey]
	return asks || was
}

// isNameOnly tells whether a workload does not speak of the mesh.
func isNameOnly(o any) bool {
	_, is := o.(*metav1.PartialObjectMetadata)
	return is
}

// workload is what is looked at of a workload, of whatever kind.
type workload struct {
	author
	meta     *metav1.ObjectMeta
	selector *metav1.LabelSelector
	template *corev1.PodTemplateSpec
	// wanted are the pods that there shall be, and updated those that are of the
	// present template.
	wanted, updated int32
}

// workloadOf reads one; false for what is none, or has nothing but a name.
func workloadOf(o any) (workload, bool) {
	switch x := o.(type) {
	case *appsv1.Deployment:
		return workload{x, &x.ObjectMeta, x.Spec.Selector, &x.Spec.Template, x.Status.Replicas, x.Status.UpdatedReplicas}, true
	case *appsv1.StatefulSet:
		return workload{x, &x.ObjectMeta, x.Spec.Selector, &x.Spec.Template, x.Status.Replicas, x.Status.UpdatedReplicas}, true
	case *appsv1.DaemonSet:
		return workload{x, &x.ObjectMeta, x.Spec.Selector, &x.Spec.Template, x.Status.CurrentNumberScheduled, x.Status.UpdatedNumberScheduled}, true
	}
	return workload{}, false
}

// isInjected tells whether the workload was stored with a sidecar, be it an old one.
func (w workload) isInjected() bool {
	return w.template.Annotations[injectedKey] != "" || w.template.Labels[sidecarKey] != ""
}

// sameWorkload tells whether nothing changed between two versions of a workload that
// anyone decides by: how many pods there are is no reason to look at it again.
func sameWorkload(old, new any) bool {
	if isNameOnly(old) && isNameOnly(new) {
		return true
	}
	a, is := workloadOf(old)
	b, also := workloadOf(new)
	return is && also &&
		a.meta.UID == b.meta.UID &&
		a.meta.DeletionTimestamp.Equal(b.meta.DeletionTimestamp) &&
		maps.Equal(a.meta.Labels, b.meta.Labels) &&
		maps.Equal(a.meta.Annotations, b.meta.Annotations) &&
		equality.Semantic.DeepEqual(a.selector, b.selector) &&
		equality.Semantic.DeepEqual(a.template, b.template)
}

// workloadObject gives a workload as the engine reads it.
func workloadObject(o any) (engine.Object, error) {
	switch x := o.(type) {
	case *appsv1.Deployment:
		y := *x
		y.Status = appsv1.DeploymentStatus{}
		return written(&y, &y.TypeMeta, appsv1.SchemeGroupVersion, kindDeployment)
	case *appsv1.StatefulSet:
		y := *x
		y.Status = appsv1.StatefulSetStatus{}
		return written(&y, &y.TypeMeta, appsv1.SchemeGroupVersion, kindStatefulSet)
	case *appsv1.DaemonSet:
		y := *x
		y.Status = appsv1.DaemonSetStatus{}
		return written(&y, &y.TypeMeta, appsv1.SchemeGroupVersion, kindDaemonSet)
	}
	return engine.Object{}, fmt.Errorf("%T is of no kind that is watched", o)
}

// trimMeshSecret drops what nobody decides by: of all keys that of the certificate which
// is presented is needed, and no other.
func trimMeshSecret(o any) (any, error) {
	s, ok := o.(*corev1.Secret)
	if !ok {
		return o, nil
	}
	data := map[string][]byte{}
	for _, entry := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey, "next.crt", previousCertificate} {
		if text, there := s.Data[entry]; there {
			data[entry] = text
		}
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: s.Name, UID: s.UID, ResourceVersion: s.ResourceVersion,
			Labels: map[string]string{meshLabel: s.Labels[meshLabel]}, Annotations: map[string]string{meshForKey: s.Annotations[meshForKey]},
		},
		Type: s.Type, Data: data,
	}, nil
}

// ownersOf gives the workloads, as engine.Ref writes them, that a Service of the mesh is of.
func ownersOf(o any) ([]string, error) {
	s, ok := o.(*corev1.Service)
	if !ok || s.Labels[meshLabel] != serviceLabel {
		return nil, nil
	}
	var owners []string
	for _, r := range s.OwnerReferences {
		if ref, is := ownerOf(s.Namespace, r); is {
			owners = append(owners, ref.String())
		}
	}
	return owners, nil
}

// ownerOf gives the workload that an owner reference names; false where it is none.
func ownerOf(namespace string, r metav1.OwnerReference) (engine.Ref, bool) {
	if r.APIVersion != appsv1.SchemeGroupVersion.String() || !isWorkload(r.Kind) {
		return engine.Ref{}, false
	}
	return engine.Ref{Kind: r.Kind, Namespace: namespace, Name: r.Name}, true
}

// workload gives a workload that speaks of the mesh.
func (w *watch) workload(ref engine.Ref) (workload, bool) {
	x, there := w.get(ref)
	if !there {
		return workload{}, false
	}
	return workloadOf(x)
}

// eachWorkload visits those that speak of the mesh.
func (w *watch) eachWorkload(visit func(engine.Ref, workload)) {
	for _, kind := range workloadKinds {
		w.each(kind, func(o any) {
			if x, ok := workloadOf(o); ok {
				visit(engine.Ref{Kind: kind, Namespace: x.meta.Namespace, Name: x.meta.Name}, x)
			}
		})
	}
}

// services gives the Services of the mesh that are of a workload.
func (w *watch) services(of engine.Ref) []*corev1.Service {
	var all []*corev1.Service
	for _, store := range w.stores[kindService] {
		found, err := store.ByIndex(byOwner, of.String())
		if err != nil {
			continue // there is no such index without a mesh
		}
		for _, o := range found {
			if s, ok := o.(*corev1.Service); ok {
				all = append(all, s)
			}
		}
	}
	return all
}

// owners gives the workloads that Services of the mesh are of.
func (w *watch) owners() []engine.Ref {
	var all []engine.Ref
	for _, store := range w.stores[kindService] {
		for _, text := range store.ListIndexFuncValues(byOwner) {
			if ref, err := engine.ParseRef(text); err == nil {
				all = append(all, ref)
			}
		}
	}
	return all
}

// unasking gives a workload that says nothing.
func unasking(ref engine.Ref) any {
	meta := metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name}
	switch ref.Kind {
	case kindStatefulSet:
		return &appsv1.StatefulSet{ObjectMeta: meta}
	case kindDaemonSet:
		return &appsv1.DaemonSet{ObjectMeta: meta}
	}
	return &appsv1.Deployment{ObjectMeta: meta}
}
