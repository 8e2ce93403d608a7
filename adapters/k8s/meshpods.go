package k8s

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

const (
	// sidecarSelector selects the pods that have a sidecar of ours.
	sidecarSelector = "cuegate.dev/sidecar=true"
	// sidecarControlPort is the name of the port of a sidecar's control API.
	sidecarControlPort = "tyk-control"
	// injectedAnnotation is where a pod says which tags its sidecar has.
	injectedAnnotation = "injector.tyk.io/status"
)

// Sidecar is a gateway in a pod of the mesh.
type Sidecar struct {
	// Name is "namespace/pod".
	Name, Namespace string
	// URL is that of its control API.
	URL string
	// Tags of the definitions that it is to have, sorted.
	Tags []string
}

// Sidecars follows the pods of the mesh.
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
	wake := func() {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
	for _, ns := range namespaces {
		factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(ns), informers.WithTransform(onlySidecar),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = sidecarSelector }))
		i := factory.Core().V1().Pods().Informer()
		_, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { wake() },
			DeleteFunc: func(any) { wake() },
			UpdateFunc: func(old, now any) {
				before, ok1 := old.(*corev1.Pod)
				after, ok2 := now.(*corev1.Pod)
				if !ok1 || !ok2 || !sameSidecar(before, after) {
					wake()
				}
			},
		})
		if err != nil {
			return nil, err
		}
		s.informers = append(s.informers, i)
	}
	return s, nil
}

// Start follows the pods until ctx ends. It returns at once, and is called once.
func (s *Sidecars) Start(ctx context.Context) {
	for _, i := range s.informers {
		go i.RunWithContext(ctx)
	}
}

// Changed has an element when Found may give something else than before.
func (s *Sidecars) Changed() <-chan struct{} { return s.changed }

// Found gives the sidecars that run now, in order of their names. An error says that
// they are not known, and not that there are none.
func (s *Sidecars) Found(ctx context.Context) ([]Sidecar, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	all := []Sidecar{}
	for _, i := range s.informers {
		if !i.HasSynced() {
			return nil, errors.New("the pods of the mesh are not known yet")
		}
		for _, o := range i.GetStore().List() {
			if pod, ok := o.(*corev1.Pod); ok {
				if x, ok := sidecarOf(pod); ok {
					all = append(all, x)
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b Sidecar) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// sidecarOf gives the sidecar of a pod, if it runs there and anything is for it.
func sidecarOf(pod *corev1.Pod) (Sidecar, bool) {
	x := Sidecar{Name: pod.Namespace + "/" + pod.Name, Namespace: pod.Namespace, Tags: trustedTags(pod)}
	container, port := controlPort(pod)
	if port == 0 || len(x.Tags) == 0 || pod.DeletionTimestamp != nil || pod.Status.PodIP == "" || !runs(pod, container) {
		return Sidecar{}, false
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(port))}
	x.URL = u.String()
	return x, true
}

// trustedTags are the tags that a pod says it has, as far as its namespace can have them.
// A tag brings private keys with it, and who writes pods may write any.
func trustedTags(pod *corev1.Pod) []string {
	var said struct {
		Tags []string `json:"tags"`
	}
	if json.Unmarshal([]byte(pod.Annotations[injectedAnnotation]), &said) != nil {
		return nil
	}
	said.Tags = slices.DeleteFunc(said.Tags, func(tag string) bool {
		own, group := pod.Namespace+".", "mesh."+pod.Namespace+"."
		// A namespace may be called mesh; "mesh.x.y" is the tag of a group of x for all that.
		return tag != "mesh" && !strings.HasPrefix(tag, group) && (!strings.HasPrefix(tag, own) || pod.Namespace == "mesh" && strings.Count(tag, ".") != 1)
	})
	slices.Sort(said.Tags)
	return slices.Compact(said.Tags)
}

// controlPort finds the container of the sidecar, and the port of its control API; 0
// where there is none.
func controlPort(pod *corev1.Pod) (container string, port int) {
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, p := range c.Ports {
			if p.Name == sidecarControlPort {
				return c.Name, int(p.ContainerPort)
			}
		}
	}
	return "", 0
}

// runs tells whether the container runs, and has started where it says so.
func runs(pod *corev1.Pod, container string) bool {
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if s.Name == container {
			return s.State.Running != nil && (s.Started == nil || *s.Started)
		}
	}
	return false
}

func sameSidecar(a, b *corev1.Pod) bool {
	x, ok1 := sidecarOf(a)
	y, ok2 := sidecarOf(b)
	return ok1 == ok2 && x.Name == y.Name && x.URL == y.URL && slices.Equal(x.Tags, y.Tags)
}

// onlySidecar keeps of a pod what its sidecar is found by.
func onlySidecar(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	container, port := controlPort(pod)
	kept := &corev1.Pod{}
	kept.Namespace, kept.Name, kept.UID, kept.ResourceVersion = pod.Namespace, pod.Name, pod.UID, pod.ResourceVersion
	kept.DeletionTimestamp = pod.DeletionTimestamp
	kept.Annotations = map[string]string{injectedAnnotation: pod.Annotations[injectedAnnotation]}
	if port != 0 {
		kept.Spec.Containers = []corev1.Container{{Name: container, Ports: []corev1.ContainerPort{{Name: sidecarControlPort, ContainerPort: int32(port)}}}}
	}
	kept.Status.PodIP = pod.Status.PodIP
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if s.Name == container {
			kept.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: s.Name, State: corev1.ContainerState{Running: s.State.Running}, Started: s.Started}}
		}
	}
	return kept, nil
}
