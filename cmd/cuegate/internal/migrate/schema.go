package migrate

import (
	"encoding/json"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/cuegate/cuegate/engine"
)

// definition answers what may stand where in an API definition.
type definition struct {
	bundle *engine.Bundle
	// names of all fields, wherever they are.
	names []string
}

var fieldName = regexp.MustCompile(`(?m)^\t*"?([A-Za-z_][A-Za-z0-9_]*)"?\?:`)

// newDefinition reads the names of fields from the built-in bundle, which holds
// cue/tyk/*.cue.
func newDefinition(b *engine.Bundle, builtin fs.FS) (*definition, error) {
	d := &definition{bundle: b}
	files, err := fs.Glob(builtin, "cue/tyk/*.cue")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		text, err := fs.ReadFile(builtin, name)
		if err != nil {
			return nil, err
		}
		for _, m := range fieldName.FindAllSubmatch(text, -1) {
			d.names = append(d.names, string(m[1]))
		}
	}
	slices.Sort(d.names)
	d.names = slices.Compact(d.names)
	return d, nil
}

// violation is what is wrong with a value at a path, or nil.
func (d *definition) violation(path []string, value any) *engine.Violation {
	if v := d.bundle.CheckValue(path, value); len(v) > 0 {
		return &v[0]
	}
	return nil
}

func (d *definition) takes(path []string, value any) bool { return d.violation(path, value) == nil }

// unknown tells whether there is no field at the path, and which is the nearest.
func (d *definition) unknown(path []string) (nearest string, is bool) {
	v := d.violation(path, nil)
	if v == nil || !v.Unknown {
		return "", false
	}
	return v.Nearest, true
}

// folded finds the field that encoding/json took a key for that is none: it does not mind
// capitals.
func (d *definition) folded(path []string, key string) (string, bool) {
	isField := func(name string) bool {
		_, unknown := d.unknown(append(slices.Clone(path), name))
		return !unknown
	}
	for _, name := range d.names {
		if name != key && strings.EqualFold(name, key) && isField(name) && !isField(key) {
			return name, true
		}
	}
	return "", false
}

// hasFixedNames tells whether an object at the path has fields of certain names only.
func (d *definition) hasFixedNames(path []string) bool {
	_, unknown := d.unknown(append(slices.Clone(path), "no-field-is-called-so"))
	return unknown
}

// takesAnything tells whether any JSON may stand at the path.
func (d *definition) takesAnything(path []string) bool {
	return d.takes(path, "x") && d.takes(path, true) && d.takes(path, map[string]any{}) && d.takes(path, []any{})
}

// group is what kind of JSON a value is.
type group uint8

const (
	noGroup group = iota
	nulls
	strs
	bools
	numbers
	lists
	objects
)

// probes are values of a group, of which most constraints take one at least.
var probes = map[group][]any{
	strs:    {"x", "", "/", "GET", "200", "http://x", "1s", "127.0.0.1", "header"},
	bools:   {true},
	numbers: {json.Number("1"), json.Number("200"), json.Number("0")},
}

func (d *definition) takesSome(path []string, g group) bool {
	return slices.ContainsFunc(probes[g], func(v any) bool { return d.takes(path, v) })
}

// open writes the type that a value may be changed to, where it is of a group now.
func (d *definition) open(path []string, now group) string {
	if d.takesAnything(path) {
		return "_"
	}
	var types []string
	for _, t := range []struct {
		group group
		name  string
	}{{strs, "string"}, {bools, "bool"}, {numbers, "int"}} {
		if t.group != now && !d.takesSome(path, t.group) {
			continue
		}
		if t.group == numbers && d.takes(path, json.Number("0.5")) {
			t.name = "number"
		}
		types = append(types, t.name)
	}
	return strings.Join(types, " | ")
}

// openList writes the type of a list at a path.
func (d *definition) openList(path []string) string {
	if d.takesAnything(path) {
		return "_"
	}
	elem := append(slices.Clone(path), "0")
	if d.takesAnything(elem) {
		return "[...]"
	}
	for _, t := range []struct {
		group group
		name  string
	}{{strs, "string"}, {numbers, "int"}, {bools, "bool"}} {
		if d.takesSome(elem, t.group) {
			return "[..." + t.name + "]"
		}
	}
	return "[...]"
}
