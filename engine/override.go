package engine

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
	yamlnode "go.yaml.in/yaml/v3"
	kubejson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate/engine/internal/policy"
	"github.com/cuegate/cuegate/engine/internal/problem"
	"github.com/cuegate/cuegate/engine/internal/schema"
)

// Rules of overrides
//
//	string.service.tyk.io/PATH   the value as it stands
//	bool.service.tyk.io/PATH     true or false, in any case
//	num.service.tyk.io/PATH      a number
//	object.service.tyk.io/PATH   a JSON object
//	array.service.tyk.io/PATH    a JSON array
//	cuegate.dev/override         a YAML or JSON object: fields of the definition,
//	                             or paths with "." between keys, each with its value
//
// In the PATH of a setter every "-" means "_", since an annotation's name has no
// underscore to begin or end with; the keys of cuegate.dev/override are taken as
// they are. Shorter paths are applied first, then in the order of annotations.
// Objects are merged with what the template says, lists replace its lists.
//
// A path that the definition does not have, a value of the wrong type, a path set
// twice and anything that touches identity is refused: what an annotation asked
// for and did not get could be the lock on the door.

const (
	setterDomain       = ".service.tyk.io"
	overrideAnnotation = "cuegate.dev/override"

	// StatusAnnotation is where a controller tells what became of an object. It is no
	// part of what is decided about.
	StatusAnnotation = "cuegate.dev/status"

	// maxAnnotations is the limit of the API server on all annotations of an
	// object, keys and values, in bytes.
	maxAnnotations = 256 << 10
	// maxLeaves and maxDepth bound one override. Definitions found in the wild
	// have some hundred leaves, eight deep.
	maxLeaves = 2000
	maxDepth  = 32
)

// override is one value that an annotation sets.
type override struct {
	key   string   // of the annotation
	role  string   // of the one definition of a workload that it is for, or ""
	path  []string // in the definition
	value any      // as encoding/json decodes with UseNumber
}

func (o override) field() string { return "metadata.annotations[" + o.key + "]" }

// readOverrides reads the annotations of the draft that set values.
func (e *Engine) readOverrides(d *draft) []Reason {
	d.facts.Overrides = []OverrideFacts{}
	var reasons []Reason
	annotations := d.facts.Object.Annotations
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		if d.workload == nil && strings.HasPrefix(k, injectorDomain) {
			continue // on an Ingress they mean nothing
		}
		found, r := parseAnnotation(k, annotations[k])
		if d.workload != nil {
			found = byRole(found)
			for _, o := range found {
				r = cmp.Or(r, checkPath(o.path))
			}
		}
		if r == nil {
			r = e.checkOverrides(found)
		}
		if r != nil {
			r.Field = "metadata.annotations[" + clip(k) + "]"
			reasons = append(reasons, *r)
			continue
		}
		if len(found) > 0 {
			d.overrides = append(d.overrides, found...)
			d.facts.Overrides = append(d.facts.Overrides, OverrideFacts{Key: k, Paths: e.shapes(found), Strings: texts(found)})
		}
	}
	slices.SortStableFunc(d.overrides, func(a, b override) int {
		return cmp.Or(cmp.Compare(len(a.path), len(b.path)), cmp.Compare(a.key, b.key), slices.Compare(a.path, b.path))
	})
	for _, role := range d.roles() {
		refused, warnings := doubled(d.overridesOf(role))
		d.warnings = addNew(d.warnings, warnings)
		reasons = addNew(reasons, refused)
	}
	return reasons
}

// roles are those of the definitions that the object can have.
func (d *draft) roles() []string {
	if d.workload != nil {
		return []string{roleInbound, roleMesh}
	}
	return []string{roleIngress}
}

// overridesOf are the overrides for definitions of the role: what is said for one role
// comes after what is said for all.
func (d *draft) overridesOf(role string) []override {
	if d.workload == nil {
		return d.overrides
	}
	var all []override
	for _, mine := range []string{"", role} {
		for _, o := range d.overrides {
			if o.role == mine {
				all = append(all, o)
			}
		}
	}
	return all
}

func addNew(list, more []Reason) []Reason {
	for _, r := range more {
		if !slices.Contains(list, r) {
			list = append(list, r)
		}
	}
	return list
}

// byRole reads the roles in front of paths: inbound.use_keyless sets use_keyless of the
// definition inbound.
func byRole(found []override) []override {
	var all []override
	for _, o := range found {
		role := o.path[0]
		if role != roleInbound && role != roleMesh {
			all = append(all, o)
			continue
		}
		object, ok := o.value.(map[string]any)
		if len(o.path) > 1 || !ok {
			// A role with a value that is no object is left as it is: no path of the
			// definition is called so.
			if len(o.path) > 1 {
				o.role, o.path = role, o.path[1:]
			}
			all = append(all, o)
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(object)) {
			all = append(all, override{key: o.key, role: role, path: splitPath(k), value: object[k]})
		}
	}
	return all
}

// isOverride tells whether the annotation may set values.
func isOverride(k string) bool {
	return k == overrideAnnotation || isMeant(k) && !slices.Contains(notOverrides, k)
}

// notOverrides are annotations of ours that set no values.
var notOverrides = slices.Concat([]string{ownTemplateAnnotation, templateAnnotation, inboundTemplateAnnotation, meshTemplateAnnotation}, injectorAnnotations)

// meant matches keys whose author had us in mind, however he spelt it.
var meant = regexp.MustCompile(`(?i)tyk\.?io|cuegate`)

func isMeant(k string) bool { return meant.MatchString(k) }

// parseAnnotation gives the overrides of one annotation; none when it is not
// about overrides at all. What looks like an annotation of ours and is none could
// have been the lock on the door, so it is a reason.
func parseAnnotation(k, v string) ([]override, *Reason) {
	switch {
	case k == overrideAnnotation:
		return parseOwn(v)
	case !isOverride(k):
		return nil, nil
	}
	prefix, name, _ := strings.Cut(k, "/")
	parse, ok := setters[strings.TrimSuffix(prefix, setterDomain)]
	if !ok || !strings.HasSuffix(prefix, setterDomain) || name == "" {
		return nil, unknownAnnotation(k, name)
	}
	path := strings.Split(strings.ReplaceAll(name, "-", "_"), ".")
	if r := checkPath(path); r != nil {
		return nil, r
	}
	value, want := parse(v)
	if want != "" {
		return nil, &Reason{ID: "override-value", Msg: fmt.Sprintf("The value of the annotation is not %s.", want), Fix: "Correct the value, or remove the annotation."}
	}
	return []override{{key: k, path: path, value: value}}, nil
}

func unknownAnnotation(k, name string) *Reason {
	known := append([]string{overrideAnnotation}, notOverrides...)
	for s := range setters {
		known = append(known, s+setterDomain+"/"+name)
	}
	slices.Sort(known)
	r := &Reason{ID: "annotation-unknown", Msg: fmt.Sprintf("There is no annotation %s.", clip(k)),
		Fix: "There are cuegate.dev/template, cuegate.dev/override, template.service.tyk.io, and string, bool, num, object and array.service.tyk.io/PATH."}
	if near := schema.Nearest(k, known); near != "" {
		r.Fix = fmt.Sprintf("Did you mean %s?", near)
	}
	return r
}

// setters read the value of an annotation; a second result says what was wanted
// instead. Values are never repeated in messages: they may be secrets.
var setters = map[string]func(string) (any, string){
	"string": func(v string) (any, string) { return v, "" },
	"bool": func(v string) (any, string) {
		switch strings.ToLower(v) {
		case "true":
			return true, ""
		case "false":
			return false, ""
		}
		return nil, "true or false"
	},
	"num": func(v string) (any, string) {
		if n, ok := parseJSON(v).(json.Number); ok {
			return n, ""
		}
		return nil, "a number"
	},
	"object": func(v string) (any, string) {
		if m, ok := parseJSON(v).(map[string]any); ok {
			return m, ""
		}
		return nil, "a JSON object"
	},
	"array": func(v string) (any, string) {
		if l, ok := parseJSON(v).([]any); ok {
			return l, ""
		}
		return nil, "a JSON array"
	},
}

// parseJSON gives nil for what is not one JSON value, or has a key twice.
func parseJSON(text string) any {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil
	}
	var again any
	if strict, err := kubejson.UnmarshalStrict([]byte(text), &again); err != nil || len(strict) > 0 {
		return nil
	}
	return v
}

// parseOwn reads the value of cuegate.dev/override.
func parseOwn(text string) ([]override, *Reason) {
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, &Reason{ID: "override-value", Msg: fmt.Sprintf("The value of the annotation is not YAML (line %d).", max(problem.YAMLLine(err), 1))}
	}
	object, ok := parseJSON(string(raw)).(map[string]any)
	if !ok || !isOneDocument(text) {
		return nil, &Reason{ID: "override-value", Msg: "The value of the annotation is not one YAML or JSON object."}
	}
	var found []override
	for _, k := range slices.Sorted(maps.Keys(object)) {
		path := splitPath(k)
		if r := checkPath(path); r != nil {
			return nil, r
		}
		found = append(found, override{key: overrideAnnotation, path: path, value: object[k]})
	}
	return found, nil
}

// isOneDocument: the decoder reads the first document only, and drops the others.
func isOneDocument(text string) bool {
	dec := yamlnode.NewDecoder(strings.NewReader(text))
	var n yamlnode.Node
	return dec.Decode(&n) == nil && dec.Decode(&n) == io.EOF
}

// splitPath cuts at the dots that no backslash escapes.
func splitPath(s string) []string {
	var path []string
	var part strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			part.WriteByte(s[i])
		case s[i] == '.':
			path = append(path, part.String())
			part.Reset()
		default:
			part.WriteByte(s[i])
		}
	}
	return append(path, part.String())
}

func checkPath(path []string) *Reason {
	if slices.Contains(path, "") || len(path) > maxDepth {
		return &Reason{ID: "override-path", Msg: "The path of the annotation has an empty part or too many of them."}
	}
	return nil
}

// checkOverrides holds the overrides of one annotation to the definition.
func (e *Engine) checkOverrides(list []override) *Reason {
	n := 0
	for _, o := range list {
		if touchesIdentity(o) {
			return &Reason{ID: "override-identity", Msg: fmt.Sprintf("%s is part of the identity of the definition and is never overridden.", schema.Join(o.path))}
		}
		if r := checkNumbers(o); r != nil {
			return r
		}
		if v := e.bundle.definition.ValidateAt(o.path, o.value); len(v) > 0 {
			r := &Reason{ID: "override-type", Msg: fmt.Sprintf("%s %s.", schema.Join(v[0].Path), v[0].Message)}
			if v[0].Unknown {
				r.ID, r.Msg = "override-unknown-path", fmt.Sprintf("%s: %s.", clip(schema.Join(v[0].Path)), v[0].Message)
			}
			if v[0].Nearest != "" {
				r.Fix = fmt.Sprintf("Did you mean %s?", v[0].Nearest)
			}
			return r
		}
		if n += leaves(o.value, len(o.path)); n > maxLeaves {
			return &Reason{ID: "override-too-large", Msg: fmt.Sprintf("The annotation sets more than %d values, or more than %d deep.", maxLeaves, maxDepth)}
		}
	}
	return nil
}

// identity lists the fields that say which definition it is and whose.
var identity = [][]string{{"api_id"}, {"org_id"}, {"id"}, {"config_data", markKey}}

func touchesIdentity(o override) bool {
	for _, path := range identity {
		n := min(len(path), len(o.path))
		if !slices.Equal(path[:n], o.path[:n]) {
			continue
		}
		value, inside := o.value, true
		for _, k := range path[n:] {
			m, _ := value.(map[string]any)
			value, inside = m[k], false
			if _, inside = m[k]; !inside {
				break
			}
		}
		if inside {
			return true
		}
	}
	return false
}

// leaves counts scalars and empty containers; too deep counts as too many.
func leaves(v any, depth int) int {
	if depth > maxDepth {
		return maxLeaves + 1
	}
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for _, x := range v {
			n += leaves(x, depth+1)
		}
	case []any:
		for _, x := range v {
			n += leaves(x, depth+1)
		}
	}
	return max(n, 1)
}

// shapes lists the paths that overrides set, as the field table writes them, each
// once.
func (e *Engine) shapes(list []override) []string {
	set := map[string]bool{}
	for _, o := range list {
		eachLeaf(o.path, o.value, func(path []string, _ any) {
			// Checked before, so there is no violation.
			shape, _ := e.bundle.definition.Shape(path)
			set[strings.Join(shape, ".")] = true
		})
	}
	return slices.Sorted(maps.Keys(set))
}

// eachLeaf visits scalars and empty containers. The path is good until visit returns.
func eachLeaf(path []string, v any, visit func(path []string, v any)) {
	at := make([]string, len(path), len(path)+maxDepth)
	copy(at, path)
	eachLeafBelow(at, v, visit)
}

func eachLeafBelow(path []string, v any, visit func(path []string, v any)) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			eachLeafBelow(append(path, k), x, visit)
		}
		if len(v) > 0 {
			return
		}
	case []any:
		for i, x := range v {
			eachLeafBelow(append(path, strconv.Itoa(i)), x, visit)
		}
		if len(v) > 0 {
			return
		}
	}
	visit(path, v)
}

// texts lists every key and every text that overrides hold, for rules that look
// for words in them.
func texts(list []override) []string {
	set := map[string]bool{}
	for _, o := range list {
		eachLeaf(o.path, o.value, func(path []string, v any) {
			for _, key := range path {
				set[key] = true
			}
			if text, ok := v.(string); ok {
				set[text] = true
			}
		})
	}
	return slices.Sorted(maps.Keys(set))
}

// doubled reports values that are set twice. The longer path is applied later, so
// it wins, and that is a warning; of two equal paths, and of a value and one below
// it, nobody can know which is meant.
func doubled(list []override) (reasons, warnings []Reason) {
	seen := map[string]override{}   // by the path of a leaf
	within := map[string]override{} // by each path above a leaf
	for _, o := range list {
		var refused, replaced *Reason
		eachLeaf(o.path, o.value, func(path []string, _ any) {
			leaf := schema.Join(path)
			clash := func(first override) { refused = setTwice(leaf, first, o) }
			if first, ok := seen[leaf]; ok && len(first.path) == len(o.path) && first.role == o.role {
				clash(first)
			} else if ok {
				replaced = &Reason{ID: "override-without-effect", Field: first.field(),
					Msg: fmt.Sprintf("%s sets %s more closely, so this annotation has no effect there.", clip(o.key), clip(leaf))}
			}
			if first, ok := within[leaf]; ok && first.role == o.role {
				clash(first)
			}
			for i := 1; i < len(path); i++ {
				if first, ok := seen[schema.Join(path[:i])]; ok && first.role == o.role {
					clash(first)
				}
			}
		})
		if refused != nil {
			reasons = append(reasons, *refused)
			continue
		}
		if replaced != nil {
			warnings = append(warnings, *replaced)
		}
		eachLeaf(o.path, o.value, func(path []string, _ any) {
			seen[schema.Join(path)] = o
			for i := 1; i < len(path); i++ {
				within[schema.Join(path[:i])] = o
			}
		})
	}
	return reasons, warnings
}

func setTwice(leaf string, first, second override) *Reason {
	return &Reason{ID: "override-doubled", Field: second.field(),
		Msg: fmt.Sprintf("%s is set twice, by %s and by %s.", clip(leaf), clip(first.key), clip(second.key)),
		Fix: "Remove one of the two."}
}

// values builds the JSON object that is unified with the template: overrides in
// their order, then what policy sets. base is the definition without them; lists
// of which single elements are set are taken from it.
func (e *Engine) values(overrides []override, sets []policy.Set, base func() ([]byte, error)) ([]byte, error) {
	doc := []byte("{}")
	set := func(path []string, raw []byte) error {
		for i := 1; i < len(path); i++ {
			at := e.jsonPath(path[:i], "")
			if !e.bundle.definition.IsList(path[:i]) || gjson.GetBytes(doc, at).Exists() {
				continue
			}
			from, err := base()
			if err != nil {
				return err
			}
			list := gjson.GetBytes(from, at).Raw
			if list == "" {
				list = "[]"
			}
			if doc, err = sjson.SetRawBytes(doc, e.jsonPath(path[:i], ":"), []byte(list)); err != nil {
				return err
			}
		}
		var err error
		doc, err = sjson.SetRawBytes(doc, e.jsonPath(path, ":"), raw)
		return err
	}
	for _, o := range overrides {
		raw, err := canonical(o.value)
		if err != nil {
			return nil, err
		}
		if err := set(o.path, raw); err != nil {
			return nil, err
		}
	}
	for _, s := range sets {
		if err := set(splitPath(s.Path), s.Value); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

// jsonPath writes a path so that sjson and gjson take every key literally. key is
// put before a number that is a key and not an index: sjson wants ":", gjson "".
func (e *Engine) jsonPath(path []string, key string) string {
	parts := make([]string, len(path))
	for i, p := range path {
		var b strings.Builder
		if !e.bundle.definition.IsList(path[:i]) && strings.Trim(p, "-0123456789") == "" {
			b.WriteString(key)
		}
		for _, c := range []byte(p) {
			if !(c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80) {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		}
		parts[i] = b.String()
	}
	return strings.Join(parts, ".")
}
