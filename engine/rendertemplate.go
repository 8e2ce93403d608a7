package engine

import (
	"errors"

	"github.com/cuegate/cuegate/engine/internal/schema"
	"github.com/cuegate/cuegate/engine/internal/template"
)

// TemplateInput is what a template knows of a route; #In of the CUE package template
// says what each field means.
type TemplateInput = template.In

// Violation is one way in which a value does not fit the API definition.
type Violation = schema.Violation

// TemplateRefusal is the error of a template that refuses a route by its `errors`.
type TemplateRefusal struct{ Message string }

func (e *TemplateRefusal) Error() string { return e.Message }

// RenderTemplate renders one template for one route, with what annotations would set: a
// JSON object, or nil. It gives JSON whose keys are in no order. Nothing is checked
// against the schema, no policy is asked, and the definition carries no mark.
func (b *Bundle) RenderTemplate(name string, in TemplateInput, values []byte) ([]byte, error) {
	rendered, err := b.templates.Render(name, in, values)
	var fault *template.Fault
	if errors.As(err, &fault) && fault.Author {
		return nil, &TemplateRefusal{fault.Message}
	}
	return rendered.JSON, err
}

// CheckValue checks a decoded value that would stand at path, by keys and list indexes,
// in the API definition.
func (b *Bundle) CheckValue(path []string, value any) []Violation {
	return b.definition.ValidateAt(path, value)
}
