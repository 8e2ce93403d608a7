package engine

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	kubejson "sigs.k8s.io/json"

	"github.com/cuegate/cuegate/engine/internal/schema"
	"github.com/cuegate/cuegate/engine/internal/template"
)

// Annotations of workloads, on the pod template or on the object itself; the former
// have precedence.
const (
	injectorDomain = "injector.tyk.io/"

	injectAnnotation       = injectorDomain + "inject"
	routeAnnotation        = injectorDomain + "route"
	interceptionAnnotation = injectorDomain + "interception"
	portAnnotation         = injectorDomain + "port"
	groupAnnotation        = injectorDomain + "group"
	callersAnnotation      = injectorDomain + "caller-access-groups"
	// Of Services.
	portsAnnotation = injectorDomain + "ports"

	// Those that we write.
	injectedAnnotation  = injectorDomain + "status"
	inboundIDAnnotation = injectorDomain + "inbound-service-id"
	meshIDAnnotation    = injectorDomain + "mesh-service-id"

	inboundTemplateAnnotation = "cuegate.dev/inbound-template"
	meshTemplateAnnotation    = "cuegate.dev/mesh-template"
)

var injectorAnnotations = []string{
	injectAnnotation, routeAnnotation, interceptionAnnotation, portAnnotation, groupAnnotation, callersAnnotation,
	injectedAnnotation, inboundIDAnnotation, meshIDAnnotation,
}

// ours are annotations that we write, and that nothing is decided by.
var ours = []string{StatusAnnotation, injectedAnnotation, inboundIDAnnotation, meshIDAnnotation}

// WorkloadFacts is #WorkloadFacts.
type WorkloadFacts struct {
	Inject       *string           `json:"inject,omitempty"`
	Injected     bool              `json:"injected"`
	PodLabels    map[string]string `json:"podLabels"`
	HostNetwork  bool              `json:"hostNetwork"`
	Containers   []ContainerFacts  `json:"containers"`
	Route        string            `json:"route"`
	Port         int               `json:"port"`
	PortProblem  string            `json:"portProblem,omitempty"`
	Interception *string           `json:"interception,omitempty"`
	Group        string            `json:"group"`
	Callers      []string          `json:"callers,omitempty"`
}

// ContainerFacts is an element of containers of #WorkloadFacts.
type ContainerFacts struct {
	Name  string `json:"name"`
	Image string `json:"image"`
	Init  bool   `json:"init"`
}

// workload tells whether the object is one of those whose pods can have a sidecar.
func (o Object) workload() bool {
	return o.APIVersion == "apps/v1" && (o.Kind == "Deployment" || o.Kind == "StatefulSet" || o.Kind == "DaemonSet")
}

// workload is what is read of one; all else of it is none of our business, and passes
// through untouched.
type workload struct {
	Metadata workloadMeta `json:"metadata"`
	Spec     struct {
		Selector *metav1.LabelSelector `json:"selector"`
		Template struct {
			Metadata workloadMeta `json:"metadata"`
			Spec     podSpec      `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

type workloadMeta struct {
	UID               string            `json:"uid"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	CreationTimestamp metav1.Time       `json:"creationTimestamp"`
}

type podSpec struct {
	HostNetwork    bool              `json:"hostNetwork"`
	OS             hasName           `json:"os"`
	NodeSelector   map[string]string `json:"nodeSelector"`
	Containers     []container       `json:"containers"`
	InitContainers []container       `json:"initContainers"`

	// Of the rest of what is patched only the form counts.
	Volumes         []hasName            `json:"volumes"`
	HostAliases     []template.HostAlias `json:"hostAliases"`
	SecurityContext struct {
		Sysctls []hasName `json:"sysctls"`
	} `json:"securityContext"`
}

type hasName struct {
	Name string `json:"name"`
}

type container struct {
	Name  string          `json:"name"`
	Image string          `json:"image"`
	Ports []containerPort `json:"ports"`
}

type containerPort struct {
	Name          string `json:"name"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
}

func (p containerPort) tcp() bool { return p.Protocol == "" || p.Protocol == "TCP" }

// newWorkloadFacts gathers what is known about a workload, as newFacts does of an
// Ingress.
func (e *Engine) newWorkloadFacts(o Object, around Cluster) (*draft, []Reason) {
	d := &draft{object: o, around: around, workload: &workload{}}
	w := d.workload
	reasons, err := w.read(o)
	injected, invalid := w.readInjected()
	if invalid {
		reasons = append(reasons, Reason{ID: "injected-invalid", Field: w.annotationField(injectedAnnotation),
			Msg: "The annotation that lists what was injected cannot be read.", Fix: "Remove it, and the containers and volumes of the sidecar."})
	}
	if err == nil {
		d.injected = injected
	}
	annotations := w.annotations()
	if size := annotationBytes(annotations); size > 2*maxAnnotations {
		reasons = append(reasons, Reason{ID: "annotations-too-large", Field: "metadata.annotations",
			Msg: fmt.Sprintf("The annotations have %d bytes; Kubernetes allows %d.", size, maxAnnotations)})
		annotations = onlyKey(annotations, injectAnnotation)
	}
	d.created = w.Metadata.CreationTimestamp.Time
	d.gather(e, orEmpty(w.Metadata.Labels), orEmpty(annotations))
	d.facts.Workload = d.workloadFacts()
	d.facts.Routes = []RouteFacts{}
	if err != nil || !d.asks() {
		// Annotations of others' meaning are none of our business.
		d.facts.Overrides = []OverrideFacts{}
		return d, reasons
	}
	reasons = append(reasons, e.readOverrides(d)...)
	reasons = append(reasons, d.readGroups()...)
	if o.Name != "" {
		reasons = append(reasons, e.readMeshRoutes(d)...)
	}
	return d, reasons
}

// read decodes the object, and says what is wrong with it. What can be read is read all
// the same. err is set when the rest cannot be relied on.
func (w *workload) read(o Object) (reasons []Reason, err error) {
	if err = kubejson.UnmarshalCaseSensitivePreserveInts(o.JSON, w); err != nil {
		r := Reason{ID: "object-invalid", Msg: fmt.Sprintf("The object is not of the form of a %s: %s.", o.Kind, decodeMessage(err))}
		if w.readInject(o) {
			r.Field, r.Msg = w.annotationField(injectAnnotation), "Values of annotations are texts, and this one is none."
			r.Fix = `Write it in quotes: "true".`
		}
		return []Reason{r}, err
	}
	pod := w.Spec.Template.Spec
	switch {
	case o.Name == "":
		reasons = []Reason{{ID: "name-missing", Field: "metadata.name", Msg: "Nothing can be injected into an object that has a metadata.generateName and no metadata.name.", Fix: "Give it a metadata.name."}}
	case len(validation.IsDNS1123Subdomain(o.Name)) > 0 || !dnsLabel.MatchString(o.Namespace):
		reasons = []Reason{{ID: "object-invalid", Field: "metadata.name", Msg: fmt.Sprintf("No %s can have the name %q in the namespace %q.", o.Kind, clip(o.Name), clip(o.Namespace))}}
	case len(pod.Containers) == 0:
		reasons = []Reason{{ID: "object-invalid", Field: "spec.template.spec.containers", Msg: "The pod template has no containers."}}
	case pod.OS.Name == "windows" || pod.NodeSelector["kubernetes.io/os"] == "windows":
		reasons = []Reason{{ID: "os-unsupported", Field: "spec.template.spec", Msg: "The pods run on Windows, and the sidecar on Linux only.", Fix: "Remove the annotation " + injectAnnotation + "."}}
	}
	return reasons, nil
}

// readInject reads the wish for a sidecar where it is no text, as in
//
//	injector.tyk.io/inject: true
//
// so that its author hears of the mistake. It tells whether that is so.
func (w *workload) readInject(o Object) (found bool) {
	for at, annotations := range map[string]*map[string]string{"metadata": &w.Metadata.Annotations, "spec.template.metadata": &w.Spec.Template.Metadata.Annotations} {
		v := gjson.GetBytes(o.JSON, at+".annotations").Map()[injectAnnotation]
		if v.Exists() && v.Type != gjson.String {
			if *annotations == nil {
				*annotations = map[string]string{}
			}
			(*annotations)[injectAnnotation] = v.String()
			found = true
		}
	}
	return found
}

// annotations are those of the object and of its pod template, without those that we
// write.
func (w *workload) annotations() map[string]string {
	all := map[string]string{}
	maps.Copy(all, w.Metadata.Annotations)
	maps.Copy(all, w.Spec.Template.Metadata.Annotations)
	for _, k := range ours {
		delete(all, k)
	}
	return all
}

// annotationField is where an annotation stands, or had better stand.
func (w *workload) annotationField(key string) string {
	if has(w.Metadata.Annotations, key) && !has(w.Spec.Template.Metadata.Annotations, key) {
		return "metadata.annotations[" + key + "]"
	}
	return "spec.template.metadata.annotations[" + key + "]"
}

// asks tells whether the object speaks of injection at all.
func (d *draft) asks() bool { return d.facts.Workload.Inject != nil }

func (d *draft) workloadFacts() *WorkloadFacts {
	pod := d.workload.Spec.Template
	annotations := d.facts.Object.Annotations
	f := &WorkloadFacts{
		Injected:    d.injected != nil,
		PodLabels:   orEmpty(pod.Metadata.Labels),
		HostNetwork: pod.Spec.HostNetwork,
		Containers:  []ContainerFacts{},
		Route:       "/" + strings.Trim(annotations[routeAnnotation], "/"),
		Group:       "default",
	}
	if annotations[routeAnnotation] == "" {
		f.Route += d.object.Name
	}
	if v, ok := annotations[injectAnnotation]; ok {
		f.Inject = &v
	}
	if v, ok := annotations[interceptionAnnotation]; ok {
		f.Interception = &v
	}
	if v, ok := annotations[groupAnnotation]; ok {
		f.Group = v
	}
	if v, ok := annotations[callersAnnotation]; ok {
		f.Callers = []string{}
		for _, name := range strings.Split(v, ",") {
			if name = strings.TrimSpace(name); name != "" && !strings.Contains(name, "/") {
				name = key(d.object.Namespace, name)
			}
			f.Callers = append(f.Callers, name)
		}
		slices.Sort(f.Callers)
		f.Callers = slices.Compact(f.Callers)
	}
	for _, c := range d.others(pod.Spec.InitContainers, "initContainers") {
		f.Containers = append(f.Containers, ContainerFacts{c.Name, c.Image, true})
	}
	for _, c := range d.others(pod.Spec.Containers, "containers") {
		f.Containers = append(f.Containers, ContainerFacts{c.Name, c.Image, false})
	}
	f.Port, f.PortProblem = d.appPort(annotations[portAnnotation])
	return f
}

// others are the containers of a list that we did not inject.
func (d *draft) others(all []container, list string) []container {
	return slices.DeleteFunc(slices.Clone(all), func(c container) bool { return d.injected.has(list, c.Name) })
}

// appPort finds the port of the app; 0 and a problem when there is none.
func (d *draft) appPort(wanted string) (port int, problem string) {
	port, problem = d.findPort(wanted)
	if problem == "" && (port < 1 || port > 65535) {
		return 0, fmt.Sprintf("%d is not a number from 1 to 65535", port)
	}
	return port, problem
}

// findPort takes the port that the annotation gives, by number or by name, or else the
// only TCP port of the app's containers, or the one that is called http.
func (d *draft) findPort(wanted string) (port int, problem string) {
	if n, err := strconv.Atoi(wanted); err == nil {
		return n, ""
	}
	type candidate struct {
		name string
		port int
	}
	var all []candidate
	for _, c := range d.others(d.workload.Spec.Template.Spec.Containers, "containers") {
		for _, p := range c.Ports {
			if p.tcp() {
				all = append(all, candidate{p.Name, p.ContainerPort})
			}
		}
	}
	if wanted == "" {
		if len(all) == 1 {
			return all[0].port, ""
		}
		wanted = "http"
	}
	var texts, names []string
	for _, p := range all {
		if p.name == wanted {
			return p.port, ""
		}
		text := strconv.Itoa(p.port)
		if p.name != "" {
			text, names = fmt.Sprintf("%d (%s)", p.port, p.name), append(names, p.name)
		}
		texts = append(texts, text)
	}
	switch {
	case len(all) == 0:
		return 0, "no container names a TCP port"
	case d.facts.Object.Annotations[portAnnotation] == "":
		return 0, "the containers have several, and none is called http: " + strings.Join(texts, ", ")
	}
	problem = fmt.Sprintf("no container has a TCP port called %q", clip(wanted))
	if near := schema.Nearest(wanted, names); near != "" {
		problem += fmt.Sprintf(", but there is %q", near)
	}
	return 0, problem
}

// takenPorts are the TCP ports of the app, sorted.
func (d *draft) takenPorts() []int {
	if d.taken != nil {
		return d.taken
	}
	taken := []int{}
	if p := d.facts.Workload.Port; p != 0 {
		taken = append(taken, p)
	}
	pod := d.workload.Spec.Template.Spec
	for _, c := range append(d.others(pod.InitContainers, "initContainers"), d.others(pod.Containers, "containers")...) {
		for _, p := range c.Ports {
			if p.tcp() {
				taken = append(taken, p.ContainerPort)
			}
		}
	}
	slices.Sort(taken)
	d.taken = slices.Compact(taken)
	return d.taken
}

// maxCallers bounds the groups that one workload lists: each is a definition.
const maxCallers = 64

// readGroups checks the names of groups.
func (d *draft) readGroups() []Reason {
	var reasons []Reason
	bad := func(key, name string) {
		reasons = append(reasons, Reason{ID: "group-invalid", Field: d.workload.annotationField(key),
			Msg: fmt.Sprintf("%q is not the name of a group.", clip(name)),
			Fix: "Write lower-case letters, digits and dashes; the group of another namespace is NAMESPACE/GROUP."})
	}
	f := d.facts.Workload
	if len(f.Callers) > maxCallers {
		return []Reason{{ID: "group-invalid", Field: d.workload.annotationField(callersAnnotation), Msg: fmt.Sprintf("The annotation lists %d groups; %d are allowed.", len(f.Callers), maxCallers), Fix: "Give callers a group in common."}}
	}
	if !dnsLabel.MatchString(f.Group) {
		bad(groupAnnotation, f.Group)
	}
	for _, name := range f.Callers {
		namespace, group, _ := strings.Cut(name, "/")
		if !dnsLabel.MatchString(namespace) || !dnsLabel.MatchString(group) {
			bad(callersAnnotation, name)
		}
	}
	return reasons
}
