package template

import (
	"encoding/json"

	"cuelang.org/go/cue/format"
	"cuelang.org/go/encoding/jsonschema"
)

// FactsSchema gives schema.#Facts as a JSON Schema, decoded, for the types of
// Rego's input. The generator of CUE 0.17 is experimental; it is used here only.
func (s *Set) FactsSchema() (any, error) {
	expr, err := jsonschema.Generate(s.facts, &jsonschema.GenerateConfig{Version: jsonschema.VersionDraft2020_12})
	if err != nil {
		return nil, err
	}
	text, err := format.Node(expr)
	if err != nil {
		return nil, err
	}
	raw, err := s.ctx.CompileBytes(text).MarshalJSON()
	if err != nil {
		return nil, err
	}
	var doc any
	err = json.Unmarshal(raw, &doc)
	return doc, err
}
