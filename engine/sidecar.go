package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cuegate/cuegate/engine/internal/policy"
	"github.com/cuegate/cuegate/engine/internal/template"
)

// injected is the value of the annotation that says what was injected: what is in no
// such list is the author's, and is never touched.
type injected struct {
	// Bundle is the digest of the bundle that did it.
	Bundle string `json:"bundle"`
	// Hash is that of what was injected, 16 hexadecimal digits.
	Hash string `json:"hash"`
	// Names by list: containers, initContainers, volumes, hostAliases ("address/host"),
	// sysctls, labels, annotations.
	Names map[string][]string `json:"names"`
	// Parts are hashes, 8 hexadecimal digits, by list and name: "containers/tyk-mesh".
	Parts map[string]string `json:"parts"`
	// Tags of the definitions that the sidecar loads.
	Tags []string `json:"tags"`

	// lost is set when the annotation is gone, and what it said was found out again.
	lost bool
}

// text is the value of the annotation.
func (i *injected) text() ([]byte, error) {
	return canonical(map[string]any{"bundle": i.Bundle, "hash": i.Hash, "names": i.Names, "parts": i.Parts, "tags": i.Tags})
}

func (i *injected) has(list, name string) bool {
	return i != nil && slices.Contains(i.Names[list], name)
}

// readInjected gives nil for a pod template without a sidecar of ours. A list that is not
// known is invalid: a later version may have injected what this one cannot take out. Of
// an annotation that is invalid it gives what can be found without it.
func (w *workload) readInjected() (i *injected, invalid bool) {
	text := w.Spec.Template.Metadata.Annotations[injectedAnnotation]
	if text == "" {
		return w.recoverInjected(), false
	}
	i = &injected{}
	if json.Unmarshal([]byte(text), i) != nil || len(i.Names) == 0 {
		return w.recoverInjected(), true
	}
	for list := range i.Names {
		if !has(nouns, list) {
			return w.recoverInjected(), true
		}
	}
	for _, l := range patchedLists {
		// Names that somebody has added have no part, and what they name is not ours.
		i.Names[l.name] = slices.DeleteFunc(i.Names[l.name], func(name string) bool { return !has(i.Parts, l.name+"/"+name) })
	}
	if len(i.Names["containers"])+len(i.Names["initContainers"]) == 0 {
		if found := w.recoverInjected(); found != nil {
			return found, false
		}
	}
	return i, false
}

const (
	// sidecarLabel is on pods that have a sidecar, with the value "true".
	sidecarLabel = "cuegate.dev/sidecar"
	// controlPort is what every sidecar calls the port of its control API.
	controlPort = "tyk-control"
)

// recoverInjected finds our containers where the annotation is gone. Our label says that
// they may be there, and the name of a port which it is.
func (w *workload) recoverInjected() *injected {
	pod := w.Spec.Template
	if pod.Metadata.Labels[sidecarLabel] != "true" {
		return nil
	}
	i := &injected{Names: map[string][]string{"labels": {sidecarLabel}}, lost: true}
	for list, containers := range map[string][]container{"containers": pod.Spec.Containers, "initContainers": pod.Spec.InitContainers} {
		for _, c := range containers {
			for _, p := range c.Ports {
				if p.Name == controlPort {
					i.Names[list] = append(i.Names[list], c.Name)
					i.Names["initContainers"] = append(i.Names["initContainers"], c.Name+"-init")
				}
			}
		}
	}
	if len(i.Names) == 1 {
		return nil
	}
	return i
}

// inject renders the sidecar, and gives the patch that brings it into the workload and
// the Service that leads to it.
func (w *walk) inject(d *draft, part *policy.Mesh) error {
	service, unselected := d.service(part)
	if len(unselected) > 0 {
		return w.refuse("inject", unselected...)
	}
	tags := []string{roleMesh, d.object.Ref.Scope()}
	if part.TLS == tlsMutual {
		tags[0] = groupTag(part.Group)
	}
	add, err := w.engine.bundle.templates.RenderSidecar(template.SidecarIn{
		Kind: d.object.Kind, Namespace: d.object.Namespace, Name: d.object.Name, Org: w.engine.config.OrgID,
		Tags: tags, Host: part.Host, Port: d.meshPort(part), AppPort: d.facts.Workload.Port, TakenPorts: d.takenPorts(),
		Interception: part.Interception, TLS: part.TLS,
	})
	failed := func(what string, err error) error {
		return w.broken("inject", Reason{ID: "sidecar-failed", Field: "spec.template", Msg: fmt.Sprintf("%s: %s.", what, err)})
	}
	var f *template.Fault
	switch {
	case errors.As(err, &f) && f.Author:
		return w.refuse("inject", Reason{ID: "sidecar-errors", Field: "spec.template", Msg: fmt.Sprintf("The sidecar refuses the workload: %s.", f.Message)})
	case err != nil:
		return failed("The sidecar cannot be rendered", err)
	}
	status := &injected{Bundle: w.engine.bundle.digest, Hash: add.Hash, Tags: tags}
	if d.injected != nil && d.injected.Hash == status.Hash && slices.Equal(d.injected.Tags, tags) {
		// A new bundle with the same sidecar is no reason for new pods.
		status.Bundle = d.injected.Bundle
	}
	patch, taken, err := withSidecar(d, add, status)
	switch {
	case err != nil:
		return failed("The patch cannot be made", err)
	case len(taken) > 0:
		return w.refuse("inject", taken...)
	}
	w.desired.Patch, w.desired.Service = patch, service
	w.step("inject", Reason{ID: "sidecar", Field: "spec.template", Msg: fmt.Sprintf("The sidecar listens on port %d for the mesh and sends to port %d of the app.", d.meshPort(part), d.facts.Workload.Port)})
	return nil
}

// meshPort is where the sidecar listens: on the port of the mesh, or on the other one where
// the app has that.
func (d *draft) meshPort(part *policy.Mesh) int {
	if slices.Contains(d.takenPorts(), part.Port) {
		return part.OtherPort
	}
	return part.Port
}

// service makes the Service by which other sidecars find the workload.
func (d *draft) service(part *policy.Mesh) ([]byte, []Reason) {
	selector := d.workload.Spec.Selector
	if selector == nil || len(selector.MatchLabels) == 0 || len(selector.MatchExpressions) > 0 {
		return nil, []Reason{{ID: "selector-unsupported", Field: "spec.selector",
			Msg: "The Service of the sidecar selects pods by labels alone, and the workload has no spec.selector.matchLabels or has matchExpressions.",
			Fix: "Select the pods by matchLabels."}}
	}
	// Pods of before the sidecar have the labels too.
	selected := maps.Clone(selector.MatchLabels)
	selected[sidecarLabel] = "true"
	o := d.object
	s := meshService{APIVersion: "v1", Kind: "Service", Metadata: meshServiceMeta{
		Labels: map[string]string{meshLabel: "service"}, Name: d.facts.Routes[0].Backend.Name, Namespace: o.Namespace,
	}, Spec: meshServiceSpec{
		Ports:    []meshServicePort{{Name: "mesh", Port: part.Port, Protocol: "TCP", TargetPort: d.meshPort(part)}},
		Selector: selected,
	}}
	if uid := d.workload.Metadata.UID; uid != "" {
		s.Metadata.Owners = []ownerReference{{APIVersion: o.APIVersion, Controller: true, Kind: o.Kind, Name: o.Name, UID: uid}}
	}
	// What canonical writes cannot fail: it is all texts and numbers.
	raw, _ := canonical(s)
	return raw, nil
}

// meshService is a Service with what we set of it, in the order of its keys.
type meshService struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Metadata   meshServiceMeta `json:"metadata"`
	Spec       meshServiceSpec `json:"spec"`
}

type meshServiceMeta struct {
	Labels    map[string]string `json:"labels"`
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Owners    []ownerReference  `json:"ownerReferences,omitempty"`
}

type ownerReference struct {
	APIVersion string `json:"apiVersion"`
	Controller bool   `json:"controller"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
}

type meshServiceSpec struct {
	Ports    []meshServicePort `json:"ports"`
	Selector map[string]string `json:"selector"`
}

type meshServicePort struct {
	Name       string `json:"name"`
	Port       int    `json:"port"`
	Protocol   string `json:"protocol"`
	TargetPort int    `json:"targetPort"`
}
