package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/cuegate/cuegate/engine/internal/policy"
	"github.com/cuegate/cuegate/engine/internal/template"
)

// pod is #Pod of the CUE package sidecar: what is added to the pods of a workload.
type pod struct {
	Containers     []map[string]any  `json:"containers"`
	InitContainers []map[string]any  `json:"initContainers"`
	Volumes        []map[string]any  `json:"volumes"`
	HostAliases    []map[string]any  `json:"hostAliases"`
	Sysctls        []map[string]any  `json:"sysctls"`
	Labels         map[string]string `json:"labels"`
	Annotations    map[string]string `json:"annotations"`
}

// injected is the value of the annotation that says what was injected: what is in no
// such list is the author's, and is never touched.
type injected struct {
	// Bundle is the digest of the bundle that did it.
	Bundle string `json:"bundle"`
	// Hash is that of what was injected, 16 hexadecimal digits.
	Hash string `json:"hash"`
	// Names by list: containers, initContainers, volumes, hostAliases (addresses),
	// sysctls, labels, annotations.
	Names map[string][]string `json:"names"`
	// Tags of the definitions that the sidecar loads.
	Tags []string `json:"tags"`
}

func (i *injected) has(list, name string) bool {
	return i != nil && slices.Contains(i.Names[list], name)
}

// readInjected gives nil for an annotation that is not there.
func readInjected(text string) (i *injected, invalid bool) {
	if text == "" {
		return nil, false
	}
	i = &injected{}
	if json.Unmarshal([]byte(text), i) != nil || len(i.Names) == 0 {
		return nil, true
	}
	for list := range i.Names {
		if !slices.ContainsFunc(patchedLists, func(l patchedList) bool { return l.name == list }) && list != "labels" && list != "annotations" {
			return nil, true
		}
	}
	return i, false
}

// inject renders the sidecar, and gives the patch that brings it into the workload and
// the Service that leads to it.
func (w *walk) inject(d *draft, part *policy.Mesh) error {
	tags := []string{roleMesh, d.object.Namespace + "." + d.object.Name}
	if part.TLS == tlsMutual {
		tags[0] = groupTag(part.Group)
	}
	raw, err := w.engine.bundle.templates.RenderSidecar(template.SidecarIn{
		Kind: d.object.Kind, Namespace: d.object.Namespace, Name: d.object.Name, Org: w.engine.config.OrgID,
		Tags: tags, Host: part.Host, Port: part.Port, AppPort: d.facts.Workload.Port, TakenPorts: d.takenPorts(),
		Interception: part.Interception, TLS: part.TLS,
	})
	var f *template.Fault
	switch {
	case errors.As(err, &f) && f.Author:
		return w.refuse("inject", Reason{ID: "sidecar-errors", Field: "spec.template", Msg: fmt.Sprintf("The sidecar refuses the workload: %s.", f.Message)})
	case err != nil:
		return w.broken("inject", Reason{ID: "sidecar-failed", Field: "spec.template", Msg: fmt.Sprintf("The sidecar cannot be rendered: %s.", err)})
	}
	var add pod
	if err := decodeInto(raw, &add); err != nil {
		return w.broken("inject", Reason{ID: "sidecar-failed", Field: "spec.template", Msg: fmt.Sprintf("The sidecar is not of the form of #Pod: %s.", decodeMessage(err))})
	}
	sum := sha256.Sum256(raw)
	status := &injected{Bundle: w.engine.bundle.digest, Hash: hex.EncodeToString(sum[:8]), Tags: tags}
	if d.injected != nil && d.injected.Hash == status.Hash && slices.Equal(d.injected.Tags, tags) {
		// A new bundle with the same sidecar is no reason for new pods.
		status.Bundle = d.injected.Bundle
	}
	var patch []byte
	var reasons []Reason
	patch, reasons, err = withSidecar(d, add, status)
	switch {
	case err != nil:
		return w.broken("inject", Reason{ID: "sidecar-failed", Field: "spec.template", Msg: fmt.Sprintf("The patch cannot be made: %s.", err)})
	case len(reasons) > 0:
		return w.refuse("inject", reasons...)
	}
	w.desired.Patch = patch
	w.step("inject", Reason{ID: "sidecar", Field: "spec.template", Msg: fmt.Sprintf("The sidecar listens on port %d for the mesh and sends to port %d of the app.", part.Port, d.facts.Workload.Port)})
	w.desired.Service, reasons = d.service(part)
	if len(reasons) > 0 {
		return w.refuse("inject", reasons...)
	}
	return nil
}

// service makes the Service by which other sidecars find the workload.
func (d *draft) service(part *policy.Mesh) ([]byte, []Reason) {
	selector := d.workload.Spec.Selector
	if selector == nil || len(selector.MatchLabels) == 0 || len(selector.MatchExpressions) > 0 {
		return nil, []Reason{{ID: "selector-unsupported", Field: "spec.selector",
			Msg: "The Service of the sidecar selects pods by labels alone, and the workload has no spec.selector.matchLabels or has matchExpressions.",
			Fix: "Select the pods by matchLabels."}}
	}
	o, meta := d.object, map[string]any{
		"name":      d.facts.Routes[0].Backend.Name,
		"namespace": d.object.Namespace,
		"labels":    map[string]any{meshLabel: "service"},
	}
	if uid := d.workload.Metadata.UID; uid != "" {
		meta["ownerReferences"] = []any{map[string]any{"apiVersion": o.APIVersion, "kind": o.Kind, "name": o.Name, "uid": uid, "controller": true}}
	}
	// What canonical writes cannot fail: it is all texts and numbers.
	raw, _ := canonical(map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": meta,
		"spec": map[string]any{
			"selector": selector.MatchLabels,
			"ports":    []any{map[string]any{"name": "mesh", "port": part.Port, "targetPort": part.Port, "protocol": "TCP"}},
		},
	})
	return raw, nil
}
