package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Rules of a patch
//
// What the annotation injector.tyk.io/status lists is ours; everything else is the
// author's and stays as it is, fields that nobody knows yet included. An element of ours
// is added where it is missing, replaced where it differs from what is wanted, and
// removed when it is wanted no more. One to which the API server or somebody else has
// added fields does not differ. An element of the author's that has the name of one of
// ours is never replaced: the workload is refused.
//
// A list or an object that was not there is added, and removed with its last element.

// podPath is where workloads have what is patched.
const podPath = "/spec/template"

// patchedList is a list of a pod to which a sidecar adds.
type patchedList struct {
	name string
	// path below the pod template, as gjson has it.
	path string
	// key tells elements apart.
	key string
	// first puts new elements before the author's: an init container of ours must run
	// before his, whose requests it takes.
	first bool
}

var patchedLists = []patchedList{
	{name: "containers", path: "spec.containers", key: "name"},
	{name: "initContainers", path: "spec.initContainers", key: "name", first: true},
	{name: "volumes", path: "spec.volumes", key: "name"},
	{name: "hostAliases", path: "spec.hostAliases", key: "ip"},
	{name: "sysctls", path: "spec.securityContext.sysctls", key: "name"},
}

func (p pod) list(name string) []map[string]any {
	switch name {
	case "containers":
		return p.Containers
	case "initContainers":
		return p.InitContainers
	case "volumes":
		return p.Volumes
	case "hostAliases":
		return p.HostAliases
	case "sysctls":
		return p.Sysctls
	}
	return nil
}

// operation is one of a JSON Patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// patcher collects operations on the pod template of one object.
type patcher struct {
	template gjson.Result
	was      *injected
	names    map[string][]string
	ops      []operation
	reasons  []Reason
}

// withSidecar gives the patch for a workload that shall have what add says; nil when it
// has it. status is written with it, and its names filled in.
func withSidecar(d *draft, add pod, status *injected) ([]byte, []Reason, error) {
	p := newPatcher(d)
	for _, l := range patchedLists {
		p.list(l, add.list(l.name))
	}
	p.texts("labels", add.Labels)
	annotations := maps.Clone(add.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	// The names must be known before they are written.
	own := slices.Concat(slices.Sorted(maps.Keys(annotations)), []string{inboundIDAnnotation, meshIDAnnotation})
	slices.Sort(own)
	p.names["annotations"] = own
	status.Names = p.names
	text, err := canonical(status)
	if err != nil {
		return nil, nil, err
	}
	annotations[injectedAnnotation] = string(text)
	annotations[inboundIDAnnotation] = d.routes[0].facts.ID
	annotations[meshIDAnnotation] = d.routes[1].facts.ID
	p.texts("annotations", annotations)
	p.names["annotations"] = own
	return p.patch()
}

// withoutSidecar gives the patch that takes out what was injected; nil where nothing
// was.
func withoutSidecar(d *draft) ([]byte, error) {
	if d.injected == nil {
		return nil, nil
	}
	p := newPatcher(d)
	for _, l := range patchedLists {
		p.list(l, nil)
	}
	p.texts("labels", nil)
	p.was.Names["annotations"] = append(slices.Clone(p.was.Names["annotations"]), injectedAnnotation)
	p.texts("annotations", nil)
	patch, _, err := p.patch()
	return patch, err
}

func newPatcher(d *draft) *patcher {
	p := &patcher{template: gjson.GetBytes(d.object.JSON, "spec.template"), was: &injected{Names: map[string][]string{}}, names: map[string][]string{}}
	if d.injected != nil {
		p.was = &injected{Names: maps.Clone(d.injected.Names)}
	}
	return p
}

func (p *patcher) patch() ([]byte, []Reason, error) {
	if len(p.reasons) > 0 || len(p.ops) == 0 {
		return nil, p.reasons, nil
	}
	raw, err := canonical(p.ops)
	return raw, nil, err
}

func (p *patcher) do(op, path string, value any) {
	p.ops = append(p.ops, operation{op, podPath + path, value})
}

// list brings our elements of a list to what is wanted.
func (p *patcher) list(l patchedList, wanted []map[string]any) {
	at := "/" + strings.ReplaceAll(l.path, ".", "/")
	present := p.template.Get(l.path).Array()
	var gone []int
	had := map[string]int{} // ours, by their keys
	others := map[string]int{}
	for i, e := range present {
		name := e.Get(l.key).String()
		if p.was.has(l.name, name) {
			if slices.ContainsFunc(wanted, func(w map[string]any) bool { return w[l.key] == name }) {
				had[name] = i
			} else {
				gone = append(gone, i)
			}
		} else {
			others[name] = i
		}
	}
	var missing []any
	for _, w := range wanted {
		name, _ := w[l.key].(string)
		if i, taken := others[name]; taken {
			if !within(w, present[i]) {
				p.taken(l, name)
				continue
			}
			if l.name == "hostAliases" || l.name == "sysctls" {
				continue // the author has the same, and it stays his
			}
			had[name] = i // our own, whose note was lost
		}
		p.names[l.name] = append(p.names[l.name], name)
		if i, ok := had[name]; !ok {
			missing = append(missing, w)
		} else if !within(w, present[i]) {
			p.do("replace", fmt.Sprintf("%s/%d", at, i), w)
		}
	}
	if len(gone) > 0 && len(gone) == len(present) && len(missing) == 0 {
		p.do("remove", at, nil)
		p.removeEmpty(l)
		return
	}
	for _, i := range slices.Backward(gone) {
		p.do("remove", fmt.Sprintf("%s/%d", at, i), nil)
	}
	switch {
	case len(missing) == 0:
	case len(present) == 0:
		p.addParents(l)
		p.do("add", at, missing)
	case l.first:
		for i, w := range missing {
			p.do("add", at+"/"+strconv.Itoa(i), w)
		}
	default:
		for _, w := range missing {
			p.do("add", at+"/-", w)
		}
	}
}

// taken refuses a workload that has something else under a name of ours.
func (p *patcher) taken(l patchedList, name string) {
	p.reasons = append(p.reasons, Reason{ID: "sidecar-name-taken", Field: "spec.template." + l.path,
		Msg: fmt.Sprintf("The pod has one of %s called %q already, which is not that of the sidecar.", l.name, clip(name)),
		Fix: "Rename it, or ask the platform team to give that of the sidecar another name."})
}

// addParents adds the objects around a list that are not there.
func (p *patcher) addParents(l patchedList) {
	parts := strings.Split(l.path, ".")
	for i := 2; i < len(parts); i++ {
		if parent := p.template.Get(strings.Join(parts[:i], ".")); !parent.IsObject() {
			p.do("add", "/"+strings.Join(parts[:i], "/"), map[string]any{})
		}
	}
}

// removeEmpty removes the object around a list that is gone, where nothing else is in
// it.
func (p *patcher) removeEmpty(l patchedList) {
	parts := strings.Split(l.path, ".")
	for i := len(parts) - 1; i >= 2; i-- {
		if len(p.template.Get(strings.Join(parts[:i], ".")).Map()) > 1 {
			return
		}
		p.do("remove", "/"+strings.Join(parts[:i], "/"), nil)
	}
}

// texts brings our labels or annotations to what is wanted.
func (p *patcher) texts(name string, wanted map[string]string) {
	at := "/metadata/" + name
	present := p.template.Get("metadata." + name)
	if len(wanted) == 0 && !present.IsObject() {
		return
	}
	there := present.Map()
	left := len(there)
	var ops []operation
	for _, k := range slices.Sorted(slices.Values(p.was.Names[name])) {
		if _, ok := there[k]; ok && !hasKey(wanted, k) {
			ops = append(ops, operation{"remove", podPath + at + "/" + pointer(k), nil})
			left--
		}
	}
	for _, k := range slices.Sorted(maps.Keys(wanted)) {
		if name == "labels" {
			if v, ok := there[k]; ok && !p.was.has(name, k) && v.String() != wanted[k] {
				p.taken(patchedList{name: name, path: "metadata.labels"}, k)
				continue
			}
			p.names[name] = append(p.names[name], k)
		}
		if v, ok := there[k]; !ok {
			ops = append(ops, operation{"add", podPath + at + "/" + pointer(k), wanted[k]})
			left++
		} else if v.String() != wanted[k] {
			ops = append(ops, operation{"replace", podPath + at + "/" + pointer(k), wanted[k]})
		}
	}
	switch {
	case len(ops) == 0:
	case !present.IsObject() && left > 0:
		if !p.template.Get("metadata").IsObject() {
			p.do("add", "/metadata", map[string]any{})
		}
		p.do("add", at, wanted)
	case left == 0:
		p.do("remove", at, nil)
	default:
		p.ops = append(p.ops, ops...)
	}
}

func hasKey(m map[string]string, k string) bool { _, ok := m[k]; return ok }

// pointer escapes a key for a JSON pointer (RFC 6901).
func pointer(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// within tells whether everything that is wanted is present, whatever else is.
func within(wanted any, present gjson.Result) bool {
	var have any
	if decodeInto([]byte(present.Raw), &have) != nil {
		return false
	}
	return isWithin(wanted, have, "")
}

// isWithin compares what stands under the key.
func isWithin(wanted, have any, key string) bool {
	if quantities[key] {
		return sameQuantities(wanted, have)
	}
	switch w := wanted.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return len(w) == 0 && have == nil // the API server drops what is empty
		}
		for k, v := range w {
			if !isWithin(v, h[k], k) {
				return false
			}
		}
		return true
	case []any:
		h, _ := have.([]any)
		if len(h) != len(w) {
			return false
		}
		for i := range w {
			if !isWithin(w[i], h[i], "") {
				return false
			}
		}
		return true
	case string:
		return w == have || w == "" && have == nil
	case bool:
		return w == have || !w && have == nil
	}
	return reflect.DeepEqual(wanted, have)
}

// quantities are keys of objects that hold amounts: the API server writes "1000m" as
// "1".
var quantities = map[string]bool{"limits": true, "requests": true}

func sameQuantities(wanted, have any) bool {
	w, _ := wanted.(map[string]any)
	h, _ := have.(map[string]any)
	for k, v := range w {
		a, err1 := resource.ParseQuantity(fmt.Sprint(v))
		b, err2 := resource.ParseQuantity(fmt.Sprint(h[k]))
		if err1 != nil || err2 != nil || a.Cmp(b) != 0 {
			return false
		}
	}
	return true
}

// decodeInto decodes JSON with numbers as they are written.
func decodeInto(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return dec.Decode(v)
}
