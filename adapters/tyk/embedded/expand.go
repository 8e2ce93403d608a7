package embedded

import (
	"encoding/json"
	"maps"
	"slices"
)

// expand writes a canonical value as the gateway writes it: with every field.
func (f *field) expand(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, f.zero...)
	case map[string]any:
		if f.kind == "object" {
			return f.appendObject(dst, v)
		}
		if f.kind == "map[string]" {
			return f.appendMap(dst, v)
		}
	case []any:
		if f.kind == "array" {
			return f.appendList(dst, v)
		}
	}
	text, err := json.Marshal(v)
	if err != nil { // it came from JSON
		return append(dst, "null"...)
	}
	return append(dst, text...)
}

func (f *field) appendObject(dst []byte, object map[string]any) []byte {
	dst = append(dst, '{')
	for i, m := range f.members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = m.expand(append(dst, m.key...), object[m.name])
	}
	return append(dst, '}')
}

func (f *field) appendMap(dst []byte, object map[string]any) []byte {
	dst = append(dst, '{')
	for i, key := range slices.Sorted(maps.Keys(object)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		quoted, _ := json.Marshal(key)
		dst = f.elem.expand(append(append(dst, quoted...), ':'), object[key])
	}
	return append(dst, '}')
}

func (f *field) appendList(dst []byte, list []any) []byte {
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = f.elem.expand(dst, v)
	}
	return append(dst, ']')
}
