package k8s

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Rules of sidecars
//
// A pod is one to push to when it
//
//	has the label cuegate.dev/sidecar: "true"
//	has a container, or an init container that goes on, with a TCP port tyk-control
//	that container runs and has started
//	has an address of its own: hostNetwork would be that of the node
//	is not about to end
//	has a tag that its namespace can have
//
// A tag brings private keys with it, and whoever writes a pod writes its annotations. So
// a pod is believed to be in the mesh, in a group of its namespace, and of a workload of
// its namespace; every other tag is left out.

// sidecarControlPort is the name of the port of a sidecar's control API.
const sidecarControlPort = "tyk-control"

// Sidecar is a gateway in a pod of the mesh.
type Sidecar struct {
	// Name is "namespace/pod".
	Name, Namespace string
	// URL is that of its control API.
	URL string
	// Tags of the definitions that it is to have, sorted.
	Tags []string
}

// Sidecars follows the pods of the mesh. It needs the rights to list and watch pods, in
// the namespaces that it follows.
type Sidecars struct {
	informers []cache.SharedIndexInformer
	changed   chan struct{}
}

// NewSidecars asks for pods with a sidecar in the namespaces, or in all where the list is
// empty; it calls nobody yet.
func NewSidecars(client kubernetes.Interface, namespaces []string) (*Sidecars, error) {
	s := &Sidecars{changed: make(chan struct{}, 1)}
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, ns := range slices.Compact(slices.Sorted(slices.Values(namespaces))) {
		factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(ns), informers.WithTransform(onlySidecar),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = sidecarKey + "=true" }))
		informer := factory.Core().V1().Pods().Informer()
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { s.compare(nil, o) },
			UpdateFunc: s.compare,
			DeleteFunc: func(o any) { s.compare(o, nil) },
		})
		if err != nil {
			return nil, fmt.Errorf("watching pods: %w", err)
		}
		s.informers = append(s.informers, informer)
	}
	return s, nil
}

// Start follows the pods until ctx ends. It returns at once, and is called once.
func (s *Sidecars) Start(ctx context.Context) {
	var synced []cache.InformerSynced
	for _, informer := range s.informers {
		go informer.RunWithContext(ctx)
		synced = append(synced, informer.HasSynced)
	}
	go func() {
		if cache.WaitForCacheSync(ctx.Done(), synced...) {
			s.wake()
		}
	}()
}

// Changed has an element when Found gives something else than before.
func (s *Sidecars) Changed() <-chan struct{} { return s.changed }

func (s *Sidecars) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// compare wakes when something else is found of a pod than before. As long as not all
// pods are known, nothing is.
func (s *Sidecars) compare(old, now any) {
	if s.synced() && !sidecarOf(old).same(sidecarOf(now)) {
		s.wake()
	}
}

func (s *Sidecars) synced() bool {
	return !slices.ContainsFunc(s.informers, func(i cache.SharedIndexInformer) bool { return !i.HasSynced() })
}

// Found gives the sidecars that run now, in order of their names. An error says that
// they are not known, and not that there are none.
func (s *Sidecars) Found(ctx context.Context) ([]Sidecar, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !s.synced() {
		return nil, errors.New("the pods of the mesh are not known yet")
	}
	all := []Sidecar{}
	for _, informer := range s.informers {
		for _, o := range informer.GetStore().List() {
			if x := sidecarOf(o); x != nil {
				all = append(all, *x)
			}
		}
	}
	slices.SortFunc(all, func(a, b Sidecar) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// meshPod is what is kept of a pod.
type meshPod struct {
	metav1.ObjectMeta // name, namespace, uid and version alone
	// sidecar is nil while there is none to push to.
	sidecar *Sidecar
}

// sidecarOf gives that of something from a store, or of the last that is known of it.
func sidecarOf(o any) *Sidecar {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	if pod, ok := o.(*meshPod); ok {
		return pod.sidecar
	}
	return nil
}

func (x *Sidecar) same(y *Sidecar) bool {
	if x == nil || y == nil {
		return x == y
	}
	return x.URL == y.URL && slices.Equal(x.Tags, y.Tags)
}

// onlySidecar keeps of a pod what its sidecar is found by: of pods there are thousands.
func onlySidecar(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	meta := metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion}
	return &meshPod{meta, findSidecar(pod)}, nil
}

// findSidecar gives nil for a pod that is not to be pushed to.
func findSidecar(pod *corev1.Pod) *Sidecar {
	if pod.Labels[sidecarKey] != "true" || pod.DeletionTimestamp != nil || pod.Spec.HostNetwork {
		return nil
	}
	port, ok := controlPort(pod)
	if !ok {
		return nil
	}
	address, ok := podAddress(pod)
	tags := trustedTags(pod.Namespace, pod.Annotations[injectedKey])
	if !ok || len(tags) == 0 {
		return nil
	}
	u := url.URL{Scheme: "http", Host: netip.AddrPortFrom(address, port).String()}
	return &Sidecar{Name: pod.Namespace + "/" + pod.Name, Namespace: pod.Namespace, URL: u.String(), Tags: tags}
}

// controlPort finds the port of the control API, of a container that runs.
func controlPort(pod *corev1.Pod) (uint16, bool) {
	for _, c := range pod.Spec.InitContainers {
		goesOn := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		if port, ok := portCalled(c, sidecarControlPort); ok && goesOn {
			return port, runs(pod.Status.InitContainerStatuses, c.Name)
		}
	}
	for _, c := range pod.Spec.Containers {
		if port, ok := portCalled(c, sidecarControlPort); ok {
			return port, runs(pod.Status.ContainerStatuses, c.Name)
		}
	}
	return 0, false
}

func portCalled(c corev1.Container, name string) (uint16, bool) {
	for _, p := range c.Ports {
		if p.Name == name && (p.Protocol == corev1.ProtocolTCP || p.Protocol == "") && len(validation.IsValidPortNum(int(p.ContainerPort))) == 0 {
			return uint16(p.ContainerPort), true
		}
	}
	return 0, false
}

// runs tells whether a container runs and is through with starting.
func runs(all []corev1.ContainerStatus, name string) bool {
	for _, s := range all {
		if s.Name == name {
			return s.State.Running != nil && (s.Ready || s.Started != nil && *s.Started)
		}
	}
	return false
}

// podAddress is the first address of a pod. None that is of the controller itself, or of
// its node, is that of a pod.
func podAddress(pod *corev1.Pod) (netip.Addr, bool) {
	text := pod.Status.PodIP
	if text == "" && len(pod.Status.PodIPs) > 0 {
		text = pod.Status.PodIPs[0].IP
	}
	a, err := netip.ParseAddr(text)
	return a, err == nil && a.Zone() == "" && !a.IsLoopback() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
}

// meshTag is the tag of what all sidecars get, and the first part of those of groups.
const meshTag = "mesh"

// trustedTags are the tags that a pod says it has, as far as its namespace can have them.
func trustedTags(namespace, status string) []string {
	var injected struct {
		Tags []string `json:"tags"`
	}
	if json.Unmarshal([]byte(status), &injected) != nil {
		return nil
	}
	tags := slices.DeleteFunc(injected.Tags, func(tag string) bool { return !canHave(namespace, tag) })
	slices.Sort(tags)
	return slices.Compact(tags)
}

// canHave tells whether a pod of a namespace can have a tag: mesh, mesh.<namespace>.<group>,
// or <namespace>.<workload>. Neither has another dot, so that none passes for one of
// another namespace, even where a namespace is called mesh.
func canHave(namespace, tag string) bool {
	parts := strings.Split(tag, ".")
	last := parts[len(parts)-1]
	if len(validation.IsDNS1123Label(last)) > 0 {
		return false
	}
	switch len(parts) {
	case 1:
		return tag == meshTag
	case 2:
		return parts[0] == namespace
	case 3:
		return parts[0] == meshTag && parts[1] == namespace
	}
	return false
}
