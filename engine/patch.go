package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/cuegate/cuegate/engine/internal/template"
)

// Rules of a patch
//
// What the annotation injector.tyk.io/status lists is ours; everything else is the
// author's and stays as it is, fields that nobody knows yet included. What is ours is
//
//	added      where it is missing
//	replaced   when the bundle's has changed since, or somebody changed what it sets
//	left       when others have but added to it: fields, variables, mounts, ports
//	removed    when it is wanted no more
//
// What the author has under a name of ours is never replaced: either it does as well, and
// stays his, or the workload is refused. A list or an object that was not there is added,
// and removed with its last element.

// podPath is where workloads have what is patched.
const podPath = "/spec/template"

// patchedList is a list of a pod to which a sidecar adds elements that have names.
type patchedList struct {
	name string
	// path below the pod template, as gjson has it.
	path string
	// first puts new elements before the author's: an init container of ours must run
	// before his, whose requests it takes.
	first bool
}

var patchedLists = []patchedList{
	{name: "containers", path: "spec.containers"},
	{name: "initContainers", path: "spec.initContainers", first: true},
	{name: "volumes", path: "spec.volumes"},
	{name: "sysctls", path: "spec.securityContext.sysctls"},
}

// nouns are what one of each list is called.
var nouns = map[string]string{
	"containers": "container", "initContainers": "init container", "volumes": "volume", "sysctls": "sysctl",
	aliasList: "host alias", "labels": "label", "annotations": "annotation",
}

// listOf gives what a sidecar brings to a list.
func listOf(add *template.Pod, name string) []template.Part {
	switch name {
	case "containers":
		return add.Containers
	case "initContainers":
		return add.InitContainers
	case "volumes":
		return add.Volumes
	case "sysctls":
		return add.Sysctls
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
	// names and parts are for the annotation that says what was injected.
	names map[string][]string
	parts map[string]string
	// objects are those that operations have added, by their paths.
	objects map[string]bool
	ops     []operation
	reasons []Reason
}

// withSidecar gives the patch for a workload that shall have what add says; nil when it
// has it. status is written with it, and what it lists filled in.
func withSidecar(d *draft, add *template.Pod, status *injected) ([]byte, []Reason, error) {
	p := newPatcher(d)
	for _, l := range patchedLists {
		p.list(l, listOf(add, l.name))
	}
	p.aliases(add.HostAliases)
	p.texts("labels", p.claim("labels", add.Labels))
	annotations := p.claim("annotations", add.Annotations)
	annotations[inboundIDAnnotation] = d.facts.Routes[0].ID
	if len(d.routes) == 2 && d.routes[1].group == "" {
		annotations[meshIDAnnotation] = d.routes[1].facts.ID
	}
	p.names["annotations"] = slices.Sorted(maps.Keys(annotations))
	status.Names, status.Parts = p.names, p.parts
	text, err := status.text()
	if err != nil {
		return nil, nil, err
	}
	annotations[injectedAnnotation] = string(text)
	p.texts("annotations", annotations)
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
	p.aliases(nil)
	p.texts("labels", nil)
	p.texts("annotations", nil)
	patch, _, err := p.patch()
	return patch, err
}

// newPatcher knows, beside what the workload lists as injected, the annotations that are
// ours wherever they stand.
func newPatcher(d *draft) *patcher {
	p := &patcher{
		template: gjson.GetBytes(d.object.JSON, "spec.template"), was: &injected{Names: map[string][]string{}},
		names: map[string][]string{}, parts: map[string]string{}, objects: map[string]bool{},
	}
	if d.injected != nil {
		p.was = &injected{Names: maps.Clone(d.injected.Names), Parts: d.injected.Parts, lost: d.injected.lost}
	}
	p.was.Names["annotations"] = slices.Concat(p.was.Names["annotations"], []string{injectedAnnotation, inboundIDAnnotation, meshIDAnnotation})
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

// below gives the JSON pointer of a path below the pod template.
func below(path string) string { return "/" + strings.ReplaceAll(path, ".", "/") }

// object adds the object at the path where none is.
func (p *patcher) object(path string) {
	if p.template.Get(path).IsObject() || p.objects[path] {
		return
	}
	p.objects[path] = true
	p.do("add", below(path), map[string]any{})
}

// list brings our elements of a list to what is wanted.
func (p *patcher) list(l patchedList, wanted []template.Part) {
	at := below(l.path)
	present := p.template.Get(l.path).Array()
	mine, others := p.byName(l, present)
	var missing []json.RawMessage
	for _, w := range wanted {
		i, there := mine[w.Name]
		if !there && (has(others, w.Name) || p.inSibling(l, w.Name)) {
			i, there = others[w.Name]
			same := there && isWithin(w.Value(), decodeAny(present[i].Raw), "")
			if same && l.name == "sysctls" && !p.was.lost {
				continue
			}
			if !same || !p.was.lost {
				p.taken(l.name, l.path, w.Name)
				continue
			}
		}
		delete(mine, w.Name) // what is left of it is wanted no more
		part := l.name + "/" + w.Name
		p.names[l.name] = append(p.names[l.name], w.Name)
		p.parts[part] = w.Hash
		switch {
		case !there:
			missing = append(missing, w.JSON)
		case !p.fits(part, w, present[i]):
			p.do("replace", fmt.Sprintf("%s/%d", at, i), w.JSON)
		}
	}
	gone := slices.Sorted(maps.Values(mine))
	if len(gone) > 0 && len(gone) == len(present) && len(missing) == 0 {
		p.do("remove", at, nil)
		p.removeEmpty(l.path)
		return
	}
	for _, i := range slices.Backward(gone) {
		p.do("remove", fmt.Sprintf("%s/%d", at, i), nil)
	}
	switch {
	case len(missing) == 0:
	case len(present) == 0:
		if parent, _, nested := cutLast(l.path, "."); nested && parent != "spec" {
			p.object(parent)
		}
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

// byName gives the indexes of our elements, and those of others, by their names.
func (p *patcher) byName(l patchedList, present []gjson.Result) (mine, others map[string]int) {
	mine, others = map[string]int{}, map[string]int{}
	for i, e := range present {
		name := e.Get("name").String()
		if p.was.has(l.name, name) && !has(mine, name) {
			mine[name] = i
		} else {
			others[name] = i
		}
	}
	return mine, others
}

// inSibling tells whether a container of the author's has the name in the other one of
// the two lists of containers: Kubernetes takes each name but once.
func (p *patcher) inSibling(l patchedList, name string) bool {
	for _, s := range patchedLists[:2] {
		if s.name == l.name || l.name != patchedLists[0].name && l.name != patchedLists[1].name {
			continue
		}
		_, others := p.byName(s, p.template.Get(s.path).Array())
		return has(others, name)
	}
	return false
}

// fits tells whether an element of ours may stay as it is.
func (p *patcher) fits(part string, wanted template.Part, present gjson.Result) bool {
	have := decodeAny(present.Raw)
	if p.was.lost || p.was.Parts[part] == wanted.Hash {
		return isWithin(wanted.Value(), have, "")
	}
	raw, err := canonical(have)
	return err == nil && template.PartHash(raw) == wanted.Hash
}

// taken refuses a workload that has something else under a name of ours.
func (p *patcher) taken(list, path, name string) {
	fix := "Rename it, or ask the platform team to give that of the sidecar another name."
	if list != "containers" && list != "initContainers" && list != "volumes" {
		fix = "Remove it, or ask the platform team for a sidecar without it."
	}
	p.reasons = append(p.reasons, Reason{ID: "sidecar-name-taken", Field: "spec.template." + path,
		Msg: fmt.Sprintf("The sidecar brings the %s %q, and the pod has another of this name already.", nouns[list], clip(name)), Fix: fix})
}

// removeEmpty removes the object around a list that is gone, where nothing else is in
// it.
func (p *patcher) removeEmpty(path string) {
	parent, _, _ := cutLast(path, ".")
	if parent != "spec" && len(p.template.Get(parent).Map()) == 1 {
		p.do("remove", below(parent), nil)
	}
}

// claim notes the labels or annotations that are ours, and gives them. One that the
// author has with the same value stays his.
func (p *patcher) claim(name string, wanted map[string]string) map[string]string {
	there := p.template.Get("metadata." + name).Map()
	own := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(wanted)) {
		v, ok := there[k]
		switch {
		case !ok || p.was.has(name, k) || p.was.lost && v.String() == wanted[k]:
			own[k] = wanted[k]
			p.names[name] = append(p.names[name], k)
		case v.String() != wanted[k]:
			p.taken(name, "metadata."+name, k)
		}
	}
	return own
}

// texts brings our labels or annotations to what is wanted.
func (p *patcher) texts(name string, wanted map[string]string) {
	at := "/metadata/" + name
	present := p.template.Get("metadata." + name)
	there := present.Map()
	if !present.IsObject() {
		if len(wanted) > 0 {
			p.object("metadata")
			p.do("add", at, wanted)
		}
		return
	}
	left := len(there)
	var ops []operation
	for _, k := range slices.Compact(slices.Sorted(slices.Values(p.was.Names[name]))) {
		if has(there, k) && !has(wanted, k) {
			ops = append(ops, operation{"remove", podPath + at + "/" + pointer(k), nil})
			left--
		}
	}
	for _, k := range slices.Sorted(maps.Keys(wanted)) {
		if v, ok := there[k]; !ok {
			ops = append(ops, operation{"add", podPath + at + "/" + pointer(k), wanted[k]})
			left++
		} else if v.Type != gjson.String || v.String() != wanted[k] {
			ops = append(ops, operation{"replace", podPath + at + "/" + pointer(k), wanted[k]})
		}
	}
	if left == 0 && len(ops) > 0 {
		p.do("remove", at, nil)
		return
	}
	p.ops = append(p.ops, ops...)
}

func has[V any](m map[string]V, k string) bool { _, ok := m[k]; return ok }

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

var escapes = strings.NewReplacer("~", "~0", "/", "~1")

// pointer escapes a key for a JSON pointer (RFC 6901).
func pointer(key string) string { return escapes.Replace(key) }

// decodeAny gives nil for what is no JSON. Numbers stay as they are written.
func decodeAny(raw string) any {
	var v any
	if decodeInto([]byte(raw), &v) != nil {
		return nil
	}
	return v
}

// decodeInto decodes JSON with numbers as they are written.
func decodeInto(raw []byte, v any) error {
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	return dec.Decode(v)
}
