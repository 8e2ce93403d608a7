package engine

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate/engine/internal/policy"
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
	ownDomain          = "cuegate.dev/"

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
	path  []string // in the definition
	value any      // as encoding/json decodes with UseNumber
}

func (o override) field() string { return "metadata.annotations[" + o.key + "]" }

// readOverrides reads the annotations of the draft that set values.
func (e *Engine) readOverrides(d *draft) []Reason {
	d.facts.Overrides = []OverrideFacts{}
	var reasons []Reason
	for _, k := range slices.Sorted(maps.Keys(d.ingress.Annotations)) {
		found, r := parseAnnotation(k, d.ingress.Annotations[k])
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
			d.facts.Overrides = append(d.facts.Overrides, OverrideFacts{Key: k, Paths: e.shapes(found)})
		}
	}
	slices.SortStableFunc(d.overrides, func(a, b override) int {
		return cmp.Or(cmp.Compare(len(a.path), len(b.path)), cmp.Compare(a.key, b.key), slices.Compare(a.path, b.path))
	})
	return append(reasons, doubled(d.overrides)...)
}

// isOverride tells whether the annotation may set values.
func isOverride(k string) bool {
	prefix, _, _ := strings.Cut(k, "/")
	return k == overrideAnnotation || strings.HasSuffix("."+prefix, setterDomain)
}

// parseAnnotation gives the overrides of one annotation; none when it is not
// about overrides at all.
func parseAnnotation(k, v string) ([]override, *Reason) {
	if k == overrideAnnotation {
		return parseOwn(v)
	}
	if k == ownTemplateAnnotation || k == templateAnnotation {
		return nil, nil
	}
	if strings.HasPrefix(k, ownDomain) {
		return nil, unknownAnnotation(k, map[string]bool{overrideAnnotation: true, ownTemplateAnnotation: true})
	}
	prefix, name, hasName := strings.Cut(k, "/")
	if !isOverride(k) {
		return nil, nil
	}
	kind := strings.TrimSuffix(prefix, setterDomain)
	parse, ok := setters[kind]
	if !ok || !hasName {
		known := map[string]bool{templateAnnotation: true}
		for s := range setters {
			known[s+setterDomain+"/"+name] = true
		}
		return nil, unknownAnnotation(k, known)
	}
	path := strings.Split(strings.ReplaceAll(name, "-", "_"), ".")
	if r := checkPath(path); r != nil {
		return nil, r
	}
	value, want := parse(v)
	if want != "" {
		return nil, &Reason{ID: "override-value", Msg: fmt.Sprintf("The value of the annotation is not %s.", want)}
	}
	return []override{{k, path, value}}, nil
}

func unknownAnnotation(k string, known map[string]bool) *Reason {
	r := &Reason{ID: "annotation-unknown", Msg: fmt.Sprintf("There is no annotation %s.", clip(k))}
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

// parseJSON gives nil for what is not one JSON value.
func parseJSON(text string) any {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil || dec.More() {
		return nil
	}
	return v
}

// parseOwn reads the value of cuegate.dev/override.
func parseOwn(text string) ([]override, *Reason) {
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, &Reason{ID: "override-value", Msg: fmt.Sprintf("The value of the annotation is not YAML (line %d).", 1+yamlLine(err))}
	}
	object, ok := parseJSON(string(raw)).(map[string]any)
	if !ok {
		return nil, &Reason{ID: "override-value", Msg: "The value of the annotation is not a YAML or JSON object."}
	}
	var found []override
	for _, k := range slices.Sorted(maps.Keys(object)) {
		path := splitPath(k)
		if r := checkPath(path); r != nil {
			return nil, r
		}
		found = append(found, override{overrideAnnotation, path, object[k]})
	}
	return found, nil
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

func eachLeaf(path []string, v any, visit func([]string, any)) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			eachLeaf(append(slices.Clone(path), k), x, visit)
		}
		if len(v) > 0 {
			return
		}
	case []any:
		for i, x := range v {
			eachLeaf(append(slices.Clone(path), fmt.Sprint(i)), x, visit)
		}
		if len(v) > 0 {
			return
		}
	}
	visit(path, v)
}

// doubled reports paths that two annotations set: which of them is meant cannot
// be known.
func doubled(list []override) []Reason {
	var reasons []Reason
	seen := map[string]override{}
	for _, o := range list {
		path := schema.Join(o.path)
		if first, ok := seen[path]; ok {
			reasons = append(reasons, Reason{ID: "override-doubled", Field: o.field(),
				Msg: fmt.Sprintf("%s is set by two annotations, %s and %s.", clip(path), clip(first.key), clip(o.key))})
			continue
		}
		seen[path] = o
	}
	return reasons
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

// canonical writes JSON with sorted keys and no needless bytes.
func canonical(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
