package engine

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"github.com/cuegate/cuegate/engine/internal/problem"
	"github.com/cuegate/cuegate/engine/internal/template"
)

// SchemaNames lists the schemas that JSONSchema and OpenAPI know by name, each with what
// its documents are.
func SchemaNames() [][2]string { return template.Exports() }

// JSONSchema writes a schema as JSON Schema, draft 2020-12, for editors. operator may be
// nil; where its package schema asks more of an object, the schema is that. It says no
// more than the CUE, and leaves out conditions on other fields. The error is a
// *BundleError where the bundle is at fault.
func JSONSchema(builtin, operator fs.FS, name string) ([]byte, error) {
	root, err := exported(builtin, operator, name)
	if err != nil {
		return nil, err
	}
	return indented(root)
}

// OpenAPI writes schemas as the components of an OpenAPI 3.1 document, whose schemas are
// those of JSON Schema. Parts of a schema are called "ingress.IngressPath".
func OpenAPI(builtin, operator fs.FS, names ...string) ([]byte, error) {
	components := map[string]any{}
	for _, name := range names {
		root, err := exported(builtin, operator, name)
		if err != nil {
			return nil, err
		}
		defs, _ := root["$defs"].(map[string]any)
		delete(root, "$defs")
		delete(root, "$schema")
		components[name] = refer(root, name)
		for part, def := range defs {
			components[name+"."+part] = refer(def, name)
		}
	}
	return indented(map[string]any{
		"openapi":    "3.1.0",
		"info":       map[string]any{"title": "Cuegate", "version": "v0"},
		"components": map[string]any{"schemas": components},
	})
}

func exported(builtin, operator fs.FS, name string) (map[string]any, error) {
	own, err := fs.Sub(builtin, "cue")
	if err != nil {
		return nil, err
	}
	root, ps, err := template.Export(own, operator, name)
	if len(ps) > 0 {
		return nil, &BundleError{problem.Sort(ps)}
	}
	return root, err
}

// refer leads references to the parts of a schema to where OpenAPI has them.
func refer(v any, name string) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = refer(v[i], name)
		}
	case map[string]any:
		for key, x := range v {
			v[key] = refer(x, name)
		}
		if ref, ok := v["$ref"].(string); ok {
			if part, ok := strings.CutPrefix(ref, "#/$defs/"); ok {
				v["$ref"] = fmt.Sprintf("#/components/schemas/%s.%s", name, part)
			}
		}
	}
	return v
}

func indented(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return append(text, '\n'), err
}
