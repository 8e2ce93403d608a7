package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/cuegate/cuegate/engine/internal/policy"
)

// Facts is all that rules and templates may know about one object. The fields
// and their meaning are defined once, in cue/schema/facts.cue; a test holds these
// types to it.
type Facts struct {
	Object              ObjectFacts          `json:"object"`
	Namespace           NamespaceFacts       `json:"namespace"`
	Class               *ClassFacts          `json:"class,omitempty"`
	DefaultClasses      []DefaultClass       `json:"defaultClasses"`
	Templates           []string             `json:"templates"`
	TemplateAnnotations []TemplateAnnotation `json:"templateAnnotations"`
	Overrides           []OverrideFacts      `json:"overrides"`
	Routes              []RouteFacts         `json:"routes"`
	Workload            *WorkloadFacts       `json:"workload,omitempty"`
	Service             *ServiceFacts        `json:"service,omitempty"`
	Definitions         []DefinitionFacts    `json:"definitions,omitempty"`
}

// ObjectFacts is #ObjectFacts.
type ObjectFacts struct {
	APIVersion  string            `json:"apiVersion"`
	Kind        string            `json:"kind"`
	Namespace   string            `json:"namespace"`
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Created     string            `json:"created"`
}

// NamespaceFacts is the field namespace of #Facts.
type NamespaceFacts struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Known  bool              `json:"known"`
}

// ClassFacts is #ClassFacts.
type ClassFacts struct {
	Name       *string          `json:"name,omitempty"`
	Annotation *string          `json:"annotation,omitempty"`
	Known      bool             `json:"known"`
	Controller *string          `json:"controller,omitempty"`
	Parameters *ClassParameters `json:"parameters,omitempty"`
}

// ClassParameters is #ClassParameters.
type ClassParameters struct {
	APIGroup string `json:"apiGroup"`
	Kind     string `json:"kind"`
	Name     string `json:"name"`
}

// DefaultClass is an element of defaultClasses of #Facts.
type DefaultClass struct {
	Name       string           `json:"name"`
	Controller string           `json:"controller"`
	Parameters *ClassParameters `json:"parameters,omitempty"`
}

// TemplateAnnotation is an element of templateAnnotations of #Facts.
type TemplateAnnotation struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// OverrideFacts is #OverrideFacts.
type OverrideFacts struct {
	Key     string   `json:"key"`
	Paths   []string `json:"paths"`
	Strings []string `json:"strings,omitempty"`
}

// Keys of annotations.
const (
	classAnnotation = "kubernetes.io/ingress.class"
	// templateAnnotation is the one that the old controller read.
	templateAnnotation    = "template.service.tyk.io"
	ownTemplateAnnotation = "cuegate.dev/template"
)

// newFacts gathers what is known about an Ingress. What is wrong with the object
// comes as reasons; the facts hold what could be read all the same, so that an
// object that is not ours can be left alone, whatever is wrong with it.
func (e *Engine) newFacts(o Object, around Cluster) (*draft, []Reason) {
	d := &draft{object: o, around: around}
	ing, reasons, err := decodeIngress(o)
	if err != nil {
		if ing, reasons = decodeHead(o); len(reasons) == 0 {
			reasons = []Reason{{ID: "object-invalid", Msg: "The object is not of the form of an Ingress: " + decodeMessage(err) + "."}}
		}
	}
	delete(ing.Annotations, StatusAnnotation)
	if size := annotationBytes(ing.Annotations); size > maxAnnotations {
		reasons = append(reasons, Reason{ID: "annotations-too-large", Field: "metadata.annotations",
			Msg: fmt.Sprintf("The annotations have %d bytes; Kubernetes allows %d.", size, maxAnnotations)})
		// Whose the object is can be told all the same.
		ing.Annotations = onlyKey(ing.Annotations, classAnnotation)
	}
	d.ingress = ing
	d.created = ing.CreationTimestamp.Time
	d.gather(e, orEmpty(ing.Labels), orEmpty(ing.Annotations))
	f := &d.facts
	var class *string
	if a, ok := ing.Annotations[classAnnotation]; ok {
		class = &a
	}
	named := around.classFacts(ing.Spec.IngressClassName, class)
	f.Class = &named
	f.DefaultClasses = around.defaultClasses()
	if err != nil {
		f.Overrides, f.Routes = []OverrideFacts{}, []RouteFacts{}
		return d, reasons
	}
	reasons = append(reasons, e.readOverrides(d)...)
	reasons = append(reasons, e.readRoutes(d, around)...)
	return d, reasons
}

// gather fills in what is known of every kind of object.
func (d *draft) gather(e *Engine, labels, annotations map[string]string) {
	o, f := d.object, &d.facts
	f.Object = ObjectFacts{
		APIVersion:  o.APIVersion,
		Kind:        o.Kind,
		Namespace:   o.Namespace,
		Name:        o.Name,
		Labels:      labels,
		Annotations: annotations,
		Created:     formatTime(d.created),
	}
	home, known := d.around.namespaces[o.Namespace]
	f.Namespace = NamespaceFacts{Name: o.Namespace, Labels: orEmpty(home), Known: known}
	f.DefaultClasses = []DefaultClass{}
	f.Templates = e.bundle.templates.Names()
	f.TemplateAnnotations = []TemplateAnnotation{}
	for _, k := range []string{ownTemplateAnnotation, templateAnnotation} {
		if v, ok := annotations[k]; ok {
			f.TemplateAnnotations = append(f.TemplateAnnotations, TemplateAnnotation{k, v})
		}
	}
}

// annotationBytes counts as the API server does.
func annotationBytes(m map[string]string) int {
	n := 0
	for k, v := range m {
		n += len(k) + len(v)
	}
	return n
}

func onlyKey(m map[string]string, key string) map[string]string {
	if v, ok := m[key]; ok && len(v) < 256 {
		return map[string]string{key: v}
	}
	return nil
}

// draft is an object on its way through the house.
type draft struct {
	object    Object
	around    Cluster
	ingress   *networkingv1.Ingress // nil unless it is one
	workload  *workload             // nil unless it is one
	taken     []int                 // see takenPorts
	injected  *injected             // what a workload lists as injected, or nil
	created   time.Time
	facts     Facts
	input     policy.Input // the facts, for the policies
	overrides []override
	routes    []route
	// certificates of the routes, by id.
	certificates map[string]Certificate
	// publics are those whose keys callers have, by id.
	publics  map[string]Certificate
	warnings []Reason
}

// classFacts tells of the class that an Ingress names in its field or its annotation,
// which has precedence.
func (c Cluster) classFacts(field, annotation *string) ClassFacts {
	f := ClassFacts{Name: field, Annotation: annotation}
	name := cmp.Or(annotation, field)
	if name == nil {
		return f
	}
	if class, ok := c.classes[*name]; ok {
		f.Known, f.Controller, f.Parameters = true, &class.controller, class.parameters
	}
	return f
}

func (c Cluster) defaultClasses() []DefaultClass {
	list := []DefaultClass{}
	for name, class := range c.classes {
		if class.isDefault {
			list = append(list, DefaultClass{name, class.controller, class.parameters})
		}
	}
	slices.SortFunc(list, func(a, b DefaultClass) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
