package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/cuegate/cuegate/engine/internal/policy"
)

// A Service with the annotation injector.tyk.io/inject has ports of its own lead to the
// sidecars of its pods, so that whoever calls it by its name passes through them. What
// they led to before stands in the annotation injector.tyk.io/status.

// ServiceFacts is #ServiceFacts.
type ServiceFacts struct {
	Inject *string            `json:"inject,omitempty"`
	Listed *string            `json:"listed,omitempty"`
	Ports  []ServicePortFacts `json:"ports"`
}

// ServicePortFacts is an element of ports of #ServiceFacts.
type ServicePortFacts struct {
	Name        string `json:"name"`
	Port        int    `json:"port"`
	Protocol    string `json:"protocol"`
	AppProtocol string `json:"appProtocol"`
}

// service tells whether the object is a Service; about most of them nothing is decided.
func (o Object) service() bool { return o.Kind == "Service" && o.APIVersion == "v1" }

// rewritten is the value of the annotation of a Service: by port number, the target port
// that its author wrote, or null where he wrote none.
type rewritten map[int]json.RawMessage

// servicePorts is what is read of a Service.
type servicePorts struct {
	Metadata workloadMeta `json:"metadata"`
	Spec     struct {
		Ports []struct {
			Name        string          `json:"name"`
			Port        int             `json:"port"`
			Protocol    string          `json:"protocol"`
			AppProtocol string          `json:"appProtocol"`
			TargetPort  json.RawMessage `json:"targetPort"`
		} `json:"ports"`
	} `json:"spec"`
}

// newServiceFacts gathers what is known about a Service.
func (e *Engine) newServiceFacts(o Object, around Cluster) (*draft, rewritten, []Reason) {
	d := &draft{object: o, around: around}
	var s servicePorts
	var reasons []Reason
	if err := json.Unmarshal(o.JSON, &s); err != nil {
		reasons = []Reason{{ID: "object-invalid", Msg: "The object is not of the form of a Service: " + decodeMessage(err) + "."}}
	}
	was := rewritten{}
	annotations := orEmpty(s.Metadata.Annotations)
	if text, ok := annotations[injectedAnnotation]; ok && json.Unmarshal([]byte(text), &was) != nil {
		reasons = append(reasons, Reason{ID: "injected-invalid", Field: "metadata.annotations[" + injectedAnnotation + "]",
			Msg: "The annotation that lists what was changed cannot be read.", Fix: "Remove it, and correct the target ports."})
	}
	delete(annotations, injectedAnnotation)
	d.gather(e, orEmpty(s.Metadata.Labels), annotations)
	f := &ServiceFacts{Ports: []ServicePortFacts{}}
	if v, ok := annotations[injectAnnotation]; ok {
		f.Inject = &v
	}
	if v, ok := annotations[portsAnnotation]; ok {
		f.Listed = &v
	}
	for _, p := range s.Spec.Ports {
		protocol := p.Protocol
		if protocol == "" {
			protocol = string(corev1.ProtocolTCP)
		}
		f.Ports = append(f.Ports, ServicePortFacts{p.Name, p.Port, protocol, p.AppProtocol})
	}
	d.facts.Service, d.facts.Routes, d.facts.Overrides = f, []RouteFacts{}, []OverrideFacts{}
	return d, was, reasons
}

// sidecarPort is what every sidecar calls the port on which it takes requests from others;
// not all have the same number there.
const sidecarPort = "tyk-mesh"

// rewritePorts gives the patch that has the ports lead where they shall, and the others
// where their author wanted them; nil where they do.
func rewritePorts(d *draft, was rewritten, to *policy.Rewrite) ([]byte, error) {
	var s servicePorts
	if json.Unmarshal(d.object.JSON, &s) != nil {
		return nil, nil // not ours to mend
	}
	var ops []operation
	now := rewritten{}
	for i, p := range s.Spec.Ports {
		at := fmt.Sprintf("/spec/ports/%d/targetPort", i)
		there := string(p.TargetPort) != "" && string(p.TargetPort) != "null"
		before, changed := was[p.Port]
		tcp := p.Protocol == "" || p.Protocol == string(corev1.ProtocolTCP)
		switch {
		case tcp && slices.Contains(to.Ports, p.Port):
			if !changed || there && string(p.TargetPort) != strconv.Quote(sidecarPort) {
				before = p.TargetPort // as its author has it now
			}
			if !there {
				before = json.RawMessage("null")
				if changed {
					before = was[p.Port]
				}
			}
			now[p.Port] = before
			if !there {
				ops = append(ops, operation{"add", at, sidecarPort})
			} else if string(p.TargetPort) != strconv.Quote(sidecarPort) {
				ops = append(ops, operation{"replace", at, sidecarPort})
			}
		case tcp && changed && string(before) == "null":
			if there {
				ops = append(ops, operation{"remove", at, nil})
			}
		case tcp && changed && string(p.TargetPort) != string(before):
			ops = append(ops, operation{"replace", at, before})
		}
	}
	text, err := canonical(now)
	if err != nil {
		return nil, err
	}
	at := "/metadata/annotations/" + pointer(injectedAnnotation)
	noted, has := s.Metadata.Annotations[injectedAnnotation]
	switch {
	case len(now) == 0 && has:
		ops = append(ops, operation{"remove", at, nil})
	case len(now) > 0 && !has:
		ops = append(ops, operation{"add", at, string(text)})
	case len(now) > 0 && noted != string(text):
		ops = append(ops, operation{"replace", at, string(text)})
	}
	if len(ops) == 0 {
		return nil, nil
	}
	return canonical(ops)
}
