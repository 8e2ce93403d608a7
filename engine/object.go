package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
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

// ParseRef reads what String writes. Kind and namespace may be left out: they are
// taken as Ingress and default.
func ParseRef(s string) (Ref, error) {
	parts := strings.Split(s, "/")
	for _, p := range parts {
		if p == "" {
			return Ref{}, fmt.Errorf("%q is not KIND/NAMESPACE/NAME", s)
		}
	}
	switch len(parts) {
	case 1:
		return Ref{"Ingress", "default", parts[0]}, nil
	case 2:
		if strings.EqualFold(parts[0], "ingress") || strings.EqualFold(parts[0], "ing") {
			return Ref{"Ingress", "default", parts[1]}, nil
		}
		return Ref{"Ingress", parts[0], parts[1]}, nil
	case 3:
		if strings.EqualFold(parts[0], "ingress") || strings.EqualFold(parts[0], "ing") {
			parts[0] = "Ingress"
		}
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
var clusterScoped = map[string]bool{"Namespace": true, "IngressClass": true}

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
				Source: fmt.Sprintf("%s:%d", source, doc.line+yamlLine(err)),
				Reason: Reason{ID: "yaml-invalid", Msg: "The document is not YAML: " + yamlMessage(err) + "."},
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

var yamlAt = regexp.MustCompile(`line (\d+): `)

// yamlLine returns the line that the error names, as an offset into the document.
func yamlLine(err error) int {
	if m := yamlAt.FindStringSubmatch(err.Error()); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil && n > 0 {
			return n - 1
		}
	}
	return 0
}

func yamlMessage(err error) string {
	msg := yamlAt.ReplaceAllString(err.Error(), "")
	for _, prefix := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors:\n  "} {
		msg = strings.TrimPrefix(msg, prefix)
	}
	return strings.Join(strings.Fields(msg), " ")
}

// parseObject reads one object, or the items of a List.
func parseObject(raw []byte, at string) ([]Object, []Rejected) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name         string `json:"name"`
			GenerateName string `json:"generateName"`
			Namespace    string `json:"namespace"`
		} `json:"metadata"`
		Items []json.RawMessage `json:"items"`
	}
	reject := func(format string, args ...any) []Rejected {
		return []Rejected{{Source: at, Reason: Reason{ID: "object-invalid", Msg: fmt.Sprintf(format, args...)}}}
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, reject("The document is not a Kubernetes object: %s.", decodeMessage(err))
	}
	if head.Kind == "" || head.APIVersion == "" {
		return nil, reject("The document is not a Kubernetes object: it lacks apiVersion or kind.")
	}
	if strings.HasSuffix(head.Kind, "List") && head.Items != nil {
		var objects []Object
		var rejected []Rejected
		for _, item := range head.Items {
			found, bad := parseObject(item, at)
			objects = append(objects, found...)
			rejected = append(rejected, bad...)
		}
		return objects, rejected
	}
	if head.Metadata.Name == "" {
		return nil, reject("%s has no metadata.name.", head.Kind)
	}
	ref := Ref{Kind: head.Kind, Namespace: head.Metadata.Namespace, Name: head.Metadata.Name}
	switch {
	case clusterScoped[head.Kind]:
		ref.Namespace = ""
	case ref.Namespace == "":
		ref.Namespace = "default"
	}
	return []Object{{Ref: ref, APIVersion: head.APIVersion, JSON: raw, Source: at}}, nil
}

var goField = regexp.MustCompile(`cannot unmarshal (\w+) into Go (?:struct field \w+\.(\S+)|value) of type (\S+)`)

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
