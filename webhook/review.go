package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/cuegate/cuegate/engine"
)

// The versions of AdmissionReview that are understood. They say the same.
const (
	reviewV1      = "admission.k8s.io/v1"
	reviewV1beta1 = "admission.k8s.io/v1beta1"
)

// maxDepth is how deeply JSON may be nested; it is what encoding/json and so the API
// server allow.
const maxDepth = 10000

// review is what matters of an AdmissionReview that asks. Of other fields, those that
// nobody knows yet included, nothing is read.
type review struct {
	version string
	uid     string
	// kind, group and groupVersion ("apps/v1") are those of the request.
	kind, group, groupVersion string
	operation, subresource    string
	namespace, name           string
	// object and old are JSON as it was sent, "" where there is none.
	object, old string
}

// parseReview reads a body. Its errors are for people.
func parseReview(body []byte) (review, error) {
	if tooDeep(body) || !gjson.ValidBytes(body) {
		return review{}, errors.New("the body is not JSON")
	}
	top := gjson.ParseBytes(body)
	if !top.IsObject() {
		return review{}, errors.New("the body is not a JSON object")
	}
	var v review
	var kind string
	var request gjson.Result
	top.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "apiVersion":
			v.version = text(value)
		case "kind":
			kind = text(value)
		case "request":
			request = value
		}
		return true
	})
	switch {
	case kind != "AdmissionReview":
		return v, fmt.Errorf("the body is of kind %q, not AdmissionReview", clip(kind, maxShown))
	case v.version != reviewV1 && v.version != reviewV1beta1:
		return v, fmt.Errorf("the AdmissionReview is of version %q; known are %s and %s", clip(v.version, maxShown), reviewV1, reviewV1beta1)
	case !request.IsObject():
		return v, errors.New("the AdmissionReview has no request")
	}
	v.read(request)
	if v.decides() && v.object == "" {
		return v, fmt.Errorf("the request to %s has no object", v.operation)
	}
	return v, nil
}

func (v *review) read(request gjson.Result) {
	request.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "uid":
			v.uid = text(value)
		case "kind":
			v.kind, v.group = text(value.Get("kind")), text(value.Get("group"))
			v.groupVersion = strings.TrimPrefix(v.group+"/"+text(value.Get("version")), "/")
		case "operation":
			v.operation = text(value)
		case "subResource":
			v.subresource = text(value)
		case "namespace":
			v.namespace = text(value)
		case "name":
			v.name = text(value)
		case "object":
			v.object = object(value)
		case "oldObject":
			v.old = object(value)
		}
		return true
	})
}

// decides tells whether there is anything to decide about. Whoever deletes, connects, or
// writes a subresource, such as status or scale, changes nothing that we care for.
func (v *review) decides() bool {
	return v.subresource == "" && (v.operation == "CREATE" || v.operation == "UPDATE")
}

// asked gives the object as the engine reads it. Its name is "" when the API server has
// yet to make one up.
func (v *review) asked() engine.Object {
	o := engine.Object{Ref: engine.Ref{Kind: v.kind, Namespace: v.namespace, Name: v.name}, APIVersion: v.groupVersion, JSON: []byte(v.object)}
	for _, f := range []struct {
		path string
		into *string
	}{
		{"kind", &o.Kind}, {"apiVersion", &o.APIVersion}, {"metadata.namespace", &o.Namespace}, {"metadata.name", &o.Name},
	} {
		if said := text(gjson.Get(v.object, f.path)); said != "" {
			*f.into = said
		}
	}
	return o
}

// deleting tells whether the object is being deleted, and waits for its finalizers.
func (v *review) deleting() bool {
	return text(gjson.Get(v.object, "metadata.deletionTimestamp")) != ""
}

// sameForUs tells whether an update leaves alone all that a decision is made by:
// annotations, labels, and the pod template, or the whole spec of what has none.
func (v *review) sameForUs() bool {
	if v.operation != "UPDATE" || v.old == "" {
		return false
	}
	paths := []string{"metadata.annotations", "metadata.labels", "spec.template"}
	if !gjson.Get(v.object, paths[2]).Exists() && !gjson.Get(v.old, paths[2]).Exists() {
		paths[2] = "spec"
	}
	for _, p := range paths {
		if !sameJSON(gjson.Get(v.old, p), gjson.Get(v.object, p)) {
			return false
		}
	}
	return true
}

// sameJSON compares by meaning. What is not there is the same as null and as {}.
func sameJSON(a, b gjson.Result) bool {
	if a.Raw == b.Raw {
		return true
	}
	decode := func(r gjson.Result) any {
		var v any
		d := json.NewDecoder(strings.NewReader(r.Raw))
		d.UseNumber()
		if r.Raw == "" || d.Decode(&v) != nil {
			return nil
		}
		if m, ok := v.(map[string]any); ok && len(m) == 0 {
			return nil
		}
		return v
	}
	return reflect.DeepEqual(decode(a), decode(b))
}

// text gives a string, or "" for whatever is none. It keeps no body alive.
func text(r gjson.Result) string {
	if r.Type != gjson.String {
		return ""
	}
	return strings.Clone(r.Str)
}

func object(r gjson.Result) string {
	if !r.IsObject() {
		return ""
	}
	return r.Raw
}

// tooDeep tells whether brackets are nested more than maxDepth deep, without recursion:
// what checks and reads JSON later recurses, and must not be made to fill the memory.
func tooDeep(data []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
