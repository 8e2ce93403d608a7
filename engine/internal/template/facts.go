package template

// FactsSchema gives schema.#Facts as a JSON Schema, decoded, for the types of
// Rego's input.
func (s *Set) FactsSchema() (any, error) { return generate(s.facts) }
