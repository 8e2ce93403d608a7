package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

// Ref names an object of Kubernetes.
type Ref struct {
	Kind      string
	Namespace string // "" for kinds without one
	Name      string
}

// String gives "Kind/namespace/name", or "Kind/name".
func (r Ref) String() string {
	if r.Namespace == "" {
		return r.Kind + "/" + r.Name
	}
	return r.Kind + "/" + r.Namespace + "/" + r.Name
}

// kinds are those that a Ref may name in short, as kubectl does.
var kinds = map[string]string{
	"ing": "Ingress", "ingress": "Ingress", "ingresses": "Ingress",
	"deploy": "Deployment", "deployment": "Deployment", "deployments": "Deployment",
	"sts": "StatefulSet", "statefulset": "StatefulSet", "statefulsets": "StatefulSet",
	"ds": "DaemonSet", "daemonset": "DaemonSet", "daemonsets": "DaemonSet",
	"svc": "Service", "service": "Service", "services": "Service",
}

// ParseRef reads what String writes. Kind and namespace may be left out: they are
// taken as Ingress and default. Kinds may be written in short, in any case.
func ParseRef(s string) (Ref, error) {
	parts := strings.Split(s, "/")
	for _, p := range parts {
		if p == "" {
			return Ref{}, fmt.Errorf("%q is not KIND/NAMESPACE/NAME", s)
		}
	}
	kind, known := kinds[strings.ToLower(parts[0])]
	switch {
	case len(parts) == 1:
		return Ref{"Ingress", "default", parts[0]}, nil
	case len(parts) == 2 && known:
		return Ref{kind, "default", parts[1]}, nil
	case len(parts) == 2:
		return Ref{"Ingress", parts[0], parts[1]}, nil
	case len(parts) == 3 && known:
		return Ref{kind, parts[1], parts[2]}, nil
	case len(parts) == 3:
		return Ref{parts[0], parts[1], parts[2]}, nil
	}
	return Ref{}, fmt.Errorf("%q is not KIND/NAMESPACE/NAME", s)
}

// Object is what Kubernetes, or a manifest, said of an object.
type Object struct {
	Ref
	APIVersion string
	// JSON is the whole object.
	JSON []byte
	// Source is where a manifest holds it, "file:line", or "".
	Source string
}

// neighbours holds the kinds that objects are decided by, with their apiVersion.
var neighbours = map[string]string{
	"Namespace":    "v1",
	"Service":      "v1",
	"Secret":       "v1",
	"IngressClass": "networking.k8s.io/v1",

	factsKind:    ownVersion,
	snapshotKind: ownVersion,
}

// Neighbour tells whether the object is one that others are decided by, and that
// nothing is decided about.
func (o Object) Neighbour() bool {
	return neighbours[o.Kind] == o.APIVersion && o.APIVersion != ""
}

// ingress tells whether the object is an Ingress of Kubernetes, of whatever
// version; other projects have kinds of that name.
func (o Object) ingress() bool {
	group, _, _ := strings.Cut(o.APIVersion, "/")
	return o.Kind == "Ingress" && (group == "networking.k8s.io" || group == "extensions")
}

// Rejected is a piece of input that is no object.
type Rejected struct {
	// Source is "file:line".
	Source string
	Reason Reason
}

// clusterScoped holds the kinds of ours that have no namespace.
var clusterScoped = map[string]bool{"Namespace": true, "IngressClass": true, snapshotKind: true}

// ParseManifests reads the YAML or JSON documents of a file. A document that is
// wrong is rejected by itself; Lists are taken apart. source names the file.
func ParseManifests(source string, data []byte) ([]Object, []Rejected) {
	var objects []Object
	var rejected []Rejected
	for _, doc := range splitDocuments(data) {
		at := fmt.Sprintf("%s:%d", source, doc.line)
		raw, err := yaml.YAMLToJSONStrict(doc.text)
		if err != nil {
			rejected = append(rejected, Rejected{
				Source: fmt.Sprintf("%s:%d", source, doc.line+max(problem.YAMLLine(err), 1)-1),
				Reason: Reason{ID: "yaml-invalid", Msg: "The document is not YAML: " + problem.YAMLMessage(err) + "."},
			})
			continue
		}
		if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
			continue
		}
		found, bad := parseObject(raw, at)
		objects = append(objects, found...)
		rejected = append(rejected, bad...)
	}
	return objects, rejected
}

type document struct {
	text []byte
	line int // of its first line, from 1
}

// splitDocuments cuts at lines that begin with "---", as YAML and kubectl do.
func splitDocuments(data []byte) []document {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var docs []document
	current := document{line: 1}
	line := 0
	for text := range bytes.Lines(data) {
		line++
		if rest, ok := bytes.CutPrefix(text, []byte("---")); ok && (len(rest) == 0 || bytes.ContainsAny(rest[:1], " \t\r\n")) {
			docs = append(docs, current)
			current = document{line: line}
			// "--- # comment" and "--- {inline: document}" go on behind the dashes.
			current.text = append([]byte("   "), rest...)
			continue
		}
		current.text = append(current.text, text...)
	}
	return append(docs, current)
}

// parseObject reads one object, or the items of a List.
func parseObject(raw []byte, at string) ([]Object, []Rejected) {
	var head manifestHead
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, reject(at, "The document is not a Kubernetes object: %s.", decodeMessage(err))
	}
	if head.Kind == "" || head.APIVersion == "" {
		return nil, reject(at, "The document is not a Kubernetes object: it lacks apiVersion or kind.")
	}
	if strings.HasSuffix(head.Kind, "List") && head.Items != nil {
		return parseItems(head, at)
	}
	if problem := head.check(); problem != "" {
		return nil, reject(at, "%s %s.", clip(head.Kind), problem)
	}
	return []Object{{Ref: head.ref(), APIVersion: head.APIVersion, JSON: raw, Source: at}}, nil
}

func reject(at, format string, args ...any) []Rejected {
	return []Rejected{{Source: at, Reason: Reason{ID: "object-invalid", Msg: fmt.Sprintf(format, args...)}}}
}

// manifestHead is what names an object.
type manifestHead struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name         string `json:"name"`
		GenerateName string `json:"generateName"`
		Namespace    string `json:"namespace"`
	} `json:"metadata"`
	Items []json.RawMessage `json:"items"`
}

func (h manifestHead) ref() Ref {
	ref := Ref{Kind: h.Kind, Namespace: h.Metadata.Namespace, Name: h.Metadata.Name}
	switch {
	case clusterScoped[h.Kind]:
		ref.Namespace = ""
	case ref.Namespace == "":
		ref.Namespace = "default"
	}
	return ref
}

// check says what is wrong with the names, or nothing. An API server would refuse
// them; here a slash could make one object pass for another.
func (h manifestHead) check() string {
	m := h.Metadata
	switch {
	case m.Name == "" && m.GenerateName != "":
		return "has a metadata.generateName and no metadata.name: what it is called, only the API server knows"
	case m.Name == "":
		return "has no metadata.name"
	case strings.ContainsAny(h.Kind, "/ ") || strings.ContainsFunc(h.Kind, unicode.IsControl):
		return "is no name of a kind"
	case len(content.IsPathSegmentName(m.Name)) > 0 || strings.ContainsFunc(m.Name, unicode.IsControl):
		return fmt.Sprintf("has a metadata.name that no object can have: %q", clip(m.Name))
	case m.Namespace != "" && !dnsLabel.MatchString(m.Namespace):
		return fmt.Sprintf("has a metadata.namespace that no namespace can have: %q", clip(m.Namespace))
	case named[h.Kind] && len(validation.IsDNS1123Subdomain(m.Name)) > 0:
		return fmt.Sprintf("has a metadata.name that is not a lower-case DNS name: %q", clip(m.Name))
	}
	return ""
}

// named holds the kinds whose names are DNS names; those of some others are not.
var named = map[string]bool{"Ingress": true, "IngressClass": true, "Namespace": true, "Service": true, "Secret": true}

// parseItems takes a List apart. The items of a typed one, such as an IngressList,
// need not say what they are.
func parseItems(list manifestHead, at string) ([]Object, []Rejected) {
	var objects []Object
	var rejected []Rejected
	for i, item := range list.Items {
		if kind := strings.TrimSuffix(list.Kind, "List"); kind != "" {
			item = typed(item, list.APIVersion, kind)
		}
		found, bad := parseObject(item, at)
		objects = append(objects, found...)
		for j := range bad {
			bad[j].Reason.Msg = fmt.Sprintf("items[%d]: %s", i, bad[j].Reason.Msg)
		}
		rejected = append(rejected, bad...)
	}
	return objects, rejected
}

// typed writes version and kind into an object that lacks both.
func typed(item []byte, apiVersion, kind string) []byte {
	head := gjson.GetManyBytes(item, "apiVersion", "kind")
	if !gjson.ParseBytes(item).IsObject() || head[0].Exists() || head[1].Exists() {
		return item
	}
	for _, field := range [][2]string{{"apiVersion", apiVersion}, {"kind", kind}} {
		if with, err := sjson.SetBytes(item, field[0], field[1]); err == nil {
			item = with
		}
	}
	return item
}

var goField = regexp.MustCompile(`cannot unmarshal (\w+) into Go (?:struct field \w*\.(\S+)|value) of type (\S+)`)

// decodeMessage makes an error of a JSON decoder readable for someone who has
// never seen Go.
func decodeMessage(err error) string {
	msg := strings.TrimPrefix(err.Error(), "json: ")
	m := goField.FindStringSubmatch(msg)
	if m == nil {
		return msg
	}
	got, field, want := m[1], m[2], "something else"
	switch t := m[3]; {
	case t == "string":
		want = "a string"
	case t == "bool":
		want = "true or false"
	case strings.HasPrefix(t, "int") || strings.HasPrefix(t, "uint"):
		want = "a whole number"
	case strings.HasPrefix(t, "[]"):
		want = "a list"
	case strings.HasPrefix(t, "map[") || strings.Contains(t, "."):
		want = "an object"
	}
	if field == "" {
		field = "the document"
	}
	return fmt.Sprintf("%s must be %s, not %s", field, want, got)
}
