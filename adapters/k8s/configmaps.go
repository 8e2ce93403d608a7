package k8s

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// configMaps follows the ConfigMaps that hold a bundle.
type configMaps struct {
	informer cache.SharedIndexInformer
	handled  cache.InformerSynced
}

// newConfigMaps asks for ConfigMaps of the namespace only, and calls changed for what
// happens to them.
func newConfigMaps(client kubernetes.Interface, namespace, selected string, changed func()) (*configMaps, error) {
	selector, err := labels.Parse(selected)
	switch {
	case err != nil:
		return nil, fmt.Errorf("selecting the ConfigMaps of the bundle: %w", err)
	case selector.Empty():
		return nil, errors.New("selecting the ConfigMaps of the bundle: no label is named, and not all ConfigMaps can be meant")
	case namespace == "":
		return nil, errors.New("selecting the ConfigMaps of the bundle: no namespace is named")
	}
	m := &configMaps{informer: coreinformers.NewFilteredConfigMapInformer(client, namespace, 0, cache.Indexers{},
		func(o *metav1.ListOptions) { o.LabelSelector = selected })}
	if err := m.informer.SetTransform(bare); err != nil {
		return nil, err
	}
	r, err := m.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { changed() },
		UpdateFunc: func(_, _ any) { changed() },
		DeleteFunc: func(any) { changed() },
	})
	if err != nil {
		return nil, err
	}
	m.handled = r.HasSynced
	return m, nil
}

// bare drops what nobody reads; kubectl keeps a second copy of the data in an annotation.
func bare(o any) (any, error) {
	if m, ok := o.(metav1.Object); ok {
		m.SetManagedFields(nil)
		m.SetAnnotations(nil)
	}
	return o, nil
}

func (m *configMaps) run(ctx context.Context) { m.informer.RunWithContext(ctx) }

// wait waits until all are known; false when ctx ended before.
func (m *configMaps) wait(ctx context.Context) bool {
	return cache.WaitForCacheSync(ctx.Done(), m.handled)
}

// pieces gives the files that they hold.
func (m *configMaps) pieces() []piece {
	var all []piece
	for _, o := range m.informer.GetStore().List() {
		if c, ok := o.(*corev1.ConfigMap); ok {
			all = append(all, piecesOf(c)...)
		}
	}
	return all
}
