package k8s

import (
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// servicePatch gives the merge patch that brings a Service to what it shall be, if it is
// still the same; nil where it is so.
func servicePatch(have, want *corev1.Service) ([]byte, error) {
	meta, spec := map[string]any{}, map[string]any{}
	labels := map[string]any{}
	for k, v := range want.Labels {
		if have.Labels[k] != v {
			labels[k] = v
		}
	}
	if len(labels) > 0 {
		meta["labels"] = labels
	}
	if !hasOwner(have, want) {
		meta["ownerReferences"] = withOwner(have, want)
	}
	if !maps.Equal(have.Spec.Selector, want.Spec.Selector) {
		selector := map[string]any{}
		for k := range have.Spec.Selector {
			selector[k] = nil // is taken away
		}
		for k, v := range want.Spec.Selector {
			selector[k] = v
		}
		spec["selector"] = selector
	}
	if !samePorts(have.Spec.Ports, want.Spec.Ports) {
		spec["ports"] = want.Spec.Ports
	}
	if have.Spec.Type == corev1.ServiceTypeExternalName {
		spec["type"], spec["externalName"] = corev1.ServiceTypeClusterIP, nil // it would lead elsewhere
	}
	if len(meta)+len(spec) == 0 {
		return nil, nil
	}
	meta["uid"], meta["resourceVersion"] = have.UID, have.ResourceVersion
	patch := map[string]any{"metadata": meta}
	if len(spec) > 0 {
		patch["spec"] = spec
	}
	data, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("writing a patch: %w", err)
	}
	return data, nil
}

// hasOwner tells whether the one that controls a Service is the one that shall.
func hasOwner(have, want *corev1.Service) bool {
	h, w := metav1.GetControllerOf(have), metav1.GetControllerOf(want)
	return h != nil && w != nil && h.APIVersion == w.APIVersion && h.Kind == w.Kind && h.Name == w.Name && h.UID == w.UID
}

// withOwner gives the owners that a Service shall have: other workloads are gone, and
// only one may control it.
func withOwner(have, want *corev1.Service) []metav1.OwnerReference {
	owners := want.OwnerReferences
	for _, r := range have.OwnerReferences {
		if _, is := ownerOf(have.Namespace, r); !is && (r.Controller == nil || !*r.Controller) {
			owners = append(owners[:len(owners):len(owners)], r)
		}
	}
	return owners
}

// samePorts compares what is ours of ports; numbers of nodes and the like are not.
func samePorts(have, want []corev1.ServicePort) bool {
	if len(have) != len(want) {
		return false
	}
	for i, h := range have {
		w := want[i]
		if h.Protocol == "" {
			h.Protocol = corev1.ProtocolTCP
		}
		if h.Name != w.Name || h.Port != w.Port || h.TargetPort != w.TargetPort || h.Protocol != w.Protocol {
			return false
		}
	}
	return true
}
