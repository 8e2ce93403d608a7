package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/cuegate/cuegate/engine/internal/problem"
	"github.com/cuegate/cuegate/engine/internal/schema"
)

// checkWiths finds facts that tests make up and that there are not, as in
// `with input.namespce as {...}`: such a test tests nothing, and passes where it wants
// that nothing happens.
func checkWiths(m *ast.Module, types Types) []problem.Problem {
	var ps []problem.Problem
	ast.WalkWiths(m, func(w *ast.With) bool {
		ref, ok := w.Target.Value.(ast.Ref)
		if !ok || !ref.HasPrefix(ast.InputRootRef) {
			return false
		}
		if message := unknownFact(constants(ref[1:]), types.Input); message != "" {
			ps = append(ps, at(w.Target.Location, message))
		}
		return false
	})
	return ps
}

// unknownFact says which of the keys below input is none of the schema, or "".
func unknownFact(keys []string, schemas any) string {
	root, _ := schemas.(map[string]any)
	now := root
	for i, key := range keys {
		now = resolve(root, now)
		properties, ok := now["properties"].(map[string]any)
		if !ok {
			return ""
		}
		next, ok := properties[key].(map[string]any)
		if !ok {
			path := strings.Join(append([]string{"input"}, keys[:i+1]...), ".")
			message := fmt.Sprintf("there is no fact %s", path)
			if near := schema.Nearest(key, slices.Sorted(maps.Keys(properties))); near != "" {
				message += fmt.Sprintf("; did you mean %s?", near)
			}
			return message
		}
		now = next
	}
	return ""
}

// resolve follows references to "#/$defs/NAME".
func resolve(root, s map[string]any) map[string]any {
	for range 10 {
		ref, ok := s["$ref"].(string)
		if !ok {
			break
		}
		defs, _ := root["$defs"].(map[string]any)
		s, _ = defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	return s
}
