package k8s

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/pager"

	"github.com/cuegate/cuegate/engine"
)

// ListOptions say what List reads.
type ListOptions struct {
	// Namespaces are those to look into, or all where the list is empty.
	Namespaces []string
	// MeshNamespace is where the certificates of the mesh are; with "" there is no mesh,
	// and nothing of one is read.
	MeshNamespace string
}

// List reads once what a controller watches, as it sees it: workloads that do not speak
// of the mesh are left out. Secrets that Ingresses name are for NamedSecrets.
func List(ctx context.Context, client kubernetes.Interface, o ListOptions) ([]engine.Object, error) {
	l := &lister{ctx: ctx}
	read(l, "IngressClasses", metav1.ListOptions{}, client.NetworkingV1().IngressClasses().List)
	namespaces := o.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
		read(l, "Namespaces", metav1.ListOptions{}, client.CoreV1().Namespaces().List)
	}
	for _, ns := range namespaces {
		if ns != metav1.NamespaceAll {
			l.namespace(client, ns)
		}
		read(l, "Ingresses", metav1.ListOptions{}, client.NetworkingV1().Ingresses(ns).List)
		read(l, "Services", metav1.ListOptions{}, client.CoreV1().Services(ns).List)
		if o.MeshNamespace != "" {
			read(l, "Deployments", metav1.ListOptions{}, client.AppsV1().Deployments(ns).List)
			read(l, "StatefulSets", metav1.ListOptions{}, client.AppsV1().StatefulSets(ns).List)
			read(l, "DaemonSets", metav1.ListOptions{}, client.AppsV1().DaemonSets(ns).List)
		}
	}
	if o.MeshNamespace != "" {
		selector := metav1.ListOptions{LabelSelector: meshLabel + " in (" + roleServer + "," + roleClient + ")"}
		read(l, "Secrets", selector, client.CoreV1().Secrets(o.MeshNamespace).List)
	}
	return l.objects, l.err
}

// lister collects objects; after the first error it reads no more.
type lister struct {
	ctx     context.Context
	objects []engine.Object
	err     error
}

// read reads a list in pages.
func read[L runtime.Object](l *lister, what string, o metav1.ListOptions, list func(context.Context, metav1.ListOptions) (L, error)) {
	if l.err != nil {
		return
	}
	p := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return list(ctx, o) })
	if err := p.EachListItem(l.ctx, o, l.take); err != nil {
		l.err = fmt.Errorf("listing %s: %w", what, err)
	}
}

func (l *lister) namespace(client kubernetes.Interface, name string) {
	if l.err != nil {
		return
	}
	ns, err := client.CoreV1().Namespaces().Get(l.ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		l.err = fmt.Errorf("reading the Namespace %s: %w", name, err)
	default:
		l.err = l.take(ns)
	}
}

func (l *lister) take(o runtime.Object) error {
	trimmed, err := trim(o)
	if err != nil || isNameOnly(trimmed) {
		return err
	}
	taken, err := object(trimmed)
	if err == nil {
		l.objects = append(l.objects, taken)
	}
	return err
}

// NamedSecrets reads the TLS Secrets that those Ingresses name which are ours, and that
// are not among the objects. One that is not there is left out.
func NamedSecrets(ctx context.Context, client kubernetes.Interface, objects []engine.Object, ours func(engine.Ref) bool) ([]engine.Object, error) {
	known := map[string]bool{}
	wanted := group{}
	for _, o := range objects {
		switch {
		case o.Kind == kindSecret:
			known[o.Namespace+"/"+o.Name] = true
		case o.Kind == kindIngress && ours(o.Ref):
			var ing networkingv1.Ingress
			if json.Unmarshal(o.JSON, &ing) != nil {
				continue // it is refused, whatever it names
			}
			for _, name := range linksOf(&ing).secrets {
				wanted.add(name, o.Ref)
			}
		}
	}
	maps.DeleteFunc(wanted, func(name string, _ set) bool { return known[name] })
	answers := newSecrets(client).readAll(ctx, wanted)
	var secrets []engine.Object
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		a := answers[name]
		switch {
		case apierrors.IsNotFound(a.err):
			continue
		case a.err != nil:
			return nil, fmt.Errorf("reading the Secret %s: %w", name, a.err)
		case a.secret.Type != corev1.SecretTypeTLS:
			continue
		}
		o, err := object(a.secret)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, o)
	}
	return secrets, nil
}
