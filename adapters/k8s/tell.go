package k8s

import (
	"maps"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/cuegate/cuegate/engine"
)

// sameForUs tells whether nothing changed between two versions of an Ingress that
// anyone decides by: the status and our own annotation, which we write ourselves, are
// no reason to look at it again.
func sameForUs(old, new *networkingv1.Ingress) bool {
	return old.UID == new.UID &&
		old.DeletionTimestamp.Equal(new.DeletionTimestamp) &&
		maps.Equal(old.Labels, new.Labels) &&
		sameAnnotations(old.Annotations, new.Annotations) &&
		equality.Semantic.DeepEqual(old.Spec, new.Spec)
}

// sameAnnotations compares all annotations but ours.
func sameAnnotations(a, b map[string]string) bool {
	count := func(m map[string]string) int {
		if _, ours := m[engine.StatusAnnotation]; ours {
			return len(m) - 1
		}
		return len(m)
	}
	if count(a) != count(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; k != engine.StatusAnnotation && (!ok || w != v) {
			return false
		}
	}
	return true
}
