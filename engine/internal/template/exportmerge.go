package template

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// merger makes one schema of an object out of several that all have to hold. The
// generator writes a definition that embeds others, or adds to one, as a list of closed
// schemas, of which each would forbid the fields of the others. CUE means all of them
// together to be closed.
type merger struct{ defs map[string]any }

func (m merger) value(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = m.value(v[i])
		}
	case map[string]any:
		// The generator means {...}.
		if c, ok := v["const"].(map[string]any); ok && len(c) == 0 {
			delete(v, "const")
			v["type"] = "object"
		}
		if parts := m.parts(v); parts != nil {
			v = merged(parts)
		}
		for key, x := range v {
			v[key] = m.value(x)
		}
		return v
	}
	return v
}

// parts gives what has to hold of an object, each as a copy: what it refers to, what is
// listed and what stands beside them. It gives nil where nothing is to be merged.
func (m merger) parts(v map[string]any) []map[string]any {
	ref, refers := v["$ref"].(string)
	all, lists := v["allOf"].([]any)
	own := maps.Clone(v)
	delete(own, "$ref")
	delete(own, "allOf")
	rest := maps.Clone(own)
	delete(rest, "description")
	if !lists && (!refers || len(rest) == 0) {
		return nil
	}
	var parts []map[string]any
	if refers {
		def, ok := m.defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		if !ok {
			return nil
		}
		all = append([]any{def}, all...)
	}
	for _, x := range all {
		part, ok := x.(map[string]any)
		if !ok {
			if x == true {
				continue
			}
			return nil
		}
		if name, ok := part["$ref"].(string); ok && !isAnnotated(part) {
			if part, ok = m.defs[strings.TrimPrefix(name, "#/$defs/")].(map[string]any); !ok {
				return nil
			}
		}
		if inner := m.parts(part); inner != nil {
			parts = append(parts, inner...)
			continue
		}
		parts = append(parts, cloned(part))
	}
	if len(rest) > 0 || len(own) > 0 {
		// What is added to a definition is no closed schema of its own.
		added := cloned(own)
		if len(parts) > 0 {
			reopen(added)
		}
		parts = append(parts, added)
	}
	for _, part := range parts {
		for key := range part {
			if !mergeable[key] {
				return nil
			}
		}
	}
	return parts
}

// isAnnotated tells whether there is more than a reference.
func isAnnotated(v map[string]any) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(v)), func(key string) bool { return key != "$ref" && key != "description" })
}

var mergeable = map[string]bool{
	"type": true, "properties": true, "patternProperties": true, "additionalProperties": true, "required": true, "description": true,
	"propertyNames": true,
}

func merged(parts []map[string]any) map[string]any {
	out := map[string]any{"type": "object"}
	var required []any
	for _, part := range parts {
		if t, ok := part["type"]; ok && t != "object" {
			out["type"] = t
		}
		if d, ok := part["description"]; ok {
			out["description"] = d
		}
		for _, key := range []string{"properties", "patternProperties"} {
			fields, _ := part[key].(map[string]any)
			for name, x := range fields {
				have, _ := out[key].(map[string]any)
				if have == nil {
					have = map[string]any{}
					out[key] = have
				}
				have[name] = both(have[name], x)
			}
		}
		for _, name := range listOf(part["required"]) {
			if !slices.Contains(required, name) {
				required = append(required, name)
			}
		}
		for _, key := range []string{"additionalProperties", "propertyNames"} {
			if more, ok := part[key]; ok {
				out[key] = both(out[key], more)
			}
		}
	}
	if len(required) > 0 {
		slices.SortFunc(required, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		out["required"] = required
	}
	return out
}

// both gives a schema of what both take.
func both(a, b any) any {
	switch {
	case a == nil || a == true:
		return b
	case b == true:
		return a
	case a == false || b == false:
		return false
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if string(x) == string(y) {
		return a
	}
	return map[string]any{"allOf": []any{a, b}}
}

func listOf(v any) []any {
	list, _ := v.([]any)
	return list
}

// reopen lets an object, and those in it, have other fields.
func reopen(v any) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			reopen(x)
		}
	case map[string]any:
		if v["additionalProperties"] == false {
			delete(v, "additionalProperties")
		}
		for _, x := range v {
			reopen(x)
		}
	}
}

func cloned(v map[string]any) map[string]any {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // it was made of JSON
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		panic(err)
	}
	return out
}

// usedOf gives the definitions that a schema refers to, and those that these do.
func usedOf(root any, defs map[string]any) map[string]any {
	used := map[string]any{}
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				visit(x)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				name := strings.TrimPrefix(ref, "#/$defs/")
				if _, seen := used[name]; !seen {
					used[name] = defs[name]
					visit(defs[name])
				}
			}
			for _, x := range v {
				visit(x)
			}
		}
	}
	visit(root)
	return used
}
